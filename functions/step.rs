//! What a step comes to: what is recorded, when it is looked again, what is to be done about a
//! failure.

use chrono::{DateTime, TimeDelta, Utc};
use rules::event::{Event, Operation, Outcome};

use crate::record::Record;

/// What a function returns.
pub type Step = Result<Done, Failure>;

/// What a step came to.
#[derive(Debug)]
pub enum Done {
    /// These events are recorded, as one entry.
    Record(Vec<Event>),
    /// Nothing new yet: the same wish is sent again, due then.
    LookAgain(DateTime<Utc>),
    /// These events are recorded, and the same wish is sent again, due then.
    RecordAndLookAgain { events: Vec<Event>, at: DateTime<Utc> },
    /// What follows is recorded in other images' streams first, then these events in this one's.
    RecordElsewhere { records: Vec<Record>, events: Vec<Event> },
    /// There was nothing to do.
    Nothing,
}

/// Why a step did not come to an end, and what is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It may succeed later: `events` are recorded and the wish is sent again.
    Later {
        why: String,
        /// When it may succeed, where that is known.
        at: Option<DateTime<Utc>>,
        /// The least time to wait, where Azure said so.
        wait: Option<TimeDelta>,
        events: Vec<Event>,
    },
    /// It can never succeed: `events` and the failure are recorded, and people are told.
    Never { why: String, events: Vec<Event> },
    /// Another step wrote first: read again and decide again.
    Overtaken,
    /// The ledger or the bus itself is ill: the invocation fails and the message comes back.
    Ledger(String),
    /// The stream has a gap or a broken hash: nothing is done for its image until a person has
    /// mended it.
    Broken(String),
}

/// What a write that was answered came to.
#[derive(Debug)]
pub enum Settled<T> {
    /// Azure accepted it; the event says so.
    Accepted(T, Event),
    /// Azure refused it and nothing changed; the event says so.
    Refused(arm::Error, Event),
}

impl Settled<()> {
    /// What an open intent has come to when the resource itself shows it.
    pub fn seen(target: &str, operation: Operation) -> Event {
        let (target, outcome) = (target.to_owned(), Outcome::Accepted);
        Event::EffectSettled { target, operation, outcome }
    }
}

impl Failure {
    /// It may succeed later, after the usual back-off.
    pub fn later(why: impl Into<String>) -> Failure {
        Failure::Later { why: why.into(), at: None, wait: None, events: Vec::new() }
    }

    /// It may succeed at `at`.
    pub fn later_at(why: impl Into<String>, at: DateTime<Utc>) -> Failure {
        Failure::Later { why: why.into(), at: Some(at), wait: None, events: Vec::new() }
    }

    /// True when Azure has said how long to wait: it has had too many requests.
    pub fn asks_to_wait(&self) -> bool {
        matches!(self, Failure::Later { wait: Some(_), .. })
    }

    /// It can never succeed.
    pub fn never(why: impl Into<String>) -> Failure {
        Failure::Never { why: why.into(), events: Vec::new() }
    }

    /// The same, with `more` events to record.
    pub fn with(self, mut more: Vec<Event>) -> Failure {
        match self {
            Failure::Later { why, at, wait, mut events } => {
                events.append(&mut more);
                Failure::Later { why, at, wait, events }
            }
            Failure::Never { why, mut events } => {
                events.append(&mut more);
                Failure::Never { why, events }
            }
            other => other,
        }
    }
}

impl From<arm::Error> for Failure {
    fn from(error: arm::Error) -> Failure {
        let why = error.to_string();
        match &error {
            arm::Error::Throttled { retry_after, .. }
            | arm::Error::Busy { retry_after, .. }
            | arm::Error::Unavailable { retry_after, .. } => {
                let wait = retry_after.and_then(|it| TimeDelta::from_std(it).ok());
                Failure::Later { why, at: None, wait, events: Vec::new() }
            }
            arm::Error::Conflict { .. }
            | arm::Error::NotAllowed { .. }
            | arm::Error::Unauthorized { .. }
            | arm::Error::Malformed { .. }
            | arm::Error::NotSent { .. }
            | arm::Error::PerhapsDone { .. } => Failure::later(why),
            arm::Error::NotFound { .. }
            | arm::Error::Forbidden { .. }
            | arm::Error::NoCommonVersion { .. }
            | arm::Error::Invalid { .. } => Failure::never(why),
        }
    }
}

impl From<ledger::LedgerError> for Failure {
    fn from(error: ledger::LedgerError) -> Failure {
        match error {
            ledger::LedgerError::Broken { .. } => Failure::Broken(error.to_string()),
            other if other.later() => Failure::Ledger(other.to_string()),
            other => Failure::never(other.to_string()),
        }
    }
}

/// How long to wait before the next try, by how many have failed: 30 s, doubled up to 30 min.
pub fn back_off(failures: u32) -> TimeDelta {
    TimeDelta::seconds((30_i64 << failures.min(6)).min(1800))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_and_ends_at_half_an_hour() {
        let seconds: Vec<i64> = (0..8).map(|it| back_off(it).num_seconds()).collect();

        assert_eq!(seconds, [30, 60, 120, 240, 480, 960, 1800, 1800]);
    }
}
