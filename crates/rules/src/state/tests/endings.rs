//! How a run ends that may have left a version behind.

use super::*;

/// Its template was asked for, and then `operation` on it was intended.
fn intended(operation: Operation) -> Story {
    let (version, look_at) = (number("1.0.0"), start());
    let requested = Event::TemplateRequested { version, look_at };
    story().triggered(0).opened("1.0.0").then(requested).then(Event::IntentRecorded {
        target: "web-1.0.0".to_owned(),
        operation,
        intent: "run it".to_owned(),
        evidence: Vec::new(),
        send_before: start(),
    })
}

fn given_up(story: Story) -> Story {
    let task = story.state.building.as_ref().unwrap().task.clone().unwrap();
    let (seq, function) = (task.seq, task.function);
    story.then(Event::StepFailed { seq, function, reason: "forbidden".to_owned() })
}

#[test]
fn a_run_that_was_asked_for_and_not_answered_has_perhaps_made_a_version_which_is_hidden() {
    let story = intended(Operation::RunTemplate);
    let (target, operation) = ("web-1.0.0".to_owned(), Operation::RunTemplate);
    let outcome = Outcome::Refused { because: "it is not ready".to_owned() };
    let refused = story.clone().then(Event::EffectSettled { target, operation, outcome });

    let hides = |story: Story| given_up(story).wants().contains(&Function::DeprecateVersion);
    assert!(hides(story));
    assert!(!hides(refused), "nothing has begun");
    assert!(!hides(intended(Operation::CreateTemplate)), "there was nothing to run");
}
