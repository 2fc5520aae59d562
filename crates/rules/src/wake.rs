//! What must be woken, and when: the messages that a stream's state still owes the world.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::VersionNumber;

/// A function that is woken by a message which points into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    CreateTemplate,
    StartBuild,
    FollowBuild,
    StartScan,
    FollowScan,
    JudgeImage,
    ReplicateVersion,
    ReleaseVersion,
    FollowVersion,
    TidyBuild,
    ReceiveEvents,
    DeprecateVersion,
    TrimVersion,
    DeleteVersion,
    Notify,
}

impl Function {
    /// All of them, in lifecycle order.
    pub const ALL: [Function; 15] = [
        Function::CreateTemplate,
        Function::StartBuild,
        Function::FollowBuild,
        Function::StartScan,
        Function::FollowScan,
        Function::JudgeImage,
        Function::ReplicateVersion,
        Function::ReleaseVersion,
        Function::FollowVersion,
        Function::TidyBuild,
        Function::ReceiveEvents,
        Function::DeprecateVersion,
        Function::TrimVersion,
        Function::DeleteVersion,
        Function::Notify,
    ];

    /// The one name: folder, module, route and log field. Also the queue, except for
    /// [`Function::ReceiveEvents`], whose queue is `ingress`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Function::CreateTemplate => "create_template",
            Function::StartBuild => "start_build",
            Function::FollowBuild => "follow_build",
            Function::StartScan => "start_scan",
            Function::FollowScan => "follow_scan",
            Function::JudgeImage => "judge_image",
            Function::ReplicateVersion => "replicate_version",
            Function::ReleaseVersion => "release_version",
            Function::FollowVersion => "follow_version",
            Function::TidyBuild => "tidy_build",
            Function::ReceiveEvents => "receive_events",
            Function::DeprecateVersion => "deprecate_version",
            Function::TrimVersion => "trim_version",
            Function::DeleteVersion => "delete_version",
            Function::Notify => "notify",
        }
    }

    /// The queue whose messages wake it.
    pub const fn queue(self) -> &'static str {
        match self {
            Function::ReceiveEvents => "ingress",
            other => other.as_str(),
        }
    }

    /// How long after its due time a wish may go unanswered before `look_again` raises its
    /// generation. Looks that find nothing new leave no entry, so a long operation needs more.
    pub fn patience(self) -> TimeDelta {
        match self {
            Function::CreateTemplate | Function::FollowBuild | Function::FollowVersion => {
                TimeDelta::hours(2)
            }
            Function::StartBuild
            | Function::StartScan
            | Function::FollowScan
            | Function::JudgeImage
            | Function::ReplicateVersion
            | Function::ReleaseVersion
            | Function::TidyBuild
            | Function::ReceiveEvents
            | Function::DeprecateVersion
            | Function::TrimVersion
            | Function::DeleteVersion
            | Function::Notify => TimeDelta::minutes(45),
        }
    }
}

/// After so many failed tries of one wish, over about nine hours, it is given up.
const MOST_FAILURES: u32 = 24;

/// A wish that was woken so often, over half a day, is given up sooner.
const MOST_WAKES: u32 = 16;

/// After so many failed tries in a row, over a quarter of an hour: what has waited long, and meets a
/// bad minute of Azure, has not failed for half a day.
const FAILURES_OF_A_WOKEN: u32 = 5;

/// Whether a wish is given up whose last tries failed, so many in a row, and which was woken so often.
pub fn is_given_up(failures: u32, generation: u32) -> bool {
    failures >= MOST_FAILURES || (was_woken_often(generation) && failures >= FAILURES_OF_A_WOKEN)
}

/// Whether it has been owed for so long that even to wait for others counts as a failure: they may
/// never end.
pub fn was_woken_often(generation: u32) -> bool {
    generation >= MOST_WAKES
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a function that a message wakes")]
pub struct UnknownFunction(String);

impl FromStr for Function {
    type Err = UnknownFunction;

    fn from_str(text: &str) -> Result<Function, UnknownFunction> {
        let found = Function::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownFunction(text.chars().take(64).collect()))
    }
}

/// A wish as the state keeps it: which entry wants which function, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The entry that wants it.
    pub seq: u64,
    pub function: Function,
    /// Raised only by `RunWoken`; messages of an older one are dropped on arrival.
    pub generation: u32,
    pub due: DateTime<Utc>,
}

/// What a wake is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Accepted triggers wait for a run to be opened.
    Opening,
    /// A run, by the version it makes.
    Run(VersionNumber),
    /// The template and staging group of a run.
    Build(VersionNumber),
    /// One stage of a version's retirement.
    Retirement(VersionNumber),
    /// The children of a version.
    Children(VersionNumber),
    /// Something that people are to be told, by the entry that says it.
    Notice(u64),
}

/// A message that must be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    pub task: Task,
    pub subject: Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_waited_long_is_given_up_after_failures_in_a_row_and_not_after_the_first() {
        let table = [
            ((0, 0), false),
            ((23, 0), false),
            ((24, 0), true),
            ((23, 15), false),
            ((0, 16), false),
            ((4, 16), false),
            ((5, 16), true),
            ((0, 1000), false),
        ];
        for ((failures, generation), expected) in table {
            assert_eq!(is_given_up(failures, generation), expected, "{failures} {generation}");
        }
    }
}
