//! A scanner's report about a build machine, in the JSON that Trivy writes (schema version 2); of
//! Windows, in the shape that a script makes of what Windows Update offers.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::moment;
use super::software::Software;
use crate::estate::{Advisory, Estate, Severity};
use crate::guid;

/// The report of `trivy rootfs --format json /` on a machine with `software`, written at `at`.
pub(super) fn trivy(software: &Software, estate: &Estate, at: DateTime<Utc>, run: &str) -> Value {
    let (family, release) = software.os.split_once('/').unwrap_or((software.os.as_str(), ""));
    let findings = software.findings(estate, at);
    let vulnerabilities: Vec<Value> = findings
        .iter()
        .map(|(advisory, installed)| vulnerability(advisory, installed, family, release, at))
        .collect();

    let mut result = json!({
        "Target": format!("/ ({family} {release})"),
        "Class": "os-pkgs",
        "Type": family,
    });
    // Trivy leaves the member out when it found nothing.
    if !vulnerabilities.is_empty() {
        result["Vulnerabilities"] = json!(vulnerabilities);
    }
    json!({
        "SchemaVersion": 2,
        "Trivy": { "Version": "0.70.0" },
        "ReportID": guid::of(&["report", run]),
        "CreatedAt": at.to_rfc3339_opts(SecondsFormat::Nanos, true),
        "ArtifactName": "/",
        "ArtifactType": "filesystem",
        "Metadata": {
            "OS": { "Family": family, "Name": release },
            "ImageConfig": {
                "architecture": "",
                "created": moment::YEAR_ONE,
                "os": "",
                "rootfs": { "type": "", "diff_ids": null },
                "config": {},
            },
        },
        "Results": [result],
    })
}

/// What Windows Update still offers a machine with `software`, at `at`: the shape of a Trivy report,
/// which is not one. An advisory that has no fix yet is not offered.
pub(super) fn windows_update(software: &Software, estate: &Estate, at: DateTime<Utc>) -> Value {
    let (family, release) = software.os.split_once('/').unwrap_or((software.os.as_str(), ""));
    let build = software.packages.get("windows").map_or(release, String::as_str);
    let offered = software.findings(estate, at).into_iter().filter_map(|(advisory, _)| {
        let fix = advisory.fixed.as_ref().filter(|it| it.published <= at)?;
        Some(json!({
            "VulnerabilityID": advisory.id,
            "PkgName": "windows",
            "InstalledVersion": build,
            "FixedVersion": fix.version,
            "Severity": word(advisory.severity),
            "Title": advisory.title,
        }))
    });
    json!({
        "SchemaVersion": 2,
        "ArtifactName": "PKRVM",
        "ArtifactType": "vm",
        "CreatedAt": at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "Metadata": { "OS": { "Family": family, "Name": build } },
        "Results": [{
            "Target": "Windows Update",
            "Class": "os-pkgs",
            "Type": "windows",
            "Vulnerabilities": offered.collect::<Vec<_>>(),
        }],
    })
}

fn vulnerability(
    advisory: &Advisory,
    installed: &str,
    family: &str,
    release: &str,
    at: DateTime<Utc>,
) -> Value {
    let Advisory { id, package, severity, title, published, .. } = advisory;
    let packaging = match family {
        "ubuntu" | "debian" => "deb",
        "redhat" | "rhel" | "rocky" | "alma" | "fedora" => "rpm",
        _ => "generic",
    };
    let mut vulnerability = json!({
        "VulnerabilityID": id,
        "PkgID": format!("{package}@{installed}"),
        "PkgName": package,
        "PkgIdentifier": {
            "PURL": format!("pkg:{packaging}/{family}/{package}@{installed}?arch=amd64&distro={family}-{release}"),
        },
        "InstalledVersion": installed,
        "Status": "affected",
        "Layer": {},
        "SeveritySource": family,
        "PrimaryURL": format!("https://avd.aquasec.com/nvd/{}", id.to_ascii_lowercase()),
        "Title": title,
        "Description": title,
        "Severity": word(*severity),
        "VendorSeverity": { family: number(*severity) },
        "References": [format!("https://nvd.nist.gov/vuln/detail/{id}")],
        "PublishedDate": published.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "LastModifiedDate": published.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    });
    if let Some(fix) = advisory.fixed.as_ref().filter(|it| it.published <= at) {
        vulnerability["FixedVersion"] = json!(fix.version);
        vulnerability["Status"] = json!("fixed");
    }
    vulnerability
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "UNKNOWN",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

/// Trivy's numbers for severities.
fn number(severity: Severity) -> u8 {
    match severity {
        Severity::Unknown => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
