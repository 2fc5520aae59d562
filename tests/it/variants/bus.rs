//! The walk over a Service Bus in trouble: for twenty minutes of every fifty it refuses what it is
//! sent, in each of the ways that may be; or it loses every lock again and again while steps are at
//! work. A message that could not be sent is in the ledger as a wish, so that nothing is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sandbox::estate::{BusTroubles, Period};
use seam::{Clock, Fault, PausedClock, Request, Response, Wire};

use super::*;

/// Twenty minutes of every fifty, for a week: no hour and no timer is spared for long, and none is hit
/// each time.
fn again_and_again() -> Vec<Period> {
    let period = |number: i64| {
        let from = at("01T00:50") + TimeDelta::minutes(50 * number);
        Period { from, until: from + TimeDelta::minutes(20) }
    };
    (0..190).map(period).collect()
}

/// Walks with a bus that is in trouble for two fifths of the time.
async fn walks(
    name: &str,
    trouble: impl FnOnce(&mut BusTroubles) -> &mut Vec<Period>,
    answer: impl FnOnce(&mut Variants),
) {
    let mut estate = estate(answer);
    *trouble(&mut estate.bus) = again_and_again();

    let walk = walk(estate).await;

    walk.holds_whatever_failed(name).await;
    assert_eq!(walk.deleted(), MAY_GO, "{name}");
    let ailments = walk.desk.ailments.lock().unwrap().clone();
    assert!(ailments.len() > 20, "{name} was hardly met: {ailments:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_bus_delays_and_loses_nothing_however_it_says_so() {
    for answer in [
        ThrottledBus::Unavailable,
        ThrottledBus::UnavailableAndWait,
        ThrottledBus::TooMany,
        ThrottledBus::TooManyAndWait,
    ] {
        let name = format!("{answer:?}");
        walks(&name, |it| &mut it.throttled, |it| it.throttled_bus = answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_missing_for_a_while_loses_nothing_however_it_is_said() {
    for answer in [MissingRole::Unauthorized, MissingRole::Forbidden] {
        let name = format!("{answer:?}");
        walks(&name, |it| &mut it.role_missing, |it| it.missing_role = answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn queues_that_are_missing_for_a_while_lose_nothing_however_it_is_said() {
    for answer in [MissingQueue::Gone, MissingQueue::NotFound] {
        let name = format!("{answer:?}");
        walks(&name, |it| &mut it.queues_missing, |it| it.missing_queue = answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn queues_that_are_full_for_a_while_lose_nothing() {
    walks("full", |it| &mut it.full, |_| {}).await;
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
/// What a REST client would be answered is `lost_lock`; the host completes over AMQP.
#[tokio::test(start_paused = true)]
async fn locks_that_are_lost_in_the_midst_of_steps_lose_nothing_and_double_nothing() {
    for answer in [LostLock::NotFound, LostLock::Gone] {
        let mut estate = estate(|it| it.lost_lock = answer);
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

        let walk =
            walk_spoiled(estate, Spoil { handler: Box::new(slow), ..Spoil::default() }).await;

        walk.holds_whatever_failed(&format!("{answer:?}")).await;
        assert_eq!(walk.deleted(), MAY_GO, "{answer:?}");
        let again = again.load(Ordering::Relaxed);
        assert!(again > 50, "{again} messages came again");
        assert!(at_once.load(Ordering::Relaxed) > 1, "nobody worked on what another had");
    }
}
