//! Trivy's JSON, schema version 2 (`trivy … --format json`; aquasecurity/trivy, pkg/types/report.go).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rules::catalog::Severity;
use rules::gate::Finding;
use serde::Deserialize;
use serde_json::Value;

use crate::MOST_FINDINGS;
use crate::report::{Report, ReportError};
use crate::text::harmless;

const FORMAT: &str = "Trivy JSON";

/// The schema version that is read; Trivy writes it since 0.20.
const SCHEMA: u32 = 2;

/// Whether a document with these members is Trivy's.
pub(crate) fn knows(members: &BTreeSet<String>) -> bool {
    members.contains("SchemaVersion")
        && (members.contains("ArtifactName") || members.contains("Results"))
}

/// Reads Trivy's JSON.
///
/// # Errors
/// When it is of another schema version, of another shape, or has too many findings.
pub fn read(bytes: &[u8]) -> Result<Report, ReportError> {
    let WireSchema { schema_version } = parsed(bytes)?;
    if schema_version != SCHEMA {
        let found = harmless(&schema_version.to_string());
        return Err(ReportError::WrongSchema { format: FORMAT, found, read: SCHEMA });
    }

    let WireReport { trivy, artifact_name, created_at, metadata, results } = parsed(bytes)?;
    let results = results.unwrap_or_default();
    let gaps = gaps(metadata.as_ref(), &results);
    let mut findings = BTreeMap::new();
    let mut count = 0;
    for vulnerability in results.into_iter().filter_map(|it| it.vulnerabilities).flatten() {
        count += 1;
        if count > MOST_FINDINGS {
            return Err(ReportError::TooManyFindings);
        }
        keep(&mut findings, vulnerability.fact()?);
    }

    let version = trivy.and_then(|it| it.version).map(|it| format!(" {}", harmless(&it)));
    Ok(Report {
        scanner: format!("Trivy{}", version.unwrap_or_default()),
        artifact: harmless(&artifact_name.unwrap_or_default()),
        created_at: created_at.as_deref().and_then(date),
        findings: findings.into_values().collect(),
        gaps,
    })
}

fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ReportError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = harmless(&error.to_string());
        ReportError::Malformed { format: FORMAT, what }
    })
}

/// The same advisory in the same package counts once, at its worst: the higher severity, and the
/// one for which a fix is published.
fn keep(findings: &mut BTreeMap<(String, String), Finding>, found: Finding) {
    let key = (found.id.clone(), found.package.clone());
    let Some(kept) = findings.get_mut(&key) else {
        findings.insert(key, found);
        return;
    };
    kept.severity = kept.severity.max(found.severity);
    if kept.fixed.is_none() && found.fixed.is_some() {
        kept.fixed = found.fixed;
        kept.installed = found.installed;
    }
}

/// Trivy looks for vulnerabilities in the packages of an operating system that it recognised. If
/// there is none it says nothing, which looks like an image without findings.
fn gaps(metadata: Option<&WireMetadata>, results: &[WireResult]) -> Vec<String> {
    let recognised = metadata.is_some_and(|it| it.os.is_some());
    let scanned = results.iter().any(|it| it.class.as_deref() == Some("os-pkgs"));
    if recognised || scanned {
        return Vec::new();
    }
    vec![
        "the scanner recognised no operating system, so none of its packages were looked at".into(),
    ]
}

/// Go writes the year 1 for a date that was never set.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (date.timestamp() > 0).then_some(date)
}

