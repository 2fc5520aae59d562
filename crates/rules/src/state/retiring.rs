//! How a version's retirement begins, and the one that may not wait: that nobody gets it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{GivenUp, Retiring, Stamp, State, Version};
use crate::VersionNumber;
use crate::event::Retirement;
use crate::standing::Standing;
use crate::wake::{Function, Task};

impl State {
    /// Wants one stage of the retirement of `version`, which has `standing` when nothing is known
    /// of it yet.
    ///
    /// # Errors
    /// What is wrong with that, when a run or another retirement of it is under way.
    pub(super) fn retire(
        &mut self,
        version: VersionNumber,
        stage: Retirement,
        standing: Standing,
        reasons: &[String],
        stamp: Stamp,
    ) -> Result<(), &'static str> {
        if self.run(version).is_some() {
            return Err("its run is open");
        }
        let function = match stage {
            Retirement::Deprecate => Function::DeprecateVersion,
            Retirement::Trim => Function::TrimVersion,
            Retirement::Delete => Function::DeleteVersion,
        };
        let adopted = || Version::standing(standing);
        let known = self.versions.entry(version).or_insert_with(adopted);
        if known.retiring.as_ref().is_some_and(|it| it.stage != stage || !it.requested) {
            return Err("it is being retired");
        }
        // Somebody has restored it, and that does not make it any better.
        if let (Standing::Deleted, Some(as_before)) = (known.standing, known.condemned_as) {
            known.standing = as_before;
        }
        let reasons = reasons.to_vec();
        // Due again, since what was asked for has not come: each time later than before.
        let tries = known.retiring.as_ref().map_or(0, |it| it.tries + 1);
        let due = stamp.at + again_after(tries);
        let task = Task { seq: stamp.seq, function, generation: 0, due };
        known.retiring = Some(Retiring { stage, reasons, requested: false, tries, task });
        Ok(())
    }

    /// The retirement of `version` that is at `stage`.
    pub(super) fn retiring_mut(
        &mut self,
        version: VersionNumber,
        stage: Retirement,
    ) -> Option<&mut Retiring> {
        let retiring = self.versions.get_mut(&version)?.retiring.as_mut()?;
        (retiring.stage == stage).then_some(retiring)
    }
}

impl Version {
    /// `stage` has come true; what was given up of it or of an earlier one is over.
    pub(super) fn retired(&mut self, stage: Retirement) {
        self.retiring = None;
        self.given_up.retain(|it, _| *it > stage);
    }

    /// Remembers that `stage` was given up.
    pub(super) fn remember_given_up(&mut self, stage: Retirement, reason: &str, stamp: Stamp) {
        let times = self.given_up.get(&stage).map_or(1, |it| it.times.saturating_add(1));
        let why = reason.to_owned();
        self.given_up.insert(stage, GivenUp { times, at: stamp.at, why });
    }
}

impl GivenUp {
    /// When it may be wanted again: a day later, twice as long each time, at most 32 days. To give up
    /// costs dozens of entries and a notice, and what it waits for is a person, who takes a lock away.
    pub fn again_at(&self) -> DateTime<Utc> {
        self.at + TimeDelta::days(1 << self.times.saturating_sub(1).min(5))
    }
}

/// How long a stage of retirement waits that has not come true so many times: not at all at first,
/// then five minutes, twice as long each time, at most a day.
pub(super) fn again_after(tries: u32) -> TimeDelta {
    match tries {
        0 => TimeDelta::zero(),
        tries => TimeDelta::minutes(5 << (tries - 1).min(9)).min(TimeDelta::days(1)),
    }
}

/// The wish that nobody gets a version.
pub(super) fn hide_now(reasons: Vec<String>, stamp: Stamp) -> Retiring {
    let function = Function::DeprecateVersion;
    let task = Task { seq: stamp.seq, function, generation: 0, due: stamp.at };
    Retiring { stage: Retirement::Deprecate, reasons, requested: false, tries: 0, task }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    /// A version of the gallery whose deletion was given up so many times, an hour after it was due.
    fn given_up(times: u32, standing: Standing) -> State {
        let mut state = State::default();
        let mut then = |seq: u64, hour: u64, event: Event| {
            let at = at() + TimeDelta::hours(i64::try_from(hour).unwrap());
            state = std::mem::take(&mut state).after(Stamp { seq, at }, &event).unwrap();
        };
        for round in 0..u64::from(times) {
            let (version, stage) = (number(), Retirement::Delete);
            let due = Event::RetirementDue { version, stage, standing, reasons: Vec::new() };
            then(3 * round + 1, round, due);
            let (seq, function) = (3 * round + 1, Function::DeleteVersion);
            let reason = "it is locked".to_owned();
            then(3 * round + 2, round + 1, Event::StepFailed { seq, function, reason });
            // One that nobody may get is hidden meanwhile.
            if standing == Standing::Rejected {
                then(
                    3 * round + 3,
                    round + 1,
                    Event::VersionDeprecated { version, reasons: vec![] },
                );
            }
        }
        state
    }

    fn number() -> VersionNumber {
        "1.0.0".parse().unwrap()
    }

    fn at() -> DateTime<Utc> {
        "2026-09-08T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_was_given_up_is_wanted_again_later_each_time_and_within_32_days() {
        for (times, days) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 32), (u32::MAX, 32)] {
            let given_up = GivenUp { times, at: at(), why: String::new() };

            assert_eq!(given_up.again_at(), at() + TimeDelta::days(days), "{times}");
        }
    }

    #[test]
    fn what_was_given_up_is_remembered_until_it_comes_true() {
        for standing in [Standing::Deprecated, Standing::Rejected] {
            let state = given_up(3, standing);
            let known = &state.versions[&number()];
            assert_eq!(known.retiring, None);
            let at = at() + TimeDelta::hours(3);
            let why = "it is locked".to_owned();
            let expected = GivenUp { times: 3, at, why };
            assert_eq!(known.given_up, [(Retirement::Delete, expected)].into(), "{standing}");

            let deleted = Event::VersionDeleted { version: number(), reasons: Vec::new() };
            let state = state.after(Stamp { seq: 99, at }, &deleted).unwrap();
            assert_eq!(state.versions[&number()].given_up, Default::default());
        }
    }

    #[test]
    fn that_nobody_gets_a_version_is_never_given_up() {
        let mut state = given_up(1, Standing::Rejected);
        let (version, stage, standing) = (number(), Retirement::Deprecate, Standing::Rejected);
        let due = Event::RetirementDue { version, stage, standing, reasons: Vec::new() };
        state = state.after(Stamp { seq: 7, at: at() }, &due).unwrap();
        let (function, reason) = (Function::DeprecateVersion, "it is locked".to_owned());
        let failed = Event::StepFailed { seq: 7, function, reason };

        state = state.after(Stamp { seq: 8, at: at() }, &failed).unwrap();

        let known = &state.versions[&version];
        assert!(known.retiring.is_some());
        assert!(!known.given_up.contains_key(&stage));
    }
}
