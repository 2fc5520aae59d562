//! What a state still owes: every message that must be sent, found again at any time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Claim, State};
use crate::event::Operation;
use crate::wake::{Function, Subject, Task, Wake};

/// A step that looks but once has answered after so long.
const ANSWERS_WITHIN: TimeDelta = TimeDelta::minutes(10);

impl State {
    /// Every message that must be sent. Sending one twice does no harm: it has the same id.
    pub fn wants(&self) -> Vec<Wake> {
        let wake = |task: &Task, subject| Wake { task: task.clone(), subject };
        let mut wants = Vec::new();

        wants.extend(self.opening.iter().map(|task| wake(task, Subject::Opening)));
        for run in self.runs() {
            wants.extend(run.task.iter().map(|task| wake(task, Subject::Run(run.version))));
        }
        for tidying in &self.tidying {
            wants.push(wake(&tidying.task, Subject::Build(tidying.version)));
        }
        for (number, version) in &self.versions {
            let task = version.retiring.iter().map(|it| &it.task);
            wants.extend(task.map(|task| wake(task, Subject::Retirement(*number))));
        }
        for children in &self.children {
            wants.push(wake(&children.task, Subject::Children(children.version)));
        }
        for notice in &self.notices {
            wants.push(wake(&notice.task, Subject::Notice(notice.task.seq)));
        }

        wants
    }

    /// The wish that a message speaks of; none when it was overtaken.
    pub fn wanted(&self, seq: u64, function: Function, generation: u32) -> Option<Wake> {
        self.wants().into_iter().find(|wake| {
            let task = &wake.task;
            task.seq == seq && task.function == function && task.generation == generation
        })
    }

    /// What has been due for longer than its function's patience: a message was lost, or its
    /// chain of looks broke off.
    pub fn overdue(&self, now: DateTime<Utc>) -> Vec<Wake> {
        let late = |wake: &Wake| {
            let patience = wake.task.function.patience();
            wake.task.due.checked_add_signed(patience).is_some_and(|it| now > it)
        };
        self.wants().into_iter().filter(late).collect()
    }

    /// What has been due for some minutes and is not overdue yet: the message may never have been
    /// sent, because the bus was ill when it was to be.
    pub fn unanswered(&self, now: DateTime<Utc>) -> Vec<Wake> {
        let since = now - ANSWERS_WITHIN;
        let waits = |wake: &Wake| {
            let task = &wake.task;
            let patience = task.due.checked_add_signed(task.function.patience());
            task.due < since && patience.is_none_or(|it| now <= it)
        };
        self.wants().into_iter().filter(waits).collect()
    }

    /// The wishes that an entry after `seq` has made, while nobody else would send them: whoever wrote it
    /// may have died first. Those that were woken, or are older, [`State::unanswered`] and
    /// [`State::overdue`] find.
    pub fn made_since(&self, seq: u64, now: DateTime<Utc>) -> Vec<Wake> {
        let since = now - ANSWERS_WITHIN;
        let is_new = |wake: &Wake| {
            wake.task.seq > seq && wake.task.generation == 0 && wake.task.due >= since
        };
        self.wants().into_iter().filter(is_new).collect()
    }

    /// Intents that nobody will ever tell the outcome of: their time has passed, and no step is owed
    /// that could come back to them.
    pub fn forgotten_intents(&self, now: DateTime<Utc>) -> Vec<(String, Operation)> {
        let forgotten = self.intents.iter().filter(|(target, intent)| {
            self.claim(target, now) == Claim::Free && !self.comes_back(target, intent.operation)
        });
        forgotten.map(|(target, intent)| (target.clone(), intent.operation)).collect()
    }

    /// Whether something is under way whose steps do `operation` to `target`.
    fn comes_back(&self, target: &str, operation: Operation) -> bool {
        match operation {
            Operation::CreateDefinition => self.opening.is_some() || !self.pending.is_empty(),
            Operation::CreateTemplate
            | Operation::RunTemplate
            | Operation::CancelTemplate
            | Operation::DeleteTemplate => {
                self.runs().any(|it| it.template == target)
                    || self.tidying.iter().any(|it| it.template == target)
            }
            Operation::UpdateVersion | Operation::DeleteVersion => {
                self.runs().any(|it| it.version.to_string() == target)
                    || self
                        .versions
                        .iter()
                        .any(|(number, it)| it.retiring.is_some() && number.to_string() == target)
            }
        }
    }

    pub(super) fn tasks_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        let runs = self.building.iter_mut().chain(&mut self.releasing);
        self.opening
            .iter_mut()
            .chain(runs.filter_map(|run| run.task.as_mut()))
            .chain(self.tidying.iter_mut().map(|it| &mut it.task))
            .chain(
                self.versions
                    .values_mut()
                    .filter_map(|it| it.retiring.as_mut())
                    .map(|it| &mut it.task),
            )
            .chain(self.children.iter_mut().map(|it| &mut it.task))
            .chain(self.notices.iter_mut().map(|it| &mut it.task))
    }
}
