//! The Azure Functions host on a desk: it reads the packaged function app, wakes its functions by
//! timers, messages and requests, and treats the handler's answers as the real one does.
//!
//! Processes are apart ([`process`]): the host talks to the handler through a wire, so that tests
//! and the simulation give it a router.

pub mod activity;
mod answer;
pub mod console;
mod envelope;
mod event_grid;
mod function_json;
mod handlers;
mod host_json;
mod http;
mod invocation;
mod json;
mod metadata;
pub mod package;
pub mod process;
mod redirect;
mod renewal;
mod retry;
mod schedule;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use seam::{Clock, Wire};
use tokio::sync::watch;

use crate::azure::{Azure, AzureError};
use crate::bus::{Bus, BusError, Sessions};
use crate::database::Database;
use crate::desk::{Hold, Holds};
use envelope::Payload;
use invocation::{Asked, Invocation, Result as Invoked};
use timers::{Occurrence, Timers};

pub use activity::{Activity, Outcome};
pub use console::Level;
pub use package::{DataType, Function, HostSettings, Package, PackageError, Trigger};
pub use process::{Process, ProcessEvent, ProcessOptions, ProcessState};
pub use retry::Retry;
pub use schedule::Schedule;

/// Told of every [`Activity`], those of requests too.
pub type Observer = Arc<dyn Fn(&Activity) + Send + Sync>;

/// Where the handler is and what it is told.
#[derive(Clone, Default)]
pub struct HostOptions {
    /// `http://127.0.0.1:{port}`, without a slash at its end.
    pub handler: String,
    /// Whether each invocation carries the host's time, in `x-goldsmith-now`.
    pub desk_time: bool,
    /// The key that a request to a function, and a delivery of Event Grid, must show; none is needed
    /// without one.
    pub function_key: Option<String>,
    /// The bus's name in what the handler is told.
    pub namespace: String,
    /// The Azure whose events may wake a function; without it, what becomes due there is delivered
    /// when somebody asks it something.
    pub azure: Option<Arc<Azure>>,
    /// The handler's process; none when the wire leads to a router, which is always ready.
    pub process: Option<Arc<Process>>,
    /// The processes of functions that have one of their own, by the function's name: as on Flex
    /// Consumption, where functions share no memory. The others are in `process`.
    pub isolated: BTreeMap<String, Arc<Process>>,
    pub observer: Option<Observer>,
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions").field("handler", &self.handler).finish_non_exhaustive()
    }
}

/// The Functions host.
#[derive(Debug)]
pub struct Host {
    package: Package,
    bus: Arc<Bus>,
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    holds: Holds,
    wire: Arc<dyn Wire>,
    options: HostOptions,
    /// Counts how often the handler of each function was killed; every invocation in flight there
    /// fails then.
    kills: BTreeMap<String, watch::Sender<u64>>,
    /// True once the handler did not become ready in time.
    gave_up: watch::Sender<bool>,
}

/// Why a host cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("function `{function}` waits for queue `{queue}`, which the bus does not have")]
    NoQueue { function: String, queue: String },
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Azure(#[from] AzureError),
    #[error(
        "the handler did not become ready within {0} s and the host is shutting down; look at what \
         it wrote last"
    )]
    NeverReady(i64),
    #[error("what the host remembers cannot be read or written: {0}")]
    Database(#[from] rusqlite::Error),
}

/// An invocation that is over.
struct Done {
    /// Its function's place in the package.
    place: usize,
    invocation: Invocation,
    invoked: Invoked,
    activity: Activity,
    hold: Hold,
}

/// What of one function is in flight.
#[derive(Clone, Debug, Default)]
struct InFlight {
    calls: usize,
    /// The sessions whose messages they are.
    sessions: BTreeSet<String>,
}

impl Host {
    /// A host for `package`, whose handler is at the other end of `wire`. `holds` are those of
    /// `clock`.
    ///
    /// # Errors
    /// When a function waits for a queue that `bus` does not have, or the database cannot be
    /// written.
    pub fn new(
        package: Package,
        bus: Arc<Bus>,
        database: Arc<Database>,
        clock: Arc<dyn Clock>,
        holds: Holds,
        wire: Arc<dyn Wire>,
        options: HostOptions,
    ) -> Result<Arc<Host>, HostError> {
        for function in &package.functions {
            if let Trigger::ServiceBus { queue, .. } = &function.trigger
                && !bus.queues().any(|it| it.eq_ignore_ascii_case(queue))
            {
                let (function, queue) = (function.name.clone(), queue.clone());
                return Err(HostError::NoQueue { function, queue });
            }
        }
        timers::create(&database)?;
        invocation::create(&database)?;
        let names = package.functions.iter().map(|it| it.name.clone());
        let kills = names.map(|it| (it, watch::Sender::new(0))).collect();
        let gave_up = watch::Sender::new(false);
        Ok(Arc::new(Host { package, bus, database, clock, holds, wire, options, kills, gave_up }))
    }

