//! Whose tokens the handler carries: the handler as a process of its own, in wall time, against
//! the sandbox's identity endpoint and its doors. (In one process the token is a fixed one.)
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use rules::event::Event;
use sandbox::Time;
use sandbox::desk::Speed;
use sandbox::host::{Activity, Host, HostOptions, Outcome};
use sandbox::identity::Principal;
use seam::{Clock, Internet, SystemClock};

use crate::stand::{Skewed, Stand, package};

const ARM: &str = "https://management.azure.com";

#[tokio::test]
async fn twenty_steps_whose_token_is_refused_as_expired_ask_for_one_other() {
    let clock = Skewed::by(0);
    let stand = Stand::open(Time::Told(Arc::clone(&clock) as Arc<dyn Clock>), &[]).await;
    stand.twenty_steps(0).await;
    assert_eq!(stand.watched.asked_for(ARM), 1);
    assert_eq!(stand.watched.asked_for("https://storage.azure.com"), 1);

    // Azure's clock is a day ahead of the handler's, to which its token looks good.
    clock.0.store(25 * 3600, Ordering::SeqCst);
    stand.watched.gather.store(true, Ordering::SeqCst);
    stand.twenty_steps(20).await;

    assert_eq!(stand.watched.asked_for(ARM), 2);
    assert_eq!(stand.watched.asked_for("https://storage.azure.com"), 2);
    assert!(!stand.log().contains("eyJ"), "a token is in the log");
}

#[tokio::test]
async fn twenty_steps_whose_token_is_about_to_expire_ask_for_one_other() {
    // A token of 24 h is kept until 5 minutes before it expires: here for 6 s.
    let clock = Skewed::by(6 + 300 - 24 * 3600);
    let stand = Stand::open(Time::Told(Arc::clone(&clock) as Arc<dyn Clock>), &[]).await;
    stand.tick("watch_base_images", 0).await;
    tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_secs(7), Duration::MAX)
        .tick()
        .await;
    let (arm, storage) =
        (stand.watched.asked_for(ARM), stand.watched.asked_for("https://storage.azure.com"));
    clock.0.store(0, Ordering::SeqCst);

    stand.twenty_steps(1).await;

    assert_eq!(stand.watched.asked_for(ARM), arm + 1);
    assert_eq!(stand.watched.asked_for("https://storage.azure.com"), storage + 1);
    let seen = stand.watched.seen.lock().unwrap();
    assert!(seen.iter().all(|(_, _, _, status)| *status == 200), "{seen:?}");
}

