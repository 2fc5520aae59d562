//! Whose tokens the handler carries: the handler as a process of its own, in wall time, against
//! the sandbox's identity endpoint and its doors. (In one process the token is a fixed one.)
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use cli::load::{self, Loaded};
use futures::future::join_all;
use http::{Method, StatusCode};
use ledger::{Ledger, StreamName};
use rules::event::Event;
use sandbox::desk::Speed;
use sandbox::host::{Activity, Host, HostOptions, Outcome, Package, Process};
use sandbox::identity::Principal;
use sandbox::serve::{Door, Server};
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Internet, Outbound, SystemClock, Tokens, Wire};
use tokio::sync::Barrier;

use crate::desk::root;

const ARM: &str = "https://management.azure.com";

/// The machine's time, ahead or behind.
#[derive(Debug, Default)]
struct Skewed(AtomicI64);

impl Skewed {
    fn by(seconds: i64) -> Arc<Skewed> {
        Arc::new(Skewed(AtomicI64::new(seconds)))
    }
}

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::seconds(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        SystemClock.sleep_until(at - TimeDelta::seconds(self.0.load(Ordering::SeqCst))).await;
    }
}

/// What crossed the doors, and what the test does to it.
#[derive(Debug, Default)]
struct Watched {
    /// The resources that tokens were asked for, and for which client id.
    asked: Mutex<Vec<(String, String)>>,
    /// What was asked of Azure Resource Manager: method, path, whose token, status.
    seen: Mutex<Vec<(Method, String, String, u16)>>,
    /// The identity endpoint answers 503 so many times.
    ill_for: AtomicUsize,
    /// Tokens that Azure Resource Manager does not accept any more.
    revoked: Mutex<BTreeSet<String>>,
    given: Mutex<BTreeSet<String>>,
    /// Requests for blobs wait here for one another.
    gather: AtomicBool,
}

impl Watched {
    fn identity(self: &Arc<Self>, router: Router) -> Router {
        let watched = Arc::clone(self);
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let watched = Arc::clone(&watched);
            async move {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let of = |name: &str| {
                    let found = query.split('&').find_map(|it| it.strip_prefix(name));
                    found.unwrap_or_default().replace("%3A", ":").replace("%2F", "/")
                };
                watched.asked.lock().unwrap().push((of("resource="), of("client_id=")));
                let ill = watched
                    .ill_for
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
                if ill.is_ok() {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                next.run(request).await
            }
        }))
    }

    fn arm(self: &Arc<Self>, router: Router) -> Router {
        let watched = Arc::clone(self);
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let watched = Arc::clone(&watched);
            async move {
                let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                let token = token(&request);
                watched.given.lock().unwrap().insert(token.clone());
                let revoked = watched.revoked.lock().unwrap().contains(&token);
                let answer = if revoked {
                    let body = r#"{"error":{"code":"InvalidAuthenticationToken","message":"x"}}"#;
                    (StatusCode::UNAUTHORIZED, body).into_response()
                } else {
                    next.run(request).await
                };
                let status = answer.status().as_u16();
                watched.seen.lock().unwrap().push((method, path, client_id(&token), status));
                answer
            }
        }))
    }

    /// Twenty requests for blobs are let through together, once `gather` is set.
    fn blob(self: &Arc<Self>, router: Router) -> Router {
        let (watched, barrier) = (Arc::clone(self), Arc::new(Barrier::new(20)));
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let (watched, barrier) = (Arc::clone(&watched), Arc::clone(&barrier));
            async move {
                if watched.gather.load(Ordering::SeqCst) && barrier.wait().await.is_leader() {
                    watched.gather.store(false, Ordering::SeqCst);
                }
                next.run(request).await
            }
        }))
    }

    fn asked_for(&self, resource: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(it, _)| it.trim_end_matches('/') == resource)
            .count()
    }
}

fn token(request: &Request) -> String {
    let value = request.headers().get("authorization").map(|it| it.to_str().unwrap());
    value.unwrap_or_default().trim_start_matches("Bearer ").to_owned()
}

/// Whose token it is; empty for none of this desk.
fn client_id(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap_or_default());
    let claims: serde_json::Value =
        serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    claims["appid"].as_str().unwrap_or_default().to_owned()
}

/// The sandbox behind its doors, and the handler's process before them.
struct Stand {
    loaded: Loaded,
    ledger: Ledger,
    sandbox: Sandbox,
    watched: Arc<Watched>,
    handler: Child,
    url: String,
    log: tempfile::NamedTempFile,
    _servers: Vec<Server>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.handler.kill();
        let _ = self.handler.wait();
    }
}

