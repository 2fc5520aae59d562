//! What is overdue, and who is woken for it.

use chrono::TimeDelta;

use super::*;

#[test]
fn what_is_overdue_is_woken_under_a_higher_generation_and_the_old_chain_is_dropped() {
    let story = story().triggered(0).opened("1.0.0").built("1.0.0");
    let task = story.state.wants()[0].task.clone();
    assert_eq!(story.state.overdue(task.due + task.function.patience()), []);
    let late = task.due + task.function.patience() + TimeDelta::seconds(1);
    assert_eq!(story.state.overdue(late).len(), 1);

    let (seq, function) = (task.seq, task.function);
    let woken = story.then(Event::RunWoken { seq, function, generation: 1 });
    assert!(woken.state.wanted(seq, function, 0).is_none());
    assert!(woken.state.wanted(seq, function, 1).is_some());
    let lower = Event::RunWoken { seq, function, generation: 1 };
    assert!(woken.try_then(&[lower]).is_err());
}

#[test]
fn what_is_due_and_not_overdue_is_unanswered_after_ten_minutes() {
    let story = story().triggered(0).opened("1.0.0").built("1.0.0");
    let task = story.state.wants()[0].task.clone();
    let (second, patience) = (TimeDelta::seconds(1), task.function.patience());
    let unanswered = |after: TimeDelta| story.state.unanswered(task.due + after).len();

    assert_eq!(unanswered(TimeDelta::minutes(10)), 0, "it may be at work");
    assert_eq!(unanswered(TimeDelta::minutes(10) + second), 1);
    assert_eq!(unanswered(patience), 1);
    assert_eq!(unanswered(patience + second), 0, "then it is woken");
}

#[test]
fn a_message_that_was_overtaken_sends_what_was_made_since_and_not_all_that_is_owed() {
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let due = |minor| Event::RetirementDue {
        version: number(&format!("0.{minor}.0")),
        stage: Retirement::Deprecate,
        standing: Standing::Released,
        reasons: Vec::new(),
    };
    let story = (0..50).fold(story, |story, minor| story.then(due(minor)));
    let seq = story.seq;
    let newer = story.then(due(50));

    let made = newer.state.made_since(seq, newer.now);
    assert_eq!(made.iter().map(|it| it.task.seq).collect::<Vec<_>>(), [seq + 1], "of 53 wishes");
    let later = newer.now + TimeDelta::minutes(11);
    assert!(newer.state.made_since(seq, later).is_empty(), "look_again sends it");
    assert!(newer.state.unanswered(later).iter().any(|it| it.task.seq == seq + 1));
}
