//! The one transition function: one match over every event, live and on replay. What a run is made
//! of when it opens, waits, ends or is retired stands beside it.

use super::retiring::hide_now;
use super::{
    ChildrenDue, Claim, Hold, LAST, Notice, OpenIntent, Pin, Plan, Run, Stage, Stamp, State,
    WrongMove,
};
use crate::VersionNumber;
use crate::event::{Event, Retirement};
use crate::standing::Standing;
use crate::wake::{Function, Task};

/// The most minutes that a build can have taken: Image Builder gives up after 960.
const LONGEST_BUILD: i64 = 960;

impl State {
    /// Returns the state after `event`, which is part of the entry `stamp`.
    ///
    /// # Errors
    /// [`WrongMove`] when `event` cannot follow what has happened; the entry must not be written.
    pub fn after(mut self, stamp: Stamp, event: &Event) -> Result<State, WrongMove> {
        let stamp = Stamp { at: stamp.at.min(LAST), ..stamp };
        let wrong = |because: &str| Err(WrongMove::new(event, because.to_owned()));
        let soon = |function| Task { seq: stamp.seq, function, generation: 0, due: stamp.at };
        let later = |function, due| Task { seq: stamp.seq, function, generation: 0, due };

        match event {
            Event::ImageAdopted {} => {
                self.adopted_at.get_or_insert(stamp.at);
                self.schedule_cursor.get_or_insert(stamp.at);
            }
            Event::ScheduleJudged { through } => {
                if self.schedule_cursor.is_some_and(|cursor| cursor >= *through) {
                    return wrong("these occurrences have been judged");
                }
                self.schedule_cursor = Some(*through);
                self.forget_occurrences(*through);
            }
            Event::TriggerAccepted { trigger } => {
                if !self.learn_trigger(&trigger.id()) {
                    return wrong("the trigger is known");
                }
                if let crate::trigger::Trigger::Person { .. } = trigger {
                    self.failures_in_a_row = 0;
                }
                self.pending.push(trigger.clone());
                self.open_next(stamp);
            }
            Event::TriggerCoalesced { trigger, into: _ } => {
                if !self.account_for(trigger) {
                    return wrong("the trigger is accounted for");
                }
            }
            Event::TriggerRefused { trigger, because: _ } => {
                if !self.account_for(&trigger.id()) {
                    return wrong("the trigger is accounted for");
                }
            }

            Event::RunOpened { version, triggers, why, base, spec, template } => {
                let (triggers, why, base) = (triggers.clone(), why.clone(), base.clone());
                let (spec, template) = (spec.clone(), template.clone());
                let run = Run::opened(*version, triggers, why, base, spec, template, stamp);
                if let Err(because) = self.open_run(run) {
                    return wrong(because);
                }
            }
            Event::IntentRecorded { target, operation, send_before, .. } => {
                if let Claim::NotBefore(_) = self.claim(target, stamp.at) {
                    return wrong("an intent for the same thing is open");
                }
                let (operation, seq, send_before) = (*operation, stamp.seq, *send_before);
                let intent = OpenIntent { operation, seq, send_before };
                self.intents.insert(target.clone(), intent);
            }
            Event::EffectSettled { target, operation, outcome: _ } => {
                let open = self.intents.remove(target);
                if open.is_none_or(|it| it.operation != *operation) {
                    return wrong("no such intent is open");
                }
            }

            Event::TemplateRequested { version, look_at } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::Opened)?;
                run.stage = Stage::TemplateRequested;
                run.template_requested_at = Some(stamp.at);
                run.task = Some(later(Function::StartBuild, *look_at));
            }
            Event::BuildStarted { version, look_at } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::TemplateRequested)?;
                run.stage = Stage::Building;
                run.build_started_at = Some(stamp.at);
                run.task = Some(later(Function::FollowBuild, *look_at));
            }
            Event::ImageBuilt { version, minutes, staging_group } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::Building)?;
                run.stage = Stage::Built;
                run.staging_group = staging_group.clone();
                run.task = Some(soon(Function::StartScan));
                self.build_minutes = Some((*minutes).clamp(0, LONGEST_BUILD));
            }
            Event::BuildFailed { version, reason, published, staging_group } => {
                let early = |it: &Stage| {
                    matches!(it, Stage::Opened | Stage::TemplateRequested | Stage::Building)
                };
                self.in_stage(*version, event, early)?.staging_group = staging_group.clone();
                self.fail(*version, reason, *published, stamp);
            }
            Event::ScanRequested { version, report, due_by } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::Built)?;
                run.stage = Stage::ScanRequested { report: report.clone(), due_by: *due_by };
                run.task = Some(soon(Function::FollowScan));
            }
            Event::ImageScanned { version, report, .. } => {
                let waiting = |it: &Stage| matches!(it, Stage::ScanRequested { .. });
                let run = self.in_stage(*version, event, waiting)?;
                run.stage = Stage::Scanned;
                run.report = Some(report.clone());
                run.task = Some(soon(Function::JudgeImage));
                self.version_mut(*version).report = Some(report.clone());
            }
            Event::ScanMissing { version, because } => {
                let waiting = |it: &Stage| matches!(it, Stage::ScanRequested { .. });
                let run = self.in_stage(*version, event, waiting)?;
                run.stage = Stage::ScanMissing { because: because.clone() };
                run.task = Some(soon(Function::JudgeImage));
            }
            Event::CandidateHidden { version } => {
                let waits = |it: &Stage| {
                    use Stage::{Built, ScanMissing, ScanRequested, Scanned};
                    matches!(it, Built | ScanRequested { .. } | Scanned | ScanMissing { .. })
                };
                self.in_stage(*version, event, waits)?.hidden = true;
            }
            Event::GatePassed { version, reasons, plan } => {
                if self.releasing.is_some() {
                    return wrong("another run is in its rings");
                }
                self.in_stage(*version, event, |it| *it == Stage::Scanned)?;
                if plan.is_empty() {
                    return wrong("no ring is planned");
                }
                let Some(mut run) = self.building.take() else { return wrong("no run builds") };
                run.stage = Stage::Passed;
                run.task = Some(soon(Function::ReplicateVersion));
                run.plan = plan.clone();
                self.releasing = Some(run);
                let known = self.version_mut(*version);
                known.standing = Standing::Passed;
                known.gate_passed = true;
                known.reasons = reasons.clone();
                self.open_next(stamp);
            }
            Event::ImageRejected { version, reasons } => {
                // Before the rings by the gate; in the rings when the policy has changed since.
                if self.run(*version).is_none() {
                    return wrong("no such run is open");
                }
                self.end(*version, stamp);
                let known = self.version_mut(*version);
                known.condemn(Standing::Rejected);
                known.gate_passed = false;
                known.reasons = reasons.clone();
                // Hidden everywhere, whatever a ring has lifted, and its tags say why.
                known.retiring = Some(hide_now(reasons.clone(), stamp));
            }
            Event::RunSuperseded { version, by } => {
                if self.releasing.as_ref().is_none_or(|run| run.version != *version) {
                    return wrong("it is not in its rings");
                }
                self.end(*version, stamp);
                let known = self.version_mut(*version);
                known.reasons = vec![format!("superseded by {by}")];
            }

            Event::ReplicationRequested { version, look_at } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::Passed)?;
                run.stage = Stage::Replicating;
                run.task = Some(later(Function::FollowVersion, *look_at));
            }
            Event::RegionFailed { version, region, details } => {
                let wanted = |it: &Stage| {
                    matches!(it, Stage::Replicating | Stage::Passed | Stage::Replicated { .. })
                };
                let run = self.in_stage(*version, event, wanted)?;
                let failures = run.region_failures.entry(region.clone()).or_default();
                failures.times += 1;
                failures.why.clone_from(details);
                // Whoever looks at a ring has asked for its regions again.
                if !matches!(run.stage, Stage::Replicated { .. }) {
                    run.stage = Stage::Passed;
                    run.task = Some(soon(Function::ReplicateVersion));
                }
            }
            Event::VersionReplicated { version, regions: _ } => {
                let run = self.in_stage(*version, event, |it| *it == Stage::Replicating)?;
                run.region_failures.clear();
                run.wait_for_ring(0, stamp);
                // Completed at home: the version no longer needs what the build has left behind.
                self.tidy(*version, stamp);
            }
            Event::ReleaseRequested { version, ring, look_at } => {
                let ready =
                    |it: &Stage| matches!(it, Stage::Replicated { ring: r, .. } if r == ring);
                let run = self.in_stage(*version, event, ready)?;
                run.stage = Stage::Releasing { ring: *ring };
                run.task = Some(later(Function::FollowVersion, *look_at));
            }
            Event::ReleasePaused { version, ring, because, until } => {
                // Before it was asked for; or after, when somebody else changed the version.
                let waits = |it: &Stage| match it {
                    Stage::Replicated { ring: r, .. } | Stage::Releasing { ring: r } => r == ring,
                    _ => false,
                };
                self.in_stage(*version, event, waits)?.pause(*ring, because, *until, stamp);
            }
            Event::RingReleased { version, ring, name: _, regions } => {
                let asked = |it: &Stage| matches!(it, Stage::Releasing { ring: r } if r == ring);
                let run = self.in_stage(*version, event, asked)?;
                run.wait_for_ring(ring + 1, stamp);
                let known = self.version_mut(*version);
                known.standing = Standing::Released;
                for region in regions {
                    known.released_at.entry(region.clone()).or_insert(stamp.at);
                }
            }
            Event::RunReleased { version } => {
                let last = self.run(*version).map(|run| run.plan.len());
                let done = |it: &Stage| matches!(it, Stage::Replicated { ring, .. } if Some(*ring) == last);
                self.in_stage(*version, event, done)?;
                self.end(*version, stamp);
                self.failures_in_a_row = 0;
            }
            Event::RunFailed { version, reason } => {
                let Some(run) = self.run(*version) else { return wrong("no such run is open") };
                let there = self.may_have_published(run);
                self.fail(*version, reason, there, stamp);
            }

            Event::ChildrenDue { version, children } => {
                let task = soon(Function::ReceiveEvents);
                let children = children.clone();
                self.children.push(ChildrenDue { version: *version, children, task });
            }
            Event::ChildrenTold { version } => {
                if !self.children.iter().any(|it| it.version == *version) {
                    return wrong("no children wait for it");
                }
                self.children.retain(|it| it.version != *version);
            }
            Event::TidyRequested { version, logs: _, look_at } => {
                let tidying = self.tidying.iter_mut().find(|it| it.version == *version);
                let Some(tidying) = tidying else { return wrong("nothing is to be tidied") };
                tidying.requested = true;
                tidying.task = later(Function::TidyBuild, *look_at);
            }
            Event::BuildTidied { version } => {
                if !self.tidying.iter().any(|it| it.version == *version) {
                    return wrong("nothing is to be tidied");
                }
                self.tidying.retain(|it| it.version != *version);
            }

            Event::ApprovalGranted { version, ring, by } => {
                let Some(run) = self.run_mut(*version) else { return wrong("no such run is open") };
                run.approvals.insert(*ring, by.clone());
                run.region_failures.clear();
                run.resume(stamp);
            }
            Event::ImageHeld { by, why, until } => {
                self.hold = Some(Hold { by: by.clone(), why: why.clone(), until: *until });
                if let Some(run) = &mut self.releasing {
                    run.judge_again(stamp);
                }
            }
            Event::ImageResumed { by: _ } => {
                if self.hold.take().is_none() {
                    return wrong("it is not held");
                }
                if let Some(run) = &mut self.releasing {
                    run.resume(stamp);
                }
            }
            Event::VersionPinned { version, by, why, until } => {
                let pin = Pin { by: by.clone(), why: why.clone(), until: *until };
                self.pins.insert(*version, pin);
            }
            Event::VersionUnpinned { version, by: _ } => {
                if self.pins.remove(version).is_none() {
                    return wrong("it is not pinned");
                }
            }
            Event::VersionRevoked { version, by, why } => {
                let reason = format!("revoked by {by}: {why}");
                self.revoke(*version, reason, stamp);
            }

            Event::VersionsJudged { kept } => {
                self.kept = kept.clone();
                self.highest_met = self.highest_met.max(kept.keys().next_back().copied());
                self.judged_at = Some(stamp.at);
            }
            Event::RetirementDue { version, stage, standing, reasons } => {
                if let Err(because) = self.retire(*version, *stage, *standing, reasons, stamp) {
                    return wrong(because);
                }
            }
            Event::RetirementRequested { version, stage, look_at } => {
                let Some(retiring) = self.retiring_mut(*version, *stage) else {
                    return wrong("it is not due");
                };
                retiring.requested = true;
                retiring.task = later(Function::FollowVersion, *look_at);
            }
            Event::RetirementRefused { version, stage, reasons } => {
                if self.retiring_mut(*version, *stage).is_none() {
                    return wrong("it is not due");
                }
                let known = self.version_mut(*version);
                known.retiring = None;
                self.kept.insert(*version, reasons.clone());
            }
            Event::VersionDeprecated { version, reasons } => {
                let known = self.version_mut(*version);
                known.retired(Retirement::Deprecate);
                known.deprecated_at.get_or_insert(stamp.at);
                if matches!(known.standing, Standing::Passed | Standing::Released) {
                    known.standing = Standing::Deprecated;
                    known.reasons = reasons.clone();
                }
            }
            Event::VersionTrimmed { version } => {
                if self.retiring_mut(*version, Retirement::Trim).is_none() {
                    return wrong("it is not due");
                }
                let known = self.version_mut(*version);
                known.retired(Retirement::Trim);
                if known.standing == Standing::Deprecated {
                    known.standing = Standing::Trimmed;
                }
            }
            Event::VersionDeleted { version, reasons } => {
                let known = self.version_mut(*version);
                known.retired(Retirement::Delete);
                known.standing = Standing::Deleted;
                known.reasons = reasons.clone();
                self.kept.remove(version);
                self.forget_versions();
            }

            Event::NoticeDue { text } => {
                let (text, task) = (text.clone(), soon(Function::Notify));
                self.notices.push(Notice { text, at: stamp.at, task });
            }
            Event::PeopleTold { seq } => {
                if !self.notices.iter().any(|it| it.task.seq == *seq) {
                    return wrong("nothing is to be told");
                }
                self.notices.retain(|it| it.task.seq != *seq);
            }
            Event::RunWoken { seq, function, generation } => {
                let of = |task: &&mut Task| task.seq == *seq && task.function == *function;
                let Some(task) = self.tasks_mut().find(of) else {
                    return wrong("nobody wants it any more");
                };
                if *generation <= task.generation {
                    return wrong("the generation is not above the last");
                }
                task.generation = *generation;
                task.due = stamp.at;
            }
            Event::StepFailed { seq, function, reason } => {
                if let Err(because) = self.give_up(*seq, *function, reason, stamp) {
                    return wrong(because);
                }
            }

            Event::CatalogPublished { catalog } => self.catalog = Some(catalog.clone()),
            Event::DeletionPlanProposed { plan, deletions } => {
                let (seq, deletions) = (stamp.seq, *deletions);
                let proposed = Plan { seq, deletions, approved_by: None };
                self.plans.entry(plan.clone()).or_insert(proposed);
                self.forget_plans();
            }
            Event::DeletionPlanApproved { plan, by } => {
                let Some(plan) = self.plans.get_mut(plan) else {
                    return wrong("no such plan was proposed");
                };
                plan.approved_by = Some(by.clone());
            }
        }

        Ok(self)
    }

    /// The run of `version`, when its stage is as `expected`.
    fn in_stage(
        &mut self,
        version: VersionNumber,
        event: &Event,
        expected: impl Fn(&Stage) -> bool,
    ) -> Result<&mut Run, WrongMove> {
        let wrong = |because: String| WrongMove::new(event, because);
        let Some(run) = self.run_mut(version) else {
            return Err(wrong(format!("no run of {version} is open")));
        };
        if !expected(&run.stage) {
            return Err(wrong(format!("the run of {version} is {:?}", run.stage)));
        }
        Ok(run)
    }
}
