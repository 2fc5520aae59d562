//! The state of one image: the fold of its ledger. [`State::after`] is the one transition
//! function, live and on replay; [`State::wants`] says every message the state still owes.

mod after;
mod opening;
mod bake;
mod retiring;
mod ending;
mod forgetting;
mod wants;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Operation, PinnedBase, Retirement};
use crate::rings::PlannedRing;
use crate::standing::Standing;
use crate::trigger::Trigger;
use crate::wake::Task;
use crate::{ImageName, Region, VersionNumber};

/// An instant that no ledger of ours reaches. A stamp beyond it counts as it, so that there is always
/// a later one to wait for.
const LAST: DateTime<Utc> =
    DateTime::from_timestamp(253_402_300_799, 0).expect("the year 9999 is in the calendar");

/// How long a request may be under way: a claim holds until `send_before` plus this.
pub const REQUEST_TIMEOUT: TimeDelta = TimeDelta::seconds(30);

/// How long an intent may be acted on after it was recorded.
pub const SEND_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// Everything that is known of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// When Goldsmith began to look after it.
    pub adopted_at: Option<DateTime<Utc>>,
    /// Schedule occurrences up to here have been judged.
    pub schedule_cursor: Option<DateTime<Utc>>,
    /// Ids of the newest triggers that were accepted or refused, in order of arrival; none is taken
    /// twice.
    known_triggers: Vec<String>,
    /// The newest version of each parent that was accepted or refused as a trigger.
    heard: BTreeMap<ImageName, VersionNumber>,
    /// Accepted triggers that no run serves yet, in order of arrival.
    pub pending: Vec<Trigger>,
    /// The wish that a run be opened for them.
    pub opening: Option<Task>,
    /// The run in the building slot.
    pub building: Option<Run>,
    /// The run in the releasing slot.
    pub releasing: Option<Run>,
    /// Templates that are to be deleted.
    pub tidying: Vec<Tidying>,
    /// The versions that the ledger speaks of; of those that are over, the highest.
    pub versions: BTreeMap<VersionNumber, Version>,
    /// The highest number of a version that was forgotten.
    forgotten_through: Option<VersionNumber>,
    /// Open intents, by what they write.
    pub intents: BTreeMap<String, OpenIntent>,
    pub children: Vec<ChildrenDue>,
    pub notices: Vec<Notice>,
    pub hold: Option<Hold>,
    pub pins: BTreeMap<VersionNumber, Pin>,
    /// Runs in a row that failed; a person's cure or a good run sets it back.
    pub failures_in_a_row: u32,
    /// Minutes the newest good build took; tells when to look at the next one.
    pub build_minutes: Option<i64>,
    /// Why each version was kept by the newest sweep that found something new.
    pub kept: BTreeMap<VersionNumber, Vec<String>>,
    /// The highest number that any sweep has met: the gallery has had it, whoever deletes it.
    #[serde(default)]
    pub highest_met: Option<VersionNumber>,
    /// When that sweep was.
    pub judged_at: Option<DateTime<Utc>>,
    /// The catalog in force; in the catalog's own stream only.
    pub catalog: Option<String>,
    /// Deletion plans that wait for an approval, and those that have one.
    pub plans: BTreeMap<String, Plan>,
}

/// One walk of one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub version: VersionNumber,
    pub why: String,
    pub triggers: Vec<String>,
    pub base: PinnedBase,
    pub spec: String,
    pub template: String,
    pub opened_at: DateTime<Utc>,
    pub stage: Stage,
    /// The step it waits for; none while it waits for a person.
    pub task: Option<Task>,
    /// When its template was asked for.
    #[serde(default)]
    pub template_requested_at: Option<DateTime<Utc>>,
    pub build_started_at: Option<DateTime<Utc>>,
    /// The resource id of the group where the build's logs are.
    pub staging_group: Option<String>,
    /// True once its template is to be deleted.
    pub tidied: bool,
    /// True once each region's own flag hides its candidate, which waits for its verdict.
    #[serde(default)]
    pub hidden: bool,
    /// The newest scan report, among the blobs.
    pub report: Option<String>,
    pub plan: Vec<PlannedRing>,
    /// The regions that were asked for again: while it replicates; then, once it is gone from where it
    /// was, since a person has last said to go on.
    pub region_failures: BTreeMap<Region, RegionFailures>,
    /// Who approved which ring.
    pub approvals: BTreeMap<usize, String>,
}

