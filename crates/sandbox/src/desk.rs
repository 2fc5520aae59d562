//! The desk's clock: it stands still while any work is in flight, so that no lock, time-out or
//! result depends on how fast the machine is, and else runs fast or jumps to the next thing due.

mod hold;
mod kept_time;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use seam::Clock;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::database::Database;
pub use hold::{Hold, Holds, RequestHold};
use kept_time::KeptTime;

/// How time passes while nothing is in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// Desk seconds per second, at most.
    Limit(f64),
    /// From one thing due to the next, at once.
    Jump,
}

/// The desk's clock. Its time outlasts the process: it goes on where it stood when work was last
/// taken up.
#[derive(Debug)]
pub struct DeskClock {
    state: Mutex<State>,
    speed: Speed,
    kept: KeptTime,
    /// Changes whenever time starts or stops running, for those who wait by the machine's clock.
    turns: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// The time at `since`, or the time while it stands still.
    time: DateTime<Utc>,
    /// None while time stands still.
    since: Option<Instant>,
    holds: u64,
    /// By the time they wait for and their number.
    sleepers: BTreeMap<(DateTime<Utc>, u64), oneshot::Sender<()>>,
    next_sleeper: u64,
}

impl DeskClock {
    /// The clock whose time is in `database`; it starts at `start` when there is none.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn open(
        database: Arc<Database>,
        start: DateTime<Utc>,
        speed: Speed,
    ) -> rusqlite::Result<Arc<DeskClock>> {
        let (kept, time) = KeptTime::open(database, start)?;
        let since = match speed {
            Speed::Limit(_) => Some(Instant::now()),
            Speed::Jump => None,
        };
        Ok(Arc::new(DeskClock {
            state: Mutex::new(State {
                time,
                since,
                holds: 0,
                sleepers: BTreeMap::new(),
                next_sleeper: 0,
            }),
            speed,
            kept,
            turns: watch::Sender::new(0),
        }))
    }

    /// Stops time until the returned value is dropped. The time it stopped at outlasts the process.
    pub fn hold(self: &Arc<Self>) -> Hold {
        let stopped_at = {
            let mut state = self.state();
            state.holds += 1;
            (state.holds == 1).then(|| {
                state.time = self.read(&state);
                state.since = None;
                state.time
            })
        };
        if let Some(time) = stopped_at {
            self.turns.send_modify(|it| *it += 1);
            self.kept.write(time);
        }
        Hold(Some(Arc::clone(self)))
    }

    /// Returns at `at` with time stopped there: unlike after [`Clock::sleep_until`], nobody else can
    /// have moved it on meanwhile. `held` is given back once this waits, so that time cannot jump
    /// past `at` in between.
    async fn hold_at(self: &Arc<Self>, at: DateTime<Utc>, held: Hold) -> Hold {
        match self.speed {
            Speed::Limit(speed) => {
                drop(held);
                self.run_until(at, speed).await;
                self.hold()
            }
            Speed::Jump => {
                let mut nap = self.nap(at);
                drop(held);
                nap.over().await;
                // Taken before the nap's own hold is given back, so time cannot move between.
                let hold = self.hold();
                drop(nap);
                self.kept.write(self.now());
                hold
            }
        }
    }

    /// Waits by the machine's clock, which time follows at `speed` while nothing holds it.
    async fn run_until(&self, at: DateTime<Utc>, speed: f64) {
        let mut turns = self.turns.subscribe();
        loop {
            turns.mark_unchanged();
            let (now, runs) = {
                let state = self.state();
                (self.read(&state), state.since.is_some())
            };
            let Ok(left) = (at - now).to_std() else { return };
            if left.is_zero() {
                return;
            }
            if !runs {
                // Fails only when the clock is gone, and it is not: this borrows it.
                let _ = turns.changed().await;
                continue;
            }
            let seconds = (left.as_secs_f64() / speed).clamp(0.000_001, 1e9);
            let wake = Instant::now() + Duration::from_secs_f64(seconds);
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                _ = turns.changed() => {}
            }
        }
    }

    /// Registers a sleeper.
    fn nap(&self, at: DateTime<Utc>) -> Nap<'_> {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state();
        let number = state.next_sleeper;
        state.next_sleeper += 1;
        state.sleepers.insert((at, number), wake);
        self.jump(&mut state);
        drop(state);
        Nap { clock: self, key: (at, number), woken }
    }

    /// Moves time to the first sleeper when nothing is in flight, and wakes everyone whose time has
    /// come.
    fn jump(&self, state: &mut State) {
        if self.speed != Speed::Jump {
            return;
        }
        if state.holds == 0
            && let Some(((at, _), _)) = state.sleepers.first_key_value()
        {
            state.time = state.time.max(*at);
        }
        while let Some(first) = state.sleepers.first_entry() {
            if first.key().0 > state.time {
                break;
            }
            // It arrives: a sleeper that goes away takes itself off the list first.
            let _ = first.remove().send(());
            state.holds += 1;
        }
    }

    fn release(&self) {
        let mut state = self.state();
        state.holds -= 1;
        if state.holds > 0 {
            return;
        }
        match self.speed {
            Speed::Jump => self.jump(&mut state),
            Speed::Limit(_) => {
                state.since = Some(Instant::now());
                drop(state);
                self.turns.send_modify(|it| *it += 1);
            }
        }
    }

    fn read(&self, state: &State) -> DateTime<Utc> {
        match (state.since, self.speed) {
            (Some(since), Speed::Limit(speed)) => {
                let passed = since.elapsed().as_secs_f64() * speed;
                state.time + TimeDelta::nanoseconds((passed * 1e9) as i64)
            }
            (Some(_), Speed::Jump) | (None, _) => state.time,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desk's clock as everybody else sees it.
#[async_trait]
impl Clock for DeskClock {
    fn now(&self) -> DateTime<Utc> {
        self.read(&self.state())
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        match self.speed {
            Speed::Limit(speed) => self.run_until(at, speed).await,
            Speed::Jump => self.nap(at).over().await,
        }
    }
}

/// A sleeper. One that was woken counts as a hold until it is dropped, so that time does not move on
/// before it has seen it.
#[derive(Debug)]
struct Nap<'a> {
    clock: &'a DeskClock,
    key: (DateTime<Utc>, u64),
    woken: oneshot::Receiver<()>,
}

impl Nap<'_> {
    async fn over(&mut self) {
        // Its sender is on the clock's list until it is used.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Nap<'_> {
    fn drop(&mut self) {
        let sleeping = self.clock.state().sleepers.remove(&self.key).is_some();
        if !sleeping {
            self.clock.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-09-07T06:00:00Z").unwrap().to_utc()
    }

    fn after(seconds: i64) -> DateTime<Utc> {
        start() + TimeDelta::seconds(seconds)
    }

    fn clock(speed: Speed) -> Arc<DeskClock> {
        let database = Arc::new(Database::open(None).unwrap());
        DeskClock::open(database, start(), speed).unwrap()
    }

    async fn machine_seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_at_its_speed_and_stands_still_while_held() {
        let clock = clock(Speed::Limit(60.0));
        machine_seconds(2).await;
        assert_eq!(clock.now(), after(120));

        let (one, two) = (clock.hold(), clock.hold());
        machine_seconds(100).await;
        drop(one);
        machine_seconds(100).await;
        assert_eq!(clock.now(), after(120));
        drop(two);
        machine_seconds(1).await;

        assert_eq!(clock.now(), after(180));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_wakes_at_its_time_however_long_time_was_held() {
        let clock = clock(Speed::Limit(60.0));
        let hold = clock.hold();
        let began = Instant::now();

        tokio::join!(clock.sleep_until(after(60)), async {
            tokio::time::sleep_until(began + Duration::from_secs(10)).await;
            drop(hold);
        });

        assert!(clock.now() >= after(60));
        let took = began.elapsed().as_secs_f64();
        assert!((11.0..11.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_jumps_to_the_next_sleeper_at_once_and_not_while_held() {
        let clock = clock(Speed::Jump);
        let began = Instant::now();
        clock.sleep_until(after(86_400)).await;
        assert_eq!(clock.now(), after(86_400));

        let hold = clock.hold();
        let woken = tokio::time::timeout(Duration::from_secs(5), clock.sleep_until(after(90_000)));
        assert!(woken.await.is_err());
        assert_eq!(clock.now(), after(86_400));
        drop(hold);

        clock.sleep_until(after(90_000)).await;
        assert_eq!(clock.now(), after(90_000));
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_jumped_over() {
        let clock = clock(Speed::Jump);
        let holds = Holds::of(&clock);
        let first = clock.hold();
        let seen = Mutex::new(Vec::new());
        let see = || seen.lock().unwrap().push((clock.now() - start()).num_seconds());

        let worker = async {
            let mut hold = first;
            for at in [10, 30] {
                hold = holds.sleep_until(&*clock, after(at), hold).await;
                see();
                tokio::task::yield_now().await;
            }
        };
        let other = async {
            let hold = holds.sleep_until(&*clock, after(20), clock.hold()).await;
            see();
            drop(hold);
        };
        tokio::join!(worker, other);

        assert_eq!(*seen.lock().unwrap(), [10, 20, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_that_goes_away_holds_nothing() {
        let clock = clock(Speed::Jump);
        let hold = clock.hold();
        let gone = tokio::time::timeout(Duration::from_secs(1), clock.sleep_until(after(10)));
        assert!(gone.await.is_err());
        drop(hold);

        clock.sleep_until(after(50)).await;

        assert_eq!(clock.now(), after(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_goes_on_where_work_was_last_taken_up() {
        let database = Arc::new(Database::open(None).unwrap());
        let open = |speed| DeskClock::open(Arc::clone(&database), start(), speed).unwrap();
        let first = open(Speed::Limit(10.0));
        machine_seconds(6).await;
        drop(first.hold());
        drop(first);
        assert_eq!(open(Speed::Jump).now(), after(60));

        let second = open(Speed::Jump);
        let holds = Holds::of(&second);
        drop(holds.sleep_until(&*second, after(500), Hold::default()).await);
        drop(second);

        assert_eq!(open(Speed::Jump).now(), after(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_lets_time_pass() {
        let clock = clock(Speed::Jump);
        let request = RequestHold::take(&Holds::of(&clock));

        request.while_waiting(clock.sleep_until(after(5))).await;
        assert_eq!(clock.now(), after(5));

        let held = tokio::time::timeout(Duration::from_secs(1), clock.sleep_until(after(9)));
        assert!(held.await.is_err(), "the hold was taken again");
    }
}
