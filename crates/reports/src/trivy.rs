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
    if schema_version != Value::from(SCHEMA) {
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