#[tokio::test]
async fn a_handler_with_a_wrong_secret_gets_no_token_and_says_what_to_look_at() {
    let clock = Skewed::by(0);
    let stand = Stand::open(Time::Told(clock), &[("IDENTITY_HEADER", "guess")]).await;

    let (status, body) = stand.tick("watch_base_images", 0).await;

    assert_eq!(status, 500);
    assert!(body.contains("the identity endpoint answered 401"), "{body}");
    assert!(body.contains("is assigned to the function app"), "{body}");
    assert!(!body.contains("guess") && !stand.log().contains("guess"));
    assert!(stand.watched.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_developers_tokens_are_those_of_the_tool_that_they_are_logged_in_to() {
    let tools = tempfile::tempdir().unwrap();
    let (tool, runs) = (tools.path().join("az"), tools.path().join("runs"));
    let path = format!("{}:{}", tools.path().display(), "/usr/bin:/bin");
    let more = [
        ("GOLDSMITH_IDENTITY", "developer"),
        ("GOLDSMITH_DELETING_CLIENT_ID", ""),
        ("IDENTITY_HEADER", "guess"),
        ("PATH", path.as_str()),
    ];
    let stand = Stand::open(Time::Told(Skewed::by(0)), &more).await;
    let expires = SystemClock.now() + TimeDelta::hours(1);
    let said = |resource: &str| {
        let token = stand.sandbox.identity.token(resource, expires);
        let on = expires.timestamp();
        format!(r#"{{"accessToken":"{token}","expires_on":{on},"tokenType":"Bearer"}}"#)
    };
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\ncase \"$*\" in *management*) echo '{}';; *) echo '{}';; esac\n",
        runs.display(),
        said(ARM),
        said("https://storage.azure.com"),
    );
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();

    stand.twenty_steps(0).await;

    let runs = fs::read_to_string(runs).unwrap();
    assert_eq!(runs.lines().count(), 2, "one run for each audience:\n{runs}");
    assert!(runs.contains(
        "account get-access-token -o json --scope https://management.azure.com/.default"
    ));
    assert!(stand.watched.asked.lock().unwrap().is_empty());
    let owner = stand.sandbox.identity.client_id();
    assert!(stand.watched.seen.lock().unwrap().iter().all(|(_, _, whose, _)| *whose == owner));
}

#[tokio::test]
async fn nothing_is_lost_while_there_are_no_tokens_and_only_the_deleting_identity_deletes() {
    let stand = Stand::open(Time::Desk(Speed::Jump), &[]).await;
    // From the beginning: not even the ledger can be read.
    stand.watched.ill_for.store(5, Ordering::SeqCst);
    let failed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&failed);
    let host = Host::new(
        package(),
        Arc::clone(&stand.sandbox.bus),
        Arc::clone(&stand.sandbox.database),
        Arc::clone(&stand.sandbox.clock),
        stand.sandbox.holds.clone(),
        Arc::new(Internet::default()),
        HostOptions {
            handler: stand.url.clone(),
            desk_time: true,
            function_key: None,
            namespace: "desk".to_owned(),
            azure: Some(Arc::clone(&stand.sandbox.azure)),
            process: None,
            isolated: std::collections::BTreeMap::new(),
            observer: Some(Arc::new(move |activity| {
                if let Activity::Ended { outcome, .. } = activity
                    && *outcome != Outcome::Succeeded
                {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            })),
        },
    )
    .unwrap();
    let run_to = async |day: &str| {
        let end: DateTime<Utc> = format!("2026-03-{day}:00Z").parse().unwrap();
        let over = |activity: &Activity| match activity {
            Activity::Started { at, .. }
            | Activity::Ended { at, .. }
            | Activity::DeadLettered { at, .. } => *at >= end,
        };
        host.run_until(over).await.unwrap();
    };

    run_to("10T11:45").await;
    assert!(failed.load(Ordering::SeqCst) > 0, "the outage was not felt");
    // In the middle of a build every token is refused, and for a while there is no other.
    let given = stand.watched.given.lock().unwrap().clone();
    assert!(!given.is_empty());
    stand.watched.revoked.lock().unwrap().extend(given);
    stand.watched.ill_for.store(10, Ordering::SeqCst);
    run_to("21T12:00").await;

    let events = stand.events("sles-15").await;
    let of = |find: fn(&Event) -> Option<String>| -> Vec<String> {
        events.iter().filter_map(find).collect()
    };
    let released = of(|it| match it {
        Event::RunReleased { version } => Some(version.to_string()),
        _ => None,
    });
    assert_eq!(released, ["1.0.0", "1.1.0", "1.3.0", "1.4.0"], "{}", stand.log());
    let deleted = of(|it| match it {
        Event::VersionDeleted { version, .. } => Some(version.to_string()),
        _ => None,
    });
    assert!(!deleted.is_empty(), "{events:?}");
    assert_eq!(stand.watched.ill_for.load(Ordering::SeqCst), 0);

    let seen = stand.watched.seen.lock().unwrap();
    assert!(seen.iter().any(|(_, _, _, status)| *status == 401), "no token was refused");
    let tenant = |it: Principal| stand.sandbox.identity.client_id_of(it);
    let (ours, deleting) = (tenant(Principal::Handler), tenant(Principal::Deleter));
    for (method, path, whose, status) in seen.iter() {
        let expected = if *method == Method::DELETE { &deleting } else { &ours };
        assert_eq!(whose, expected, "{method} {path}");
        assert_ne!(*status, 403, "{method} {path}");
    }
    for kind in ["/versions/", "/imageTemplates/"] {
        let deletes = seen.iter().filter(|(method, path, _, status)| {
            *method == Method::DELETE && path.contains(kind) && *status < 300
        });
        assert!(deletes.count() > 0, "nothing in {kind} was deleted");
    }
    assert_eq!(stand.loaded.catalog.images.len(), 2);
}
