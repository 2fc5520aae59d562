//! Which versions grow old, and what may be done about it: deprecate, trim, delete, one stage at
//! a time.
//!
//! The main problem is what must not happen: that an image, or one of its regions, is left without
//! its last good versions, or that something in use goes. Both are judged again at execution, by
//! the same function. Reasons name dates, never ages: the same facts give the same text tomorrow.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::Retention;
use crate::event::Retirement;
use crate::in_use::InUse;
use crate::standing::Standing;
use crate::state::GivenUp;
use crate::{ImageName, Region, VersionNumber};

pub mod cap;
mod good;
mod against;

use against::{blocks_every_stage, blocks_stage, does_not_block};
use good::Good;

/// What is known about the versions of one image.
#[derive(Clone, Debug)]
pub struct Facts {
    pub now: DateTime<Utc>,
    pub home: Region,
    /// The regions that the catalog wants the image in.
    pub wanted_regions: Vec<Region>,
    pub versions: Vec<VersionFacts>,
    pub in_use: InUse,
}

/// What is known about one version.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionFacts {
    pub number: VersionNumber,
    /// True: Goldsmith made it.
    pub ours: bool,
    pub provisioned: Provisioned,
    pub standing: Standing,
    /// True: a run is under way with it.
    pub in_a_run: bool,
    /// It is excluded from latest as a whole, whatever its regions say.
    pub hidden: bool,
    pub regions: BTreeMap<Region, RegionFacts>,
    pub published_at: Option<DateTime<Utc>>,
    pub released_at: Option<DateTime<Utc>>,
    /// When a newer version was released.
    pub superseded_at: Option<DateTime<Utc>>,
    pub deprecated_at: Option<DateTime<Utc>>,
    pub pinned: Option<Pin>,
    /// Azure does not delete it before then.
    pub protected_until: Option<DateTime<Utc>>,
    /// The stages that could not be carried out before.
    pub given_up: BTreeMap<Retirement, GivenUp>,
    /// The images whose current good version was built from this one.
    pub base_of: Vec<ImageName>,
}

/// What Azure says of the version as a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioned {
    Succeeded,
    Failed,
    /// Something is being done to it: creating, updating, deleting, migrating.
    InProgress,
}

/// A version in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionFacts {
    /// Its replication is Completed.
    pub completed: bool,
    /// Its replication has failed. When it is neither, it may serve there soon, or does already and
    /// is not told so.
    pub failed: bool,
    /// It is excluded from latest there.
    pub excluded: bool,
}

/// A person's wish that a version stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Without it, until it is taken away.
    pub until: Option<DateTime<Utc>>,
    pub why: String,
}

/// What becomes of a version, and why. The reasons of a stage include what would have spoken
/// against it and does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    Keep { reasons: Vec<String> },
    Deprecate { reasons: Vec<String> },
    Trim { reasons: Vec<String> },
    Delete { reasons: Vec<String> },
}

impl Verdict {
    /// The stage that is due; `None`: it is kept as it is.
    pub const fn stage(&self) -> Option<Retirement> {
        match self {
            Verdict::Keep { .. } => None,
            Verdict::Deprecate { .. } => Some(Retirement::Deprecate),
            Verdict::Trim { .. } => Some(Retirement::Trim),
            Verdict::Delete { .. } => Some(Retirement::Delete),
        }
    }

    /// The reasons, whichever way it went.
    pub fn reasons(&self) -> &[String] {
        match self {
            Verdict::Keep { reasons }
            | Verdict::Deprecate { reasons }
            | Verdict::Trim { reasons }
            | Verdict::Delete { reasons } => reasons,
        }
    }

    fn of(stage: Retirement, reasons: Vec<String>) -> Verdict {
        match stage {
            Retirement::Deprecate => Verdict::Deprecate { reasons },
            Retirement::Trim => Verdict::Trim { reasons },
            Retirement::Delete => Verdict::Delete { reasons },
        }
    }
}

/// Judges every version that is still there.
pub fn judge(policy: &Retention, facts: &Facts) -> BTreeMap<VersionNumber, Verdict> {
    let good = Good::of(policy, facts);
    let there = facts.versions.iter().filter(|it| it.standing != Standing::Deleted);
    there.map(|it| (it.number, judge_one(policy, facts, &good, it))).collect()
}

/// Whether a stage that was due may still be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StillHolds {
    Yes { reasons: Vec<String> },
    No { because: Vec<String> },
}

/// Judges again, with facts that were just read, whether `stage` of `number` may be carried out.
/// A trim holds as well when the version has become due for deletion meanwhile.
pub fn still_holds(
    stage: Retirement,
    number: VersionNumber,
    policy: &Retention,
    facts: &Facts,
) -> StillHolds {
    let Some(verdict) = judge(policy, facts).remove(&number) else {
        return StillHolds::No { because: vec!["the gallery has no such version".to_owned()] };
    };
    let reasons = verdict.reasons().to_vec();
    match (stage, verdict.stage()) {
        (Retirement::Deprecate, Some(Retirement::Deprecate))
        | (Retirement::Trim, Some(Retirement::Trim | Retirement::Delete))
        | (Retirement::Delete, Some(Retirement::Delete)) => StillHolds::Yes { reasons },
        (_, None) => StillHolds::No { because: reasons },
        (_, Some(other)) => {
            let mut because = vec![format!("what is due by now is to {}", verb(other))];
            because.extend(reasons);
            StillHolds::No { because }
        }
    }
}

