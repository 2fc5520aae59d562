//! How a run waits between its rings: for a ring's bake time, or for a person.

use chrono::{DateTime, TimeDelta, Utc};

use super::{LAST, Run, Stage, Stamp, State};
use crate::wake::{Function, Task};

impl State {
    /// Whether a ring is perhaps being released now: it was asked for, or a write of its version is
    /// unanswered. What came of that is known before another run takes its place.
    pub fn is_releasing(&self) -> bool {
        let Some(run) = &self.releasing else { return false };
        match run.stage {
            Stage::Releasing { .. } => true,
            Stage::Replicated { .. } => self.intents.contains_key(&run.version.to_string()),
            // What is unanswered before the rings hides the version; and nothing is, once it waits
            // for a person.
            _ => false,
        }
    }
}

impl Run {
    /// Waits until `ring` may be released: its bake time counts from `stamp`. Past the last ring
    /// nothing is wanted any more.
    pub(super) fn wait_for_ring(&mut self, ring: usize, stamp: Stamp) {
        self.look_at_ring(ring, stamp.at, stamp);
    }

    /// Stops before `ring`. What time alone ends waits for its time; the rest waits for a person.
    pub(super) fn pause(
        &mut self,
        ring: usize,
        because: &str,
        until: Option<DateTime<Utc>>,
        stamp: Stamp,
    ) {
        let (since, asked) = match self.stage {
            Stage::Replicated { since, .. } => (since, false),
            _ => (stamp.at, true),
        };
        self.stage = match until {
            Some(_) => Stage::Replicated { ring, since },
            None => Stage::Paused { ring, since, because: because.to_owned(), asked },
        };
        let (seq, function) = (stamp.seq, Function::ReleaseVersion);
        self.task = until.map(|due| Task { seq, function, generation: 0, due });
    }

    /// Looks again at the ring that it waits before: a person has said something about it.
    pub(super) fn resume(&mut self, stamp: Stamp) {
        if let Stage::Replicated { ring, since } | Stage::Paused { ring, since, .. } = self.stage {
            self.look_at_ring(ring, since, stamp);
        }
    }

    /// Looks again at the ring that it waits before, when that look finds all that keeps it there.
    pub(super) fn judge_again(&mut self, stamp: Stamp) {
        if !matches!(self.stage, Stage::Paused { asked: true, .. }) {
            self.resume(stamp);
        }
    }

    /// Looks at `ring` now, or when it has baked since `since`: what looks at it sooner finds
    /// nothing, and would be woken for that.
    fn look_at_ring(&mut self, ring: usize, since: DateTime<Utc>, stamp: Stamp) {
        self.stage = Stage::Replicated { ring, since };
        self.task = self.plan.get(ring).map(|planned| {
            // Nobody released anything before the first ring that could bake.
            let hours = if ring == 0 { 0 } else { planned.bake_hours };
            let baked = since.checked_add_signed(TimeDelta::hours(i64::from(hours)));
            let due = baked.unwrap_or(LAST).max(stamp.at);
            Task { seq: stamp.seq, function: Function::ReleaseVersion, generation: 0, due }
        });
    }
}
