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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn formats_that_we_meet_and_do_not_read_are_named() {
        let table = [
            (r#"{"bomFormat":"CycloneDX","components":[]}"#, "CycloneDX"),
            (r#"{"spdxVersion":"SPDX-2.3"}"#, "SPDX"),
            (r#"{"version":"2.1.0","runs":[]}"#, "SARIF"),
            (r#"{"matches":[],"descriptor":{"name":"grype"}}"#, "Grype JSON"),
            (r#"{"hello":1}"#, "something else"),
            (r#"{"SchemaVersion":2}"#, "something else"),
        ];
        for (text, format) in table {
            let expected = format!("the report is {format}, which is not read; write Trivy JSON");
            assert!(error(text).starts_with(&expected), "{text}: {}", error(text));
        }
    }

    #[test]
    fn what_is_not_a_report_at_all_is_told() {
        assert_eq!(read(b""), Err(ReportError::Empty));
        assert_eq!(read(b" \r\n"), Err(ReportError::Empty));
        assert_eq!(read(b"\xff\xfe{\0}\0"), Err(ReportError::Utf16));
        assert!(matches!(read(b"FATAL\tscan error"), Err(ReportError::NotJson(_))));
        assert!(matches!(read(b"[]"), Err(ReportError::NotJson(_))));
        assert!(matches!(read(br#"{"SchemaVersion":2,"Arti"#), Err(ReportError::NotJson(_))));
        assert!(matches!(read(&b"[".repeat(100_000)), Err(ReportError::NotJson(_))));
    }

    #[test]
    fn a_report_over_the_limit_is_not_parsed() {
        let bytes = LONGEST_REPORT + 1;
        assert_eq!(read(&vec![b' '; bytes]), Err(ReportError::TooLong { bytes }));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let text = "\u{feff}{\"SchemaVersion\":2,\"ArtifactName\":\"/\"}";

        assert_eq!(read(text.as_bytes()).unwrap().artifact, "/");
    }

    #[test]
    fn an_error_shows_no_control_character() {
        let text = error("{\"SchemaVersion\":\"\\u001b[31m\",\"ArtifactName\":\"x\"}");

        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
