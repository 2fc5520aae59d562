//! What may go wrong in a seed, and how often. A fault is a [`Kind`]; the seed gives each a rate,
//! most often none; the places where faults happen ask [`Faults::strikes`].
//!
//! A new fault is a new kind in the list, and one question at the place where it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::chance::Chance;
use crate::trace::Trace;

/// Lists the kinds, each with the highest rate it may get: the probability that it strikes where it
/// could.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $highest:literal,)*) => {
        /// One thing that can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$meta])* $kind,)* }

        impl Kind {
            /// All of them, each with the highest rate that a seed may give it.
            pub const ALL: &'static [(Kind, f64)] = &[$((Kind::$kind, $highest),)*];
        }
    };
}

kinds! {
    /// A request is refused at the door of the network: it was not sent.
    RequestRefused = 0.05,
    /// A request is lost on its way; whoever waits for the answer waits for the time-out.
    RequestLost = 0.03,
    /// The answer to a request that was carried out is lost.
    AnswerLost = 0.03,
    /// A request takes long: any time up to the time-out.
    RequestSlow = 0.05,
    /// A PUT arrives a second time, within the time-out.
    RequestTwice = 0.03,
    /// 429, with and without `Retry-After`.
    Throttled = 0.05,
    /// 500, 502, 503 or 504 from the front door, nothing done.
    ServerError = 0.05,
    /// The same, after the request was carried out.
    ServerErrorAfterwards = 0.02,
    /// A front door's page instead of an answer.
    HtmlAnswer = 0.02,
    /// Azure, or the bus, refuses everything with 429 for up to twenty minutes.
    ThrottlingStorm = 0.004,
    /// A lock, a policy or a missing role forbids every change of a resource, for up to two days.
    Forbidden = 0.15,
    /// A template's run says for hours that it is being cancelled.
    RunStuckCanceling = 0.2,
    /// A run says for hours, beyond its time-out, that it goes on.
    RunStuckRunning = 0.2,
    /// A run says that it failed, and has published its version.
    RunFailedThoughPublished = 0.3,
    /// A run says that it succeeded in part.
    RunPartlySucceeded = 0.3,
    /// A version says for hours that it is being updated.
    VersionStuck = 0.2,
    /// A region's replication stands still for hours.
    RegionStuck = 0.1,
    /// Resource Graph gives a part of the rows, and no way to the others.
    GraphTruncated = 0.5,
    /// A machine's clock is set, and is off by seconds from then on.
    ClockStep = 0.02,
    /// A message that is sent arrives, and a second time later: inside or outside the time in which
    /// the bus recognises it.
    MessageAgain = 0.03,
    /// A message that is due at once is given to a handler only after many others.
    MessageDelayed = 0.05,
    /// A scheduled message comes a second early.
    MessageEarly = 0.1,
    /// A scheduled message comes up to hours late.
    MessageLate = 0.05,
    /// A message is given to a second handler while the first one still works on it.
    DeliveredTwice = 0.05,
    /// The host takes a call for lost while the handler goes on with it.
    LockLost = 0.03,
    /// A handler's work is dropped where it happens to wait.
    Cancelled = 0.03,
    /// A handler's process is killed with everything in flight, and started again.
    Restarted = 0.01,
    /// A read of the ledger's store fails.
    StoreReadFails = 0.02,
    /// A write of the ledger's store fails, nothing written.
    StoreWriteFails = 0.02,
    /// A write of the ledger's store is done, and its answer is lost.
    StoreAnswerLost = 0.02,
    /// The ledger's store takes its time.
    StoreSlow = 0.05,
    /// The ledger's store is not there for up to ten minutes.
    StoreGone = 0.002,
    /// Reports that builds have uploaded are not there for up to three hours.
    ReportLate = 0.2,
    /// A listing of the ledger's store comes in any order.
    StoreShuffled = 0.5,
    /// A person asks for something.
    PersonActs = 0.3,
    /// Somebody else writes to the gallery.
    StrangerWrites = 0.15,
    /// Somebody comes to use a version: a machine, a scale set or a template is made from it.
    UserAppears = 0.25,
    /// Somebody acts at the very moment at which a write of ours is on its way, or the message that will
    /// retire a version.
    WorstMoment = 0.4,
    /// The catalog is changed.
    CatalogChanges = 0.15,
    /// A dead letter is sent again.
    Resubmitted = 0.1,
}

