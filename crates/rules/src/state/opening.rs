//! How a run begins: triggers that wait want one, and it takes its number and the building slot.

use super::{Run, Stage, Stamp, State, Version};
use crate::VersionNumber;
use crate::event::PinnedBase;
use crate::standing::Standing;
use crate::wake::{Function, Task};

impl State {
    /// Wants a run for the triggers that wait, when the building slot is free.
    pub(super) fn open_next(&mut self, stamp: Stamp) {
        if self.pending.is_empty() || self.building.is_some() || self.opening.is_some() {
            return;
        }
        let function = Function::CreateTemplate;
        self.opening = Some(Task { seq: stamp.seq, function, generation: 0, due: stamp.at });
    }

    /// Takes the trigger with this id off those that wait; false when it is neither new nor among
    /// them.
    pub(super) fn account_for(&mut self, trigger: &str) -> bool {
        let new = self.learn_trigger(trigger);
        let waited = self.pending.iter().any(|it| it.id() == trigger);
        if !new && !waited {
            return false;
        }
        self.pending.retain(|it| it.id() != trigger);
        if self.pending.is_empty() {
            self.opening = None;
        }
        true
    }

    /// Puts `run` into the building slot; its number is used from now on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open_run(&mut self, run: Run) -> Result<(), &'static str> {
        if self.building.is_some() {
            return Err("another run is building");
        }
        if self.knows_version(run.version) {
            return Err("the number has been used");
        }
        let serves = |id: &String| self.pending.iter().any(|it| it.id() == *id);
        if run.triggers.is_empty() || !run.triggers.iter().all(serves) {
            return Err("it serves a trigger that does not wait");
        }
        self.pending.retain(|it| !run.triggers.contains(&it.id()));
        self.opening = None;
        self.versions.insert(
            run.version,
            Version {
                base: Some(run.base.clone()),
                why: Some(run.why.clone()),
                spec: Some(run.spec.clone()),
                opened_at: Some(run.opened_at),
                ..Version::standing(Standing::Candidate)
            },
        );
        self.building = Some(run);
        self.forget_versions();
        Ok(())
    }
}

impl Run {
    /// A run as it begins at `stamp`.
    pub(super) fn opened(
        version: VersionNumber,
        triggers: Vec<String>,
        why: String,
        base: PinnedBase,
        spec: String,
        template: String,
        stamp: Stamp,
    ) -> Run {
        let (seq, due, generation) = (stamp.seq, stamp.at, 0);
        Run {
            version,
            why,
            triggers,
            base,
            spec,
            template,
            opened_at: stamp.at,
            stage: Stage::Opened,
            task: Some(Task { seq, function: Function::CreateTemplate, generation, due }),
            template_requested_at: None,
            build_started_at: None,
            staging_group: None,
            tidied: false,
            hidden: false,
            report: None,
            plan: Vec::new(),
            region_failures: Default::default(),
            approvals: Default::default(),
        }
    }
}

impl Version {
    /// A version of which nothing is known but its standing.
    pub(super) fn standing(standing: Standing) -> Version {
        Version {
            standing,
            base: None,
            why: None,
            spec: None,
            opened_at: None,
            released_at: Default::default(),
            deprecated_at: None,
            condemned_as: standing.is_condemned().then_some(standing),
            reasons: Vec::new(),
            gate_passed: false,
            report: None,
            retiring: None,
            given_up: Default::default(),
        }
    }
}
