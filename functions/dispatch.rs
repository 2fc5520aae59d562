//! The dispatcher: the host's invocation in, a step, one ledger entry, and the messages that the
//! ledger then wants (`outbox.rs`).

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
use bus::Pointer;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ledger::{Ledger, Stream, StreamName};
use object_store::ObjectStore;
use rules::catalog::Catalog;
use rules::event::Event;
use rules::pace;
use rules::state::State;
use rules::trigger::Trigger;
use rules::wake::{Function, Subject};
use seam::{Clock, Endpoint, Outbound, Tokens, ToldClock, Wire};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::context::{Context, Visit};
use crate::invocation::{self, HttpAnswer};
use crate::pause::Pauses;
use crate::receive_events::Heard;
use crate::record::Record;
use crate::refusal::keepable;
use crate::settings::Settings;
use crate::step::{Done, Failure, back_off};
use crate::{
    api, create_template, delete_version, deprecate_version, find_due_images,
    find_expired_versions, follow_build, follow_scan, follow_version, judge_image, look_again,
    notify, receive_events, release_version, replicate_version, start_build, start_scan,
    tidy_build, trim_version, watch_base_images,
};

/// The header in which a sandbox tells the time, RFC 3339.
pub const DESK_TIME: &str = "x-goldsmith-now";
/// The header in which the host names each invocation.
const INVOCATION: &str = "x-azure-functions-invocationid";
/// A GUID has 36 characters; the name goes into entries and logs.
const LONGEST_INVOCATION: usize = 128;

/// The host caps nothing here; our messages are small, so more than this is not one.
const LARGEST_BODY: usize = 4 << 20;

/// How often a step that was overtaken decides again before it waits its turn.
const DECISIONS: u32 = 3;

/// After so many failed tries of one wish, over about nine hours, it is given up and people are told.
const MOST_FAILURES: u32 = 24;

/// A wish that was woken so often, over half a day, and still fails is given up too.
const MOST_WAKES: u32 = 16;

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
    ledger: Ledger,
    pub(crate) bus: Endpoint,
    /// The catalog in force when it was last looked up; a digest names it for ever.
    catalog: Mutex<Option<(String, Arc<Catalog>)>>,
    pauses: Pauses,
}

/// The invocation cannot go on; the message comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ill(pub(crate) String);

