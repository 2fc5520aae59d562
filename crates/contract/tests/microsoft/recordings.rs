//! Recorded traffic against the documents: what deviates is an allowed exception, or of an older API
//! version, and no exception is idle.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::{
    Checked, Contract, EXCEPTIONS, Exchange, Finding, Found, Operation, Report, Side, Watch, What,
};

use crate::reference::{contract, conversation, folder, recordings};

/// Every recorded exchange of an operation that a document declares, in whatever API version, with
/// the recording's name.
fn recorded(contract: &Contract) -> Vec<(String, &Operation, Exchange)> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut recorded = Vec::new();
    for path in recordings(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for exchange in conversation(&path) {
            if let Found::Operation(operation) | Found::OtherVersion(operation) =
                contract.find(&exchange.method, &exchange.path)
            {
                recorded.push((name.clone(), operation, exchange));
            }
        }
    }
    recorded
}

#[test]
fn each_exception_is_shown_by_its_recording_and_would_be_a_violation_without_it() {
    let Some(contract) = contract().map(Contract::without_exceptions) else { return };
    let recorded = recorded(&contract);

    for exception in EXCEPTIONS.iter().filter(|it| it.what != What::ApiVersion) {
        let shown = recorded.iter().any(|(name, operation, exchange)| {
            let side = Side::Answer(exchange.status.as_u16());
            let findings = contract.answer(operation, exchange);
            format!("recordings/{name}") == exception.shown_by
                && findings.iter().any(|it| exception.excuses(operation, side, it))
        });
        assert!(shown, "`{}` does not show: {}", exception.shown_by, exception.shows);
    }
}

#[test]
fn each_older_api_version_is_shown_by_its_file_and_is_of_no_document() {
    let (Some(folder), Some(contract)) = (folder(), contract()) else { return };

    for exception in EXCEPTIONS.iter().filter(|it| it.what == What::ApiVersion) {
        let (of, version) = (exception.of, exception.place);
        let shown = std::fs::read_to_string(folder.join(exception.shown_by)).unwrap();
        let one_of_them = |it: &&Operation| it.template.to_ascii_lowercase().contains(of);
        let mut operations = contract.operations().iter().filter(one_of_them).peekable();

        assert!(shown.contains(version), "`{}` does not show {version}", exception.shown_by);
        assert!(operations.peek().is_some(), "no operation is of {of}");
        assert!(operations.all(|it| it.api_version != version), "{of} has a document of {version}");
    }
}

/// What deviates in recorded answers and is no exception: nothing of ours meets it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("gallery_version_2018_java.json", "the API of 2018 has other members"),
    ("resource_graph_shared_query.json", "saved queries"),
    ("run_command_managed.json", "run commands"),
    ("run_command_action.json", "run commands"),
    ("disk_from_gallery.json", "disks"),
    ("managed_image_and_vm_source.json", "managed images"),
    ("platform_images_edge_zone.json", "edge zones"),
    ("errors.json", "refusals of a front door, in other forms"),
];

#[test]
fn recorded_answers_are_what_the_documents_say_but_for_the_exceptions() {
    let Some(contract) = contract() else { return };
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    let mut checked = 0;
    let mut deviating: Vec<String> = Vec::new();

    for (name, operation, exchange) in recorded(&contract) {
        if elsewhere.contains(name.as_str()) {
            continue;
        }
        checked += 1;
        for finding in contract.answer(operation, &exchange) {
            // Lists whose members the sandbox does not have.
            if !is_condensed(&name, &finding) {
                deviating.push(format!("{name} {} {}: {finding}", operation.method, exchange.path));
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    eprintln!("{checked} recorded answers are what the documents say");
}

/// One sku's disk has a size that no document has and nobody asks for.
fn is_condensed(name: &str, finding: &Finding) -> bool {
    name == "marketplace_terms.json" && finding.place.ends_with("/sizeInGb")
}

#[test]
fn recorded_requests_are_what_the_documents_say() {
    let Some(contract) = contract() else { return };
    let mut checked = 0;
    let mut deviating: Vec<String> = Vec::new();

    for (name, operation, exchange) in recorded(&contract) {
        // A recorder without bodies, a broken cassette, and a value of edge zones.
        let no_bodies = name.ends_with("_java.json") || name == "errors.json";
        if no_bodies || name == "gallery_extended_locations.json" {
            continue;
        }
        checked += 1;
        for finding in contract.request(operation, &exchange) {
            // A next link: opaque, and followed as it was handed out.
            if finding.place != "query $skiptoken" {
                deviating.push(format!("{name} {} {}: {finding}", operation.method, exchange.path));
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    eprintln!("{checked} recorded requests are what the documents say");
}

#[test]
fn what_recorded_links_lead_to_is_what_their_operation_declares() {
    let (Some(folder), Some(contract)) = (folder(), contract()) else { return };
    let contract = Arc::new(contract);
    let (mut deviating, mut elsewhere) = (Vec::new(), BTreeSet::new());

    for path in recordings(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = Arc::new(Report::default());
        let watch = Watch::new(Arc::clone(&contract), Checked::Answers, report);
        for exchange in conversation(&path) {
            watch.heard(&exchange);
        }
        for violation in watch.report().violations() {
            if !violation.operation.starts_with("the ") {
                continue;
            }
            match ELSEWHERE.iter().find(|(file, _)| *file == name) {
                Some((_, what)) => _ = elsewhere.insert(*what),
                None => deviating.push(format!("{name}: {violation}")),
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    // Both have what they make in their status too.
    assert_eq!(elsewhere, BTreeSet::from(["disks", "run commands"]));
}
