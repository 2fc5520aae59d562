//! The dispatcher: the host's invocation in, by its kind to `message.rs`, `request.rs` or a tick, what
//! they say recorded (`record.rs`), and the messages that the ledger then wants sent (`outbox.rs`).

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arm::Arm;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ledger::{Ledger, StreamName};
use object_store::ObjectStore;
use rules::catalog::Catalog;
use rules::wake::Function;
use seam::{Clock, Endpoint, Outbound, Tokens, ToldClock, Wire};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::context::Context;
use crate::invocation;
use crate::pause::Pauses;
use crate::settings::Settings;
use crate::{find_due_images, find_expired_versions, look_again, watch_base_images};

/// The header in which a sandbox tells the time, RFC 3339.
pub const DESK_TIME: &str = "x-goldsmith-now";
/// The header in which the host names each invocation.
const INVOCATION: &str = "x-azure-functions-invocationid";
/// A GUID has 36 characters; the name goes into entries and logs.
const LONGEST_INVOCATION: usize = 128;

/// The host caps nothing here; our messages are small, so more than this is not one.
const LARGEST_BODY: usize = 4 << 20;

/// How long an invocation is held when the ledger or the bus is ill: a failed one is redelivered
/// at once, and ten failures end in the dead-letter queue.
const HOLD: TimeDelta = TimeDelta::seconds(30);

/// The function app: what every invocation shares.
#[derive(Debug)]
pub struct App {
    settings: Arc<Settings>,
    arm: Endpoint,
    clock: Arc<dyn Clock>,
    outbound: Outbound,
    pub(crate) ledger: Ledger,
    pub(crate) bus: Endpoint,
    /// The catalog in force when it was last looked up; a digest names it for ever.
    catalog: Mutex<Option<(String, Arc<Catalog>)>>,
    pub(crate) pauses: Pauses,
}

/// The invocation cannot go on; the message comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ill(pub(crate) String);

impl App {
    /// An app that reaches the world through `wire`.
    ///
    /// # Errors
    /// A setting that cannot be used, and the next move.
    pub fn new(
        settings: Settings,
        wire: Arc<dyn Wire>,
        clock: Arc<dyn Clock>,
        tokens: Arc<Tokens>,
    ) -> Result<App, String> {
        let trusted = settings.trusted_hosts();
        let outbound = Outbound::new(wire, Arc::clone(&clock), tokens, trusted);
        let store = seam::store::open(settings.store.as_str(), &outbound)?;
        let ledger = Ledger::new(store, settings.catalog.clone());
        let bus = settings.bus.as_str().parse()?;
        let arm = settings.arm.as_str().parse()?;
        let settings = Arc::new(settings);
        let catalog = Mutex::new(None);
        let pauses = Pauses::default();
        Ok(App { settings, arm, clock, outbound, ledger, bus, catalog, pauses })
    }

    /// The same with its ledger in `store`, whatever the settings say.
    pub fn storing_in(mut self, store: Arc<dyn ObjectStore>) -> App {
        self.ledger = Ledger::new(store, self.settings.catalog.clone());
        self
    }

    /// The routes that the Functions host calls: `GET /` while it waits for the handler, and a
    /// POST for each invocation.
    pub fn router(self: Arc<App>) -> Router {
        Router::new()
            .route("/", get(|| async { "goldsmith" }))
            .route("/{function}", post(invoke))
            .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is nothing here") })
            .method_not_allowed_fallback(|| async {
                refused(StatusCode::METHOD_NOT_ALLOWED, "functions are invoked with POST")
            })
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }

    async fn call(&self, function: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let Some((name, kind)) = kind_of(function) else {
            return refused(StatusCode::NOT_FOUND, "no function has this name");
        };
        let clock = match self.clock_of(headers) {
            Ok(clock) => clock,
            Err(why) => return refused(StatusCode::BAD_REQUEST, why),
        };
        let began = std::time::Instant::now();
        // Every entry is named after its invocation, so that a lost answer is recognised.
        let invocation = header(headers, INVOCATION);
        let Some(invocation) = invocation.filter(|it| it.len() <= LONGEST_INVOCATION) else {
            let why = "the Functions host names every invocation in \
                       `X-Azure-Functions-InvocationId`, in at most 128 characters";
            return refused(StatusCode::BAD_REQUEST, why);
        };
        info!(function = name, invocation, "Began {name}");

        let mut cx = match self.context(name, invocation, &clock).await {
            Ok(cx) => cx,
            Err(Ill(why)) => return self.hold(name, invocation, &why).await,
        };
        let answer = match kind {
            Kind::Queue(function) => self.message(&mut cx, function, &body).await,
            Kind::Timer => self.tick(&mut cx, &body).await,
            Kind::Http => self.request(&mut cx, &body).await,
        };

        let duration_ms = began.elapsed().as_millis();
        match answer {
            Ok(answer) => {
                info!(function = name, invocation, duration_ms = %duration_ms, "Ended {name}");
                answer
            }
            Err(Ill(why)) => self.hold(name, invocation, &why).await,
        }
    }

