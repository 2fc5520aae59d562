//! What a state still owes: every message that must be sent, found again at any time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Claim, Stage, State};
use crate::event::Operation;
use crate::wake::{Function, Subject, Task, Wake};

/// A step that looks but once has answered after so long.
const ANSWERS_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// So long at most a report is waited for before the chain of looks for it counts as broken: it may
/// be waited for for a week, of which a look every few minutes says nothing.
const LONGEST_SILENCE: TimeDelta = TimeDelta::hours(12);

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

    /// Until when nothing is wrong with a wish that is not fulfilled: what it waits for may come by
    /// then.
    pub fn waits_until(&self, wake: &Wake) -> Option<DateTime<Utc>> {
        let Subject::Run(version) = wake.subject else { return None };
        match self.run(version)?.stage {
            Stage::ScanRequested { due_by, .. } => Some(due_by),
            _ => None,
        }
    }

    /// What has been due for longer than its function's patience and what it waits for: a message
    /// was lost, or its chain of looks broke off.
    pub fn overdue(&self, now: DateTime<Utc>) -> Vec<Wake> {
        let late = |wake: &Wake| {
            let wait = self.waits_until(wake).map(|it| it - wake.task.due).unwrap_or_default();
            let wait = wait.clamp(TimeDelta::zero(), LONGEST_SILENCE);
            let patience = wake.task.function.patience() + wait;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, PinnedBase};
    use crate::state::Stamp;

    fn at(minute: i64) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-09-08T00:00:00Z".parse().unwrap();
        start + TimeDelta::minutes(minute)
    }

    /// A run whose report was asked for at minute 0 and may come for so many.
    fn waiting(minutes: i64) -> State {
        let version = "1.0.0".parse().unwrap();
        let base = PinnedBase::Platform { version: "1.2.3".to_owned() };
        let (why, spec, template) = ("base".to_owned(), "spec".to_owned(), "web-1-0-0".to_owned());
        let trigger = crate::trigger::Trigger::Base { version: "1.2.3".to_owned() };
        let triggers = vec![trigger.id()];
        let story = [
            Event::ImageAdopted {},
            Event::TriggerAccepted { trigger },
            Event::RunOpened { version, triggers, why, base, spec, template },
            Event::TemplateRequested { version, look_at: at(0) },
            Event::BuildStarted { version, look_at: at(0) },
            Event::ImageBuilt { version, minutes: 15, staging_group: None },
            Event::ScanRequested { version, report: "inbox".to_owned(), due_by: at(minutes) },
        ];
        let numbered = story.iter().zip(1..);
        numbered.fold(State::default(), |state, (event, seq)| {
            state.after(Stamp { seq, at: at(0) }, event).unwrap()
        })
    }

    #[test]
    fn a_report_is_overdue_when_it_is_and_its_chain_of_looks_within_half_a_day() {
        let table = [(1, 46), (60, 105), (720, 765), (10_080, 765)];
        for (within, overdue) in table {
            let state = waiting(within);
            assert_eq!(state.overdue(at(overdue)), [], "{within}");
            assert_eq!(state.overdue(at(overdue + 1)).len(), 1, "{within}");
        }
    }

    #[test]
    fn a_report_that_may_take_a_week_is_looked_for_again_a_dozen_times() {
        let mut state = waiting(10_080);
        let mut woken = 0;
        for minute in (0..10_080).step_by(15) {
            for wish in state.overdue(at(minute)) {
                assert_eq!(state.waits_until(&wish), Some(at(10_080)));
                woken += 1;
                let (seq, function) = (wish.task.seq, wish.task.function);
                let event = Event::RunWoken { seq, function, generation: woken };
                let stamp = Stamp { seq: 7 + u64::from(woken), at: at(minute) };
                state = state.after(stamp, &event).unwrap();
            }
        }

        assert_eq!(woken, 12);
    }
}