/// How often a region was asked for again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionFailures {
    pub times: u32,
    /// Why it was the last time, or why Azure refused it.
    pub why: String,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
pub enum Stage {
    Opened,
    TemplateRequested,
    Building,
    Built,
    #[serde(rename_all = "camelCase")]
    ScanRequested {
        report: String,
        due_by: DateTime<Utc>,
    },
    Scanned,
    #[serde(rename_all = "camelCase")]
    ScanMissing {
        because: String,
    },
    Passed,
    Replicating,
    /// Everywhere, and hidden; `ring` is the next to be released, `since` when the one before was.
    #[serde(rename_all = "camelCase")]
    Replicated {
        ring: usize,
        since: DateTime<Utc>,
    },
    #[serde(rename_all = "camelCase")]
    Releasing {
        ring: usize,
    },
    #[serde(rename_all = "camelCase")]
    Paused {
        ring: usize,
        since: DateTime<Utc>,
        because: String,
        /// True after the ring was asked for: what came of that wants a person, whoever looks.
        #[serde(default)]
        asked: bool,
    },
}

/// A version as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub standing: Standing,
    /// What it was built from; unknown for versions that were there before.
    pub base: Option<PinnedBase>,
    pub why: Option<String>,
    /// The digest of what made it.
    pub spec: Option<String>,
    pub opened_at: Option<DateTime<Utc>>,
    /// When each region began to offer it.
    pub released_at: BTreeMap<Region, DateTime<Utc>>,
    pub deprecated_at: Option<DateTime<Utc>>,
    /// Rejected, failed or revoked, once it was that; also when it is deleted since, for somebody may
    /// restore it.
    #[serde(default)]
    pub condemned_as: Option<Standing>,
    pub reasons: Vec<String>,
    /// The gate under which it was judged passed it.
    pub gate_passed: bool,
    /// The scan report it was judged by.
    pub report: Option<String>,
    pub retiring: Option<Retiring>,
    /// The stages of retirement that were given up; each is wanted again later than the time before.
    #[serde(default)]
    pub given_up: BTreeMap<Retirement, GivenUp>,
}

/// A stage of retirement that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retiring {
    pub stage: Retirement,
    pub reasons: Vec<String>,
    /// True once Azure has been asked.
    pub requested: bool,
    /// How often it was asked for in vain.
    #[serde(default)]
    pub tries: u32,
    pub task: Task,
}

/// A stage of retirement that could not be carried out, however often it was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenUp {
    /// How often in a row it was given up.
    pub times: u32,
    /// When it was given up last, and why.
    pub at: DateTime<Utc>,
    pub why: String,
}

/// A build that is to be cleaned up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tidying {
    pub version: VersionNumber,
    pub template: String,
    pub staging_group: Option<String>,
    /// True once Azure has been asked.
    pub requested: bool,
    pub task: Task,
}

/// A claim: until it runs out nobody else may write the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenIntent {
    pub operation: Operation,
    pub seq: u64,
    pub send_before: DateTime<Utc>,
}

/// Children that are to be told of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildrenDue {
    pub version: VersionNumber,
    pub children: Vec<ImageName>,
    pub task: Task,
}

/// Something that people are to be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub text: String,
    pub at: DateTime<Utc>,
    pub task: Task,
}

/// A person stopped releases of the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub by: String,
    pub why: String,
    pub until: Option<DateTime<Utc>>,
}