impl Stand {
    /// A stand on which time is `time`; `more` settings of the handler win over the usual ones.
    async fn open(time: Time, more: &[(&str, &str)]) -> Stand {
        let folder = root().join("tests/it/fabrikam");
        let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
        let estate = load::estate(&folder.join("estate.yaml")).unwrap();
        let [arm, bus, blob, identity] =
            [Door::bind(0), Door::bind(0), Door::bind(0), Door::bind(0)];
        let (arm, bus) = (arm.await.unwrap(), bus.await.unwrap());
        let (blob, identity) = (blob.await.unwrap(), identity.await.unwrap());
        let options = SandboxOptions {
            blob_url: blob.url(),
            queues: package().queues().iter().map(|it| it.parse().unwrap()).collect(),
            identity_secret: "secret".to_owned(),
            retry_after_always: false,
        };
        let sandbox = Sandbox::open(&estate, &Place::Memory, time, options).unwrap();

        let ours = Principal::Handler.client_id(&estate.tenant);
        let deleting = Principal::Deleter.client_id(&estate.tenant);
        let port = Process::free_port().unwrap().to_string();
        let mut environment = BTreeMap::from([
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.clone()),
            ("GOLDSMITH_CATALOG", "fabrikam".to_owned()),
            ("GOLDSMITH_ARM", arm.url()),
            ("GOLDSMITH_BUS", bus.url()),
            ("GOLDSMITH_STORE", format!("{}/golden/goldsmith", blob.url())),
            ("GOLDSMITH_BLOBS", format!("{}/{{account}}", blob.url())),
            ("GOLDSMITH_DESK_TIME", "1".to_owned()),
            ("GOLDSMITH_WHILE_STDIN_IS_OPEN", "1".to_owned()),
            ("IDENTITY_ENDPOINT", format!("{}/msi/token", identity.url())),
            ("IDENTITY_HEADER", "secret".to_owned()),
            ("AZURE_CLIENT_ID", ours),
            ("GOLDSMITH_DELETING_CLIENT_ID", deleting),
            ("GOLDSMITH_IDENTITY", String::new()),
        ]);
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));

        let trusted = [blob.address().to_string()];
        let store = format!("{}/golden/goldsmith", blob.url());
        let (watched, routers) = (Arc::new(Watched::default()), sandbox.routers());
        let servers = vec![
            arm.open(watched.arm(routers.arm), &sandbox.holds),
            bus.open(routers.bus, &sandbox.holds),
            blob.open(watched.blob(routers.blob), &sandbox.holds),
            identity.open(watched.identity(routers.identity), &sandbox.holds),
        ];
        let (wire, clock): (Arc<dyn Wire>, _) = (Arc::new(Internet::default()), &sandbox.clock);
        let tokens = Arc::new(Tokens::fixed("a-person"));
        let outbound = Outbound::new(wire, Arc::clone(clock), tokens, trusted);
        let store = seam::store::open(&store, &outbound).unwrap();
        let ledger = Ledger::new(store, loaded.catalog.catalog.clone());
        cli::publish::publish(&ledger, &loaded, sandbox.clock.now(), "test").await.unwrap();

        let log = tempfile::NamedTempFile::new().unwrap();
        let handler = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
            .arg("handler")
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let stand =
            Stand { loaded, ledger, sandbox, watched, handler, url, log, _servers: servers };
        stand.becomes_ready().await;
        stand
    }

    async fn becomes_ready(&self) {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..400 {
            again.tick().await;
            let mut request = seam::Request::default();
            *request.uri_mut() = self.url.parse().unwrap();
            if Internet::default().send(request).await.is_ok() {
                return;
            }
        }
        panic!("the handler does not start: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Lets a timer function run; its status and answer.
    async fn tick(&self, timer: &str, id: usize) -> (u16, String) {
        let body = r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#;
        let mut request = seam::Request::new(body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/{timer}", self.url).parse().unwrap();
        let now = self.sandbox.clock.now().to_rfc3339();
        for (name, value) in [
            ("x-azure-functions-invocationid", format!("{timer}-{id}")),
            ("x-goldsmith-now", now),
            ("content-type", "application/json".to_owned()),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = Internet::default().send(request).await.unwrap();
        let (status, _, body) = answer.collect(1 << 20).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// Twenty steps at once; each reads blobs and Azure Resource Manager, and all succeed.
    async fn twenty_steps(&self, first: usize) {
        let before = self.watched.seen.lock().unwrap().len();
        let steps = (first..first + 20).map(|id| self.tick("watch_base_images", id));
        for (status, body) in join_all(steps).await {
            assert_eq!(status, 200, "{body}");
        }
        let seen = self.watched.seen.lock().unwrap();
        let read = seen[before..].iter().filter(|(_, _, _, status)| *status == 200).count();
        assert_eq!(read, 20, "{:?}", &seen[before..]);
    }

    async fn events(&self, image: &str) -> Vec<Event> {
        let name = StreamName::Image(image.parse().unwrap());
        let entries = self.ledger.entries(&name).await.unwrap();
        entries.into_iter().flat_map(|(_, entry)| entry.events).collect()
    }
}

fn package() -> Package {
    let functions = functions::package::functions();
    let owned = functions.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned()));
    Package::of(functions::package::HOST_JSON, owned.collect::<Vec<_>>(), &BTreeMap::new()).unwrap()
}

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

    run_to("10T13:00").await;
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
