//! How a run waits between its rings: for a ring's bake time, or for a person.

use chrono::TimeDelta;

use super::{LAST, Run, Stage, Stamp};
use crate::wake::{Function, Task};

impl Run {
    /// Waits until `ring` may be released: its bake time counts from `stamp`. Past the last ring
    /// nothing is wanted any more.
    pub(super) fn wait_for_ring(&mut self, ring: usize, stamp: Stamp) {
        self.stage = Stage::Replicated { ring, since: stamp.at };
        self.task = self.plan.get(ring).map(|planned| {
            // Nobody released anything before the first ring that could bake.
            let hours = if ring == 0 { 0 } else { planned.bake_hours };
            let due = stamp.at.checked_add_signed(TimeDelta::hours(i64::from(hours)));
            let due = due.unwrap_or(LAST);
            Task { seq: stamp.seq, function: Function::ReleaseVersion, generation: 0, due }
        });
    }

    /// Looks again at a ring that waited for a person.
    pub(super) fn resume(&mut self, stamp: Stamp) {
        let Stage::Paused { ring, since, .. } = self.stage else { return };
        self.stage = Stage::Replicated { ring, since };
        let function = Function::ReleaseVersion;
        self.task = Some(Task { seq: stamp.seq, function, generation: 0, due: stamp.at });
    }
}
