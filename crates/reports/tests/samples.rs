//! Real reports of real scanners, where they are at hand.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::path::Path;

use rules::catalog::Severity;

fn sample(name: &str) -> Option<Vec<u8>> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/scan-samples");
    let bytes = std::fs::read(folder.join(name)).ok();
    if bytes.is_none() {
        eprintln!("skipped: the sample {name} is not here");
    }
    bytes
}

#[test]
fn trivys_own_samples_are_read() {
    let table = [
        ("trivy/ubuntu-1804.json.golden", 5, "testdata/fixtures/images/ubuntu-1804.tar.gz"),
        ("trivy/debian-buster.json.golden", 2, "testdata/fixtures/images/debian-buster.tar.gz"),
        ("trivy/ubuntu-gp2-x86-vm.json.golden", 1, "disk.img"),
    ];
    for (name, findings, artifact) in table {
        let Some(bytes) = sample(name) else { continue };

        let report = reports::read(&bytes).unwrap();

        assert_eq!(report.findings.len(), findings, "{name}");
        assert_eq!(report.artifact, artifact);
        assert_eq!(report.scanner, "Trivy dev");
        assert!(report.is_complete(), "{name}");
    }
}

#[test]
fn the_finding_of_a_machines_disk_is_what_trivy_says() {
    let Some(bytes) = sample("trivy/ubuntu-gp2-x86-vm.json.golden") else { return };

    let report = reports::read(&bytes).unwrap();

    let finding = &report.findings[0];
    assert_eq!(finding.id, "CVE-2022-3715");
    assert_eq!((finding.package.as_str(), finding.installed.as_str()), ("bash", "5.1-6ubuntu1"));
    assert_eq!((finding.fixed.as_deref(), finding.severity), (None, Severity::High));
}

#[test]
fn a_scan_of_configuration_alone_is_no_evidence_of_packages() {
    let Some(bytes) = sample("trivy/dockerfile.json.golden") else { return };

    let report = reports::read(&bytes).unwrap();

    assert!(!report.is_complete());
}

#[test]
fn every_other_sample_is_refused_by_name() {
    let table = [
        ("trivy/alpine-310.sarif.golden", "SARIF"),
        ("trivy/conda-cyclonedx.json.golden", "CycloneDX"),
        ("grype/TestJsonImgsPresenter.golden", "Grype JSON"),
        ("grype/TestCycloneDxPresenterImage.golden", "CycloneDX"),
        ("other/REAL-checkov-bicep.sarif", "SARIF"),
        ("openscap/host-debian12.anssi-average.testresult.xml", "is not whole JSON"),
    ];
    for (name, expected) in table {
        let Some(bytes) = sample(name) else { continue };

        let error = reports::read(&bytes).unwrap_err().to_string();

        assert!(error.contains(expected), "{name}: {error}");
    }
}
