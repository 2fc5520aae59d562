//! The host's behaviour, with a handler that is a router in this process and time that is moved by
//! tokio or by the desk's clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use http_body_util::BodyExt;
use seam::{Local, PausedClock};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::bus::{Message, Queue};
use crate::desk::{DeskClock, Speed};

mod answers;
mod desk_time;
mod events;
mod locks;
mod requests;
mod sessions;
mod timers;

/// What the handler was given.
#[derive(Clone, Debug)]
struct Call {
    function: String,
    body: Value,
    invocation: String,
    told: Option<String>,
    /// Whether it came in chunks.
    chunked: bool,
    at: DateTime<Utc>,
}

impl Call {
    fn text(&self) -> String {
        let data = self.body["Data"]["message"].as_str().unwrap();
        String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
    }

    fn seconds(&self) -> i64 {
        (self.at - start()).num_seconds()
    }
}

/// An app under test.
struct Desk {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    holds: Holds,
    bus: Arc<Bus>,
    calls: Arc<Mutex<Vec<Call>>>,
}

fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-09-07T06:00:00Z").unwrap().to_utc()
}

fn queue(name: &str) -> (String, String) {
    let json = json!({"bindings": [{"type": "serviceBusTrigger", "name": "message",
        "direction": "in", "queueName": name, "connection": "ServiceBus", "dataType": "binary"}]});
    (name.to_owned(), json.to_string())
}

fn timer(name: &str, schedule: &str) -> (String, String) {
    let json =
        json!({"bindings": [{"type": "timerTrigger", "name": "timer", "schedule": schedule}]});
    (name.to_owned(), json.to_string())
}

fn route(name: &str, route: &str, level: &str) -> (String, String) {
    let json = json!({"bindings": [
        {"type": "httpTrigger", "name": "req", "authLevel": level, "methods": ["post"], "route": route},
        {"type": "http", "direction": "out", "name": "res"}]});
    (name.to_owned(), json.to_string())
}