    /// The clock of an invocation: the desk's, which stands still, or ours.
    fn clock_of(&self, headers: &HeaderMap) -> Result<Arc<dyn Clock>, &'static str> {
        if !self.settings.desk_time {
            return Ok(Arc::clone(&self.clock));
        }
        let told = header(headers, DESK_TIME).and_then(|it| DateTime::parse_from_rfc3339(it).ok());
        let told = told.ok_or("on a desk every invocation must tell the time")?;
        Ok(Arc::new(ToldClock(told.to_utc())))
    }

    async fn context(
        &self,
        by: &'static str,
        invocation: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Context, Ill> {
        let (policy, catalog) = self.catalog_in_force().await?;
        let outbound = self.outbound.at(Arc::clone(clock));
        Ok(Context {
            now: clock.now(),
            arm: Arm::new(self.arm.clone(), outbound.clone()).asking_as(invocation),
            ledger: self.ledger.clone(),
            outbound,
            settings: Arc::clone(&self.settings),
            catalog,
            policy,
            by,
            cause: invocation.to_owned(),
            invocation: invocation.to_owned(),
            entries: Arc::new(AtomicU32::new(0)),
        })
    }

    async fn catalog_in_force(&self) -> Result<(String, Arc<Catalog>), Ill> {
        let stream = self.ledger.read(&StreamName::Catalog).await.map_err(ill)?;
        let Some(digest) = stream.state.catalog else {
            let name = &self.settings.catalog;
            return Err(Ill(format!(
                "no catalog `{name}` is in force: its stream in the ledger names none; publish it to the store"
            )));
        };

        let mut known = self.catalog.lock().await;
        if let Some((known_digest, catalog)) = &*known
            && *known_digest == digest
        {
            return Ok((digest, Arc::clone(catalog)));
        }
        let bytes = self.ledger.blob(&digest).await.map_err(ill)?;
        let catalog: Catalog = serde_json::from_slice(&bytes)
            .map_err(|error| Ill(format!("the catalog {digest} cannot be read: {error}")))?;
        let catalog = Arc::new(catalog);
        *known = Some((digest.clone(), Arc::clone(&catalog)));
        Ok((digest, catalog))
    }

    /// A tick of a timer function.
    async fn tick(&self, cx: &mut Context, body: &Bytes) -> Result<Response, Ill> {
        if let Err(error) = invocation::timer(body) {
            return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string()));
        }
        cx.cause = format!("{}:{}", cx.by, cx.now.format("%Y-%m-%dT%H:%M:%SZ"));

        let records = match cx.by {
            "find_due_images" => find_due_images::handle(cx).await,
            "watch_base_images" => watch_base_images::handle(cx).await,
            "find_expired_versions" => find_expired_versions::handle(cx).await,
            _ => look_again::handle(cx).await,
        };
        match records {
            Ok(records) => {
                self.append_all(cx, records).await?;
            }
            // The next tick finds the same and more.
            Err(failure) => warn!(function = cx.by, "A tick came to nothing: {failure:?}"),
        }
        Ok(invocation::done())
    }

    /// Fails an invocation, not at once: it would be redelivered at once.
    async fn hold(&self, function: &str, invocation: &str, why: &str) -> Response {
        error!(function, invocation, "The invocation fails: {why}");
        if !self.settings.desk_time {
            self.clock.sleep_until(self.clock.now() + HOLD).await;
        }
        invocation::failed(why)
    }
}

enum Kind {
    Queue(Function),
    Timer,
    Http,
}

fn kind_of(function: &str) -> Option<(&'static str, Kind)> {
    let others = [
        ("find_due_images", Kind::Timer),
        ("watch_base_images", Kind::Timer),
        ("find_expired_versions", Kind::Timer),
        ("look_again", Kind::Timer),
        ("api", Kind::Http),
    ];
    if let Some(found) = others.into_iter().find(|(name, _)| *name == function) {
        return Some(found);
    }
    let function = Function::from_str(function).ok()?;
    Some((function.as_str(), Kind::Queue(function)))
}

async fn invoke(
    Shared(app): Shared<Arc<App>>,
    Path(function): Path<String>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let why = format!("a body has at most {LARGEST_BODY} bytes");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &why);
        }
        Err(error) => {
            let why = format!("the body broke off: {error}");
            return refused(StatusCode::REQUEST_TIMEOUT, &why);
        }
    };
    // Every step keeps what it has done in the ledger alone, so that one which broke off halfway
    // leaves nothing behind that the next could stumble over.
    let call = AssertUnwindSafe(app.call(&function, &parts.headers, body));
    let Ok(answer) = call.catch_unwind().await else {
        let id = header(&parts.headers, INVOCATION).unwrap_or_default();
        return app.hold(&function, id, "the step panicked; its last words are in the log").await;
    };
    answer
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(crate) fn refused(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": why }))).into_response()
}

pub(crate) fn ill(error: impl std::fmt::Display) -> Ill {
    Ill(error.to_string())
}