    /// What is hosted.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The public interface: `/api/{route}` of every function that a request wakes, and
    /// `/runtime/webhooks/eventgrid` for those that an event does.
    pub fn router(self: &Arc<Self>) -> Router {
        http::router(Arc::clone(self))
    }

    /// Does all work that comes, for ever.
    ///
    /// # Errors
    /// When the database fails, or the handler never becomes ready.
    pub async fn run(&self) -> Result<(), HostError> {
        self.run_until(|_| false).await
    }

    /// Does all work that comes until `over` says so of something that happened, then what is in
    /// flight.
    ///
    /// Everything happens in this one future: under a single-threaded runtime its order is a
    /// function of what is in the database.
    ///
    /// # Errors
    /// When the database fails, or the handler never becomes ready.
    pub async fn run_until(
        &self,
        mut over: impl FnMut(&Activity) -> bool,
    ) -> Result<(), HostError> {
        let mut hold = self.holds.take();
        let mut timers = Timers::start(&self.package.functions, &self.database, self.clock.now())?;
        let mut busy = vec![InFlight::default(); self.package.functions.len()];
        let mut in_flight: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut changes = self.bus.changes();
        let mut gave_up = self.gave_up.subscribe();
        let mut stopping = false;

        loop {
            changes.mark_unchanged();
            if !stopping {
                for (place, invocation) in self.take_due(&mut timers, &mut busy)? {
                    stopping |= self.say(&invocation.started(), &mut over);
                    in_flight.push(self.invoke(place, invocation).boxed());
                }
                for letter in self.bus.take_dead_lettered() {
                    let at = self.clock.now();
                    let crate::bus::DeadLetter { queue, message_id, reason } = letter;
                    let activity = Activity::DeadLettered { queue, message_id, reason, at };
                    stopping |= self.say(&activity, &mut over);
                }
            }
            if stopping && in_flight.is_empty() {
                return Ok(());
            }

            let due = if stopping { None } else { self.next_due(&timers, &busy)? };
            // Time may pass only once everybody who waits for a time has said for which; that is
            // why the host's own hold goes last.
            let waiting = async {
                match due {
                    Some(at) => self.holds.sleep_until(&*self.clock, at, hold).await,
                    None => {
                        drop(hold);
                        std::future::pending().await
                    }
                }
            };
            hold = tokio::select! {
                biased;
                Some(done) = in_flight.next() => {
                    busy[done.place].ended(&done.invocation);
                    self.settle(&done, &mut timers)?;
                    stopping |= self.say(&done.activity, &mut over);
                    done.hold
                }
                _ = changes.changed(), if !stopping => self.holds.take(),
                Ok(_) = gave_up.wait_for(|it| *it) => {
                    let longest = self.package.settings.initialization_timeout * 4;
                    return Err(HostError::NeverReady(longest.num_seconds()));
                }
                hold = waiting => hold,
            };
        }
    }

    /// All timers that are due, and of each queue as many messages as its function may have at
    /// once.
    fn take_due(
        &self,
        timers: &mut Timers,
        busy: &mut [InFlight],
    ) -> Result<Vec<(usize, Invocation)>, HostError> {
        if let Some(azure) = &self.options.azure
            && azure.next_due()?.is_some_and(|due| due <= self.clock.now())
        {
            azure.settle()?;
        }
        let mut due = Vec::new();
        for occurrence in timers.take_due(self.clock.now()) {
            let place = occurrence.function;
            let Occurrence { status, is_past_due, adjusts_for_dst, .. } = occurrence;
            let payload = Payload::Timer { adjusts_for_dst, status, is_past_due };
            due.push((place, self.invocation(&self.package.functions[place], payload)?));
        }
        for (place, function) in self.package.functions.iter().enumerate() {
            while busy[place].calls < self.most_calls(function) {
                let Some(payload) = self.receive(function, &busy[place].sessions)? else {
                    break;
                };
                due.push((place, self.invocation(function, payload)?));
                if let Some((place, invocation)) = due.last() {
                    busy[*place].began(invocation);
                }
            }
        }
        Ok(due)
    }

    /// How many calls may be in flight for messages of `function`; batches come one at a time.
    fn most_calls(&self, function: &Function) -> usize {
        match &function.trigger {
            Trigger::ServiceBus { sessions: true, .. } => {
                self.package.settings.max_concurrent_sessions
            }
            Trigger::ServiceBus { many: true, .. } => 1,
            Trigger::ServiceBus { .. } => self.package.settings.max_concurrent_calls,
            Trigger::Timer { .. } | Trigger::Http { .. } | Trigger::EventGrid { .. } => 0,
        }
    }

