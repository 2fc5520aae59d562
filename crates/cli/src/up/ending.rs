//! When `up --once` is over: every image of the catalog has walked to its release and its
//! predecessors have been judged; or the time it was given is.

use rules::ImageName;
use rules::state::State;

use super::follower::{Followed, Follower};
use super::outcome::Outcome;

/// What an image still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub image: ImageName,
    /// In the form `no version of it was released`.
    pub what: String,
}

/// True when every image has all it lacked, those apart whose streams are lost: nobody sees them end.
pub fn is_over(follower: &Follower, outcome: &Outcome) -> bool {
    let mut followed = follower.images().filter(|(_, it)| it.lost.is_none());
    followed.all(|(image, followed)| lack(outcome.has_released(image), followed).is_none())
}

/// What the images still lack; nothing when all is done.
pub fn missing(follower: &Follower, outcome: &Outcome) -> Vec<Missing> {
    let lacks = |(image, followed): (&ImageName, &Followed)| {
        let what = lack(outcome.has_released(image), followed)?;
        Some(Missing { image: image.clone(), what })
    };
    follower.images().filter_map(lacks).collect()
}

fn lack(released: bool, followed: &Followed) -> Option<String> {
    let state = &followed.state;
    if let Some(lost) = &followed.lost {
        return Some(format!("it is followed no further: {lost}"));
    }
    if !released {
        return Some(match waits_for(state) {
            Some(waits_for) => format!("no version of it was released yet; {waits_for}"),
            None => "no version of it was released, and nothing is under way".to_owned(),
        });
    }
    if !state.is_quiet() {
        let waits_for = waits_for(state).unwrap_or_else(|| "something is owed still".to_owned());
        return Some(waits_for);
    }
    let judged = matches!(
        (state.judged_at, followed.last_released),
        (Some(judged), Some(released)) if judged > released
    );
    (!judged).then(|| "its versions were not judged since the last release".to_owned())
}

/// What is under way in `state`, in a few words; nothing when it is quiet.
pub fn waits_for(state: &State) -> Option<String> {
    if let Some(run) = state.runs().next() {
        return Some(format!("{} is {}", run.version, super::stage::of(run).word));
    }
    if let Some(trigger) = state.pending.first() {
        return Some(format!("a build is due: {trigger}"));
    }
    let wants = state.wants();
    let wish = wants.first()?;
    Some(format!("`{}` is due at {}", wish.task.function, crate::story::instant(wish.task.due)))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use rules::trigger::Trigger;

    use super::*;

    fn walked() -> Followed {
        let released = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let mut followed = Followed::default();
        followed.last_released = Some(released);
        followed.state.judged_at = Some(released + TimeDelta::hours(1));
        followed
    }

    #[test]
    fn an_image_that_was_released_and_judged_and_is_quiet_lacks_nothing() {
        assert_eq!(lack(true, &walked()), None);
    }

    #[test]
    fn an_image_whose_stream_is_lost_is_not_done_and_says_why() {
        let mut followed = walked();
        let (path, because) = ("3.json".into(), "no JSON".to_owned());
        followed.lost = Some(super::super::follower::Lost::Broken { path, because });

        assert!(lack(true, &followed).unwrap().contains("`3.json`"));
    }

    #[test]
    fn once_is_over_when_only_lost_streams_lack_something() {
        let example =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog");
        let mut catalog = crate::load::catalog(&example).unwrap().catalog;
        catalog.images.truncate(1);
        let state = tempfile::tempdir().unwrap();
        let folder = crate::state_folder::StateFolder::at(state.path());
        let mut follower = Follower::of(&folder, &catalog);
        let outcome = Outcome::default();
        assert!(!is_over(&follower, &outcome));
        let (name, image) = (catalog.catalog.as_str(), catalog.images[0].name.as_str());
        let stream = folder.store().join("ledger").join(name).join(image);
        std::fs::create_dir_all(&stream).unwrap();
        std::fs::write(stream.join("0000000001.json"), "{").unwrap();

        follower.look();

        assert!(is_over(&follower, &outcome));
        assert_eq!(missing(&follower, &outcome).len(), 1);
    }

    #[test]
    fn an_image_that_was_never_released_lacks_that() {
        let lack = lack(false, &walked()).unwrap();

        assert!(lack.contains("nothing is under way"), "{lack}");
    }

    #[test]
    fn an_image_whose_versions_were_judged_before_its_release_is_not_done() {
        let mut followed = walked();
        followed.state.judged_at = Some(DateTime::UNIX_EPOCH);

        assert!(lack(true, &followed).unwrap().contains("judged"));
    }

    #[test]
    fn an_image_that_owes_a_build_is_not_done_and_says_which() {
        let mut followed = walked();
        followed.state.pending.push(Trigger::Advisory { id: "CVE-1".to_owned() });

        assert_eq!(lack(true, &followed).unwrap(), "a build is due: advisory CVE-1");
    }
}
