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
async fn a_lock_is_found_by_message_id_and_in_any_case_of_the_path() {
    let bus = bus();
    send(&bus, "builds", r#"{"MessageId":"a:1/b"}"#, "x").await;

    let locked = call(&bus, "POST", "/BUILDS/Messages/Head?timeout=0").await;
    let token = locked.broker()["LockToken"].as_str().unwrap().to_uppercase();

    let path = format!("/Builds/Messages/a:1%2Fb/{token}");
    assert_eq!(call(&bus, "DELETE", &path).await.status, 200);
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
async fn an_unlocked_message_is_there_at_once_and_counted() {
    let bus = bus();
    send(&bus, "builds", "{}", "first").await;
    send(&bus, "builds", "{}", "second").await;
    let locked = peek(&bus, "builds").await;

    assert_eq!(call(&bus, "PUT", &locked.lock()).await.status, 200);

    let again = peek(&bus, "builds").await;
    assert_eq!((again.body.as_str(), &again.broker()["DeliveryCount"]), ("first", &2.into()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_by_itself_and_is_kept_by_renewing() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;
    let locked = peek(&bus, "builds").await;

    pass(1).await;
    assert_eq!(call(&bus, "POST", &locked.lock()).await.status, 200);
    pass(1).await;
    assert_eq!(peek(&bus, "builds").await.status, 204);
    pass(1).await;

    assert_eq!(peek(&bus, "builds").await.broker()["DeliveryCount"], 2);
    assert_eq!(call(&bus, "POST", &locked.lock()).await.status, 404);
    assert_eq!(call(&bus, "DELETE", &locked.lock()).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_too_often_is_dead_lettered() {
    let bus = bus();
    send(&bus, "builds", r#"{"MessageId":"poison"}"#, "x").await;
    for _ in 0..3 {
        let locked = peek(&bus, "builds").await;
        call(&bus, "PUT", &locked.lock()).await;
    }

    assert_eq!(peek(&bus, "builds").await.status, 204);
    let dead = peek(&bus, "builds/$DeadLetterQueue").await;
    assert_eq!((dead.status, dead.body.as_str()), (201, "x"));
    assert_eq!(dead.header("deadletterreason"), "\"MaxDeliveryCountExceeded\"");
    assert!(dead.header("deadlettererrordescription").contains("3 delivery attempts"));
    let news = bus.take_dead_lettered();
    assert_eq!((news.len(), news[0].message_id.as_str()), (1, "poison"));
    assert!(bus.take_dead_lettered().is_empty());

    // A dead letter stays one, however often it is looked at.
    call(&bus, "PUT", &dead.lock()).await;
    for _ in 0..20 {
        call(&bus, "PUT", &peek(&bus, "builds/$deadletterqueue").await.lock()).await;
    }
    assert_eq!(bus.counts().unwrap()["builds"].dead, 1);
    assert!(bus.take_dead_lettered().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_ends_counts_as_a_delivery() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;
    for _ in 0..3 {
        assert_eq!(peek(&bus, "builds").await.status, 201);
        pass(3).await;
    }

    assert_eq!(peek(&bus, "builds").await.status, 204);
    assert_eq!(bus.counts().unwrap()["builds"].dead, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_dead_letter_queue() {
    assert_eq!(send(&bus(), "builds/$deadletterqueue", "{}", "x").await, 400);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_id_is_accepted_and_dropped() {
    let bus = bus();
    for body in ["first", "second"] {
        assert_eq!(send(&bus, "dups", r#"{"MessageId":"m"}"#, body).await, 201);
    }
    assert_eq!(bus.counts().unwrap()["dups"].active, 1);

    // Also after it was completed, until the window ends.
    let locked = peek(&bus, "dups").await;
    call(&bus, "DELETE", &locked.lock()).await;
    pass(599).await;
    send(&bus, "dups", r#"{"MessageId":"m"}"#, "third").await;
    assert_eq!(peek(&bus, "dups").await.status, 204);
    pass(1).await;
    send(&bus, "dups", r#"{"MessageId":"m"}"#, "fourth").await;
    assert_eq!(peek(&bus, "dups").await.body, "fourth");
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_is_remembered_too() {
    let bus = bus();
    let later = r#"{"MessageId":"m","ScheduledEnqueueTimeUtc":"Mon, 07 Sep 2026 06:01:00 GMT"}"#;
    send(&bus, "dups", later, "later").await;
    send(&bus, "dups", r#"{"MessageId":"m"}"#, "now").await;

    assert_eq!(peek(&bus, "dups").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_look_for_duplicates_takes_both() {
    let bus = bus();
    for _ in 0..2 {
        send(&bus, "plain", r#"{"MessageId":"m"}"#, "x").await;
    }

    assert_eq!(bus.counts().unwrap()["plain"].active, 2);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_comes_at_its_time_under_a_new_number_at_the_tail() {
    let bus = bus();
    let later = r#"{"MessageId":"s","ScheduledEnqueueTimeUtc":"Mon, 07 Sep 2026 06:01:00 GMT"}"#;
    send(&bus, "builds", later, "scheduled").await;
    let due = bus.next_due(["builds"]).unwrap().unwrap();
    assert_eq!(due.to_rfc3339(), "2026-09-07T06:01:00+00:00");
    send(&bus, "builds", "{}", "sent later").await;
    pass(59).await;
    assert_eq!(bus.counts().unwrap()["builds"].scheduled, 1);

    pass(1).await;
    assert_eq!(peek(&bus, "builds").await.body, "sent later");
    let came = peek(&bus, "builds").await;
    assert_eq!(came.body, "scheduled");
    assert_eq!(came.broker()["SequenceNumber"], 3);
    assert_eq!(came.broker()["EnqueuedSequenceNumber"], 1);
    assert_eq!(came.broker()["EnqueuedTimeUtc"], "Mon, 07 Sep 2026 06:01:00 GMT");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_in_the_past_means_now() {
    let bus = bus();
    let past = r#"{"ScheduledEnqueueTimeUtc":"Mon, 07 Sep 2026 05:00:00 +0000"}"#;
    send(&bus, "builds", past, "x").await;

    assert_eq!(peek(&bus, "builds").await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_is_dead_lettered_or_dropped_as_the_queue_says() {
    let bus = bus();
    for queue in ["short", "dropped"] {
        // The queue's own limit is a ceiling.
        send(&bus, queue, r#"{"TimeToLive":3600}"#, "x").await;
    }
    pass(5).await;

    assert_eq!(peek(&bus, "short").await.status, 204);
    assert_eq!(peek(&bus, "dropped").await.status, 204);
    let dead = peek(&bus, "short/$deadletterqueue").await;
    assert_eq!(dead.header("deadletterreason"), "\"TTLExpiredException\"");
    assert_eq!(peek(&bus, "dropped/$deadletterqueue").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_locked_message_does_not_expire() {
    let bus = bus();
    send(&bus, "dropped", "{}", "x").await;
    let locked = peek(&bus, "dropped").await;
    pass(30).await;

    assert_eq!(call(&bus, "DELETE", &locked.lock()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let bus = bus();
    let batch = |body: &'static str| {
        request("POST", "/builds/messages")
            .header("content-type", "application/vnd.microsoft.servicebus.json")
            .body(Body::from(body))
            .unwrap()
    };
    let good = r#"[{"Body":"a","BrokerProperties":{"MessageId":"1"},"UserProperties":{"N":3}},
        {"Body":"b"}]"#;

    assert_eq!(ask(&bus, batch(good)).await.status, 201);
    assert_eq!(ask(&bus, batch(r#"[{"Body":"c"},{"Body":3}]"#)).await.status, 400);

    assert_eq!(bus.counts().unwrap()["builds"].active, 2);
    let first = peek(&bus, "builds").await;
    assert_eq!((first.body.as_str(), first.header("n")), ("a", "3"));
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
async fn a_receiver_that_waits_gets_a_message_whose_lock_ends() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;
    peek(&bus, "builds").await;

    let again = call(&bus, "POST", "/builds/messages/head").await;

    assert_eq!(again.broker()["DeliveryCount"], 2);
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
async fn another_service_delivers_a_message_at_a_time() {
    let bus = bus();
    let at = bus.clock.now() + chrono::TimeDelta::seconds(10);
    bus.deliver("builds", "event-1", "{}", at).unwrap();
    bus.deliver("builds", "event-1", "{}", at).unwrap();

    assert!(bus.receive("builds").unwrap().is_none());
    pass(10).await;
    assert_eq!(bus.receive("builds").unwrap().unwrap().message_id, "event-1");
    assert!(bus.receive("builds").unwrap().is_none());
    assert!(matches!(bus.deliver("none", "x", "{}", at), Err(BusError::NoQueue(_))));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_at_the_same_time_is_committed_together() {
    let bus = bus();
    let commits = bus.changes();
    let before = *commits.borrow();

    let sent = (0..50).map(|number| {
        let (bus, broker) = (&bus, format!(r#"{{"MessageId":"m{}"}}"#, number % 40));
        async move { send(bus, "dups", &broker, "x").await }
    });
    let sent: Vec<u16> = futures::future::join_all(sent).await;

    assert_eq!(sent, [201; 50]);
    assert_eq!(bus.counts().unwrap()["dups"].active, 40, "ten were duplicates");
    assert_eq!(*commits.borrow() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_within_the_process_is_there_before_anybody_else_has_a_turn() {
    let bus = bus();
    let inside = Request::post("/builds/messages").header("authorization", "Bearer x");

    let sent = router(&bus).oneshot(inside.body(Body::from("x")).unwrap());

    assert!(futures::poll!(Box::pin(sent)).is_ready());
    assert_eq!(bus.counts().unwrap()["builds"].active, 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_not_committed_is_not_acknowledged() {
    let bus = bus();
    let spoiled = |it: &Transaction<'_>| it.execute_batch("ALTER TABLE bus_messages RENAME TO m");
    bus.database.write(spoiled).unwrap();

    let sent = futures::future::join(
        send(&bus, "builds", r#"{"MessageId":"a"}"#, "a"),
        send(&bus, "plain", r#"{"MessageId":"b"}"#, "b"),
    );
    assert_eq!(sent.await, (500, 500));

    let mended = |it: &Transaction<'_>| it.execute_batch("ALTER TABLE m RENAME TO bus_messages");
    bus.database.write(mended).unwrap();
    assert_eq!(peek(&bus, "builds").await.status, 204);
    // Its id is not remembered either.
    assert_eq!(send(&bus, "builds", r#"{"MessageId":"a"}"#, "again").await, 201);
    assert_eq!(peek(&bus, "builds").await.body, "again");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_spoils_nothing_for_those_who_send_at_the_same_time() {
    let bus = bus();

    let sent = futures::future::join_all([
        send(&bus, "builds", "{}", "x"),
        send(&bus, "nothing", "{}", "x"),
        send(&bus, "sess", "{}", "x"),
        send(&bus, "builds", "{}", "y"),
    ]);

    assert_eq!(sent.await, [201, 410, 400, 201]);
    assert_eq!(bus.counts().unwrap()["builds"].active, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_before_the_commit_has_sent_nothing() {
    let bus = bus();
    let mut gone = Box::pin(send(&bus, "builds", "{}", "gone"));
    assert!(futures::poll!(gone.as_mut()).is_pending());
    drop(gone);

    send(&bus, "builds", "{}", "stays").await;

    assert_eq!(peek(&bus, "builds").await.body, "stays");
    assert_eq!(peek(&bus, "builds").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_larger_than_a_message() {
    let bus = bus();
    let half = "x".repeat(LARGEST_MESSAGE_BYTES / 2);
    let batch = |bodies: &[&str]| {
        let items: Vec<Value> = bodies.iter().map(|it| serde_json::json!({ "Body": it })).collect();
        request("POST", "/builds/messages")
            .header("content-type", "application/vnd.microsoft.servicebus.json")
            .body(Body::from(Value::from(items).to_string()))
            .unwrap()
    };

    assert_eq!(ask(&bus, batch(&[&half, &half])).await.status, 201);
    assert_eq!(ask(&bus, batch(&[&half, &half, "x"])).await.status, 403);
    assert_eq!(bus.counts().unwrap()["builds"].active, 2);
}

#[tokio::test(start_paused = true)]
async fn another_partition_key_makes_no_other_message_of_a_repeated_id() {
    let bus = bus();

    for partition in ["a", "b"] {
        let broker = format!(r#"{{"MessageId":"m","PartitionKey":"{partition}"}}"#);
        assert_eq!(send(&bus, "dups", &broker, partition).await, 201);
    }

    // The queues of `infra` are not partitioned.
    assert_eq!(peek(&bus, "dups").await.broker()["PartitionKey"], "a");
    assert_eq!(peek(&bus, "dups").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expired_while_it_was_locked_is_gone_when_it_is_given_back() {
    let bus = bus();
    send(&bus, "short", r#"{"TimeToLive":1}"#, "x").await;
    let locked = peek(&bus, "short").await;
    pass(3).await;

    assert_eq!(call(&bus, "PUT", &locked.lock()).await.status, 200);

    assert_eq!(peek(&bus, "short").await.status, 204);
    let dead = peek(&bus, "short/$deadletterqueue").await;
    assert_eq!(dead.header("deadletterreason"), "\"TTLExpiredException\"");
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_lives_from_its_time_on() {
    let bus = bus();
    let later = r#"{"TimeToLive":5,"ScheduledEnqueueTimeUtc":"Mon, 07 Sep 2026 06:01:00 GMT"}"#;
    send(&bus, "builds", later, "x").await;

    pass(64).await;
    let locked = peek(&bus, "builds").await;
    assert_eq!(locked.broker()["TimeToLive"], 5.0);
    call(&bus, "PUT", &locked.lock()).await;
    pass(1).await;
    assert_eq!(peek(&bus, "builds").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_found_at_the_host_that_was_asked() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;
    // azure-sb 0.11.2 sends a Host without a port, and finds the path of the lock by it.
    let asked = Request::post("/builds/Messages/Head?timeout=0&api-version=2016-07")
        .header("host", "127.0.0.1")
        .header("x-forwarded-proto", "https")
        .header("authorization", "Bearer x");

    let locked = ask(&bus, asked.body(Body::empty()).unwrap()).await;

    let location = locked.header("location");
    assert!(location.starts_with("https://127.0.0.1/builds/messages/1/"), "{location}");
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