/// The faults of one seed. Clones count together.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chance: Chance,
    trace: Trace,
    rates: BTreeMap<Kind, f64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    struck: BTreeMap<Kind, u64>,
    /// When each did, in this order, and whether it struck a request to the Resource Manager.
    when: Vec<(DateTime<Utc>, Kind, bool)>,
    /// Until when what began goes on.
    spells: BTreeMap<Kind, DateTime<Utc>>,
}

impl Faults {
    /// The faults that `chance` decides: none at all in one seed of ten, else each kind with a
    /// probability of a third, at a rate that is rarely high.
    pub fn drawn(chance: &Chance, trace: &Trace) -> Faults {
        let quiet = chance.happens(0.1);
        let mut rates = BTreeMap::new();
        for (kind, highest) in Kind::ALL {
            let (strikes, share) = (chance.happens(0.34), chance.within(1..101));
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
            let share = share as f64 / 100.0;
            if strikes && !quiet {
                rates.insert(*kind, highest * share * share);
            }
        }
        Faults::at(rates, chance, trace)
    }

    /// Faults at these rates.
    pub fn at(rates: BTreeMap<Kind, f64>, chance: &Chance, trace: &Trace) -> Faults {
        let (chance, trace, state) = (chance.fork(), trace.clone(), Mutex::default());
        Faults(Arc::new(Inner { chance, trace, rates, state }))
    }

    /// No faults, by the same source of numbers.
    pub fn silent(&self) -> Faults {
        Faults::at(BTreeMap::new(), &self.0.chance, &self.0.trace)
    }

    /// Whether `kind` strikes now. Whoever asks does what it says.
    pub fn strikes(&self, kind: Kind, at: DateTime<Utc>, what: &str) -> bool {
        let inner = &*self.0;
        let rate = inner.rates.get(&kind).copied().unwrap_or(0.0);
        let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let strikes = !state.over && inner.chance.happens(rate);
        if strikes {
            *state.struck.entry(kind).or_default() += 1;
            state.when.push((at, kind, is_of_arm(what)));
            inner.trace.say(at, "fault", format_args!("{kind:?}: {what}"));
        }
        strikes
    }

    /// Whether `kind` strikes now or still goes on: for up to `longest` since it struck.
    pub fn goes_on(&self, kind: Kind, longest: TimeDelta, at: DateTime<Utc>, what: &str) -> bool {
        {
            let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.spells.get(&kind).is_some_and(|it| at < *it) && !state.over {
                return true;
            }
        }
        let strikes = self.strikes(kind, at, what);
        if strikes {
            let until = at + self.0.chance.sometime(longest);
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.spells.insert(kind, until);
        }
        strikes
    }

    /// The source of numbers for what a fault does.
    pub fn chance(&self) -> &Chance {
        &self.0.chance
    }

    /// From now on nothing goes wrong.
    pub fn stop(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).over = true;
    }

    /// From now on things go wrong again; what had begun when they stopped is over.
    pub fn go_on(&self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.over = false;
        state.spells.clear();
    }

    /// Whether nothing goes wrong any more.
    pub fn are_over(&self) -> bool {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// Whether anything has gone wrong so far.
    pub fn have_struck(&self) -> bool {
        !self.0.state.lock().unwrap_or_else(PoisonError::into_inner).struck.is_empty()
    }

    /// How often something struck since `at`: of those `which` holds for, by its kind and whether it
    /// struck a request to the Resource Manager.
    pub fn struck_since(&self, at: DateTime<Utc>, which: impl Fn(Kind, bool) -> bool) -> usize {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = state.when.iter().rev().take_while(|(when, ..)| *when >= at);
        lately.filter(|(_, kind, of_arm)| which(*kind, *of_arm)).count()
    }

    /// How often each struck.
    pub fn struck(&self) -> BTreeMap<Kind, u64> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).struck.clone()
    }
}

/// Whether a fault struck a request to the Resource Manager: nobody else has such paths.
fn is_of_arm(what: &str) -> bool {
    what.contains("/subscriptions") || what.contains("/providers/")
}
