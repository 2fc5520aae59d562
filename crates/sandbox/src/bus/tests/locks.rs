//! Locks: kept, lost, given back, and where they are found.

use super::*;

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
async fn a_receiver_that_waits_gets_a_message_whose_lock_ends() {
    let bus = bus();
    send(&bus, "builds", "{}", "x").await;
    peek(&bus, "builds").await;

    let again = call(&bus, "POST", "/builds/messages/head").await;

    assert_eq!(again.broker()["DeliveryCount"], 2);
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
async fn a_locked_message_does_not_expire() {
    let bus = bus();
    send(&bus, "dropped", "{}", "x").await;
    let locked = peek(&bus, "dropped").await;
    pass(30).await;

    assert_eq!(call(&bus, "DELETE", &locked.lock()).await.status, 200);
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
