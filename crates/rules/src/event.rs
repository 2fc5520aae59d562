//! What can happen to an image: the facts of its ledger, in the past tense.
//!
//! These types carry a compatibility promise, since a ledger is kept for ever: members may be
//! added with a default, never renamed; a changed meaning is a new variant.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::Severity;
use crate::rings::PlannedRing;
use crate::standing::Standing;
use crate::trigger::Trigger;
use crate::wake::Function;
use crate::{ImageName, Region, VersionNumber};

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// Goldsmith looks after this image from here on; its schedule counts from this moment.
    #[serde(rename_all = "camelCase")]
    ImageAdopted {},
    /// Occurrences up to and including this one have been judged.
    #[serde(rename_all = "camelCase")]
    ScheduleJudged { through: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    TriggerAccepted { trigger: Trigger },
    /// The trigger is served by a run that another one caused.
    #[serde(rename_all = "camelCase")]
    TriggerCoalesced { trigger: String, into: String },
    #[serde(rename_all = "camelCase")]
    TriggerRefused { trigger: Trigger, because: String },

    /// A run begins: its base is pinned and its number is taken.
    #[serde(rename_all = "camelCase")]
    RunOpened {
        version: VersionNumber,
        /// The ids of the triggers it serves.
        triggers: Vec<String>,
        why: String,
        base: PinnedBase,
        /// The digest of what makes the image, its base version apart.
        spec: String,
        template: String,
    },
    /// What is about to be made true on Azure.
    #[serde(rename_all = "camelCase")]
    IntentRecorded {
        /// The version, template or definition that is written.
        target: String,
        operation: Operation,
        intent: String,
        evidence: Vec<String>,
        send_before: DateTime<Utc>,
    },
    /// What became of an intent.
    #[serde(rename_all = "camelCase")]
    EffectSettled { target: String, operation: Operation, outcome: Outcome },

    #[serde(rename_all = "camelCase")]
    TemplateRequested { version: VersionNumber, look_at: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    BuildStarted { version: VersionNumber, look_at: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    ImageBuilt {
        version: VersionNumber,
        minutes: i64,
        /// The resource id of the group where the build's logs are.
        #[serde(default)]
        staging_group: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    BuildFailed {
        version: VersionNumber,
        reason: String,
        /// True: there is a version all the same; it is hidden.
        published: bool,
        /// The resource id of the group where the build's logs are.
        #[serde(default)]
        staging_group: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    ScanRequested { version: VersionNumber, report: String, due_by: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    ImageScanned {
        version: VersionNumber,
        /// The report's digest among the blobs.
        report: String,
        scanner: String,
        findings: BTreeMap<Severity, u32>,
    },
    #[serde(rename_all = "camelCase")]
    ScanMissing { version: VersionNumber, because: String },
    /// It waits for its verdict, and every region's own flag says meanwhile that nobody gets it.
    #[serde(rename_all = "camelCase")]
    CandidateHidden { version: VersionNumber },
    #[serde(rename_all = "camelCase")]
    GatePassed { version: VersionNumber, reasons: Vec<String>, plan: Vec<PlannedRing> },
    #[serde(rename_all = "camelCase")]
    ImageRejected { version: VersionNumber, reasons: Vec<String> },
    #[serde(rename_all = "camelCase")]
    RunSuperseded { version: VersionNumber, by: VersionNumber },

    #[serde(rename_all = "camelCase")]
    ReplicationRequested { version: VersionNumber, look_at: DateTime<Utc> },
    /// Its replication to a region failed, or somebody else has taken it out of there, or Azure refused to
    /// bring it back: one of the tries that it has. `details` say which.
    #[serde(rename_all = "camelCase")]
    RegionFailed { version: VersionNumber, region: Region, details: String },
    #[serde(rename_all = "camelCase")]
    VersionReplicated { version: VersionNumber, regions: Vec<Region> },
    #[serde(rename_all = "camelCase")]
    ReleaseRequested { version: VersionNumber, ring: usize, look_at: DateTime<Utc> },
    /// A ring waits for a person: an approval, or the end of a hold.
    #[serde(rename_all = "camelCase")]
    ReleasePaused {
        version: VersionNumber,
        ring: usize,
        because: String,
        /// When it goes on by itself; without it, a person is waited for.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    #[serde(rename_all = "camelCase")]
    RingReleased { version: VersionNumber, ring: usize, name: String, regions: Vec<Region> },
    /// The last ring has it: the run has ended well.
    #[serde(rename_all = "camelCase")]
    RunReleased { version: VersionNumber },
    #[serde(rename_all = "camelCase")]
    RunFailed { version: VersionNumber, reason: String },

    #[serde(rename_all = "camelCase")]
    ChildrenDue { version: VersionNumber, children: Vec<ImageName> },
    #[serde(rename_all = "camelCase")]
    ChildrenTold { version: VersionNumber },
    #[serde(rename_all = "camelCase")]
    TidyRequested { version: VersionNumber, logs: Vec<String>, look_at: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    BuildTidied { version: VersionNumber },

    #[serde(rename_all = "camelCase")]
    ApprovalGranted { version: VersionNumber, ring: usize, by: String },
    #[serde(rename_all = "camelCase")]
    ImageHeld { by: String, why: String, until: Option<DateTime<Utc>> },
    #[serde(rename_all = "camelCase")]
    ImageResumed { by: String },
    #[serde(rename_all = "camelCase")]
    VersionPinned { version: VersionNumber, by: String, why: String, until: Option<DateTime<Utc>> },
    #[serde(rename_all = "camelCase")]
    VersionUnpinned { version: VersionNumber, by: String },
    #[serde(rename_all = "camelCase")]
    VersionRevoked { version: VersionNumber, by: String, why: String },

    /// What a sweep found, recorded when it differs from the sweep before.
    #[serde(rename_all = "camelCase")]
    VersionsJudged { kept: BTreeMap<VersionNumber, Vec<String>> },
    #[serde(rename_all = "camelCase")]
    RetirementDue {
        version: VersionNumber,
        stage: Retirement,
        /// How the version stood when it was judged; a version that was there before the ledger is
        /// known by this.
        standing: Standing,
        reasons: Vec<String>,
    },
    #[serde(rename_all = "camelCase")]
    RetirementRequested { version: VersionNumber, stage: Retirement, look_at: DateTime<Utc> },
    /// The world was read again before the write, and spoke against it.
    #[serde(rename_all = "camelCase")]
    RetirementRefused { version: VersionNumber, stage: Retirement, reasons: Vec<String> },
    #[serde(rename_all = "camelCase")]
    VersionDeprecated { version: VersionNumber, reasons: Vec<String> },
    #[serde(rename_all = "camelCase")]
    VersionTrimmed { version: VersionNumber },
    #[serde(rename_all = "camelCase")]
    VersionDeleted { version: VersionNumber, reasons: Vec<String> },

    #[serde(rename_all = "camelCase")]
    NoticeDue { text: String },
    #[serde(rename_all = "camelCase")]
    PeopleTold { seq: u64 },
    /// What was owed and overdue is sent again, under a higher generation.
    #[serde(rename_all = "camelCase")]
    RunWoken { seq: u64, function: Function, generation: u32 },
    /// A step can never succeed; what it was about ends, with this reason.
    #[serde(rename_all = "camelCase")]
    StepFailed { seq: u64, function: Function, reason: String },

    /// In the catalog's own stream: this catalog is in force.
    #[serde(rename_all = "camelCase")]
    CatalogPublished { catalog: String },
    /// In the catalog's own stream: a sweep wanted to delete more than the catalog allows at once.
    #[serde(rename_all = "camelCase")]
    DeletionPlanProposed { plan: String, deletions: u32 },
    /// In the catalog's own stream: that very plan may be carried out.
    #[serde(rename_all = "camelCase")]
    DeletionPlanApproved { plan: String, by: String },
}

/// What a run is built from, to the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum PinnedBase {
    /// An exact version of the catalog's platform image.
    #[serde(rename_all = "camelCase")]
    Platform { version: String },
    /// A version of the parent.
    #[serde(rename_all = "camelCase")]
    Image { image: ImageName, version: VersionNumber },
}

impl PinnedBase {
    /// The version as text, for tags and summaries.
    pub fn version(&self) -> String {
        match self {
            PinnedBase::Platform { version } => version.clone(),
            PinnedBase::Image { image, version } => format!("{image} {version}"),
        }
    }
}

/// One write on Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    CreateDefinition,
    CreateTemplate,
    RunTemplate,
    CancelTemplate,
    DeleteTemplate,
    UpdateVersion,
    DeleteVersion,
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// Azure accepted it, or the resource shows it.
    Accepted,
    /// Azure refused it; nothing has changed.
    #[serde(rename_all = "camelCase")]
    Refused { because: String },
    /// It was never sent.
    #[serde(rename_all = "camelCase")]
    NotSent { because: String },
    /// Nobody can tell: whoever sent it, or did not, has not come back, and it cannot be under way
    /// any more. What follows begins with a look at the resource.
    #[serde(rename_all = "camelCase")]
    Unknown { because: String },
}

/// A stage of a version's retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Retirement {
    Deprecate,
    Trim,
    Delete,
}
