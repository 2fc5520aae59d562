//! Scan reports: bytes of any scanner in, findings out, one file per format. A scanner is added by
//! a file like `trivy.rs` and a line in [`READERS`]. A report is input from a machine that ran
//! somebody's scripts: it is read with limits, and its texts are made harmless.

pub mod report;
pub mod trivy;
mod text;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

pub use report::{Report, ReportError};

/// The longest report that is read, in bytes.
pub const LONGEST_REPORT: usize = 32 << 20;

/// The most findings of one report.
pub const MOST_FINDINGS: usize = 200_000;

/// A format: its name, whether a document with these members is one, and how it is read.
struct Reader {
    format: &'static str,
    knows: fn(&BTreeSet<String>) -> bool,
    read: fn(&[u8]) -> Result<Report, ReportError>,
}

const READERS: &[Reader] =
    &[Reader { format: "Trivy JSON", knows: trivy::knows, read: trivy::read }];

/// Reads a report of whatever format it is.
///
/// # Errors
/// Why it is not a report that can be relied on. A report that cannot be read is as good as none.
pub fn read(bytes: &[u8]) -> Result<Report, ReportError> {
    if bytes.len() > LONGEST_REPORT {
        return Err(ReportError::TooLong { bytes: bytes.len() });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ReportError::Empty);
    }
    // Windows PowerShell's `>` writes UTF-16.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(ReportError::Utf16);
    }

    let Members(members) = serde_json::from_slice(bytes).map_err(ReportError::not_json)?;
    let reader = READERS.iter().find(|it| (it.knows)(&members));
    let Some(reader) = reader else {
        let known = READERS.iter().map(|it| it.format).collect::<Vec<_>>().join(", ");
        return Err(ReportError::UnknownFormat { looks_like: looks_like(&members), known });
    };
    (reader.read)(bytes)
}

/// Formats that we meet and do not read.
fn looks_like(members: &BTreeSet<String>) -> &'static str {
    let has = |name: &str| members.contains(name);
    if has("bomFormat") {
        return "CycloneDX";
    }
    if has("spdxVersion") {
        return "SPDX";
    }
    if has("runs") {
        return "SARIF";
    }
    if has("matches") && has("descriptor") {
        return "Grype JSON";
    }
    "something else"
}

/// The names of a document's members; a list has none.
struct Members(BTreeSet<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_any(Names).map(Members)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BTreeSet<String>, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            // An object with more members than any report has is not kept whole.
            if names.len() < 64 {
                names.insert(name);
            }
        }
        Ok(names)
    }
}
