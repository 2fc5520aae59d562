//! Where a version stands in its life.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The standing of a version; also the value of its `goldsmith-version-state` tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Built or being built; not judged yet.
    Candidate,
    /// The gate has passed it; no region offers it yet.
    Passed,
    /// At least one ring offers it.
    Released,
    /// The gate has rejected it: quarantined.
    Rejected,
    /// Its run failed.
    Failed,
    /// No longer offered.
    Deprecated,
    /// No longer offered, and only in its home region.
    Trimmed,
    /// A person took it back.
    Revoked,
    /// Gone from the gallery.
    Deleted,
}

impl Standing {
    const ALL: [Standing; 9] = [
        Standing::Candidate,
        Standing::Passed,
        Standing::Released,
        Standing::Rejected,
        Standing::Failed,
        Standing::Deprecated,
        Standing::Trimmed,
        Standing::Revoked,
        Standing::Deleted,
    ];

    /// True when nobody may get such a version: rejected, failed or taken back.
    pub const fn is_condemned(self) -> bool {
        matches!(self, Standing::Rejected | Standing::Failed | Standing::Revoked)
    }

    /// The word in tags and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Candidate => "candidate",
            Standing::Passed => "passed",
            Standing::Released => "released",
            Standing::Rejected => "rejected",
            Standing::Failed => "failed",
            Standing::Deprecated => "deprecated",
            Standing::Trimmed => "trimmed",
            Standing::Revoked => "revoked",
            Standing::Deleted => "deleted",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no standing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the standing of a version")]
pub struct UnknownStanding(String);

impl FromStr for Standing {
    type Err = UnknownStanding;

    fn from_str(text: &str) -> Result<Standing, UnknownStanding> {
        let found = Standing::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownStanding(text.chars().take(64).collect()))
    }
}
