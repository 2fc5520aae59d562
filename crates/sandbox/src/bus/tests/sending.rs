//! What is sent together, at the same time, or too much at once.

use super::*;

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
async fn nothing_is_sent_to_a_dead_letter_queue() {
    assert_eq!(send(&bus(), "builds/$deadletterqueue", "{}", "x").await, 400);
}
