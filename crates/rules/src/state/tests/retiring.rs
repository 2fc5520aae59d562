//! Versions that are retired, or that nobody may get any more.

use chrono::TimeDelta;

use super::*;

#[test]
fn a_version_that_was_there_before_is_known_by_the_standing_it_was_judged_with() {
    let version = number("0.9.0");
    let story = story().then(Event::RetirementDue {
        version,
        stage: Retirement::Delete,
        standing: Standing::Deprecated,
        reasons: Vec::new(),
    });

    assert_eq!(story.state.versions[&version].standing, Standing::Deprecated);
    assert_eq!(story.wants(), [Function::DeleteVersion]);
}

#[test]
fn a_version_that_nobody_may_get_is_no_better_when_somebody_has_restored_it() {
    let (version, standing) = (number("0.9.0"), Standing::Rejected);
    let due = |stage, standing| Event::RetirementDue { version, stage, standing, reasons: vec![] };
    let deleted = story()
        .then(due(Retirement::Delete, standing))
        .then(Event::VersionDeleted { version, reasons: Vec::new() });
    assert_eq!(deleted.state.versions[&version].standing, Standing::Deleted);

    // Whatever the tags say that somebody else has written on it.
    let again = deleted.then(due(Retirement::Deprecate, Standing::Released));
    assert_eq!(again.state.versions[&version].standing, Standing::Rejected);
}

#[test]
fn what_is_asked_of_a_version_in_vain_is_asked_ever_later_and_at_least_daily() {
    let version = number("0.9.0");
    let (stage, standing) = (Retirement::Trim, Standing::Deprecated);
    let due = || Event::RetirementDue { version, stage, standing, reasons: Vec::new() };
    let mut story = story();
    let mut waits = Vec::new();
    for _ in 0..12 {
        story = story.then(due());
        let task = story.state.wants()[0].task.clone();
        waits.push((task.due - story.now).num_minutes());
        story = story.then(Event::RetirementRequested { version, stage, look_at: start() });
    }

    assert_eq!(waits, [0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
}

#[test]
fn a_version_that_was_never_proven_is_hidden_and_that_wish_is_never_given_up() {
    let version = number("1.0.0");
    let story = story().triggered(0).opened("1.0.0").passed("1.0.0");
    let failed = story.then(Event::RunFailed { version, reason: "no".to_owned() });
    assert!(failed.wants().contains(&Function::DeprecateVersion));

    let wish = failed.state.versions[&version].retiring.as_ref().unwrap().task.clone();
    let (seq, function) = (wish.seq, wish.function);
    let again = failed.then(Event::StepFailed { seq, function, reason: "forbidden".to_owned() });
    let retiring = again.state.versions[&version].retiring.as_ref().unwrap();
    assert_eq!(retiring.task.due, again.now + TimeDelta::minutes(30));
}

#[test]
fn a_rejected_version_that_could_not_be_deleted_is_hidden_instead() {
    let version = number("0.9.0");
    let (stage, standing) = (Retirement::Delete, Standing::Rejected);
    let due = Event::RetirementDue { version, stage, standing, reasons: Vec::new() };
    let story = story().then(due);
    let wish = story.state.wants()[0].task.clone();
    let (seq, function) = (wish.seq, wish.function);
    let given_up = story.then(Event::StepFailed { seq, function, reason: "no policy".to_owned() });
    assert!(given_up.wants().contains(&Function::DeprecateVersion));

    let (stage, look_at) = (Retirement::Deprecate, given_up.now);
    let hidden = given_up
        .then(Event::RetirementRequested { version, stage, look_at })
        .then(Event::VersionDeprecated { version, reasons: Vec::new() });
    assert!(hidden.state.wants().is_empty(), "{:?}", hidden.state.wants());
}
