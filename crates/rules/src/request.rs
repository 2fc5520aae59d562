//! What a person may ask for, and what follows from it.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::VersionNumber;
use crate::event::Event;
use crate::standing::Standing;
use crate::state::{Stage, State};
use crate::trigger::Trigger;

/// What a person asks of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Rebuild,
    Approve,
    Hold,
    Resume,
    Revoke,
    RollBack,
    Pin,
    Unpin,
}

impl Verb {
    /// All of them with the words of the address.
    pub const ALL: [(&'static str, Verb); 8] = [
        ("rebuild", Verb::Rebuild),
        ("approve", Verb::Approve),
        ("hold", Verb::Hold),
        ("resume", Verb::Resume),
        ("revoke", Verb::Revoke),
        ("rollback", Verb::RollBack),
        ("pin", Verb::Pin),
        ("unpin", Verb::Unpin),
    ];

    /// The verb that the address calls `word`.
    pub fn from_word(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|(it, _)| *it == word).map(|(_, verb)| verb)
    }
}

/// The body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Details {
    /// The version it is about; for `approve` and `rollback` the one in its rings or the newest.
    pub version: Option<VersionNumber>,
    /// Why; shown in the log and in every notice.
    pub why: String,
    /// When a hold or a pin ends.
    pub until: Option<DateTime<Utc>>,
}

/// What follows from a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Record { events: Vec<Event>, answer: String },
    Refuse { because: String },
}

/// Judges what `by` asks of an image in `state`; `request` is the request's own id.
pub fn judge(state: &State, verb: Verb, by: &str, request: &str, details: &Details) -> Verdict {
    let by = by.to_owned();
    let why = details.why.clone();
    let refuse = |because: &str| Verdict::Refuse { because: because.to_owned() };
    let record = |event: Event, answer: String| Verdict::Record { events: vec![event], answer };

    match verb {
        Verb::Rebuild => {
            let trigger = Trigger::Person { request: request.to_owned(), by, why };
            if state.knows_trigger(&trigger.id()) {
                return refuse("this request was recorded before");
            }
            record(Event::TriggerAccepted { trigger }, "a rebuild is on its way".to_owned())
        }
        Verb::Approve => {
            let Some(run) = &state.releasing else { return refuse("no run is in its rings") };
            if details.version.is_some_and(|it| it != run.version) {
                return refuse(&format!("the run in its rings is {}", run.version));
            }
            let ring = match run.stage {
                Stage::Replicated { ring, .. } | Stage::Paused { ring, .. } => ring,
                _ => return refuse("no ring waits for an approval now"),
            };
            let Some(name) = run.plan.get(ring).map(|it| it.name.clone()) else {
                return refuse("no ring is left");
            };
            let version = run.version;
            let answer = format!("ring `{name}` of {version} is approved");
            record(Event::ApprovalGranted { version, ring, by }, answer)
        }
        Verb::Hold => {
            let answer = "no ring is released until it is resumed".to_owned();
            record(Event::ImageHeld { by, why, until: details.until }, answer)
        }
        Verb::Resume if state.hold.is_none() => refuse("it is not held"),
        Verb::Resume => record(Event::ImageResumed { by }, "releases go on".to_owned()),
        Verb::Revoke => {
            let Some(version) = details.version else {
                return refuse("say which `version` is revoked");
            };
            let standing = state.versions.get(&version).map(|it| it.standing);
            match standing {
                Some(Standing::Revoked) => return refuse("it is revoked already"),
                None if !state.kept.contains_key(&version) => {
                    return refuse("neither the ledger nor the last sweep knows such a version");
                }
                // Somebody may have restored even one that is deleted, and it is offered again.
                None | Some(_) => {}
            }
            record(Event::VersionRevoked { version, by, why }, format!("{version} is taken back"))
        }
        Verb::RollBack => {
            let mut offered = state
                .versions
                .iter()
                .rev()
                .filter(|(_, it)| it.standing == Standing::Released)
                .map(|(number, _)| *number);
            let Some(newest) = offered.next() else { return refuse("nothing is released") };
            let version = details.version.unwrap_or(newest);
            if version != newest {
                return refuse(&format!(
                    "the newest release is {newest}; revoke {version} instead"
                ));
            }
            let Some(previous) = offered.next() else {
                return refuse("no older release is offered, so there is nothing to roll back to");
            };
            let why = format!("rolled back to {previous}: {why}");
            record(
                Event::VersionRevoked { version, by, why },
                format!("{version} is taken back; machines get {previous} again"),
            )
        }
        Verb::Pin => {
            let Some(version) = details.version else {
                return refuse("say which `version` is pinned");
            };
            // One that was deleted may be back, and is kept best before a sweep meets it.
            if !state.versions.contains_key(&version) && !state.kept.contains_key(&version) {
                return refuse("neither the ledger nor the last sweep knows such a version");
            }
            let until = details.until;
            let answer = format!("{version} is kept");
            record(Event::VersionPinned { version, by, why, until }, answer)
        }
        Verb::Unpin => {
            let Some(version) = details.version else {
                return refuse("say which `version` is unpinned");
            };
            if !state.pins.contains_key(&version) {
                return refuse("it is not pinned");
            }
            let answer = format!("{version} may be retired again");
            record(Event::VersionUnpinned { version, by }, answer)
        }
    }
}
