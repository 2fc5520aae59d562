//! A handler that stands still between its intent and its write, by the machine's own clock, until
//! others may write: what it had in mind it does not do any more.
//!
//! On a desk time stands still with the handler, so here the real handler works in real time against
//! the services alone, and this test is its host.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cli::load;
use contract::{Checked, Verified};
use http::Method;
use ledger::{Ledger, StreamName};
use rules::event::{Event, Outcome};
use sandbox::host::Process;
use sandbox::identity::Principal;
use sandbox::serve::Door;
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Internet, Outbound, SystemClock, Tokens, Wire};

use crate::up::{here, signal};

/// How long an intent is good for, and a moment.
const STALL: Duration = Duration::from_secs(62);

/// What the test sees of the handler, and does to it.
#[derive(Debug, Default)]
struct Watched {
    handler: AtomicU32,
    /// Intents that were recorded.
    intents: AtomicU32,
    /// Writes that reached Azure Resource Manager.
    writes: AtomicU32,
}

impl Watched {
    /// The ledger's store: whoever records the first intent is stopped before he knows that it is.
    fn store(self: &Arc<Self>, router: Router) -> Router {
        let watched = Arc::clone(self);
        router.layer(from_fn(move |request: Request, next: Next| {
            let watched = Arc::clone(&watched);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let intends = parts.method == Method::PUT
                    && parts.uri.path().contains("/ledger/")
                    && String::from_utf8_lossy(&body).contains("\"intentRecorded\"");
                let answer: Response = next.run(Request::from_parts(parts, body.into())).await;
                if intends && watched.intents.fetch_add(1, Ordering::SeqCst) == 0 {
                    signal("STOP", watched.handler.load(Ordering::SeqCst));
                }
                answer
            }
        }))
    }

    fn arm(self: &Arc<Self>, router: Router) -> Router {
        let watched = Arc::clone(self);
        router.layer(from_fn(move |request: Request, next: Next| {
            if request.method() == Method::PUT {
                watched.writes.fetch_add(1, Ordering::SeqCst);
            }
            next.run(request)
        }))
    }
}

/// The handler's process; it goes with the test.
struct Handler(Child);