    /// What the queue of `function` has for one call.
    fn receive(
        &self,
        function: &Function,
        busy: &BTreeSet<String>,
    ) -> Result<Option<Payload>, HostError> {
        let Trigger::ServiceBus { queue, data_type, sessions, many } = &function.trigger else {
            return Ok(None);
        };
        let data_type = *data_type;
        let of = if *sessions { Sessions::Except(busy) } else { Sessions::Any };
        let Some(first) = self.bus.receive_of(queue, of)? else { return Ok(None) };
        if !many {
            let (delivery, in_session) = (Box::new(first), *sessions);
            return Ok(Some(Payload::Message { delivery, data_type, in_session }));
        }
        let session = first.session_id.clone().unwrap_or_default();
        let mut deliveries = vec![first];
        while deliveries.len() < self.package.settings.max_batch {
            let of = if *sessions { Sessions::Only(&session) } else { Sessions::Any };
            let Some(next) = self.bus.receive_of(queue, of)? else { break };
            deliveries.push(next);
        }
        Ok(Some(Payload::Messages { deliveries, data_type }))
    }

    /// When the next timer, scheduled message, end of a lock or event of Azure is due that this can
    /// take up.
    fn next_due(
        &self,
        timers: &Timers,
        busy: &[InFlight],
    ) -> Result<Option<DateTime<Utc>>, HostError> {
        let free = self.package.functions.iter().zip(busy).filter_map(|(function, busy)| {
            let Trigger::ServiceBus { queue, .. } = &function.trigger else { return None };
            (busy.calls < self.most_calls(function)).then_some(queue.as_str())
        });
        let message = self.bus.next_due(free)?;
        let azure = match &self.options.azure {
            Some(azure) => azure.next_due()?,
            None => None,
        };
        Ok([message, timers.next_due(), azure].into_iter().flatten().min())
    }

    /// The call that tells `function` of `payload`.
    fn invocation(&self, function: &Function, payload: Payload) -> Result<Invocation, HostError> {
        self.asking(function, Asked::Told(payload))
    }

    /// A call under an id of its own.
    fn asking(&self, function: &Function, asked: Asked) -> Result<Invocation, HostError> {
        let number = invocation::next_number(&self.database)?;
        Ok(Invocation {
            id: crate::guid::of(&["invocation", &number.to_string()]),
            number,
            function: function.clone(),
            began: self.clock.now(),
            asked,
        })
    }

    async fn invoke(&self, place: usize, invocation: Invocation) -> Done {
        let (invoked, hold) = self.call(&invocation, self.holds.take()).await;
        let activity = invocation.ended(&invoked, self.clock.now());
        Done { place, invocation, invoked, activity, hold }
    }

    fn settle(&self, done: &Done, timers: &mut Timers) -> Result<(), HostError> {
        let Trigger::ServiceBus { .. } = done.invocation.function.trigger else {
            return Ok(timers.ended(done.place, done.invocation.began)?);
        };
        for delivery in done.invocation.deliveries() {
            let settled = match &done.invoked {
                Invoked::Succeeded(_) | Invoked::Passed(_)
                    if self.package.settings.auto_complete =>
                {
                    self.bus.complete(delivery)
                }
                Invoked::Succeeded(_) | Invoked::Passed(_) => Ok(()),
                Invoked::Failed(_) | Invoked::TimedOut => self.bus.abandon(delivery).map(|_| ()),
            };
            match settled {
                Err(BusError::LockLost(_)) => {
                    let (message, queue) = (&delivery.message_id, &delivery.queue);
                    tracing::warn!(%message, %queue, "The lock on {message} of {queue} was lost");
                }
                settled => settled?,
            }
        }
        Ok(())
    }

    /// Calls the handler for something that is not waited for in [`Host::run_until`]: a request.
    async fn call_for_a_request(&self, invocation: &Invocation) -> Invoked {
        self.say(&invocation.started(), &mut |_| false);
        // Time stands still already: the request itself is a hold.
        let (invoked, _) = self.call(invocation, Hold::default()).await;
        self.say(&invocation.ended(&invoked, self.clock.now()), &mut |_| false);
        invoked
    }

    fn say(&self, activity: &Activity, over: &mut impl FnMut(&Activity) -> bool) -> bool {
        if let Some(observer) = &self.options.observer {
            observer(activity);
        }
        over(activity)
    }
}

impl InFlight {
    fn began(&mut self, invocation: &Invocation) {
        self.calls += 1;
        self.sessions.extend(sessions(invocation));
    }

    fn ended(&mut self, invocation: &Invocation) {
        self.calls = self.calls.saturating_sub(1);
        for session in sessions(invocation) {
            self.sessions.remove(&session);
        }
    }
}

/// The sessions that a call keeps to itself.
fn sessions(invocation: &Invocation) -> impl Iterator<Item = String> + '_ {
    let in_sessions =
        matches!(invocation.function.trigger, Trigger::ServiceBus { sessions: true, .. });
    let deliveries = invocation.deliveries().iter().filter(move |_| in_sessions);
    deliveries.map(|it| it.session_id.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
