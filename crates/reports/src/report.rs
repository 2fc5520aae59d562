//! What a report says, whatever scanner wrote it.

use chrono::{DateTime, Utc};
use rules::gate::Finding;

use crate::text::harmless;
use crate::{LONGEST_REPORT, MOST_FINDINGS};

/// A scan report, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scanner and, where it says so, its version: `Trivy 0.70.0`.
    pub scanner: String,
    /// What was scanned, in the scanner's words.
    pub artifact: String,
    /// When it was written, where it says so.
    pub created_at: Option<DateTime<Utc>>,
    /// What was found, in the order of advisory and package; a pair of these occurs once.
    pub findings: Vec<Finding>,
    /// Why the report cannot vouch for the whole image; empty when it can. A scan that recognised
    /// no operating system finds nothing, and that is no evidence.
    pub gaps: Vec<String>,
}

impl Report {
    /// Whether the report can vouch for the whole image.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// Why something is not a report that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("the report is empty; look at the scanner's log in the build")]
    Empty,
    #[error(
        "the report has {bytes} bytes, and at most {LONGEST_REPORT} are read; scan without listing all packages"
    )]
    TooLong { bytes: usize },
    #[error("the report has more than {MOST_FINDINGS} findings; scan fewer kinds of things")]
    TooManyFindings,
    #[error(
        "the report is UTF-16; let the scanner write the file (`--output`) instead of PowerShell's `>`"
    )]
    Utf16,
    #[error("the report is not whole JSON: {0}; it may have been cut while it was uploaded")]
    NotJson(String),
    #[error("the report is {looks_like}, which is not read; write {known} (`--format json`)")]
    UnknownFormat { looks_like: &'static str, known: String },
    #[error(
        "the report is {format} of schema version {found}, and {read} is read; use another version of the scanner"
    )]
    WrongSchema { format: &'static str, found: String, read: u32 },
    #[error("the report is not {format} as we know it: {what}")]
    Malformed { format: &'static str, what: String },
}

impl ReportError {
    pub(crate) fn not_json(error: serde_json::Error) -> ReportError {
        ReportError::NotJson(harmless(&error.to_string()))
    }
}
