//! Schedules, lives and what is remembered of ids.

use super::*;

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
