//! What a state forgets, so that it does not grow with its image's history: every step reads it,
//! copies it and writes it, in the tenth year as on the first day. What is forgotten is over, and the
//! ledger still has it.

use chrono::{DateTime, Utc};

use super::{State, Version};
use crate::{ImageName, VersionNumber};

/// So many triggers are remembered, the newest: whatever tells of a reason to build tells of it again
/// within hours or days, not after hundreds of other reasons. Those of the schedule are known by how
/// far it was judged.
const TRIGGERS: usize = 256;

/// So many versions are remembered that are gone or were never there, the highest.
const GONE: usize = 64;

/// So many plans of deletions are remembered, the newest. A sweep proposes anew what it still finds.
const PLANS: usize = 32;

impl State {
    /// True when the trigger was accepted or refused before.
    pub fn knows_trigger(&self, id: &str) -> bool {
        let judged = occurrence(id).is_some_and(|it| self.schedule_cursor >= Some(it));
        judged
            || self.known_triggers.iter().any(|it| it == id)
            || self.pending.iter().any(|it| it.id() == id)
    }

    /// The newest version of `parent` that was accepted or refused as a trigger.
    pub fn heard_of(&self, parent: &ImageName) -> Option<VersionNumber> {
        self.heard.get(parent).copied()
    }

    /// True when the number is one that the ledger has spoken of, or is below those that it has
    /// forgotten.
    pub fn knows_version(&self, number: VersionNumber) -> bool {
        self.versions.contains_key(&number) || self.forgotten_through >= Some(number)
    }

    /// Remembers a trigger; false when it is known.
    pub(super) fn learn_trigger(&mut self, id: &str) -> bool {
        if self.knows_trigger(id) {
            return false;
        }
        if let Some((parent, version)) = of_parent(id) {
            let heard = self.heard.entry(parent).or_insert(version);
            *heard = version.max(*heard);
        }
        self.known_triggers.push(id.to_owned());
        let surplus = self.known_triggers.len().saturating_sub(TRIGGERS);
        self.known_triggers.drain(..surplus);
        true
    }

    /// Forgets the occurrences that were judged: how far that went says it.
    pub(super) fn forget_occurrences(&mut self, through: DateTime<Utc>) {
        self.known_triggers.retain(|id| occurrence(id).is_none_or(|it| it > through));
    }

    /// Forgets versions that are over, the lowest of many. The highest are kept, since the next number
    /// is above them.
    pub(super) fn forget_versions(&mut self) {
        let is_over = |number: &VersionNumber, version: &Version| {
            version.is_over() && self.run(*number).is_none() && !self.kept.contains_key(number)
        };
        let over = self.versions.iter().rev().filter(|(number, it)| is_over(number, it));
        let surplus: Vec<VersionNumber> = over.skip(GONE).map(|(number, _)| *number).collect();
        for number in surplus {
            self.versions.remove(&number);
            self.pins.remove(&number);
            self.forgotten_through = self.forgotten_through.max(Some(number));
        }
    }

    /// Forgets plans of deletions, the oldest of many.
    pub(super) fn forget_plans(&mut self) {
        while self.plans.len() > PLANS {
            let oldest = self.plans.iter().min_by_key(|(_, plan)| plan.seq);
            let Some(oldest) = oldest.map(|(digest, _)| digest.clone()) else { return };
            self.plans.remove(&oldest);
        }
    }
}

/// The occurrence of a schedule that the id of a trigger names.
fn occurrence(id: &str) -> Option<DateTime<Utc>> {
    id.strip_prefix("schedule:")?.parse().ok()
}