fn judge_one(policy: &Retention, facts: &Facts, good: &Good, version: &VersionFacts) -> Verdict {
    if is_offered_unproven(version) {
        let because = format!("it is {} and yet offered: it was never proven", version.standing);
        return Verdict::of(Retirement::Deprecate, vec![because]);
    }
    let blocks_all_stages = blocks_every_stage(policy, facts, good, version);
    let mut kept = None;
    for due in due(policy, facts, version) {
        let (stage, because) = match due {
            Due::Now { stage, because } => (stage, because),
            Due::NotYet { because } if blocks_all_stages.is_empty() => {
                return Verdict::Keep { reasons: vec![because] };
            }
            Due::NotYet { .. } => return Verdict::Keep { reasons: blocks_all_stages },
        };
        let mut against = blocks_all_stages.clone();
        against.extend(blocks_stage(stage, facts, good, version));
        if against.is_empty() {
            let mut reasons = vec![because];
            reasons.extend(does_not_block(stage, good, version));
            return Verdict::of(stage, reasons);
        }
        against.push(format!("else it would be time to {} it: {because}", verb(stage)));
        kept.get_or_insert(against);
    }
    Verdict::Keep { reasons: kept.unwrap_or(blocks_all_stages) }
}

/// Whatever else is to be said for a version: one that was not proven is offered to nobody.
fn is_offered_unproven(version: &VersionFacts) -> bool {
    let unproven = matches!(
        version.standing,
        Standing::Candidate
            | Standing::Passed
            | Standing::Rejected
            | Standing::Failed
            | Standing::Revoked
    );
    // Whichever flag wins: that of the version as a whole, or the region's own.
    let offered = !version.hidden || version.regions.values().any(|region| !region.excluded);
    // What a person has taken back nobody is offered, whoever made it.
    let may_hide = version.ours || version.standing == Standing::Revoked;
    unproven && offered && may_hide && !version.in_a_run
}

enum Due {
    Now { stage: Retirement, because: String },
    NotYet { because: String },
}

/// Which stages time alone has made due, the furthest first; else what is waited for.
fn due(policy: &Retention, facts: &Facts, version: &VersionFacts) -> Vec<Due> {
    let due = match version.standing {
        Standing::Candidate | Standing::Passed | Standing::Rejected | Standing::Failed => {
            quarantine(policy, facts, version)
        }
        Standing::Released => {
            let stage = Retirement::Deprecate;
            let days = policy.deprecate_after_days;
            let Some(superseded_at) = version.superseded_at else {
                let because = "no newer version is released".to_owned();
                return vec![Due::NotYet { because }];
            };
            after(facts, stage, ("a newer version was released", superseded_at), days)
        }
        Standing::Revoked if version.deprecated_at.is_none() => {
            Due::Now { stage: Retirement::Deprecate, because: "it was revoked".to_owned() }
        }
        Standing::Deprecated | Standing::Trimmed | Standing::Revoked => {
            return retire(policy, facts, version);
        }
        Standing::Deleted => Due::NotYet { because: "it is deleted".to_owned() },
    };
    vec![due]
}

/// A version that no region was ever offered may be deleted at once when its quarantine has ended.
fn quarantine(policy: &Retention, facts: &Facts, version: &VersionFacts) -> Due {
    let standing = version.standing;
    if let Some(released_at) = version.released_at {
        let day = day(released_at);
        let because = format!("it is {standing}, and yet was released on {day}: a person decides");
        return Due::NotYet { because };
    }
    let Some(published_at) = version.published_at else {
        let because = format!("it is {standing}, and when it was published is unknown");
        return Due::NotYet { because };
    };
    let since = format!("it is {standing}, never released, and was published");
    after(facts, Retirement::Delete, (&since, published_at), policy.quarantine_days)
}

/// When a version may not be deleted yet, it may still be time to trim it.
fn retire(policy: &Retention, facts: &Facts, version: &VersionFacts) -> Vec<Due> {
    let Some(deprecated_at) = version.deprecated_at else {
        let because = "when it was deprecated is unknown".to_owned();
        return vec![Due::NotYet { because }];
    };
    let since = ("it was deprecated", deprecated_at);
    let deletion = after(facts, Retirement::Delete, since, policy.delete_after_days);
    if version.regions.keys().all(|region| *region == facts.home) {
        return vec![deletion];
    }
    let trim = after(facts, Retirement::Trim, since, policy.trim_after_days);
    match (&deletion, &trim) {
        (Due::NotYet { .. }, _) => vec![trim],
        (Due::Now { .. }, Due::NotYet { .. }) => vec![deletion],
        (Due::Now { .. }, Due::Now { .. }) => vec![deletion, trim],
    }
}

fn after(facts: &Facts, stage: Retirement, (event, at): (&str, DateTime<Utc>), days: u32) -> Due {
    let since = format!("{event} on {}", day(at));
    let Some(due_at) = at.checked_add_days(Days::new(u64::from(days))) else {
        let because = format!("{since}, and {days} days later lie beyond the calendar");
        return Due::NotYet { because };
    };
    let done = participle(stage);
    match due_at <= facts.now {
        true => Due::Now {
            stage,
            because: format!("{since}, and its {days} days ended on {}", day(due_at)),
        },
        false => Due::NotYet { because: format!("{since}; it is {done} on {}", day(due_at)) },
    }
}

const fn verb(stage: Retirement) -> &'static str {
    match stage {
        Retirement::Deprecate => "deprecate",
        Retirement::Trim => "trim",
        Retirement::Delete => "delete",
    }
}

const fn participle(stage: Retirement) -> &'static str {
    match stage {
        Retirement::Deprecate => "deprecated",
        Retirement::Trim => "trimmed",
        Retirement::Delete => "deleted",
    }
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