/// Trivy writes its severities in capitals. One that we do not know is not passed over.
fn severity(text: &str) -> Severity {
    match text.to_ascii_uppercase().as_str() {
        "CRITICAL" => Severity::Critical,
        "HIGH" => Severity::High,
        "MEDIUM" => Severity::Medium,
        "LOW" => Severity::Low,
        _ => Severity::Unknown,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSchema {
    schema_version: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireReport {
    trivy: Option<WireTrivy>,
    artifact_name: Option<String>,
    created_at: Option<String>,
    metadata: Option<WireMetadata>,
    results: Option<Vec<WireResult>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireTrivy {
    version: Option<String>,
}

#[derive(Deserialize)]
struct WireMetadata {
    #[serde(rename = "OS")]
    os: Option<WireOs>,
}

#[derive(Deserialize)]
struct WireOs {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireResult {
    class: Option<String>,
    vulnerabilities: Option<Vec<WireVulnerability>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireVulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: Option<String>,
    pkg_name: Option<String>,
    installed_version: Option<String>,
    fixed_version: Option<String>,
    severity: Option<String>,
}

impl WireVulnerability {
    fn fact(self) -> Result<Finding, ReportError> {
        let named = |text: Option<String>| text.map(|it| harmless(&it)).filter(|it| !it.is_empty());
        let missing = |name: &str| {
            let what = format!("a vulnerability has no `{name}`");
            ReportError::Malformed { format: FORMAT, what }
        };
        Ok(Finding {
            id: named(self.id).ok_or_else(|| missing("VulnerabilityID"))?,
            package: named(self.pkg_name).ok_or_else(|| missing("PkgName"))?,
            installed: named(self.installed_version).unwrap_or_default(),
            fixed: named(self.fixed_version),
            severity: severity(&self.severity.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The members that Trivy 0.7x writes, cut from its own test data for Ubuntu 18.04.
    fn report(vulnerabilities: Value) -> Value {
        json!({
            "SchemaVersion": 2,
            "Trivy": {"Version": "0.70.0"},
            "ReportID": "017b7d41-e09f-7000-80ea-000000000001",
            "CreatedAt": "2021-08-25T12:20:30.000000005Z",
            "ArtifactName": "/",
            "ArtifactType": "filesystem",
            "Metadata": {"OS": {"Family": "ubuntu", "Name": "18.04"}},
            "Results": [{"Target": "/ (ubuntu 18.04)", "Class": "os-pkgs", "Type": "ubuntu",
                "Vulnerabilities": vulnerabilities}]
        })
    }

    fn vulnerability(id: &str, package: &str, severity: &str) -> Value {
        json!({"VulnerabilityID": id, "PkgName": package, "InstalledVersion": "4.4.18-2ubuntu1.2",
            "Status": "affected", "Severity": severity, "Title": "t", "CweIDs": ["CWE-273"]})
    }

    fn read_value(value: &Value) -> Result<Report, ReportError> {
        crate::read(value.to_string().as_bytes())
    }

    #[test]
    fn a_finding_is_read() {
        let mut one = vulnerability("CVE-2019-18276", "bash", "LOW");
        one["FixedVersion"] = json!("4.4.18-2ubuntu1.3");

        let read = read_value(&report(json!([one]))).unwrap();

        assert_eq!(read.scanner, "Trivy 0.70.0");
        assert_eq!(read.artifact, "/");
        assert_eq!(read.created_at.unwrap().to_rfc3339(), "2021-08-25T12:20:30.000000005+00:00");
        assert!(read.is_complete());
        assert_eq!(
            read.findings,
            [Finding {
                id: "CVE-2019-18276".into(),
                package: "bash".into(),
                installed: "4.4.18-2ubuntu1.2".into(),
                fixed: Some("4.4.18-2ubuntu1.3".into()),
                severity: Severity::Low,
            }]
        );
    }

    #[test]
    fn every_severity_is_read_and_one_that_is_new_is_not_passed_over() {
        let table = [
            ("CRITICAL", Severity::Critical),
            ("HIGH", Severity::High),
            ("MEDIUM", Severity::Medium),
            ("LOW", Severity::Low),
            ("UNKNOWN", Severity::Unknown),
            ("CATASTROPHIC", Severity::Unknown),
            ("", Severity::Unknown),
        ];
        for (text, severity) in table {
            let read = read_value(&report(json!([vulnerability("CVE-1", "p", text)]))).unwrap();
            assert_eq!(read.findings[0].severity, severity, "{text}");
        }
    }

    #[test]
    fn the_same_finding_counts_once_at_its_worst() {
        let mut fixed = vulnerability("CVE-1", "linux", "LOW");
        fixed["FixedVersion"] = json!("5.0");
        fixed["InstalledVersion"] = json!("4.9");
        let again = [
            vulnerability("CVE-1", "linux", "LOW"),
            fixed,
            vulnerability("CVE-1", "linux", "HIGH"),
            vulnerability("CVE-1", "linux-headers", "LOW"),
        ];

        let read = read_value(&report(json!(again))).unwrap();

        assert_eq!(read.findings.len(), 2);
        let worst = &read.findings[0];
        assert_eq!((worst.severity, worst.fixed.as_deref()), (Severity::High, Some("5.0")));
        assert_eq!(worst.installed, "4.9");
    }

    #[test]
    fn findings_come_in_one_order() {
        let one = vulnerability("CVE-2", "b", "LOW");
        let other = vulnerability("CVE-1", "c", "LOW");

        let forth = read_value(&report(json!([one, other]))).unwrap();
        let back = read_value(&report(json!([other, one]))).unwrap();

        assert_eq!(forth, back);
        assert_eq!(forth.findings[0].id, "CVE-1");
    }

    #[test]
    fn a_system_without_findings_is_complete_and_an_unknown_system_is_not() {
        let clean = read_value(&report(Value::Null)).unwrap();
        let mut unknown = report(Value::Null);
        unknown["Metadata"] = json!({"ImageConfig": {}});
        unknown["Results"] = Value::Null;
        let unknown = read_value(&unknown).unwrap();

        assert!(clean.is_complete() && clean.findings.is_empty());
        assert!(!unknown.is_complete());
        assert!(unknown.gaps[0].contains("recognised no operating system"));
    }

    #[test]
    fn only_language_packages_are_no_evidence_of_the_system() {
        let mut only = report(json!([vulnerability("CVE-1", "rails", "LOW")]));
        only["Metadata"] = Value::Null;
        only["Results"][0]["Class"] = json!("lang-pkgs");

        assert!(!read_value(&only).unwrap().is_complete());
    }

    #[test]
    fn another_schema_is_named() {
        for schema in [json!(1), json!(3), json!("2"), json!(2.5), Value::Null] {
            let mut value = report(json!([]));
            value["SchemaVersion"] = schema;
            let error = read_value(&value).unwrap_err();
            assert!(matches!(error, ReportError::WrongSchema { .. }), "{error}");
        }
    }

    #[test]
    fn a_finding_without_a_name_spoils_the_report() {
        for name in ["VulnerabilityID", "PkgName"] {
            let mut nameless = vulnerability("CVE-1", "bash", "LOW");
            nameless[name] = json!(" ");
            let error = read_value(&report(json!([nameless]))).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_member_of_another_type_spoils_the_report() {
        let mut value = report(json!([]));
        value["Results"] = json!({"Vulnerabilities": []});

        let error = read_value(&value).unwrap_err();

        assert!(matches!(error, ReportError::Malformed { .. }), "{error}");
    }

    #[test]
    fn texts_are_harmless_and_short() {
        let long = format!("ba\u{1b}[2Jsh{}", "x".repeat(1000));
        let read = read_value(&report(json!([vulnerability("CVE-1", &long, "LOW")]))).unwrap();

        assert!(read.findings[0].package.starts_with("ba\u{fffd}[2Jsh"));
        assert_eq!(read.findings[0].package.chars().count(), 512);
    }

    #[test]
    fn more_findings_than_anyone_reads_are_refused() {
        let many: Vec<Value> = (0..=MOST_FINDINGS)
            .map(|it| json!({"VulnerabilityID": format!("C{it}"), "PkgName": "p"}))
            .collect();
        assert_eq!(read_value(&report(json!(many))), Err(ReportError::TooManyFindings));

        let at_the_limit = json!(many[1..]);
        assert_eq!(read_value(&report(at_the_limit)).unwrap().findings.len(), MOST_FINDINGS);
    }

    #[test]
    fn a_date_that_was_never_set_is_absent() {
        for text in ["0001-01-01T00:00:00Z", "yesterday"] {
            let mut value = report(json!([]));
            value["CreatedAt"] = json!(text);
            assert_eq!(read_value(&value).unwrap().created_at, None);
        }
    }
}
