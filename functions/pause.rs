//! Until when this process leaves Azure alone after it was refused. Functions share no memory, but
//! the steps of one process may: each message of a backlog would else ask once to be refused itself,
//! and whoever asks before the time is up begins another wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rules::wake::Function;

/// No pause is longer: what was refused may be one resource's budget alone.
const LONGEST: TimeDelta = TimeDelta::minutes(2);

/// The pauses of this process, by function: each asks Azure for the same things, out of the same
/// budgets.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<BTreeMap<Function, DateTime<Utc>>>);

impl Pauses {
    /// Azure has refused `function` at `now`, and its message comes again at `until`.
    pub(crate) fn begin(&self, function: Function, now: DateTime<Utc>, until: DateTime<Utc>) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(function, until.min(now + LONGEST));
    }

    /// Until when `function` is to leave Azure alone, when that is after `now`.
    pub(crate) fn of(&self, function: Function, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(&function).copied().filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_of_one_function_ends_and_is_never_long() {
        let now: DateTime<Utc> = "2026-09-08T17:00:00Z".parse().unwrap();
        let after = |seconds| now + TimeDelta::seconds(seconds);
        let pauses = Pauses::default();
        pauses.begin(Function::FollowVersion, now, after(40));
        pauses.begin(Function::FollowBuild, now, after(3600));

        assert_eq!(pauses.of(Function::FollowVersion, after(39)), Some(after(40)));
        assert_eq!(pauses.of(Function::FollowVersion, after(40)), None);
        assert_eq!(pauses.of(Function::FollowBuild, now), Some(after(120)), "not an hour");
        assert_eq!(pauses.of(Function::TidyBuild, now), None, "it has budgets of its own");
    }
}
