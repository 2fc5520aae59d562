//! The Azure Functions host on a desk: it reads the packaged function app, wakes its functions by
//! timers, messages and requests, and treats the handler's answers as the real one does.
//!
//! Processes are apart ([`process`]): the host talks to the handler through a wire, so that tests
//! and the simulation give it a router.

pub mod activity;
mod answer;
mod envelope;
mod http;
mod invocation;
pub mod package;
pub mod process;
mod schedule;
mod timers;

use std::collections::BTreeMap;
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
use crate::bus::{Bus, BusError, Delivery};
use crate::database::Database;
use crate::desk::{Hold, Holds};
use envelope::System;
use invocation::{Invocation, Result as Invoked};
use timers::{Occurrence, Timers};

pub use activity::{Activity, Outcome};
pub use package::{DataType, Function, HostSettings, Package, PackageError, Trigger};
pub use process::{Process, ProcessEvent, ProcessOptions, ProcessState};
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
    /// The key that a request to a function must show; none is needed without one.
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
    #[error("what the host remembers cannot be read or written: {0}")]
    Database(#[from] rusqlite::Error),
}

/// What is to be done with the end of an invocation.
enum Work {
    Message(Box<Delivery>),
    Timer,
}

/// An invocation that is over.
struct Done {
    function: usize,
    work: Work,
    invoked: Invoked,
    activity: Activity,
    hold: Hold,
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
        Ok(Arc::new(Host { package, bus, database, clock, holds, wire, options, kills }))
    }

    /// What is hosted.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The public interface: `/api/{route}` of every function that a request wakes.
    pub fn router(self: &Arc<Self>) -> Router {
        http::router(Arc::clone(self))
    }

    /// Does all work that comes, for ever.
    ///
    /// # Errors
    /// When the database fails.
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
    /// When the database fails.
    pub async fn run_until(
        &self,
        mut over: impl FnMut(&Activity) -> bool,
    ) -> Result<(), HostError> {
        let mut hold = self.holds.take();
        let mut timers = Timers::start(&self.package.functions, &self.database, self.clock.now())?;
        let mut busy = vec![0; self.package.functions.len()];
        let mut in_flight: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut changes = self.bus.changes();
        let mut stopping = false;

        loop {
            changes.mark_unchanged();
            if !stopping {
                for (invocation, work, function) in self.take_due(&mut timers, &mut busy)? {
                    stopping |= self.say(&invocation.started(), &mut over);
                    in_flight.push(self.invoke(invocation, work, function).boxed());
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
                    busy[done.function] -= 1;
                    self.settle(&done, &mut timers)?;
                    stopping |= self.say(&done.activity, &mut over);
                    done.hold
                }
                _ = changes.changed(), if !stopping => self.holds.take(),
                hold = waiting => hold,
            };
        }
    }

    /// All timers that are due, and of each queue as many messages as its function may have at
    /// once.
    fn take_due(
        &self,
        timers: &mut Timers,
        busy: &mut [usize],
    ) -> Result<Vec<(Invocation, Work, usize)>, HostError> {
        if let Some(azure) = &self.options.azure
            && azure.next_due()?.is_some_and(|due| due <= self.clock.now())
        {
            azure.settle()?;
        }
        let mut due = Vec::new();
        for occurrence in timers.take_due(self.clock.now()) {
            let place = occurrence.function;
            busy[place] += 1;
            due.push((self.occurrence(&occurrence)?, Work::Timer, place));
        }
        for (place, function) in self.package.functions.iter().enumerate() {
            let Trigger::ServiceBus { queue, data_type } = &function.trigger else {
                continue;
            };
            while busy[place] < self.package.settings.max_concurrent_calls {
                let Some(delivery) = self.bus.receive(queue)? else {
                    break;
                };
                busy[place] += 1;
                let invocation = self.message(function, *data_type, &delivery)?;
                due.push((invocation, Work::Message(Box::new(delivery)), place));
            }
        }
        Ok(due)
    }

    /// When the next timer, scheduled message, end of a lock or event of Azure is due that this can
    /// take up.
    fn next_due(
        &self,
        timers: &Timers,
        busy: &[usize],
    ) -> Result<Option<DateTime<Utc>>, HostError> {
        let free =
            self.package.functions.iter().zip(busy).filter_map(|(function, busy)| match &function
                .trigger
            {
                Trigger::ServiceBus { queue, .. }
                    if *busy < self.package.settings.max_concurrent_calls =>
                {
                    Some(queue.as_str())
                }
                Trigger::ServiceBus { .. } | Trigger::Timer { .. } | Trigger::Http { .. } => None,
            });
        let message = self.bus.next_due(free)?;
        let azure = match &self.options.azure {
            Some(azure) => azure.next_due()?,
            None => None,
        };
        Ok([message, timers.next_due(), azure].into_iter().flatten().min())
    }

    fn occurrence(&self, occurrence: &Occurrence) -> Result<Invocation, HostError> {
        let function = &self.package.functions[occurrence.function];
        let (id, system) = self.number(function)?;
        let body = envelope::timer(
            &function.binding,
            occurrence.adjusts_for_dst,
            occurrence.status,
            occurrence.is_past_due,
            &system,
        );
        Ok(Invocation {
            id,
            function: function.name.clone(),
            message_id: None,
            began: system.now,
            body,
        })
    }

    fn message(
        &self,
        function: &Function,
        data_type: DataType,
        delivery: &Delivery,
    ) -> Result<Invocation, HostError> {
        let (id, system) = self.number(function)?;
        let namespace = &self.options.namespace;
        let body = envelope::message(&function.binding, data_type, delivery, namespace, &system);
        let message_id = Some(delivery.message_id.clone());
        Ok(Invocation { id, function: function.name.clone(), message_id, began: system.now, body })
    }

    /// An id for the next invocation and what it is told of its host.
    fn number(&self, function: &Function) -> Result<(String, System), HostError> {
        let number = invocation::next_number(&self.database)?.to_string();
        let system = System {
            function: function.name.clone(),
            now: self.clock.now(),
            random_guid: crate::guid::of(&["random", &number]),
        };
        Ok((crate::guid::of(&["invocation", &number]), system))
    }

    async fn invoke(&self, invocation: Invocation, work: Work, function: usize) -> Done {
        let delivery = match &work {
            Work::Message(delivery) => Some(&**delivery),
            Work::Timer => None,
        };
        let (invoked, hold) = self.call(&invocation, delivery, self.holds.take()).await;
        let activity = invocation.ended(&invoked, self.clock.now());
        Done { function, work, invoked, activity, hold }
    }

    fn settle(&self, done: &Done, timers: &mut Timers) -> Result<(), HostError> {
        let Activity::Ended { took, at, .. } = &done.activity else {
            return Ok(());
        };
        let delivery = match &done.work {
            Work::Timer => return Ok(timers.ended(done.function, *at - *took)?),
            Work::Message(delivery) => delivery,
        };
        let settled = match &done.invoked {
            Invoked::Succeeded(_) if self.package.settings.auto_complete => {
                self.bus.complete(delivery)
            }
            Invoked::Succeeded(_) => Ok(()),
            Invoked::Failed(_) | Invoked::TimedOut => self.bus.abandon(delivery).map(|_| ()),
        };
        match settled {
            Err(BusError::LockLost(_)) => {
                let (message, queue) = (&delivery.message_id, &delivery.queue);
                tracing::warn!(%message, %queue, "The lock on {message} of {queue} was lost");
                Ok(())
            }
            settled => Ok(settled?),
        }
    }

    fn say(&self, activity: &Activity, over: &mut impl FnMut(&Activity) -> bool) -> bool {
        if let Some(observer) = &self.options.observer {
            observer(activity);
        }
        over(activity)
    }
}

#[cfg(test)]
mod tests;
