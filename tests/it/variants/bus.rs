//! The walk over a Service Bus in trouble: for twenty minutes of every fifty it refuses what it is
//! sent, in each of the ways that may be; or it loses every lock again and again while steps are at
//! work. A message that could not be sent is in the ledger as a wish, so that nothing is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sandbox::estate::{BusTroubles, Period};
use seam::{Clock, Fault, PausedClock, Request, Response, Wire};

use super::*;

/// Twenty minutes of every fifty, for a week, in turns: throttled, without a role, without queues,
/// full. No hour and no timer is spared for long, and none is hit each time.
fn in_turns() -> BusTroubles {
    let period = |number: i64| {
        let from = at("01T00:50") + TimeDelta::minutes(50 * number);
        Period { from, until: from + TimeDelta::minutes(20) }
    };
    let every_fourth = |first: i64| (0..47).map(|it| period(4 * it + first)).collect();
    BusTroubles {
        throttled: every_fourth(0),
        role_missing: every_fourth(1),
        queues_missing: every_fourth(2),
        full: every_fourth(3),
        ..BusTroubles::default()
    }
}

/// Walks with a bus that refuses for two fifths of the time and says so in these ways.
async fn walks(throttled: ThrottledBus, role: MissingRole, queue: MissingQueue) {
    let mut estate = estate(|it| {
        it.throttled_bus = throttled;
        it.missing_role = role;
        it.missing_queue = queue;
    });
    estate.bus = in_turns();
    let name = format!("{throttled:?}, {role:?}, {queue:?}");

    let walk = walk(estate).await;

    walk.holds_whatever_failed(&name).await;
    assert_eq!(walk.deleted(), MAY_GO, "{name}");
    let ailments = walk.desk.ailments.lock().unwrap().clone();
    assert!(ailments.len() > 20, "{name} was hardly met: {ailments:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_with_503_401_and_410_loses_nothing() {
    walks(ThrottledBus::Unavailable, MissingRole::Unauthorized, MissingQueue::Gone).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_with_503_and_a_wait_403_and_404_loses_nothing() {
    walks(ThrottledBus::UnavailableAndWait, MissingRole::Forbidden, MissingQueue::NotFound).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_with_429_401_and_404_loses_nothing() {
    walks(ThrottledBus::TooMany, MissingRole::Unauthorized, MissingQueue::NotFound).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_refuses_with_429_and_a_wait_403_and_410_loses_nothing() {
    walks(ThrottledBus::TooManyAndWait, MissingRole::Forbidden, MissingQueue::Gone).await;
}

/// The first message of a wish has nobody behind it who would send it again, but `look_again`; and
/// what that has woken may meet the next refusal. Neither costs more than one look.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_sent_is_sent_at_the_next_look_and_not_hours_later() {
    let mut estate = estate(|_| {});
    // The base of 06:00 is found at 06:05.
    estate.bus.throttled = vec![Period { from: at("01T06:00"), until: at("01T06:10") }];
    let loaded = load::catalog(&root().join("tests/it/northwind/catalog.yaml")).unwrap();
    let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;

    desk.run_to(at("01T06:45")).await;

    let entries = desk.entries(&"web".parse().unwrap()).await;
    let when = |what: &dyn Fn(&Event) -> bool| {
        entries.iter().find(|it| it.events.iter().any(what)).map(|it| it.at)
    };
    let found = when(&|it| matches!(it, Event::TriggerAccepted { .. })).unwrap();
    assert!(found < at("01T06:10"), "{found}");
    let opened = when(&|it| matches!(it, Event::RunOpened { .. }));
    let story = desk.story().await;
    assert!(opened.is_some_and(|it| it >= at("01T06:30")), "{opened:?}\n{story}");
    assert!(!story.contains("RunWoken"), "its message was never sent, and so not lost: {story}");
}

/// Before the handler gets a call, and before the host gets its answer.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// A way between host and handler that takes its time, and counts the messages that come again.
#[derive(Debug)]
struct Slow {
    handler: Arc<dyn Wire>,
    clock: PausedClock,
    again: Arc<AtomicU32>,
    /// How many calls about a message are in flight, by the message.
    at_work: Mutex<BTreeMap<Vec<u8>, u32>>,
    at_once: Arc<AtomicU32>,
}

impl Slow {
    /// Counts one more or one fewer call about what `request` is about.
    fn work(&self, message: &[u8], change: i32) {
        let mut at_work = self.at_work.lock().unwrap();
        let calls = at_work.entry(message.to_vec()).or_default();
        *calls = calls.checked_add_signed(change).unwrap();
        self.at_once.fetch_max(*calls, Ordering::Relaxed);
    }
}

#[async_trait]
impl Wire for Slow {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let count = body["Metadata"]["DeliveryCount"].as_str().unwrap_or("1").to_owned();
        self.again.fetch_add(u32::from(count != "1"), Ordering::Relaxed);
        let message = body["Data"]["message"].to_string().into_bytes();
        let is_message = body["Data"]["message"].is_string();

        self.work(&message, i32::from(is_message));
        self.clock.sleep_until(self.clock.now() + PAUSE).await;
        let answer = self.handler.send(request).await;
        self.clock.sleep_until(self.clock.now() + PAUSE).await;
        self.work(&message, -i32::from(is_message));
        answer
    }
}

/// Whoever loses a lock is not told: the step goes on while the message is with another already.
/// What a REST client would be answered then is `lost_lock`; the host completes over AMQP.
#[tokio::test(start_paused = true)]
async fn locks_that_are_lost_in_the_midst_of_steps_lose_nothing_and_double_nothing() {
    let mut estate = estate(|it| it.lost_lock = LostLock::Gone);
    let every = |number: i64| estate.start + TimeDelta::seconds(45 * number);
    estate.bus.locks_lost = (1..24 * 7 * 80).map(every).collect();
    let (again, at_once) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let (counted, most, start) = (Arc::clone(&again), Arc::clone(&at_once), estate.start);
    let slow = move |handlers: Vec<Arc<dyn Wire>>| {
        let handler = Arc::clone(&handlers[0]);
        let clock = PausedClock::starting_at(start);
        let at_work = Mutex::default();
        Arc::new(Slow { handler, clock, again: counted, at_work, at_once: most }) as _
    };

    let walk = walk_spoiled(estate, Spoil { handler: Box::new(slow), ..Spoil::default() }).await;

    walk.holds_whatever_failed("lost locks").await;
    assert_eq!(walk.deleted(), MAY_GO);
    let again = again.load(Ordering::Relaxed);
    assert!(again > 50, "{again} messages came again");
    assert!(at_once.load(Ordering::Relaxed) > 1, "nobody worked on what another had");
}
