//! The rules of the queues, each through the REST interface as a client sees it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use seam::PausedClock;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::desk::RequestHold;

mod conditions;
mod locks;
mod sending;
mod times;

/// A namespace with the queues of the recipe that Microsoft's clients are driven with.
fn bus() -> Arc<Bus> {
    over(Arc::new(Database::open(None).unwrap()))
}

fn over(database: Arc<Database>) -> Arc<Bus> {
    let start = DateTime::parse_from_rfc3339("2026-09-07T06:00:00Z").unwrap().to_utc();
    let queues = [
        "builds:lock=2s,maxDelivery=3",
        "dups:duplicates=600s",
        "plain:duplicates=none",
        "short:ttl=5s,deadLetterExpired",
        "dropped:ttl=5s",
        "sess:sessions",
    ];
    let queues = queues.map(|it| it.parse::<Queue>().unwrap());
    Bus::open(database, Arc::new(PausedClock::starting_at(start)), queues).unwrap()
}

/// An answer, read whole.
struct Answered {
    status: u16,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answered {
    fn broker(&self) -> Value {
        serde_json::from_str(self.headers["brokerproperties"].to_str().unwrap()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|it| it.to_str().unwrap()).unwrap_or_default()
    }

    /// The path of the lock.
    fn lock(&self) -> String {
        let url = url::Url::parse(self.header("location")).unwrap();
        url.path().to_owned()
    }
}

fn router(bus: &Arc<Bus>) -> Router {
    bus.router(SharedKey::default(), Arc::clone(&bus.clock))
}

async fn ask(bus: &Arc<Bus>, request: Request<Body>) -> Answered {
    let answer: Response<Body> = router(bus).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:18080")
        .header("authorization", "Bearer x")
        // As a request over a socket has it.
        .extension(RequestHold::default())
}

async fn call(bus: &Arc<Bus>, method: &str, path: &str) -> Answered {
    ask(bus, request(method, path).body(Body::empty()).unwrap()).await
}

async fn send(bus: &Arc<Bus>, queue: &str, broker: &str, body: &str) -> u16 {
    let request = request("POST", &format!("/{queue}/messages"))
        .header("brokerproperties", broker)
        .header("content-type", "application/json");
    ask(bus, request.body(Body::from(body.to_owned())).unwrap()).await.status
}

async fn peek(bus: &Arc<Bus>, queue: &str) -> Answered {
    call(bus, "POST", &format!("/{queue}/messages/head?timeout=0")).await
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_locked_and_completed() {
    let bus = bus();
    assert_eq!(send(&bus, "builds", r#"{"MessageId":"m1","Label":"b"}"#, "{}").await, 201);

    let locked = peek(&bus, "builds").await;
    assert_eq!((locked.status, locked.body.as_str()), (201, "{}"));
    assert_eq!(locked.header("content-type"), "application/json");
    let broker = locked.broker();
    assert_eq!(broker["MessageId"], "m1");
    assert_eq!(broker["Label"], "b");
    assert_eq!(broker["DeliveryCount"], 1);
    assert_eq!(broker["State"], "Active");
    assert_eq!(broker["EnqueuedTimeUtc"], "Mon, 07 Sep 2026 06:00:00 GMT");
    assert_eq!(broker["LockedUntilUtc"], "Mon, 07 Sep 2026 06:00:02 GMT");
    assert_eq!(broker["TimeToLive"], 922_337_203_685.477_5);
    assert!(locked.header("location").starts_with("http://127.0.0.1:18080/builds/messages/1/"));
    assert_eq!(peek(&bus, "builds").await.status, 204);

    assert_eq!(call(&bus, "DELETE", &locked.lock()).await.status, 200);
    assert_eq!(call(&bus, "DELETE", &locked.lock()).await.status, 404);
    assert_eq!(bus.counts().unwrap()["builds"], Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_received_and_deleted_at_once() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;

    let taken = call(&bus, "DELETE", "/builds/messages/head?timeout=0").await;

    assert_eq!((taken.status, taken.body.as_str()), (200, "x"));
    assert!(taken.broker().get("LockToken").is_none());
    assert_eq!(taken.header("location"), "");
    assert_eq!(call(&bus, "DELETE", "/builds/messages/head?timeout=0").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn properties_come_back_as_they_were_sent() {
    let bus = bus();
    let request = request("POST", "/builds/messages")
        .header("brokerproperties", "{\"Label\":\"wörld\"}".as_bytes())
        .header("Priority", "\"High \\\"!\\\"\"")
        .header("attempt", "3")
        .header("user-agent", "x")
        .body(Body::from("x"));
    ask(&bus, request.unwrap()).await;

    let got = peek(&bus, "builds").await;
    assert_eq!(got.broker()["Label"], "wörld");
    assert_eq!(got.header("priority"), "\"High \\\"!\\\"\"");
    assert_eq!(got.header("attempt"), "3");
    assert_eq!(got.header("user-agent"), "");
}

#[tokio::test(start_paused = true)]
async fn a_queue_with_sessions_is_sent_to_with_one_and_not_received_from() {
    let bus = bus();

    assert_eq!(send(&bus, "sess", "{}", "x").await, 400);
    assert_eq!(send(&bus, "sess", r#"{"SessionId":"s"}"#, "x").await, 201);
    assert_eq!(send(&bus, "sess", r#"{"SessionId":"s","PartitionKey":"p"}"#, "x").await, 400);
    assert_eq!(peek(&bus, "sess").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_is_said_in_xml() {
    let bus = bus();
    let unsigned = Request::post("/builds/messages").body(Body::empty()).unwrap();
    let large = "x".repeat(LARGEST_MESSAGE_BYTES + 1);

    let refused = ask(&bus, unsigned).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (401, "application/xml; charset=utf-8")
    );
    assert!(refused.body.starts_with("<Error><Code>401</Code><Detail>"), "{}", refused.body);
    assert_eq!(send(&bus, "nothing", "{}", "x").await, 410);
    assert_eq!(peek(&bus, "nothing").await.status, 410);
    assert_eq!(send(&bus, "builds", "{}", &large).await, 403);
    assert_eq!(send(&bus, "builds", "{", "x").await, 400);
    assert_eq!(send(&bus, "builds", r#"{"ScheduledEnqueueTimeUtc":"soon"}"#, "x").await, 400);
    assert_eq!(send(&bus, "builds", r#"{"TimeToLive":-1}"#, "x").await, 400);
    let long = format!(r#"{{"MessageId":"{}"}}"#, "x".repeat(129));
    assert_eq!(send(&bus, "builds", &long, "x").await, 400);
    assert_eq!(call(&bus, "GET", "/builds/messages/head").await.status, 405);
    assert_eq!(call(&bus, "GET", "/builds").await.status, 404);
    assert_eq!(bus.counts().unwrap()["builds"], Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_waits_for_a_message_and_no_longer_than_it_said() {
    let bus = bus();
    let began = bus.clock.now();
    assert_eq!(call(&bus, "POST", "/builds/messages/head?timeout=5").await.status, 204);
    assert_eq!((bus.clock.now() - began).num_seconds(), 5);

    let (received, _) = tokio::join!(call(&bus, "POST", "/builds/messages/head"), async {
        bus.clock.sleep_until(began + chrono::TimeDelta::seconds(15)).await;
        send(&bus, "builds", "{}", "x").await
    });
    assert_eq!((received.status, received.body.as_str()), (201, "x"));
    assert_eq!((bus.clock.now() - began).num_seconds(), 15);
}

#[tokio::test(start_paused = true)]
async fn queues_and_locks_outlast_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bus.sqlite");
    let open = || over(Arc::new(Database::open(Some(&file)).unwrap()));
    let first = open();
    send(&first, "builds", r#"{"MessageId":"a"}"#, "a").await;
    send(&first, "builds", r#"{"MessageId":"b"}"#, "b").await;
    let locked = peek(&first, "builds").await;
    drop(first);

    let second = open();
    assert_eq!(peek(&second, "builds").await.body, "b");
    assert_eq!(call(&second, "DELETE", &locked.lock()).await.status, 200);
    send(&second, "builds", r#"{"MessageId":"a"}"#, "again").await;
    assert_eq!(second.counts().unwrap()["builds"].active, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_for_http_alone_is_no_property() {
    let bus = bus();
    // As azure-sb 0.11.2 and azure-servicebus 0.21.1 send them.
    let sent = request("POST", "/builds/messages?api-version=2016-07")
        .header("accept-charset", "UTF-8")
        .header("accept-encoding", "gzip, deflate")
        .header("connection", "keep-alive")
        .header("user-agent", "Azure-SDK-For-Node.js/0.9.27")
        .header("x-ms-retrypolicy", "NoRetry")
        .header("n", "3");
    ask(&bus, sent.body(Body::from("x")).unwrap()).await;

    let got = bus.receive("builds").unwrap().unwrap();

    assert_eq!(got.properties.keys().collect::<Vec<_>>(), ["n"]);
}
