//! The walk of an image, as its state sees it.

use chrono::TimeDelta;

use super::*;
use crate::catalog::Moment;
use crate::event::{Event, Outcome};
use crate::wake::{Function, Subject};

mod any_order;
mod endings;
mod holds;
mod retiring;
mod waking;

/// A stream in the making: each call is an entry of its own, a minute after the one before.
#[derive(Clone)]
struct Story {
    state: State,
    seq: u64,
    now: DateTime<Utc>,
}

fn story() -> Story {
    Story { state: State::default(), seq: 0, now: start() }.then(Event::ImageAdopted {})
}

fn start() -> DateTime<Utc> {
    "2026-09-08T00:00:00Z".parse().unwrap()
}

fn number(text: &str) -> VersionNumber {
    text.parse().unwrap()
}

/// An occurrence so many hours after the one that is next when the image is adopted.
fn schedule(hour: i64) -> Trigger {
    Trigger::Schedule { occurrence: start() + TimeDelta::hours(hour + 1), patch_tuesday: None }
}

fn ring(name: &str, region: &str, bake_hours: u32) -> PlannedRing {
    let regions = vec![region.parse().unwrap()];
    PlannedRing { name: name.to_owned(), regions, replicas: 1, bake_hours, approval: false }
}

impl Story {
    fn try_then(&self, events: &[Event]) -> Result<Story, WrongMove> {
        let stamp = Stamp { seq: self.seq + 1, at: self.now + TimeDelta::minutes(1) };
        let state =
            events.iter().try_fold(self.state.clone(), |state, event| state.after(stamp, event))?;
        Ok(Story { state, seq: stamp.seq, now: stamp.at })
    }

    fn then(self, event: Event) -> Story {
        self.try_then(&[event]).unwrap()
    }

    fn triggered(self, hour: i64) -> Story {
        self.then(Event::TriggerAccepted { trigger: schedule(hour) })
    }

    fn opened(self, version: &str) -> Story {
        let triggers = self.state.pending.iter().map(Trigger::id).collect();
        self.then(Event::RunOpened {
            version: number(version),
            triggers,
            why: "scheduled".to_owned(),
            base: PinnedBase::Platform { version: "1.2.3".to_owned() },
            spec: "spec".to_owned(),
            template: format!("web-{version}"),
        })
    }

    fn built(self, version: &str) -> Story {
        let (version, look_at) = (number(version), self.now);
        self.then(Event::TemplateRequested { version, look_at })
            .then(Event::BuildStarted { version, look_at })
            .then(Event::ImageBuilt { version, minutes: 15, staging_group: None })
    }

    fn scanned(self, version: &str) -> Story {
        let (version, due_by) = (number(version), self.now);
        self.built(&version.to_string())
            .then(Event::ScanRequested { version, report: "inbox".to_owned(), due_by })
            .then(Event::ImageScanned {
                version,
                report: "digest".to_owned(),
                scanner: "Trivy".to_owned(),
                findings: Default::default(),
            })
    }

    fn passed(self, version: &str) -> Story {
        let version = number(version);
        let plan = vec![ring("one", "westeurope", 5), ring("two", "northeurope", 24)];
        self.scanned(&version.to_string()).then(Event::GatePassed {
            version,
            reasons: Vec::new(),
            plan,
        })
    }

    fn replicated(self, version: &str) -> Story {
        let (version, look_at) = (number(version), self.now);
        self.passed(&version.to_string())
            .then(Event::ReplicationRequested { version, look_at })
            .then(Event::VersionReplicated { version, regions: Vec::new() })
    }

    fn ring_released(self, version: &str, ring: usize, region: &str) -> Story {
        let (version, look_at) = (number(version), self.now);
        let regions = vec![region.parse().unwrap()];
        let name = ring.to_string();
        self.then(Event::ReleaseRequested { version, ring, look_at }).then(Event::RingReleased {
            version,
            ring,
            name,
            regions,
        })
    }

    fn released(self, version: &str) -> Story {
        let released = self
            .replicated(version)
            .ring_released(version, 0, "westeurope")
            .ring_released(version, 1, "northeurope");
        released.then(Event::RunReleased { version: number(version) })
    }

    fn wants(&self) -> Vec<Function> {
        self.state.wants().iter().map(|it| it.task.function).collect()
    }
}

