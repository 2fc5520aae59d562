//! How Azure answers the open questions, which only live Azure can: every plausible answer is a
//! variant that an estate may choose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The open questions: what only live Azure can answer. The defaults are the stricter answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Variants {
    /// A PUT on a version that is still Updating.
    pub update_while_updating: Answer,
    /// A PUT that repeats an end-of-life date which lies in the past by then.
    pub unchanged_past_end_of_life: Answer,
    /// A PUT that lifts the safety profile and removes a region at once.
    pub lift_and_remove_at_once: Answer,
    /// A PUT of location and tags alone on a version that is not deleted.
    pub bare_update: BareUpdate,
    /// A PUT without an end-of-life date on a version that has one.
    pub absent_end_of_life: AbsentEndOfLife,
    /// Whether `exactVersion` is told of machines that refer to a definition without a version.
    pub exact_version_of_latest: ExactVersion,
    /// Which of the two `excludeFromLatest` flags hides a version from *latest*.
    pub exclusion: Exclusion,
    /// Whether *latest* means a version that still replicates to the region.
    pub latest_while_replicating: LatestWhileReplicating,
    /// How long a PUT takes that changes tags alone.
    pub tags_only: TagsOnly,
    /// What a GET shows as the flag of a region for which none was ever sent, as after a build.
    pub unset_flag: UnsetFlag,
    /// What the deletion of a template does to its version's replications that are under way.
    pub staging_deleted: StagingDeleted,
    /// When Event Grid tells of the run of a template.
    pub run_event: RunEvent,
    /// Whether Event Grid tells of gallery versions.
    pub version_events: VersionEvents,
    /// Where ARM says how long to wait, when it has had too many requests.
    pub wait_told: WaitTold,
    /// What Service Bus answers where there is no such queue.
    pub missing_queue: MissingQueue,
    /// What Service Bus answers to somebody whose lock on a message has ended.
    pub lost_lock: LostLock,
    /// What Service Bus answers to a token whose bearer has no role on the queue.
    pub missing_role: MissingRole,
    /// What Service Bus answers to a message that is too large.
    pub large_message: LargeMessage,
    /// What Service Bus answers when it is asked more than the namespace may do.
    pub throttled_bus: ThrottledBus,
}

/// Whether Azure does what it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It answers 400 or 409.
    #[default]
    Refuse,
    /// It does it.
    Accept,
}

/// What a PUT of `{location, tags}` does to a version that is not deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BareUpdate {
    /// It changes the tags and keeps the rest.
    #[default]
    ChangesTags,
    /// It changes nothing.
    Ignored,
    /// It resets the publishing profile: home region alone, not excluded from latest.
    ResetsProfile,
    /// It answers 400.
    Refused,
}

/// What a PUT without an end-of-life date does to the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AbsentEndOfLife {
    #[default]
    Kept,
    Cleared,
}

/// Whether a machine made from *latest* tells its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExactVersion {
    #[default]
    Told,
    /// By ARM, and not by Resource Graph.
    ArmAlone,
    /// By Resource Graph, and not by ARM.
    GraphAlone,
    Absent,
}

/// How the global and the regional flag work together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Exclusion {
    /// Either flag hides the version.
    #[default]
    Either,
    /// A regional flag, where there is one, wins over the global one.
    RegionalWins,
    /// Only the global flag counts.
    GlobalOnly,
    /// Only the regional flag counts, and a region for which none was ever sent does not hide.
    RegionalOnly,
}

/// What *latest* means in a region where the highest version still replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LatestWhileReplicating {
    /// The highest version that is complete there.
    #[default]
    Complete,
    /// The highest version, complete or not.
    Highest,
}

/// How long a PUT takes that changes tags alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagsOnly {
    /// As long as any other change of an attribute, 150 seconds.
    #[default]
    Slow,
    /// Under a second.
    Quick,
}

/// What is shown as the flag of a region for which none was ever sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnsetFlag {
    #[default]
    Absent,
    /// `false`, whatever the global one is.
    False,
    /// What the global one is.
    LikeGlobal,
}

/// What the deletion of a template and its staging group does to replications of the version that
/// was built there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StagingDeleted {
    /// Those that are under way fail.
    #[default]
    Breaks,
    Harmless,
}

/// When Event Grid tells of the run of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunEvent {
    /// When the run has ended.
    #[default]
    AtEnd,
    /// When the POST was accepted, and never again.
    AtAcceptance,
}

/// Whether Event Grid tells of gallery versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VersionEvents {
    #[default]
    Told,
    NotTold,
}

/// Where the wait is said, when there were too many requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WaitTold {
    /// In `Retry-After`, and in the text.
    #[default]
    InHeader,
    /// In the text alone.
    InText,
}

/// The answer where there is no such queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MissingQueue {
    /// 410, as <https://learn.microsoft.com/rest/api/servicebus/send-message-to-queue> has it.
    #[default]
    Gone,
    /// 404.
    NotFound,
}

/// The answer to somebody whose lock has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LostLock {
    /// 404, as <https://learn.microsoft.com/rest/api/servicebus/delete-message> has it.
    #[default]
    NotFound,
    /// 410, which the same page has for what is no longer there.
    Gone,
}

/// The answer to a token that is good and may not send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MissingRole {
    /// 401, the only "authorization failure" of the documents.
    #[default]
    Unauthorized,
    /// 403, as other services of Azure have it; the documents have it for a full queue.
    Forbidden,
}

/// The answer to a message of more than 256 KB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LargeMessage {
    /// 403, as <https://learn.microsoft.com/rest/api/servicebus/send-message-to-queue> has it.
    #[default]
    Forbidden,
    /// 413, as any gateway before the service would have it.
    TooLarge,
}

/// The answer when the namespace has done what it may do in a second. The documents know the code
/// (50009) and the text, and no status:
/// <https://learn.microsoft.com/azure/service-bus-messaging/service-bus-throttling>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ThrottledBus {
    /// 503; how long to wait is in the text alone.
    #[default]
    Unavailable,
    /// 503 and `Retry-After`.
    UnavailableAndWait,
    /// 429; how long to wait is in the text alone.
    TooMany,
    /// 429 and `Retry-After`.
    TooManyAndWait,
}
