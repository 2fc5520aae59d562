//! Between the host and the handlers: several processes that share no memory, which are killed,
//! dropped in the middle of anything, and given the same message at the same time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use chrono::TimeDelta;
use seam::{Clock, Fault, Local, Request, Response, Wire};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::fault::{Faults, Kind};
use crate::skew::Skewed;
use crate::store::duration;
use crate::world::HANDLER;

/// The header in which the host names an invocation.
const INVOCATION: &str = "x-azure-functions-invocationid";

/// The most that a machine's clock is off.
pub(crate) const MOST_SKEWED: TimeDelta = TimeDelta::seconds(10);

/// Starts a process: a handler whose memory is empty, on a machine with such a clock.
pub type Start = Box<dyn Fn(Skewed) -> axum::Router + Send + Sync>;

/// The processes that the host may call.
pub struct Processes {
    start: Start,
    running: Vec<Mutex<Process>>,
    faults: Faults,
    clock: Arc<dyn Clock>,
}

struct Process {
    wire: Local,
    machine: Skewed,
    /// Tells what is in flight there that it is killed, in the order in which it came. (tokio's
    /// `watch` wakes whoever waits in an order of its own each time.)
    killed: Arc<Notify>,
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

impl Processes {
    /// So many processes, each made by `start`.
    pub fn new(count: usize, start: Start, faults: Faults, clock: Arc<dyn Clock>) -> Processes {
        let running = (0..count)
            .map(|_| Mutex::new(started(&start, Skewed::of(Arc::clone(&clock)))))
            .collect();
        Processes { start, running, faults, clock }
    }

    /// One of them.
    fn any(&self) -> (usize, Local, OwnedNotified) {
        let place = self.faults.chance().place(self.running.len());
        let process = self.running[place].lock().unwrap_or_else(PoisonError::into_inner);
        (place, process.wire.clone(), Arc::clone(&process.killed).notified_owned())
    }

    /// Kills it with all that is in flight there, and starts another.
    fn restart(&self, place: usize) {
        let mut process = self.running[place].lock().unwrap_or_else(PoisonError::into_inner);
        process.killed.notify_waiters();
        *process = started(&self.start, process.machine.clone());
    }

    /// Sets the clock of its machine.
    fn set_clock(&self, place: usize) {
        let process = self.running[place].lock().unwrap_or_else(PoisonError::into_inner);
        let chance = self.faults.chance();
        let off = chance.delay(MOST_SKEWED);
        process.machine.set(if chance.happens(0.5) { off } else { -off });
    }
}

fn started(start: &Start, machine: Skewed) -> Process {
    let wire = Local::to([(HANDLER.to_owned(), start(machine.clone()))]);
    Process { wire, machine, killed: Arc::default() }
}

/// A call of a process, until it ends or the process does.
async fn called(
    wire: Local,
    killed: OwnedNotified,
    request: Request,
    polls: Option<u32>,
) -> Result<Response, Fault> {
    let call = Dropped { work: Some(wire.send(request)), polls };
    tokio::select! {
        biased;
        answer = call => answer,
        () = killed => Err(Fault::PerhapsDone("the process was killed".to_owned())),
    }
}

#[async_trait]
impl Wire for Processes {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let now = self.clock.now();
        let what = request.uri().path().to_owned();
        let strikes = |kind| self.faults.strikes(kind, now, &what);
        let chance = self.faults.chance();
        let (place, wire, killed) = self.any();

        if strikes(Kind::DeliveredTwice) {
            let (_, wire, killed) = self.any();
            let after = chance.delay(TimeDelta::seconds(90));
            beside(after, called(wire, killed, again(&request), None));
        }
        if strikes(Kind::ClockStep) {
            self.set_clock(place);
        }
        if strikes(Kind::Restarted) {
            self.restart(place);
        }
        // Most steps are short; a sweep is long.
        let polls = strikes(Kind::Cancelled).then(|| {
            let most = if chance.happens(0.2) { 2000 } else { 60 };
            u32::try_from(chance.within(1..most)).unwrap_or(1)
        });
        let call = called(wire, killed, request, polls);
        if strikes(Kind::LockLost) {
            beside(TimeDelta::zero(), call);
            let after = chance.delay(TimeDelta::seconds(20));
            self.clock.sleep_until(now + after).await;
            return Err(Fault::PerhapsDone("the connection was reset".to_owned()));
        }
        call.await
    }
}

/// The same message again, as a redelivery has it: under another invocation id.
fn again(request: &Request) -> Request {
    let mut again = request.clone();
    let id = request.headers().get(INVOCATION).and_then(|it| it.to_str().ok());
    let id = format!("{}-again", id.unwrap_or_default());
    if let Ok(id) = id.parse() {
        again.headers_mut().insert(INVOCATION, id);
    }
    again
}

/// Goes on with `call` beside the host, which knows nothing of it.
fn beside(after: TimeDelta, call: impl Future<Output = Result<Response, Fault>> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "it outlives the call of the host on purpose")]
    tokio::spawn(async move {
        tokio::time::sleep(duration(after)).await;
        let _ = call.await;
    });
}

/// Work that is dropped after so many polls.
struct Dropped<'a, T> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
    polls: Option<u32>,
}

impl<T> Future for Dropped<'_, Result<T, Fault>> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == Some(0) {
            self.work = None;
        }
        self.polls = self.polls.map(|it| it.saturating_sub(1));
        match &mut self.work {
            Some(work) => work.as_mut().poll(cx),
            None => Poll::Ready(Err(Fault::PerhapsDone("the work was dropped".to_owned()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::chance::Chance;
    use crate::trace::Trace;
    use axum::Router;
    use axum::response::Response as Answer;
    use futures::stream::{FuturesUnordered, StreamExt};
    use seam::PausedClock;

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_in_a_process_that_is_killed_ends_in_the_order_in_which_it_came() {
        let never = || async { std::future::pending::<Answer>().await };
        let start: Start = Box::new(move |_| Router::new().fallback(never));
        let clock: Arc<dyn Clock> =
            Arc::new(PausedClock::starting_at(chrono::DateTime::UNIX_EPOCH));
        let (chance, trace) = (Chance::of(1), Trace::new(false));
        let faults = Faults::at(BTreeMap::new(), &chance, &trace);
        let processes = Processes::new(1, start, faults, clock);
        for _ in 0..10 {
            let mut calls: FuturesUnordered<_> = (0..8)
                .map(|number| {
                    let (_, wire, killed) = processes.any();
                    let mut request = Request::new(bytes::Bytes::new());
                    *request.uri_mut() = format!("http://{HANDLER}/").parse().unwrap();
                    async move { (number, called(wire, killed, request, None).await.is_err()) }
                })
                .collect();
            assert!(futures::poll!(calls.next()).is_pending());

            processes.restart(0);

            for number in 0..8 {
                assert_eq!(calls.next().await, Some((number, true)));
            }
        }
    }
}
