//! A stand: the sandbox behind its doors in this process, and the handler as a process of its own
//! before them, in wall time, with everything that crosses the doors watched.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
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
use contract::{Checked, Verified};
use futures::future::join_all;
use http::{Method, StatusCode};
use ledger::{Ledger, StreamName};
use rules::event::Event;
use sandbox::host::{Package, Process};
use sandbox::identity::Principal;
use sandbox::serve::{Door, Server};
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Internet, Outbound, SystemClock, Tokens, Wire};
use tokio::sync::Barrier;

use crate::desk::root;

/// The machine's time, ahead or behind.
#[derive(Debug, Default)]
pub(crate) struct Skewed(pub(crate) AtomicI64);

impl Skewed {
    pub(crate) fn by(seconds: i64) -> Arc<Skewed> {
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
pub(crate) struct Watched {
    /// The resources that tokens were asked for, and for which client id.
    pub(crate) asked: Mutex<Vec<(String, String)>>,
    /// What was asked of Azure Resource Manager: method, path, whose token, status.
    pub(crate) seen: Mutex<Vec<(Method, String, String, u16)>>,
    /// The identity endpoint answers 503 so many times.
    pub(crate) ill_for: AtomicUsize,
    /// Tokens that Azure Resource Manager does not accept any more.
    pub(crate) revoked: Mutex<BTreeSet<String>>,
    pub(crate) given: Mutex<BTreeSet<String>>,
    /// Requests for blobs wait here for one another.
    pub(crate) gather: AtomicBool,
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

    pub(crate) fn asked_for(&self, resource: &str) -> usize {
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
pub(crate) struct Stand {
    pub(crate) loaded: Loaded,
    ledger: Ledger,
    pub(crate) sandbox: Sandbox,
    pub(crate) watched: Arc<Watched>,
    handler: Child,
    pub(crate) url: String,
    log: tempfile::NamedTempFile,
    _servers: Vec<Server>,
    _verified: Verified,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.handler.kill();
        let _ = self.handler.wait();
    }
}

impl Stand {
    /// A stand on which time is `time`; `more` settings of the handler win over the usual ones.
    pub(crate) async fn open(time: Time, more: &[(&str, &str)]) -> Stand {
        let folder = root().join("tests/it/fabrikam");
        let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
        let estate = load::estate(&folder.join("estate.yaml")).unwrap();
        let [arm, bus, blob, identity] =
            [Door::bind(0), Door::bind(0), Door::bind(0), Door::bind(0)];
        let (arm, bus) = (arm.await.unwrap(), bus.await.unwrap());
        let (blob, identity) = (blob.await.unwrap(), identity.await.unwrap());
        let queues = package().queues().into_iter().map(|it| it.parse().unwrap());
        let options = SandboxOptions::new(blob.url(), queues, "secret");
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
        let (watched, mut routers) = (Arc::new(Watched::default()), sandbox.routers());
        let verified = Verified::new(Checked::Both);
        routers.arm = verified.around(routers.arm);
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
        let stand = Stand {
            loaded,
            ledger,
            sandbox,
            watched,
            handler,
            url,
            log,
            _servers: servers,
            _verified: verified,
        };
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

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Lets a timer function run; its status and answer.
    pub(crate) async fn tick(&self, timer: &str, id: usize) -> (u16, String) {
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
    pub(crate) async fn twenty_steps(&self, first: usize) {
        let before = self.watched.seen.lock().unwrap().len();
        let steps = (first..first + 20).map(|id| self.tick("watch_base_images", id));
        for (status, body) in join_all(steps).await {
            assert_eq!(status, 200, "{body}");
        }
        let seen = self.watched.seen.lock().unwrap();
        let read = seen[before..].iter().filter(|(_, _, _, status)| *status == 200).count();
        assert_eq!(read, 20, "{:?}", &seen[before..]);
    }

    pub(crate) async fn events(&self, image: &str) -> Vec<Event> {
        let name = StreamName::Image(image.parse().unwrap());
        let entries = self.ledger.entries(&name).await.unwrap();
        entries.into_iter().flat_map(|(_, entry)| entry.events).collect()
    }
}

pub(crate) fn package() -> Package {
    let functions = functions::package::functions();
    let owned = functions.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned()));
    Package::of(functions::package::HOST_JSON, owned.collect::<Vec<_>>(), &BTreeMap::new()).unwrap()
}