#[test]
fn the_highest_number_that_a_sweep_has_met_is_known_when_the_version_is_gone() {
    let met = |numbers: &[&str]| {
        let kept = numbers.iter().map(|it| (number(it), vec!["it is new".to_owned()])).collect();
        Event::VersionsJudged { kept }
    };

    let story = story().then(met(&["1.6.0", "1.7.0"])).then(met(&["1.6.0"])).then(met(&[]));

    assert_eq!(story.state.highest_met, Some(number("1.7.0")));
}

#[test]
fn the_walk_wants_one_step_after_another() {
    let story = story().triggered(0);
    assert_eq!(story.wants(), [Function::CreateTemplate]);

    let story = story.opened("1.0.0");
    assert_eq!(story.wants(), [Function::CreateTemplate]);
    let story = story.built("1.0.0");
    assert_eq!(story.wants(), [Function::StartScan]);

    let story = self::story().triggered(0).opened("1.0.0").replicated("1.0.0");
    assert_eq!(story.wants(), [Function::ReleaseVersion, Function::TidyBuild]);
}

#[test]
fn the_first_ring_does_not_bake_and_the_second_does() {
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let first = &story.state.wants()[0].task;
    assert_eq!(first.due, story.now);

    let story = story.ring_released("1.0.0", 0, "westeurope");
    let second = &story.state.wants()[0].task;
    assert_eq!(
        (second.function, second.due),
        (Function::ReleaseVersion, story.now + TimeDelta::hours(24))
    );
}

#[test]
fn a_released_run_leaves_the_slot_and_only_its_build_to_tidy() {
    let story = story().triggered(0).opened("1.0.0").released("1.0.0");

    assert!(story.state.runs().next().is_none());
    assert_eq!(story.wants(), [Function::TidyBuild]);
    let version = &story.state.versions[&number("1.0.0")];
    assert_eq!((version.standing, version.released_at.len()), (Standing::Released, 2));
}

#[test]
fn a_trigger_is_taken_once() {
    let story = story().triggered(0);
    let again = story.try_then(&[Event::TriggerAccepted { trigger: schedule(0) }]);

    assert!(again.is_err_and(|it| it.to_string().contains("TriggerAccepted")));
}

#[test]
fn a_trigger_that_comes_while_a_run_builds_waits_for_the_slot() {
    let story = story().triggered(0).opened("1.0.0").triggered(1);
    assert_eq!(story.wants(), [Function::CreateTemplate], "of the run only");

    let story = story.passed("1.0.0");
    assert_eq!(story.wants(), [Function::CreateTemplate, Function::ReplicateVersion]);
    assert_eq!(story.state.wants()[0].subject, Subject::Opening);
}

#[test]
fn a_security_fix_need_not_wait_for_the_bake_time_of_the_one_before() {
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let newer = story.triggered(1).opened("1.1.0").scanned("1.1.0");
    let passed = Event::GatePassed {
        version: number("1.1.0"),
        reasons: Vec::new(),
        plan: vec![ring("one", "westeurope", 0)],
    };

    assert!(newer.try_then(std::slice::from_ref(&passed)).is_err(), "two in their rings");
    let superseded = Event::RunSuperseded { version: number("1.0.0"), by: number("1.1.0") };
    let newer = newer.try_then(&[superseded, passed]).unwrap();
    assert_eq!(newer.state.releasing.as_ref().unwrap().version, number("1.1.0"));
}

#[test]
fn a_number_is_never_used_twice() {
    let story = story().triggered(0).opened("1.0.0");
    let version = number("1.0.0");
    let failed = Event::BuildFailed {
        version,
        reason: "no".to_owned(),
        published: false,
        staging_group: None,
    };
    let story = story.then(failed).triggered(1);
    let triggers = vec![schedule(1).id()];
    let again = story.try_then(&[Event::RunOpened {
        version,
        triggers,
        why: String::new(),
        base: PinnedBase::Platform { version: "1".to_owned() },
        spec: String::new(),
        template: String::new(),
    }]);

    assert!(again.is_err_and(|it| it.because.contains("number")));
}

#[test]
fn however_a_run_ends_its_build_is_tidied_once() {
    let version = number("1.0.0");
    let by = "ada".to_owned();
    let endings = [
        Event::ImageRejected { version, reasons: Vec::new() },
        Event::RunFailed { version, reason: "no".to_owned() },
        Event::VersionRevoked { version, by, why: "bad".to_owned() },
    ];
    for ending in endings {
        let story = story().triggered(0).opened("1.0.0").replicated("1.0.0").then(ending);
        let tidy = story.wants().iter().filter(|it| **it == Function::TidyBuild).count();
        assert_eq!(tidy, 1, "{:?}", story.wants());
        assert!(story.state.runs().next().is_none());
    }
}