/// What a visit came to.
enum Visited {
    Done,
    /// The stream is broken: the message is kept until a person has mended it.
    Refused(String),
}

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

    /// A message of a queue function.
    async fn message(
        &self,
        cx: &mut Context,
        function: Function,
        body: &Bytes,
    ) -> Result<Response, Ill> {
        let message = match invocation::queue_message(body) {
            Ok(message) => message,
            Err(error) => return self.refuse(cx, None, &error.to_string(), body).await,
        };
        let pointer = match Pointer::from_body(&message.body) {
            Ok(pointer) if pointer.function == function => pointer,
            Ok(pointer) => {
                let why = format!("a message of `{}` came to `{function}`", pointer.function);
                return self.refuse(cx, message.said_id.as_deref(), &why, &message.body).await;
            }
            Err(_) if function == Function::ReceiveEvents => {
                return self.hear(cx, message.said_id.as_deref(), &message.body).await;
            }
            Err(error) => {
                let (id, why) = (message.said_id.as_deref(), error.to_string());
                return self.refuse(cx, id, &why, &message.body).await;
            }
        };
        match self.visit(cx, &pointer).await? {
            Visited::Done => Ok(invocation::done()),
            Visited::Refused(why) => {
                self.refuse(cx, Some(&pointer.to_string()), &why, &message.body).await
            }
        }
    }

    /// A hint from outside: what follows from it is recorded.
    async fn hear(
        &self,
        cx: &mut Context,
        said_id: Option<&str>,
        body: &Bytes,
    ) -> Result<Response, Ill> {
        for _ in 0..DECISIONS {
            match receive_events::hear(cx, body).await {
                Ok(Heard { records, missed }) => {
                    if !self.append_all(cx, records).await? {
                        continue;
                    }
                    // What could be decided is safe; the message comes again for the rest.
                    return missed.map_or_else(|| Ok(invocation::done()), |why| Err(Ill(why)));
                }
                Err(Failure::Never { why, .. } | Failure::Broken(why)) => {
                    return self.refuse(cx, said_id, &why, body).await;
                }
                // A hint is nobody's wish yet, so only its message can come again.
                Err(Failure::Later { why, .. } | Failure::Ledger(why)) => return Err(Ill(why)),
                Err(Failure::Overtaken) => {}
            }
        }
        Err(Ill("other steps were faster three times".to_owned()))
    }

    /// A custom handler cannot dead-letter: what is no message is kept and completed.
    async fn refuse(
        &self,
        cx: &Context,
        said_id: Option<&str>,
        why: &str,
        body: &[u8],
    ) -> Result<Response, Ill> {
        let id = said_id.unwrap_or(&cx.invocation);
        warn!(function = cx.by, invocation = %cx.invocation, "Refused a message: {why}");
        self.ledger.refuse(id, why, &keepable(body)).await.map_err(ill)?;
        Ok(invocation::done())
    }

    /// One step for the wish that `pointer` points at.
    async fn visit(&self, cx: &mut Context, pointer: &Pointer) -> Result<Visited, Ill> {
        cx.cause = pointer.to_string();
        let name = StreamName::Image(pointer.image.clone());

        for _ in 0..DECISIONS {
            let stream = match self.ledger.read(&name).await.map_err(Failure::from) {
                Ok(stream) => stream,
                Err(Failure::Broken(why)) => return Ok(Visited::Refused(why)),
                Err(failure) => return Err(Ill(format!("{failure:?}"))),
            };
            if pointer.seq > stream.head {
                let (seq, head) = (pointer.seq, stream.head);
                let why = format!(
                    "entry {seq} of `{name}` is gone: this message speaks of it, and the newest is \
                     {head}; restore it from a copy of the store"
                );
                return Ok(Visited::Refused(why));
            }
            let before = stream.state.clone();
            let wanted = before.wanted(pointer.seq, pointer.function, pointer.generation);
            let Some(wish) = wanted else {
                // Overtaken. Whoever overtook it may have died before it could send.
                self.send_made_since(cx, &pointer.image, &before, pointer.seq).await?;
                return Ok(Visited::Done);
            };
            if pointer.ordinal == 0 && wish.task.due > cx.now {
                self.send(cx, &pointer.next_look(), wish.task.due).await?;
                return Ok(Visited::Done);
            }
            if let Some(until) = self.pauses.of(pointer.function, cx.now) {
                let next = pointer.put_off();
                let at = pace::after_a_pause(&next.to_string(), cx.now, until);
                self.send(cx, &next, at).await?;
                return Ok(Visited::Done);
            }

            let mut visit = Visit::new(pointer, &cx.catalog, wish, stream);
            let step = handle(pointer.function, cx, &mut visit).await;
            let (events, again) = match step {
                Ok(Done::Record(events)) => (events, None),
                Ok(Done::LookAgain(at)) => (Vec::new(), Some((pointer.next_look(), at))),
                Ok(Done::RecordAndLookAgain { events, at }) => {
                    (events, Some((pointer.next_look(), at)))
                }
                Ok(Done::RecordElsewhere { records, events }) => {
                    if !self.append_all(cx, records).await? {
                        continue;
                    }
                    (events, None)
                }
                Ok(Done::Nothing) => (Vec::new(), None),
                Err(Failure::Later { why, at, wait, events })
                    if pointer.failures < MOST_FAILURES && pointer.generation < MOST_WAKES =>
                {
                    let (image, ordinal) = (&pointer.image, pointer.ordinal);
                    warn!(function = cx.by, %image, ordinal, "Will try again: {why}");
                    // Waiting for a known moment is no failure.
                    let again = match at {
                        Some(at) => (pointer.next_look(), at),
                        None => self.next_try(cx, pointer, wait),
                    };
                    if wait.is_some() {
                        self.pauses.begin(pointer.function, cx.now, again.1);
                    }
                    (events, Some(again))
                }
                Err(
                    Failure::Never { why, mut events } | Failure::Later { why, mut events, .. },
                ) => {
                    error!(function = cx.by, image = %pointer.image, "Gave up: {why}");
                    if cx.catalog.notify.webhook && function_is_worth_a_notice(pointer.function) {
                        let text = format!("`{}` gave up: {why}", pointer.function);
                        events.push(Event::NoticeDue { text });
                    }
                    events.extend(given_up(&visit, pointer, why));
                    (events, None)
                }
                Err(Failure::Overtaken) => continue,
                Err(Failure::Broken(why)) => return Ok(Visited::Refused(why)),
                Err(Failure::Ledger(why)) => return Err(Ill(why)),
            };

            let before = if events.is_empty() {
                before
            } else {
                match self.record(cx, &mut visit.stream, before, events).await {
                    Ok(before) => before,
                    Err(Failure::Overtaken) => continue,
                    Err(Failure::Ledger(why)) => return Err(Ill(why)),
                    Err(other) => return Err(Ill(format!("{other:?}"))),
                }
            };
            self.send_new(cx, &pointer.image, &before, &visit.stream.state).await?;
            if let Some((next, at)) = again {
                let at = pace::due(&next.to_string(), at, cx.now, &cx.arm.left());
                self.send(cx, &next, at).await?;
            }
            return Ok(Visited::Done);
        }

        let (next, at) = self.next_try(cx, pointer, None);
        self.send(cx, &next, at).await?;
        Ok(Visited::Done)
    }

    /// Appends what a step has to say to `stream`, whose state is `before`; returns the state that it
    /// was appended to. What was done on Azure is told even when another step was faster meanwhile:
    /// the rest of it where it still fits, and what became of the intent in any case.
    ///
    /// # Errors
    /// [`Failure::Overtaken`] when it has to be decided again.
    async fn record(
        &self,
        cx: &Context,
        stream: &mut Stream,
        mut before: State,
        mut events: Vec<Event>,
    ) -> Result<State, Failure> {
        let is_outcome = |it: &Event| matches!(it, Event::EffectSettled { .. });
        let mut whole = true;
        for _ in 0..DECISIONS {
            let appended = self.ledger.append(stream, cx.draft(events.clone())).await;
            match appended.map_err(Failure::from) {
                Ok(_) if whole => return Ok(before),
                Ok(_) => return Err(Failure::Overtaken),
                Err(Failure::Overtaken) if events.iter().any(is_outcome) => {
                    *stream = self.ledger.read(&stream.name).await?;
                    before = stream.state.clone();
                }
                // It does not follow from what the other step has recorded.
                Err(Failure::Never { .. }) if whole && events.iter().any(is_outcome) => {
                    events.retain(is_outcome);
                    whole = false;
                }
                Err(Failure::Never { .. }) if !whole => return Err(Failure::Overtaken),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Overtaken)
    }

    /// The message that tries the wish of `pointer` again, and when: after the usual back-off, and
    /// never before the `wait` that Azure asks for.
    fn next_try(
        &self,
        cx: &Context,
        pointer: &Pointer,
        wait: Option<TimeDelta>,
    ) -> (Pointer, DateTime<Utc>) {
        let next = pointer.next_try();
        let (id, left) = (next.to_string(), cx.arm.left());
        let at = pace::retry(&id, cx.now, wait, back_off(pointer.failures), &left);
        (next, at)
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

    /// A person's request.
    async fn request(&self, cx: &mut Context, body: &Bytes) -> Result<Response, Ill> {
        let request = match invocation::http_request(body) {
            Ok(request) => request,
            Err(error) => return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        cx.cause = format!("api:{}", cx.invocation);

        for _ in 0..DECISIONS {
            let (answer, record) = match api::handle(cx, &request).await {
                Ok(decided) => decided,
                Err(Failure::Never { why, .. }) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Overtaken) => continue,
                Err(Failure::Broken(why)) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Later { why, .. } | Failure::Ledger(why)) => return Err(Ill(why)),
            };
            let Some((mut stream, events)) = record else {
                return Ok(invocation::answered(&answer));
            };
            // Recorded before it is answered.
            let before = stream.state.clone();
            match self.ledger.append(&mut stream, cx.draft(events)).await.map_err(Failure::from) {
                Ok(_) => {}
                Err(Failure::Overtaken) => continue,
                Err(Failure::Never { why, .. }) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Later { why, .. } | Failure::Ledger(why) | Failure::Broken(why)) => {
                    return Err(Ill(why));
                }
            }
            if let StreamName::Image(image) = &stream.name {
                let image = image.clone();
                // It is recorded, so it is answered; what could not be sent is sent again later.
                if let Err(Ill(why)) = self.send_new(cx, &image, &before, &stream.state).await {
                    warn!(%image, "What was asked for is recorded and not sent yet: {why}");
                }
            }
            return Ok(invocation::answered(&answer));
        }
        Err(Ill("other steps were faster three times; ask again".to_owned()))
    }

    /// Appends to several streams. A stream that somebody else wrote to meanwhile is left as it is;
    /// then the answer is false, and whoever has no next tick decides again.
    async fn append_all(&self, cx: &Context, records: Vec<Record>) -> Result<bool, Ill> {
        let mut all = true;
        let mut sent = 0;
        for (mut stream, entries) in records {
            let again = entries.is_empty();
            let before = stream.state.clone();
            for events in entries {
                let appended = self.ledger.append(&mut stream, cx.draft(events)).await;
                match appended.map_err(Failure::from) {
                    Ok(_) => {}
                    Err(Failure::Ledger(why)) => return Err(Ill(why)),
                    Err(failure) => {
                        info!(function = cx.by, "Left for another time: {failure:?}");
                        all = false;
                        break;
                    }
                }
            }
            if let StreamName::Image(image) = &stream.name {
                let image = image.clone();
                sent += match again {
                    true => self.send_again(cx, &image, &stream.state, sent).await?,
                    false => self.send_spaced(cx, &image, &before, &stream.state, sent).await?,
                };
            }
        }
        Ok(all)
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

/// What is recorded when a wish is given up. Every trigger that waited is told why.
fn given_up(visit: &Visit, pointer: &Pointer, reason: String) -> Vec<Event> {
    if visit.wake.subject != Subject::Opening {
        let (seq, function) = (pointer.seq, pointer.function);
        return vec![Event::StepFailed { seq, function, reason }];
    }
    let refused = |trigger: &Trigger| Event::TriggerRefused {
        trigger: trigger.clone(),
        because: reason.clone(),
    };
    visit.state().pending.iter().map(refused).collect()
}

/// A notice that could not be told is not told of.
fn function_is_worth_a_notice(function: Function) -> bool {
    function != Function::Notify
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

/// The step of each function that a message wakes.
async fn handle(function: Function, cx: &Context, visit: &mut Visit) -> crate::step::Step {
    match function {
        Function::CreateTemplate => Box::pin(create_template::handle(cx, visit)).await,
        Function::StartBuild => Box::pin(start_build::handle(cx, visit)).await,
        Function::FollowBuild => Box::pin(follow_build::handle(cx, visit)).await,
        Function::StartScan => Box::pin(start_scan::handle(cx, visit)).await,
        Function::FollowScan => Box::pin(follow_scan::handle(cx, visit)).await,
        Function::JudgeImage => Box::pin(judge_image::handle(cx, visit)).await,
        Function::ReplicateVersion => Box::pin(replicate_version::handle(cx, visit)).await,
        Function::ReleaseVersion => Box::pin(release_version::handle(cx, visit)).await,
        Function::FollowVersion => Box::pin(follow_version::handle(cx, visit)).await,
        Function::TidyBuild => Box::pin(tidy_build::handle(cx, visit)).await,
        Function::ReceiveEvents => Box::pin(receive_events::handle(cx, visit)).await,
        Function::DeprecateVersion => Box::pin(deprecate_version::handle(cx, visit)).await,
        Function::TrimVersion => Box::pin(trim_version::handle(cx, visit)).await,
        Function::DeleteVersion => Box::pin(delete_version::handle(cx, visit)).await,
        Function::Notify => Box::pin(notify::handle(cx, visit)).await,
    }
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

/// What a person asked for cannot be, for this reason.
fn conflict(why: String) -> Response {
    let body = serde_json::json!({ "error": why });
    invocation::answered(&HttpAnswer { status: StatusCode::CONFLICT, body })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": why }))).into_response()
}

pub(crate) fn ill(error: impl std::fmt::Display) -> Ill {
    Ill(error.to_string())
}
