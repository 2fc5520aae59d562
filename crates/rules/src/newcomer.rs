//! A version that somebody else has made of an image which others are built from: whether it is a
//! reason to build them. Our own versions are in the ledger before they are in the gallery.

use chrono::{DateTime, Utc};

use crate::catalog::Moment;
use crate::state::State;
use crate::{ImageName, VersionNumber};

/// A version as a list of the gallery shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub number: VersionNumber,
    /// True when whoever made it says that it is released, and Azure offers it.
    pub released: bool,
    pub published_at: Option<DateTime<Utc>>,
}

/// Whether a version `number` of the image of `parent` would be a newcomer: it is not ours, and above
/// the newest of ours that has reached `moment`, from which children are built else.
pub fn may_be(parent: &State, moment: Moment, number: VersionNumber) -> bool {
    let ours = parent.at_moment(moment).max();
    let known = parent.knows_version(number);
    parent.adopted_at.is_some() && !known && ours.is_none_or(|it| number > it)
}

/// The newest newcomer of `versions`. What was published before we looked after the image is none:
/// its children have been built since, or wait for their schedule.
pub fn newest(parent: &State, moment: Moment, versions: &[Listed]) -> Option<VersionNumber> {
    let since = parent.adopted_at?;
    let is_news = |it: &&Listed| it.released && it.published_at.is_some_and(|at| at > since);
    let numbers = versions.iter().filter(is_news).map(|it| it.number);
    numbers.filter(|it| may_be(parent, moment, *it)).max()
}

/// True when `child` has heard of this version of `parent`, or of a newer one: an older one that is
/// told of late is no reason to go back.
pub fn is_known_to(child: &State, parent: &ImageName, version: VersionNumber) -> bool {
    child.heard_of(parent).is_some_and(|newest| newest >= version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Retirement};
    use crate::standing::Standing;
    use crate::state::Stamp;
    use crate::trigger::Trigger;

    fn number(text: &str) -> VersionNumber {
        text.parse().unwrap()
    }

    fn day(day: u32) -> DateTime<Utc> {
        format!("2026-09-{day:02}T00:00:00Z").parse().unwrap()
    }

    /// A parent that was adopted on the 8th and offers 1.8.0 of ours.
    fn parent() -> State {
        let (seq, at) = (1, day(8));
        let state = State::default().after(Stamp { seq, at }, &Event::ImageAdopted {}).unwrap();
        let known = Event::RetirementDue {
            version: number("1.8.0"),
            stage: Retirement::Deprecate,
            standing: Standing::Released,
            reasons: Vec::new(),
        };
        state.after(Stamp { seq: 2, at: day(9) }, &known).unwrap()
    }

    fn listed(text: &str, published: u32) -> Listed {
        Listed { number: number(text), released: true, published_at: Some(day(published)) }
    }

    #[test]
    fn the_newest_that_is_on_offer_and_not_ours_is_the_newcomer() {
        let hidden = Listed { released: false, ..listed("9.2.0", 10) };
        let versions = [listed("9.0.0", 10), listed("9.1.0", 10), hidden, listed("1.8.0", 10)];

        assert_eq!(newest(&parent(), Moment::Released, &versions), Some(number("9.1.0")));
    }

    #[test]
    fn what_was_there_before_or_is_below_ours_is_no_newcomer() {
        let unknown = Listed { published_at: None, ..listed("9.0.0", 10) };
        let versions = [listed("9.0.0", 8), listed("1.7.9", 10), listed("1.8.0", 10), unknown];

        assert_eq!(newest(&parent(), Moment::Released, &versions), None);
    }

    #[test]
    fn an_image_that_nobody_looks_after_has_no_newcomers() {
        let versions = [listed("9.0.0", 10)];

        assert_eq!(newest(&State::default(), Moment::Released, &versions), None);
        assert!(!may_be(&State::default(), Moment::Released, number("9.0.0")));
    }

    #[test]
    fn a_child_that_has_heard_of_a_newer_one_is_not_sent_back() {
        let parent: ImageName = "base".parse().unwrap();
        let told = |image: &ImageName, version: &str| Event::TriggerAccepted {
            trigger: Trigger::Parent { image: image.clone(), version: number(version) },
        };
        let mut child = State::default();
        for (seq, event) in [
            told(&parent, "9.10.0"),
            told(&parent, "9.9.0"),
            told(&"base-2".parse().unwrap(), "99.0.0"),
        ]
        .into_iter()
        .enumerate()
        {
            let stamp = Stamp { seq: seq as u64 + 1, at: day(10) };
            child = child.after(stamp, &event).unwrap();
        }

        assert!(is_known_to(&child, &parent, number("9.10.0")));
        assert!(is_known_to(&child, &parent, number("9.9.5")), "text would say 9.9.5 is newer");
        assert!(!is_known_to(&child, &parent, number("9.11.0")), "of another image");
        assert!(!is_known_to(&State::default(), &parent, number("1.0.0")));
    }
}