#[test]
fn a_revoked_version_is_hidden_and_no_release_brings_it_back() {
    let version = number("1.0.0");
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0");
    let revoked =
        story.then(Event::VersionRevoked { version, by: "ada".to_owned(), why: "bad".to_owned() });

    assert!(revoked.wants().contains(&Function::DeprecateVersion));
    let late = Event::ReleaseRequested { version, ring: 0, look_at: revoked.now };
    assert!(revoked.try_then(&[late]).is_err());
    assert_eq!(revoked.state.at_moment(Moment::Passed).next(), None);
}

#[test]
fn while_an_intent_is_open_nobody_else_may_intend_the_same() {
    let story = story();
    let intent = |story: &Story| Event::IntentRecorded {
        target: "1.0.0".to_owned(),
        operation: Operation::UpdateVersion,
        intent: "release".to_owned(),
        evidence: Vec::new(),
        send_before: story.now + TimeDelta::minutes(1) + SEND_WITHIN,
    };
    let mut open = story.clone().then(intent(&story));
    assert!(open.try_then(&[intent(&open)]).is_err());

    // A minute to send and half a minute on the way, seen from the entry that follows.
    let free_at = open.state.intents["1.0.0"].send_before + REQUEST_TIMEOUT;
    open.now = free_at - TimeDelta::minutes(1) - TimeDelta::seconds(1);
    assert!(open.try_then(&[intent(&open)]).is_err(), "a second too early");
    assert_eq!(open.state.claim("1.0.0", free_at), Claim::Free);
    open.now = free_at - TimeDelta::minutes(1);
    assert!(open.try_then(&[intent(&open)]).is_ok());

    let (target, operation) = ("1.0.0".to_owned(), Operation::UpdateVersion);
    let settled = Event::EffectSettled { target, operation, outcome: Outcome::Accepted };
    let settled_once = open.try_then(std::slice::from_ref(&settled)).unwrap();
    assert!(settled_once.state.intents.is_empty());
    assert!(settled_once.try_then(&[settled]).is_err(), "it is settled once");
}

#[test]
fn an_intent_that_no_step_comes_back_to_is_forgotten() {
    let intent = |target: &str, operation| Event::IntentRecorded {
        target: target.to_owned(),
        operation,
        intent: "change it".to_owned(),
        evidence: Vec::new(),
        send_before: start() + TimeDelta::minutes(10),
    };
    let (definition, template, version) = ("web", "web-1.0.0", "1.0.0");
    let story = story()
        .then(intent(definition, Operation::CreateDefinition))
        .then(intent(template, Operation::RunTemplate))
        .then(intent(version, Operation::UpdateVersion));
    let forgotten = |story: &Story, minute| {
        let now = start() + TimeDelta::minutes(minute);
        let forgotten = story.state.forgotten_intents(now).into_iter();
        forgotten.map(|(target, _)| target).collect::<Vec<_>>()
    };

    assert!(forgotten(&story, 10).is_empty(), "they may still be under way");
    assert_eq!(forgotten(&story, 11), [version, definition, template]);
    let triggered = story.triggered(0);
    assert_eq!(forgotten(&triggered, 11), [version, template], "a run is to be opened");
    let opened = triggered.opened("1.0.0");
    assert_eq!(forgotten(&opened, 11), [definition], "the run comes back to both");
}

#[test]
fn a_step_that_can_never_succeed_ends_what_it_was_about() {
    let story = story().triggered(0).opened("1.0.0").built("1.0.0");
    let task = story.state.wants()[0].task.clone();
    let (seq, function) = (task.seq, task.function);
    let failed = story.then(Event::StepFailed { seq, function, reason: "no".to_owned() });

    assert!(failed.state.runs().next().is_none());
    assert_eq!(failed.state.versions[&number("1.0.0")].standing, Standing::Failed);
    assert_eq!(failed.state.failures_in_a_row, 1);
}

#[test]
fn a_snapshot_holds_the_whole_state() {
    let story = story().triggered(0).opened("1.0.0").replicated("1.0.0").triggered(3);
    let json = serde_json::to_string(&story.state).unwrap();

    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), story.state);
}
