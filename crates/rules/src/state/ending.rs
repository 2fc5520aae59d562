//! How what is under way ends: a run, well or badly, and a wish that can never be fulfilled.

use chrono::TimeDelta;

use super::retiring::{again_after, hide_now};
use super::{OpenIntent, Run, Stage, Stamp, State, Tidying};
use crate::VersionNumber;
use crate::event::{Operation, Retirement};
use crate::standing::Standing;
use crate::wake::{Function, Subject, Task, Wake};

/// How long to wait before a version that could not be hidden is hidden again.
const HIDE_AGAIN_AFTER: TimeDelta = TimeDelta::minutes(30);

impl State {
    /// Wants the build of `version` cleaned up, once.
    pub(super) fn tidy(&mut self, version: VersionNumber, stamp: Stamp) {
        let Some(run) = self.run_mut(version).filter(|run| !run.tidied) else { return };
        run.tidied = true;
        let (template, staging_group) = (run.template.clone(), run.staging_group.clone());
        let function = Function::TidyBuild;
        let task = Task { seq: stamp.seq, function, generation: 0, due: stamp.at };
        self.tidying.push(Tidying { version, template, staging_group, requested: false, task });
    }

    /// Takes the run of `version` out of its slot. However it ends, its build is cleaned up.
    pub(super) fn end(&mut self, version: VersionNumber, stamp: Stamp) {
        self.tidy(version, stamp);
        for slot in [&mut self.building, &mut self.releasing] {
            if slot.as_ref().is_some_and(|run| run.version == version) {
                *slot = None;
            }
        }
        self.open_next(stamp);
    }

    /// Ends the run of `version`. `there` says whether there may be a version all the same: it was
    /// never proven then, and is hidden whatever Azure has made of its flags.
    pub(super) fn fail(&mut self, version: VersionNumber, reason: &str, there: bool, stamp: Stamp) {
        self.failures_in_a_row += 1;
        self.end(version, stamp);
        let known = self.version_mut(version);
        let reasons = vec![reason.to_owned()];
        known.reasons = reasons.clone();
        // What a ring offers already stays offered: the gate has passed it.
        if !known.released_at.is_empty() {
            return;
        }
        known.condemn(Standing::Failed);
        if there {
            known.retiring = Some(hide_now(reasons, stamp));
        }
    }

    /// Whether there may be a version of `run` in the gallery, now or soon: its build was started, or
    /// asked for and nobody knows what came of that.
    pub fn may_have_published(&self, run: &Run) -> bool {
        let asked = |it: &OpenIntent| it.operation == Operation::RunTemplate;
        match run.stage {
            Stage::Opened | Stage::TemplateRequested => {
                self.intents.get(&run.template).is_some_and(asked)
            }
            _ => true,
        }
    }

    /// Takes `version` back from everybody, for good; one that was deleted too, since somebody may
    /// have restored it.
    pub(super) fn revoke(&mut self, version: VersionNumber, reason: String, stamp: Stamp) {
        self.end(version, stamp);
        let known = self.version_mut(version);
        known.condemn(Standing::Revoked);
        known.gate_passed = false;
        known.reasons = vec![reason.clone()];
        known.retiring = Some(hide_now(vec![reason], stamp));
    }

    /// Ends what the task was about, since its step can never succeed.
    pub(super) fn give_up(
        &mut self,
        seq: u64,
        function: Function,
        reason: &str,
        stamp: Stamp,
    ) -> Result<(), &'static str> {
        let of = |it: &Wake| it.task.seq == seq && it.task.function == function;
        let Some(wake) = self.wants().into_iter().find(of) else {
            return Err("nobody wants it any more");
        };
        match wake.subject {
            // Its triggers are refused one by one, each with the reason. They are no failed runs: when
            // what keeps the run from opening is cured, the next trigger opens one.
            Subject::Opening => return Err("the triggers that wait for it are not accounted for"),
            Subject::Run(version) => {
                let there = self.run(version).is_some_and(|run| self.may_have_published(run));
                self.fail(version, reason, there, stamp);
            }
            Subject::Build(version) => self.tidying.retain(|it| it.version != version),
            Subject::Retirement(version) => {
                let known = self.version_mut(version);
                let condemned = known.is_condemned();
                let stage = known.retiring.as_ref().map(|it| it.stage);
                if let Some(stage) = stage.filter(|it| !condemned || *it != Retirement::Deprecate) {
                    known.remember_given_up(stage, reason, stamp);
                }
                // The wish that nobody gets an unproven version is never given up, not even when it
                // was to be deleted.
                if let (true, Some(retiring)) = (condemned, &mut known.retiring) {
                    retiring.tries += 1;
                    let due = stamp.at + HIDE_AGAIN_AFTER.max(again_after(retiring.tries));
                    let (seq, generation) = (stamp.seq, 0);
                    let function = Function::DeprecateVersion;
                    retiring.stage = Retirement::Deprecate;
                    retiring.requested = false;
                    retiring.task = Task { seq, function, generation, due };
                    return Ok(());
                }
                known.retiring = None;
                self.kept.insert(version, vec![reason.to_owned()]);
            }
            Subject::Children(version) => self.children.retain(|it| it.version != version),
            Subject::Notice(seq) => self.notices.retain(|it| it.task.seq != seq),
        }
        Ok(())
    }
}