/// The parent, and the version of it, that the id of a trigger names.
fn of_parent(id: &str) -> Option<(ImageName, VersionNumber)> {
    let (image, version) = id.strip_prefix("parent:")?.split_once(':')?;
    Some((image.to_owned().try_into().ok()?, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{Event, PinnedBase};
    use crate::standing::Standing;
    use crate::state::Stamp;
    use crate::trigger::{Admission, Trigger, admit};

    /// An image that is built every day; each entry is an hour after the one before.
    struct Story {
        state: State,
        seq: u64,
    }

    fn adopted() -> Story {
        let mut story = Story { state: State::default(), seq: 0 };
        story.then(Event::ImageAdopted {});
        story
    }

    fn day(day: i64) -> DateTime<Utc> {
        let first: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        first + TimeDelta::days(day)
    }

    fn scheduled(on: i64) -> Trigger {
        Trigger::Schedule { occurrence: day(on), patch_tuesday: None }
    }

    fn number(minor: i64) -> VersionNumber {
        format!("1.{minor}.0").parse().unwrap()
    }

    impl Story {
        fn refused(&self, events: &[Event]) -> Option<String> {
            let stamp = Stamp { seq: self.seq + 1, at: day(0) };
            let after = |state: State, event: &Event| state.after(stamp, event);
            let wrong = events.iter().try_fold(self.state.clone(), after).err();
            wrong.map(|it| it.because)
        }

        fn then(&mut self, event: Event) {
            self.seq += 1;
            let at = day(0) + TimeDelta::hours(i64::try_from(self.seq).unwrap());
            let state = std::mem::take(&mut self.state);
            self.state = state.after(Stamp { seq: self.seq, at }, &event).unwrap();
        }

        fn opens(&mut self, minor: i64, trigger: Trigger) {
            let triggers = vec![trigger.id()];
            self.then(Event::TriggerAccepted { trigger });
            self.then(opened(minor, triggers));
        }

        /// A day: its occurrence is judged and built, and the build fails.
        fn lives(&mut self, on: i64) {
            self.opens(on, scheduled(on));
            self.then(Event::ScheduleJudged { through: day(on) });
            self.then(Event::RunFailed { version: number(on), reason: "exit 1".to_owned() });
            self.then(Event::BuildTidied { version: number(on) });
        }
    }

    fn opened(minor: i64, triggers: Vec<String>) -> Event {
        Event::RunOpened {
            version: number(minor),
            triggers,
            why: "scheduled".to_owned(),
            base: PinnedBase::Platform { version: "22.4.1".to_owned() },
            spec: "spec".to_owned(),
            template: format!("web-1-{minor}-0"),
        }
    }

    fn size(state: &State) -> usize {
        serde_json::to_string(state).unwrap().len()
    }

    #[test]
    fn a_state_is_no_larger_after_two_years_than_after_one() {
        let mut story = adopted();
        (1..=365).for_each(|on| story.lives(on));
        let after_one = size(&story.state);
        (366..=730).for_each(|on| story.lives(on));
        let after_two = size(&story.state);

        assert!(after_two < after_one + after_one / 20, "{after_one} bytes, then {after_two}");
    }

    #[test]
    fn an_occurrence_that_was_judged_is_never_accepted_again() {
        let mut story = adopted();
        (1..=20).for_each(|on| story.lives(on));

        assert!(story.state.known_triggers.is_empty(), "{:?}", story.state.known_triggers);
        assert_eq!(admit(&story.state, &scheduled(3)), Admission::Known);
        assert!(story.refused(&[Event::TriggerAccepted { trigger: scheduled(20) }]).is_some());
        assert_eq!(story.refused(&[Event::TriggerAccepted { trigger: scheduled(21) }]), None);
    }

    #[test]
    fn a_number_that_was_forgotten_is_never_used_again() {
        let mut story = adopted();
        (1..=100).for_each(|on| story.lives(on));
        assert!(!story.state.versions.contains_key(&number(7)), "it is forgotten");

        let trigger = scheduled(101);
        let triggers = vec![trigger.id()];
        let again = [Event::TriggerAccepted { trigger }, opened(7, triggers)];

        assert_eq!(story.refused(&again).as_deref(), Some("the number has been used"));
        let (number, newest) = story.state.newest_run().unwrap();
        assert_eq!((*number, newest.standing), (self::number(100), Standing::Failed));
    }

    #[test]
    fn a_version_that_a_sweep_still_meets_is_not_forgotten() {
        let mut story = adopted();
        (1..=3).for_each(|on| story.lives(on));
        let kept = [(number(2), vec!["its quarantine lasts".to_owned()])].into();
        story.then(Event::VersionsJudged { kept });
        (4..=200).for_each(|on| story.lives(on));

        let known = |minor| story.state.versions.contains_key(&number(minor));
        assert_eq!([1, 2, 3].map(known), [false, true, false]);
        assert!(story.state.knows_version(number(1)), "and its number is still known");
    }

    #[test]
    fn what_was_heard_of_a_parent_is_remembered_whatever_comes_after_it() {
        let parent: ImageName = "hardened".to_owned().try_into().unwrap();
        let from = |minor| {
            let image = parent.clone();
            Trigger::Parent { image, version: number(minor) }
        };
        let mut story = adopted();
        story.opens(1, from(9));
        for request in 0..300 {
            let request = request.to_string();
            let (by, why) = ("ada".to_owned(), String::new());
            story.then(Event::TriggerAccepted { trigger: Trigger::Person { request, by, why } });
        }

        assert!(story.state.known_triggers.len() <= TRIGGERS);
        assert_eq!(story.state.heard_of(&parent), Some(number(9)));
        let waits =
            Trigger::Person { request: "0".to_owned(), by: String::new(), why: String::new() };
        assert_eq!(admit(&story.state, &waits), Admission::Known, "it waits since the beginning");
    }

    #[test]
    fn the_newest_plans_of_deletions_are_remembered() {
        let mut story = adopted();
        for plan in 0..100 {
            let plan = format!("{:03}", 999 - plan);
            story.then(Event::DeletionPlanProposed { plan, deletions: 9 });
        }

        assert_eq!(story.state.plans.len(), PLANS);
        assert!(story.state.plans.contains_key("900"), "the newest");
        assert!(!story.state.plans.contains_key("999"), "the oldest");
    }
}
