//! Versions that stay: Azure does not let them go, by a lock or by their own protection, or a child is
//! built from them. They are seldom asked for again, and hold up no other.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use cli::load;
use http::{HeaderMap, Method, StatusCode};
use rules::catalog::{CronSchedule, Schedule};
use rules::event::{Event, PinnedBase, Retirement};
use rules::standing::Standing;
use rules::state::Version;
use rules::{ImageName, VersionNumber};
use seam::{Fault, Request, Response, Wire};
use serde_json::json;

use crate::desk::{Desk, root};
use crate::events::{CHILD, PARENT, version_id};
use crate::spoiled::Spoil;

/// Somebody has locked the first version that is to be deleted.
struct Locked {
    wire: Arc<dyn Wire>,
    path: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Locked")
    }
}

#[async_trait]
impl Wire for Locked {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.uri().path().to_owned();
        let deletes = request.method() == Method::DELETE && path.contains("/versions/");
        let locked =
            deletes && self.path.lock().unwrap().get_or_insert_with(|| path.clone()) == &path;
        if !locked {
            return self.wire.send(request).await;
        }
        let body = r#"{"error":{"code":"ScopeLocked","message":"The scope cannot perform delete operation because following scope(s) are locked."}}"#;
        let (status, headers) = (StatusCode::CONFLICT, HeaderMap::new());
        Ok(Response { status, headers, body: seam::Body::full(body.into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_version_is_seldom_asked_for_and_holds_up_no_other() {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.deletions_per_sweep = 1;
    loaded.catalog.images.retain(|it| it.name.as_str() == "ubuntu-2204-base");
    // Its next version, which is superseded on Patch Tuesday, is to go as well.
    let retention = &mut loaded.catalog.images[0].retention;
    (retention.deprecate_after_days, retention.trim_after_days) = (1, 1);
    retention.delete_after_days = 2;
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let path: Arc<Mutex<Option<String>>> = Arc::default();
    let kept = Arc::clone(&path);
    let world = Box::new(move |wire| Arc::new(Locked { wire, path: kept }) as Arc<dyn Wire>);
    let mut desk = Desk::of(loaded, &estate, Spoil { world, ..Spoil::default() }).await;

    desk.run_to(desk.now() + TimeDelta::days(10)).await;

    let path = path.lock().unwrap().clone().expect("nothing was to be deleted");
    let parts: Vec<&str> = path.split('/').collect();
    let [.., image, "versions", number] = parts[..] else { panic!("{path}") };
    let (image, number): (ImageName, VersionNumber) =
        (image.parse().unwrap(), number.parse().unwrap());
    let events = desk.all_events().await;
    let due = events.iter().filter(|(of, event)| {
        let stage = Retirement::Delete;
        *of == image.as_str()
            && matches!(event, Event::RetirementDue { version, stage: it, .. } if *version == number && *it == stage)
    });
    let due = due.count();
    assert!((2..=5).contains(&due), "it was due {due} times: {}", desk.story().await);
    let deleted =
        events.iter().filter(|(_, it)| matches!(it, Event::VersionDeleted { .. })).count();
    assert!(deleted >= 1, "{deleted}: {}", desk.story().await);
    let says = |event: &Event| match event {
        Event::VersionsJudged { kept } => kept.get(&number).is_some_and(|why| {
            let why = why.join("; ");
            why.contains("it could not be deleted on") && why.contains("ScopeLocked")
        }),
        _ => false,
    };
    assert!(events.iter().any(|(_, it)| says(it)), "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_azure_protects_is_kept_without_a_try_and_says_until_when() {
    let loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    let mut estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let versions = estate.galleries.iter_mut().flat_map(|it| &mut it.definitions);
    let mut versions = versions.flat_map(|it| &mut it.versions);
    // The first sweep would delete it, of the only image that has such a one.
    let version = versions.find(|it| it.number == "1.5.0").unwrap();
    version.block_deletion_before_end_of_life = true;
    version.end_of_life = Some("2027-01-01T00:00:00Z".parse().unwrap());
    let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;

    desk.run_to(desk.now() + TimeDelta::hours(14)).await;

    let image = "ubuntu-2204-base".parse().unwrap();
    let state = desk.state(&image).await;
    let why = state.kept[&"1.5.0".parse().unwrap()].join("; ");
    assert!(why.contains("Azure protects it from deletion until 2027-01-01"), "{why}");
    let due = |it: &Event| matches!(it, Event::RetirementDue { stage: Retirement::Delete, .. });
    assert!(!desk.events("ubuntu-2204-base").await.iter().any(due), "{}", desk.story().await);
}

/// What is built anew every night, and grows old within days; its child is built once and then held.
#[tokio::test(start_paused = true)]
async fn a_version_that_a_child_is_built_from_stays_though_somebody_wrote_over_the_childs_tags() {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.images.retain(|it| [PARENT, CHILD].contains(&it.name.as_str()));
    let parent = &mut loaded.catalog.images[0];
    let (expression, zone) = ("0 0 2 * * *".to_owned(), "UTC".parse().unwrap());
    parent.schedule = Some(Schedule::Cron(CronSchedule { expression, zone }));
    parent.rings[1].bake_hours = 1;
    parent.retention.keep = 1;
    (parent.retention.deprecate_after_days, parent.retention.trim_after_days) = (1, 1);
    parent.retention.delete_after_days = 2;
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;
    let child: ImageName = CHILD.parse().unwrap();
    desk.run_to(desk.now() + TimeDelta::days(4)).await;
    // The newest that is released, and what it is built from.
    let state = desk.state(&child).await;
    let newest = state.versions.iter().rev().find(|(_, it)| it.standing == Standing::Released);
    let Some((newest, Version { base: Some(PinnedBase::Image { version: base, .. }), .. })) =
        newest
    else {
        panic!("{}", desk.story().await)
    };
    assert_eq!(desk.ask(&format!("images/{CHILD}/hold"), r#"{"why":"audit"}"#).await, 202);
    let (id, tags) =
        (version_id(&desk, CHILD, &newest.to_string()), json!({ "tags": { "owner": "another" } }));
    let status = desk.arm_write(Method::PATCH, &id, &tags).await;
    assert!([200, 202].contains(&status), "{status}");
    desk.run_to(desk.now() + TimeDelta::days(9)).await;

    let events = desk.events(PARENT).await;
    let deleted: Vec<&VersionNumber> = events
        .iter()
        .filter_map(|it| match it {
            Event::VersionDeleted { version, .. } => Some(version),
            _ => None,
        })
        .collect();
    assert!(deleted.iter().any(|it| *it > base), "{base}: {}", desk.story().await);
    assert!(!deleted.contains(&base), "{base}: {}", desk.story().await);
}
