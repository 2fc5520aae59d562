//! What befalls a namespace, and each answer that it may give then.

use super::*;
use crate::estate::{
    BusTroubles, LargeMessage, LostLock, MissingQueue, MissingRole, Period, ThrottledBus, Variants,
};

fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-09-07T06:00:00Z").unwrap().to_utc()
}

/// A namespace in a world of these troubles and answers.
fn under(trouble: impl FnOnce(&mut BusTroubles), answer: impl FnOnce(&mut Variants)) -> Arc<Bus> {
    let mut estate = crate::estate::Estate::parse(
        "start: 2026-09-07T06:00:00Z\ntenant: 72f988bf-86f1-41af-91ab-2d7cd011db47\n\
         subscriptions: [{ id: 9b3a4e6c-2f57-4c1d-8e0a-5d6f7a8b9c0d, name: s }]\n",
    )
    .unwrap();
    trouble(&mut estate.bus);
    answer(&mut estate.variants);
    let clock = Arc::new(PausedClock::starting_at(start()));
    let queues = ["builds:lock=20s".parse::<Queue>().unwrap()];
    let database = Arc::new(Database::open(None).unwrap());
    Bus::open_under(Conditions::of(&estate), database, clock, queues).unwrap()
}

/// From the tenth second to the twentieth.
fn period() -> Vec<Period> {
    let at = |seconds| start() + chrono::TimeDelta::seconds(seconds);
    vec![Period { from: at(10), until: at(20) }]
}

/// The statuses of a send before, within and after the period of trouble.
async fn sent(bus: &Arc<Bus>) -> [u16; 3] {
    let mut statuses = [0; 3];
    for status in &mut statuses {
        *status = send(bus, "builds", "{}", "x").await;
        pass(10).await;
    }
    assert_eq!(bus.counts().unwrap()["builds"].active, 2, "what was refused is not there");
    statuses
}

#[tokio::test(start_paused = true)]
async fn a_throttled_namespace_takes_nothing_and_says_so_in_each_way_that_may_be() {
    for (answer, status, told) in [
        (ThrottledBus::Unavailable, 503, ""),
        (ThrottledBus::UnavailableAndWait, 503, "2"),
        (ThrottledBus::TooMany, 429, ""),
        (ThrottledBus::TooManyAndWait, 429, "2"),
    ] {
        let trouble = |it: &mut BusTroubles| it.throttled = period();
        let bus = under(trouble, |it| it.throttled_bus = answer);
        assert_eq!(sent(&bus).await, [201, status, 201], "{answer:?}");

        let bus = under(trouble, |it| it.throttled_bus = answer);
        pass(10).await;
        let refused = peek(&bus, "builds").await;
        assert_eq!((refused.status, refused.header("retry-after")), (status, told), "{answer:?}");
        assert!(refused.body.contains("50009"), "{}", refused.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_role_is_refused_in_either_way_and_a_signature_needs_none() {
    for (answer, status) in [(MissingRole::Unauthorized, 401), (MissingRole::Forbidden, 403)] {
        let trouble = |it: &mut BusTroubles| it.role_missing = period();
        let bus = under(trouble, |it| it.missing_role = answer);

        assert_eq!(sent(&bus).await, [201, status, 201], "{answer:?}");
    }
    let bus = under(|it| it.role_missing = period(), |_| {});
    pass(10).await;
    // Made with Python's hmac and base64 from the key `local-dev-key`, until 2026-09-21.
    let signature = "SharedAccessSignature sr=http%3a%2f%2f127.0.0.1%2fbuilds\
        &sig=ya3cUeJmOn54g6Ac%2FA%2Bhdd0xablf6pjSsfBKcXERUms%3D&se=1790000000&skn=dev";
    let signed = Request::post("/builds/messages")
        .header("host", "127.0.0.1:18080")
        .header("authorization", signature)
        .extension(RequestHold::default());
    let taken = ask(&bus, signed.body(Body::empty()).unwrap()).await;
    assert_eq!(taken.status, 201, "{}", taken.body);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_there_is_said_in_either_way_for_a_time_or_for_good() {
    for (answer, status) in [(MissingQueue::Gone, 410), (MissingQueue::NotFound, 404)] {
        let trouble = |it: &mut BusTroubles| it.queues_missing = period();
        let bus = under(trouble, |it| it.missing_queue = answer);

        assert_eq!(sent(&bus).await, [201, status, 201], "{answer:?}");
        assert_eq!(send(&bus, "nothing", "{}", "x").await, status);
        assert_eq!(peek(&bus, "nothing").await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_nothing_and_gives() {
    let bus = under(|it| it.full = period(), |_| {});
    send(&bus, "builds", "{}", "before").await;
    pass(10).await;

    assert_eq!(send(&bus, "builds", "{}", "x").await, 403);
    assert_eq!(peek(&bus, "builds").await.body, "before");
    pass(10).await;
    assert_eq!(send(&bus, "builds", "{}", "after").await, 201);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_is_refused_in_either_way() {
    let large = "x".repeat(LARGEST_MESSAGE_BYTES + 1);
    let larger = "x".repeat(5 << 20);
    for (answer, status) in [(LargeMessage::Forbidden, 403), (LargeMessage::TooLarge, 413)] {
        let bus = under(|_| {}, |it| it.large_message = answer);

        assert_eq!(send(&bus, "builds", "{}", &large).await, status);
        assert_eq!(send(&bus, "builds", "{}", &larger).await, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_has_ended_is_said_in_either_way_whatever_is_asked_of_it() {
    for (answer, status) in [(LostLock::NotFound, 404), (LostLock::Gone, 410)] {
        let bus = under(|_| {}, |it| it.lost_lock = answer);
        send(&bus, "builds", "{}", "x").await;
        let locked = peek(&bus, "builds").await;
        pass(20).await;

        for method in ["DELETE", "PUT", "POST"] {
            assert_eq!(call(&bus, method, &locked.lock()).await.status, status, "{method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_a_loss_of_locks_every_lock_ends_and_none_that_is_taken_later() {
    let lost = start() + chrono::TimeDelta::seconds(15);
    let bus = under(|it| it.locks_lost = vec![lost], |_| {});
    send(&bus, "builds", "{}", "first").await;
    send(&bus, "builds", "{}", "second").await;
    let first = peek(&bus, "builds").await;
    pass(10).await;
    let second = peek(&bus, "builds").await;
    assert_eq!(call(&bus, "POST", &first.lock()).await.status, 200, "renewed until 30 s");
    // Its holder is told what it would be told otherwise.
    assert_eq!(second.broker()["LockedUntilUtc"], "Mon, 07 Sep 2026 06:00:30 GMT");
    assert_eq!(bus.next_due(["builds"]).unwrap(), Some(lost));
    pass(4).await;
    assert_eq!(peek(&bus, "builds").await.status, 204);

    pass(1).await;
    for (lock, body) in [(first.lock(), "first"), (second.lock(), "second")] {
        assert_eq!(call(&bus, "DELETE", &lock).await.status, 404, "{body}");
        let again = peek(&bus, "builds").await;
        assert_eq!((again.body.as_str(), &again.broker()["DeliveryCount"]), (body, &2.into()));
        assert_eq!(call(&bus, "DELETE", &again.lock()).await.status, 200, "a later lock holds");
    }
}