impl Desk {
    fn paused() -> Desk {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::starting_at(start()));
        Desk::with(Arc::new(Database::open(None).unwrap()), clock, Holds::none())
    }

    fn jumping() -> Desk {
        let database = Arc::new(Database::open(None).unwrap());
        let clock = DeskClock::open(Arc::clone(&database), start(), Speed::Jump).unwrap();
        let holds = Holds::of(&clock);
        Desk::with(database, clock, holds)
    }

    fn with(database: Arc<Database>, clock: Arc<dyn Clock>, holds: Holds) -> Desk {
        let queues = ["a", "b", "s:sessions"].map(|name| name.parse::<Queue>().unwrap());
        let bus = Bus::open(Arc::clone(&database), Arc::clone(&clock), queues).unwrap();
        Desk { database, clock, holds, bus, calls: Arc::default() }
    }

    /// A host of these functions, whose handler answers as `answer` says.
    fn host<F: Future<Output = Response> + Send + 'static>(
        &self,
        functions: &[(String, String)],
        answer: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Arc<Host> {
        self.host_with("00:05:00", "00:10:00", None, functions, answer)
    }

    fn host_with<F: Future<Output = Response> + Send + 'static>(
        &self,
        timeout: &str,
        renewal: &str,
        function_key: Option<&str>,
        functions: &[(String, String)],
        answer: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Arc<Host> {
        let host_json = json!({"version": "2.0", "functionTimeout": timeout,
            "customHandler": {"description": {"defaultExecutablePath": "handler"}},
            "extensions": {"serviceBus": {"maxConcurrentCalls": 2, "maxConcurrentSessions": 2,
                "maxMessageBatchSize": 3, "maxAutoLockRenewalDuration": renewal}}});
        self.host_of(&host_json, function_key, functions, answer)
    }

    fn host_of<F: Future<Output = Response> + Send + 'static>(
        &self,
        host_json: &Value,
        function_key: Option<&str>,
        functions: &[(String, String)],
        answer: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Arc<Host> {
        let (clock, calls) = (Arc::clone(&self.clock), Arc::clone(&self.calls));
        let handler = Router::new().fallback(move |request: Request<Body>| {
            let (clock, calls, answer) = (Arc::clone(&clock), Arc::clone(&calls), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let header =
                    |name: &str| parts.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
                let invocation = header("x-azure-functions-invocationid").unwrap();
                let told = header("x-goldsmith-now");
                let chunked = header("transfer-encoding").is_some_and(|it| it == "chunked");
                let function = parts.uri.path()[1..].to_owned();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let at = clock.now();
                let call = Call { function, body, invocation, told, chunked, at };
                calls.lock().unwrap().push(call.clone());
                answer(call).await
            }
        });
        let wire = Local::to([("127.0.0.1:7071".to_owned(), handler)]);
        let options = HostOptions {
            handler: "http://127.0.0.1:7071".to_owned(),
            function_key: function_key.map(str::to_owned),
            ..HostOptions::default()
        };
        self.host_on(Arc::new(wire), options, host_json, functions)
    }

    /// A host whose handler is at the other end of `wire`.
    fn host_on(
        &self,
        wire: Arc<dyn Wire>,
        options: HostOptions,
        host_json: &Value,
        functions: &[(String, String)],
    ) -> Arc<Host> {
        let package =
            Package::of(&host_json.to_string(), functions.to_vec(), &BTreeMap::new()).unwrap();
        assert_eq!(package.refused, []);
        let (bus, database) = (Arc::clone(&self.bus), Arc::clone(&self.database));
        let (clock, holds) = (Arc::clone(&self.clock), self.holds.clone());
        let options = HostOptions { desk_time: true, namespace: "desk".to_owned(), ..options };
        Host::new(package, bus, database, clock, holds, wire, options).unwrap()
    }

    fn send(&self, queue: &str, id: &str, after_seconds: i64) {
        let message = Message {
            message_id: id.to_owned(),
            body: id.as_bytes().to_vec(),
            scheduled_at: Some(start() + TimeDelta::seconds(after_seconds)),
            ..Message::default()
        };
        self.bus.send(queue, message).unwrap();
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn good(_: Call) -> Response {
    axum::Json(json!({ "Outputs": {}, "Logs": [], "ReturnValue": null })).into_response()
}

async fn bad(_: Call) -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn ended(activity: &Activity) -> Option<(&str, &Outcome)> {
    match activity {
        Activity::Ended { function, outcome, .. } => Some((function, outcome)),
        Activity::Started { .. } | Activity::DeadLettered { .. } => None,
    }
}

/// Says so once `number` invocations have ended.
fn after(number: usize) -> impl FnMut(&Activity) -> bool {
    let mut seen = 0;
    move |activity| {
        seen += usize::from(ended(activity).is_some());
        seen >= number
    }
}

async fn post(host: &Arc<Host>, path: &str, key: Option<&str>) -> (u16, String) {
    let mut request =
        Request::post(path).header("host", "desk").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("x-functions-key", key);
    }
    let request = request.body(Body::from(r#"{"reason":"x"}"#)).unwrap();
    let answer = host.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Lets `host` work until `over`: within two days of tokio's time, which pass at once when nothing
/// is left to wait for, so that a host that waits for ever fails its test instead of hanging it.
async fn run(host: &Host, over: impl FnMut(&Activity) -> bool) {
    let done = tokio::time::timeout(Duration::from_hours(48), host.run_until(over)).await;
    done.expect("the host waits for what never comes").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_wakes_its_function_and_is_completed() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a"), queue("b")], good);
    desk.send("b", "web:1:b:0.0", 0);

    run(&host, after(1)).await;

    let calls = desk.calls();
    assert_eq!((calls.len(), calls[0].function.as_str()), (1, "b"));
    assert_eq!(calls[0].text(), "web:1:b:0.0");
    assert_eq!(calls[0].told.as_deref(), Some("2026-09-07T06:00:00.000000000Z"));
    assert_eq!(calls[0].invocation.len(), 36);
    assert_eq!(desk.bus.counts().unwrap()["b"], crate::bus::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_comes_back_at_once_and_is_dead_lettered_after_ten() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a")], bad);
    desk.send("a", "poison", 0);
    let mut dead = None;

    run(&host, |activity| {
        if let Activity::DeadLettered { message_id, reason, .. } = activity {
            dead = Some((message_id.clone(), reason.clone()));
        }
        dead.is_some()
    })
    .await;

    assert_eq!(desk.calls().len(), 10);
    assert_eq!(desk.clock.now(), start(), "there is no delay between deliveries");
    let counts: Vec<Value> =
        desk.calls().iter().map(|it| it.body["Metadata"]["DeliveryCount"].clone()).collect();
    assert_eq!((&counts[0], &counts[9]), (&json!("1"), &json!("10")));
    assert_eq!(dead.unwrap(), ("poison".to_owned(), "MaxDeliveryCountExceeded".to_owned()));
    let ids: std::collections::BTreeSet<String> =
        desk.calls().into_iter().map(|it| it.invocation).collect();
    assert_eq!(ids.len(), 10, "a redelivery has an id of its own");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_hangs_to_the_functions_end_and_then_the_handler_is_killed() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a"), queue("b")], |call: Call| async move {
        let first = call.seconds() < 300;
        match (call.function.as_str(), first) {
            ("a", true) => StatusCode::NO_CONTENT.into_response(),
            ("b", true) => {
                tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(200))
                    .await;
                good(call).await
            }
            _ => good(call).await,
        }
    });
    desk.send("a", "hangs", 0);
    desk.send("b", "neighbour", 200);
    let mut outcomes = Vec::new();

    run(&host, |activity| {
        outcomes.extend(ended(activity).map(|(function, it)| (function.to_owned(), it.clone())));
        outcomes.len() == 4
    })
    .await;

    let killed = Outcome::Failed("the handler was killed while it worked on this".to_owned());
    let expected = [
        ("a".to_owned(), Outcome::TimedOut),
        ("b".to_owned(), killed),
        ("a".to_owned(), Outcome::Succeeded),
        ("b".to_owned(), Outcome::Succeeded),
    ];
    assert_eq!(outcomes, expected);
    let times: Vec<(String, i64)> =
        desk.calls().iter().map(|it| (it.text(), it.seconds())).collect();
    let at = |text: &str, seconds| (text.to_owned(), seconds);
    assert_eq!(
        times,
        [at("hangs", 0), at("neighbour", 200), at("hangs", 300), at("neighbour", 300)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_is_killed_too() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a")], |call: Call| async move {
        if call.seconds() == 0 {
            std::future::pending::<()>().await;
        }
        good(call).await
    });
    desk.send("a", "stuck", 0);
    let mut outcomes = Vec::new();

    run(&host, |activity| {
        outcomes.extend(ended(activity).map(|(_, it)| it.clone()));
        outcomes.len() == 2
    })
    .await;

    assert_eq!(outcomes, [Outcome::TimedOut, Outcome::Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_function_has_no_more_messages_at_once_than_it_may() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a")], |call: Call| async move {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(10)).await;
        good(call).await
    });
    for id in ["1", "2", "3", "4", "5"] {
        desk.send("a", id, 0);
    }

    run(&host, after(5)).await;

    let times: Vec<i64> = desk.calls().iter().map(Call::seconds).collect();
    assert_eq!(times, [0, 0, 10, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_function_without_its_queue_is_named() {
    let desk = Desk::paused();
    let host_json = r#"{"version":"2.0",
        "customHandler":{"description":{"defaultExecutablePath":"handler"}}}"#;
    let package = Package::of(host_json, [queue("nowhere")], &BTreeMap::new()).unwrap();

    let error = Host::new(
        package,
        Arc::clone(&desk.bus),
        Arc::clone(&desk.database),
        Arc::clone(&desk.clock),
        Holds::none(),
        Arc::new(Local::default()),
        HostOptions::default(),
    )
    .unwrap_err();

    assert!(error.to_string().contains("`nowhere`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_cannot_be_reached_is_a_failure() {
    let desk = Desk::paused();
    let host_json = r#"{"version":"2.0",
        "customHandler":{"description":{"defaultExecutablePath":"handler"}}}"#;
    let package = Package::of(host_json, [queue("a")], &BTreeMap::new()).unwrap();
    let host = Host::new(
        package,
        Arc::clone(&desk.bus),
        Arc::clone(&desk.database),
        Arc::clone(&desk.clock),
        Holds::none(),
        Arc::new(Local::default()),
        HostOptions { handler: "http://127.0.0.1:1".to_owned(), ..HostOptions::default() },
    )
    .unwrap();
    desk.send("a", "x", 0);

    run(&host, after(10)).await;

    assert_eq!(desk.bus.counts().unwrap()["a"].dead, 1);
}