impl Drop for Handler {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn invoke(url: &str, function: &str, id: &str, body: String) -> u16 {
    let mut request = seam::Request::new(body.into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("{url}/{function}").parse().unwrap();
    request.headers_mut().insert("x-azure-functions-invocationid", id.parse().unwrap());
    Internet::waiting(2 * STALL).send(request).await.unwrap().status.as_u16()
}

/// Hands the next message of `queue` to the handler, as the host does, and leaves it locked.
async fn deliver(sandbox: &Sandbox, url: &str, queue: &str, id: &str) {
    let message = sandbox.bus.receive(queue).unwrap().unwrap_or_else(|| panic!("{queue} is empty"));
    let data = serde_json::json!({
        "Data": { "message": STANDARD.encode(&message.body) },
        "Metadata": { "MessageId": format!("\"{}\"", message.message_id) },
    });
    // Its lock is lost by then, so that it comes again.
    assert_eq!(invoke(url, queue, id, data.to_string()).await, 200);
}

#[tokio::test]
async fn a_handler_that_wakes_up_after_its_intents_time_does_not_write_any_more() {
    let loaded = load::catalog(&here("catalog.yaml")).unwrap();
    let mut estate = load::estate(&here("estate.yaml")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    estate.start = clock.now();
    estate.cloud.graph_lag_minutes = 0;
    for version in &mut estate.marketplace[0].versions {
        version.released = estate.start - chrono::TimeDelta::days(3);
    }
    let doors = [0; 4].map(|_| Door::bind(0));
    let [arm, bus, blob, identity] = futures::future::join_all(doors)
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .unwrap()
        .try_into()
        .unwrap();
    let options = SandboxOptions {
        blob_url: blob.url(),
        queues: functions::package::functions()
            .iter()
            .map(|(name, _)| name.parse().unwrap())
            .collect(),
        bus_key: sandbox::bus::SharedKey::default(),
        identity_secret: "secret".to_owned(),
        retry_after_always: false,
    };
    let time = Time::Told(Arc::clone(&clock));
    let sandbox = Sandbox::open(&estate, &Place::Memory, time, options).unwrap();
    let store = format!("{}/goldsmith/goldsmith", blob.url());
    let port = Process::free_port().unwrap().to_string();
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_goldsmith"));
    command.arg("handler").stdin(Stdio::piped()).stdout(Stdio::null());
    command.envs([
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.as_str()),
        ("GOLDSMITH_CATALOG", "tailspin"),
        ("GOLDSMITH_ARM", &arm.url()),
        ("GOLDSMITH_BUS", &bus.url()),
        ("GOLDSMITH_STORE", &store),
        ("GOLDSMITH_BLOBS", &format!("{}/{{account}}", blob.url())),
        ("GOLDSMITH_WHILE_STDIN_IS_OPEN", "1"),
        ("IDENTITY_ENDPOINT", &format!("{}/msi/token", identity.url())),
        ("IDENTITY_HEADER", "secret"),
        ("AZURE_CLIENT_ID", &Principal::Handler.client_id(&estate.tenant)),
    ]);

    let (watched, routers) = (Arc::new(Watched::default()), sandbox.routers());
    let verified = Verified::new(Checked::Both);
    let trusted = [blob.address().to_string()];
    let _servers = [
        arm.open(watched.arm(verified.around(routers.arm)), &sandbox.holds),
        bus.open(routers.bus, &sandbox.holds),
        blob.open(watched.store(routers.blob), &sandbox.holds),
        identity.open(routers.identity, &sandbox.holds),
    ];
    let wire: Arc<dyn Wire> = Arc::new(Internet::default());
    let tokens = Arc::new(Tokens::fixed("a-person"));
    let outbound = Outbound::new(wire, Arc::clone(&clock), tokens, trusted);
    let store = seam::store::open(&store, &outbound).unwrap();
    let ledger = Ledger::new(store, loaded.catalog.catalog.clone());
    cli::publish::publish(&ledger, &loaded, clock.now(), "test").await.unwrap();
    let handler = Handler(command.spawn().unwrap());
    watched.handler.store(handler.0.id(), Ordering::SeqCst);
    let mut again = tokio::time::interval(Duration::from_millis(50));
    loop {
        again.tick().await;
        let mut request = seam::Request::default();
        *request.uri_mut() = url.parse().unwrap();
        if Internet::default().send(request).await.is_ok() {
            break;
        }
    }

    // The base is new, so a build is due; first its definition is to be made in the gallery.
    let tick = || r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#.to_owned();
    for (timer, id) in [("find_due_images", "t-1"), ("watch_base_images", "t-2")] {
        assert_eq!(invoke(&url, timer, id, tick()).await, 200);
    }
    let wakes = async {
        tokio::time::sleep_until(tokio::time::Instant::now() + STALL).await;
        assert_eq!(watched.intents.load(Ordering::SeqCst), 1, "it was not stopped");
        signal("CONT", handler.0.id());
    };
    tokio::join!(deliver(&sandbox, &url, "create_template", "m-1"), wakes);

    assert_eq!(watched.writes.load(Ordering::SeqCst), 0, "it wrote after its time");
    let name = StreamName::Image("base".parse().unwrap());
    let entries = ledger.entries(&name).await.unwrap();
    let events: Vec<&Event> = entries.iter().flat_map(|(_, entry)| &entry.events).collect();
    let outcome = events.iter().find_map(|it| match it {
        Event::EffectSettled { outcome, .. } => Some(outcome),
        _ => None,
    });
    let Some(Outcome::NotSent { because }) = outcome else { panic!("{events:?}") };
    assert!(because.contains("its intent was good until"), "{because}");
    deliver(&sandbox, &url, "create_template", "m-2").await;
    assert_eq!(watched.writes.load(Ordering::SeqCst), 1, "nobody does it in its place");
}