/// A person wants a version kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    pub by: String,
    pub why: String,
    pub until: Option<DateTime<Utc>>,
}

/// A plan of deletions that exceeds the cap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The entry that proposed it.
    pub seq: u64,
    pub deletions: u32,
    pub approved_by: Option<String>,
}

/// The entry that an event is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub seq: u64,
    pub at: DateTime<Utc>,
}

/// An event that cannot follow: nothing of its entry may be recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen now: {because}")]
pub struct WrongMove {
    pub event: String,
    pub because: String,
}

impl WrongMove {
    /// Names the event as it stands in the ledger.
    fn new(event: &Event, because: String) -> WrongMove {
        let text = format!("{event:?}");
        let event = text.split([' ', '{']).next().unwrap_or_default().to_owned();
        WrongMove { event, because }
    }
}

/// Whether a write may be intended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Free,
    /// Somebody may still be writing; look again then.
    NotBefore(DateTime<Utc>),
}

impl Version {
    /// True when nobody may get it: rejected, failed or taken back.
    pub fn is_condemned(&self) -> bool {
        self.standing.is_condemned()
    }

    /// Nobody may get it any more.
    fn condemn(&mut self, standing: Standing) {
        self.standing = standing;
        self.condemned_as = Some(standing);
    }

    /// True when nothing is owed to it any more, unless a sweep still meets it.
    fn is_over(&self) -> bool {
        (self.is_condemned() || self.standing == Standing::Deleted) && self.retiring.is_none()
    }
}

impl State {
    /// The open run that makes `version`.
    pub fn run(&self, version: VersionNumber) -> Option<&Run> {
        self.runs().find(|run| run.version == version)
    }

    fn run_mut(&mut self, version: VersionNumber) -> Option<&mut Run> {
        let mut runs = self.building.iter_mut().chain(&mut self.releasing);
        runs.find(|run| run.version == version)
    }

    /// The record of `version`; a version that was there before the ledger gets one now.
    fn version_mut(&mut self, version: VersionNumber) -> &mut Version {
        self.versions.entry(version).or_insert_with(|| Version::standing(Standing::Released))
    }

    /// The open runs, the building one first.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.building.iter().chain(&self.releasing)
    }

    /// Whether `target` may be written: nobody else holds a claim on it at `now`.
    pub fn claim(&self, target: &str, now: DateTime<Utc>) -> Claim {
        let Some(open) = self.intents.get(target) else { return Claim::Free };
        let free_at = open.send_before.checked_add_signed(REQUEST_TIMEOUT);
        let free_at = free_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        if now >= free_at { Claim::Free } else { Claim::NotBefore(free_at) }
    }

    /// True while nothing is under way and nothing is owed.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.runs().next().is_none() && self.wants().is_empty()
    }

    /// The versions that have reached `moment`, are offered or on their way to be, and were not
    /// taken back since, the newest first: what a child is built from.
    pub fn at_moment(&self, moment: crate::catalog::Moment) -> impl Iterator<Item = VersionNumber> {
        use crate::catalog::Moment;

        let reached = move |number: &VersionNumber, version: &Version| {
            let standing = matches!(version.standing, Standing::Passed | Standing::Released);
            let moment_reached = match moment {
                Moment::Passed => version.gate_passed,
                Moment::FirstRing => !version.released_at.is_empty(),
                Moment::Released => {
                    version.standing == Standing::Released && self.run(*number).is_none()
                }
            };
            standing && moment_reached
        };
        self.versions
            .iter()
            .rev()
            .filter(move |(number, it)| reached(number, it))
            .map(|(it, _)| *it)
    }

    /// The version of the newest run, whatever became of it.
    pub fn newest_run(&self) -> Option<(&VersionNumber, &Version)> {
        self.versions.iter().rev().find(|(_, version)| version.opened_at.is_some())
    }
}

#[cfg(test)]
mod tests;
