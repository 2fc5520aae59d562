//! How a version's retirement begins, and the one that may not wait: that nobody gets it.

use chrono::TimeDelta;

use super::{Retiring, Stamp, State, Version};
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
