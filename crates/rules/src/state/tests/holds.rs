//! A run that waits between its rings, and the people who hold, resume and approve it.

use super::*;

/// Waits for its first ring.
fn waiting() -> Story {
    story().triggered(0).opened("1.0.0").replicated("1.0.0")
}

fn held(until: Option<DateTime<Utc>>) -> Event {
    Event::ImageHeld { by: "ada".to_owned(), why: "audit".to_owned(), until }
}

fn resumed() -> Event {
    Event::ImageResumed { by: "ada".to_owned() }
}

fn paused(ring: usize, until: Option<DateTime<Utc>>) -> Event {
    let because = "the image is held: audit".to_owned();
    Event::ReleasePaused { version: number("1.0.0"), ring, because, until }
}

/// The look at the next ring: which entry wants it, and when.
fn look(story: &Story) -> Option<(u64, DateTime<Utc>)> {
    let wants = story.state.wants().into_iter().map(|it| it.task);
    let look = wants.into_iter().find(|it| it.function == Function::ReleaseVersion);
    look.map(|it| (it.seq, it.due))
}

#[test]
fn a_hold_pauses_the_ring_and_its_end_resumes_it() {
    let version = number("1.0.0");
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let paused = story
        .then(Event::ImageHeld { by: "ada".to_owned(), why: "audit".to_owned(), until: None })
        .then(Event::ReleasePaused { version, ring: 0, because: "held".to_owned(), until: None });
    assert_eq!(paused.wants(), [Function::TidyBuild]);

    let resumed = paused.then(Event::ImageResumed { by: "ada".to_owned() });
    assert_eq!(resumed.wants(), [Function::ReleaseVersion, Function::TidyBuild]);
}

#[test]
fn a_hold_that_ends_by_itself_needs_no_person() {
    let version = number("1.0.0");
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let until = Some(story.now + TimeDelta::hours(3));
    let because = "held".to_owned();
    let paused = story.then(Event::ReleasePaused { version, ring: 0, because, until });

    let wish = &paused.state.wants()[0].task;
    assert_eq!((wish.function, Some(wish.due)), (Function::ReleaseVersion, until));
}

#[test]
fn a_hold_that_would_end_by_itself_is_lifted_at_once() {
    let month = start() + TimeDelta::days(30);
    let story = waiting().then(held(Some(month))).then(paused(0, Some(month)));
    assert_eq!(look(&story), Some((story.seq, month)));

    let story = story.then(resumed());

    assert_eq!(look(&story), Some((story.seq, story.now)), "a wish of its own, and due");
}

#[test]
fn another_hold_is_looked_at_at_once_whichever_ends_first() {
    let (month, tomorrow) = (start() + TimeDelta::days(30), start() + TimeDelta::days(1));
    for (first, second) in [
        (Some(month), Some(tomorrow)),
        (None, Some(tomorrow)),
        (Some(tomorrow), Some(month)),
        (Some(tomorrow), None),
    ] {
        let story = waiting().then(held(first)).then(paused(0, first)).then(held(second));

        assert_eq!(look(&story), Some((story.seq, story.now)), "{first:?}, {second:?}");
    }
}

#[test]
fn whoever_resumes_or_approves_a_ring_that_bakes_does_not_have_it_looked_at_before() {
    let story = waiting().ring_released("1.0.0", 0, "westeurope");
    let baked = story.now + TimeDelta::hours(24);
    let approved =
        Event::ApprovalGranted { version: number("1.0.0"), ring: 1, by: "ada".to_owned() };

    for event in [approved, held(None)] {
        let story = story.clone().then(event);
        assert_eq!(look(&story), Some((story.seq, baked)));
    }
    let month = start() + TimeDelta::days(30);
    let story = story.then(held(Some(month))).then(paused(1, Some(month))).then(resumed());
    assert_eq!(look(&story), Some((story.seq, baked)));
}

#[test]
fn a_hold_that_ends_by_itself_releases_nothing_that_waits_since_somebody_changed_the_version() {
    let (version, look_at) = (number("1.0.0"), start());
    let requested = Event::ReleaseRequested { version, ring: 0, look_at };
    let changed = waiting().then(requested).then(paused(0, None));
    assert_eq!(look(&changed), None);

    let story = changed.then(held(Some(start() + TimeDelta::days(1))));
    assert_eq!(look(&story), None, "a person has been asked");

    let story = story.then(Event::ApprovalGranted { version, ring: 0, by: "ada".to_owned() });
    assert_eq!(look(&story), Some((story.seq, story.now)));
}

#[test]
fn a_region_that_a_ring_asks_for_again_is_counted_until_a_person_says_to_go_on() {
    let version = number("1.0.0");
    let failed = |why: &str| Event::RegionFailed {
        version,
        region: "westeurope".parse().unwrap(),
        details: why.to_owned(),
    };
    let tries = |story: &Story| {
        let run = story.state.releasing.as_ref().unwrap();
        let failures = run.region_failures.values();
        failures.map(|it| (it.times, it.why.clone())).collect::<Vec<_>>()
    };
    let approved = || Event::ApprovalGranted { version, ring: 0, by: "ada".to_owned() };
    let before = waiting();
    let story = before.clone().then(failed("taken out")).then(failed("refused"));
    assert_eq!(tries(&story), [(2, "refused".to_owned())]);
    assert_eq!(look(&story), look(&before), "the same step looks at it again");

    assert_eq!(tries(&story.then(paused(0, None)).then(approved())), []);

    let look_at = before.now;
    let requested = || Event::ReplicationRequested { version, look_at };
    let story = self::story().triggered(0).opened("1.0.0").passed("1.0.0").then(requested());
    let story = story.then(failed("no capacity")).then(requested());
    assert_eq!(tries(&story), [(1, "no capacity".to_owned())]);
    let replicated = Event::VersionReplicated { version, regions: Vec::new() };
    assert_eq!(tries(&story.then(replicated)), [], "it was there");
}

#[test]
fn nobody_is_woken_for_a_run_that_is_not_between_its_rings() {
    let story = story().triggered(0).opened("1.0.0").passed("1.0.0");
    let wants = story.wants();

    assert_eq!(story.then(held(None)).then(resumed()).wants(), wants);
}

#[test]
fn a_ring_is_perhaps_being_released_from_its_intent_until_what_came_of_it_is_known() {
    let (version, target, look_at) = (number("1.0.0"), "1.0.0".to_owned(), start());
    let operation = Operation::UpdateVersion;
    let intent = Event::IntentRecorded {
        target: target.clone(),
        operation,
        intent: "release it".to_owned(),
        evidence: Vec::new(),
        send_before: start(),
    };
    let outcome = Outcome::Unknown { because: "it was read again".to_owned() };
    let settled = Event::EffectSettled { target, operation, outcome };
    let releasing = |story: &Story| story.state.is_releasing();

    let before = story().triggered(0).opened("1.0.0").passed("1.0.0");
    assert!(!releasing(&before.then(intent.clone())), "it replicates, hidden");
    let unanswered = waiting().then(intent);
    assert!(!releasing(&waiting()) && releasing(&unanswered));
    assert!(!releasing(&unanswered.clone().then(settled.clone())), "nothing came of it");
    let asked =
        unanswered.then(settled).then(Event::ReleaseRequested { version, ring: 0, look_at });
    assert!(releasing(&asked));
    assert!(!releasing(&asked.then(paused(0, None))));
}
