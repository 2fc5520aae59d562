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

/// A gallery and a template, as they were recorded or as Microsoft's examples have them.
#[test]
fn what_came_with_a_newer_api_version_is_not_let_through_in_an_older_one() {
    let (Some(folder), Some(contract)) = (folder(), contract()) else { return };
    let in_version = |exchange: &Exchange, version: &str| {
        let (path, _) = exchange.path.split_once('?').unwrap();
        Exchange { path: format!("{path}?api-version={version}"), ..exchange.clone() }
    };
    let found = |exchange: &Exchange, version: &str| {
        let exchange = in_version(exchange, version);
        let Found::Operation(operation) = contract.find(&exchange.method, &exchange.path) else {
            panic!("{version} is let through");
        };
        let mut findings = contract.request(operation, &exchange);
        findings.extend(contract.answer(operation, &exchange));
        findings.iter().map(ToString::to_string).collect::<Vec<String>>()
    };

    let gallery = conversation(&folder.join("recordings/gallery_soft_delete_2026-03-03.json"));
    let later =
        "`/properties/softDeletePolicy/retentionPeriodInDays` came with a newer api-version";
    let older = found(&gallery[0], "2025-03-03");
    assert_eq!(older.iter().filter(|it| *it == later).count(), 2, "sent and answered: {older:?}");
    assert_eq!(found(&gallery[0], "2026-03-03"), Vec::<String>::new());

    let deletion = gallery.iter().find(|it| it.path.contains("bypassSoftDelete=true")).unwrap();
    let older =
        Exchange { path: deletion.path.replace("2026-03-03", "2025-03-03"), ..deletion.clone() };
    let Found::Operation(operation) = contract.find(&older.method, &older.path) else { panic!() };
    let findings = contract.request(operation, &older);
    assert!(findings.iter().any(|it| it.place == "query bypassSoftDelete"), "{findings:?}");

    let mut template =
        conversation(&folder.join("recordings/ib_create_shared_image.json")).remove(0);
    let mut body: serde_json::Value = serde_json::from_slice(&template.sent).unwrap();
    body["properties"]["distribute"][0]["replicationMode"] = "Shallow".into();
    // The user's own word is none of Azure's.
    body["tags"]["additionalDataDisks"] = "none".into();
    template.sent = body.to_string().into();
    let older = found(&template, "2024-02-01");
    assert_eq!(older, ["`/properties/distribute/*/replicationMode` came with a newer api-version"]);
}

/// Operations whose recorded answers deviate, by the recording, the method and the end of the path's
/// template; with what they are. The sandbox answers none of them so.
const ELSEWHERE: &[(&str, &str, &str, &str)] = &[
    ("disk_from_gallery.json", "PUT", "/disks/{diskName}", "polled by an undeclared header"),
    ("errors.json", "GET", "/providers/{resourceProviderNamespace}", "a front door's page"),
    ("gallery_version_2018_java.json", "PUT", VERSION, "the API of 2018 has other members"),
    ("gallery_version_2018_java.json", "GET", VERSION, "the API of 2018 has other members"),
    ("gallery_version_2018_java.json", "GET", "/versions", "the API of 2018 has other members"),
    ("managed_image_and_vm_source.json", "PUT", "/images/{imageName}", "a managed image"),
    (
        "platform_images_edge_zone.json",
        "GET",
        "/versions/{version}",
        "the size of an edge zone's disk has another name",
    ),
    ("resource_graph_shared_query.json", "PUT", "/queries/{resourceName}", "a saved query"),
    ("resource_graph_shared_query.json", "GET", "/queries/{resourceName}", "a saved query"),
    ("resource_graph_shared_query.json", "GET", "/queries", "saved queries"),
    ("run_command_action.json", "POST", "/runCommand", "polled by an undeclared header"),
    ("run_command_managed.json", "PUT", RUN_COMMAND, "polled by an undeclared header"),
    ("run_command_managed.json", "PATCH", RUN_COMMAND, "polled by an undeclared header"),
    ("run_command_managed.json", "DELETE", RUN_COMMAND, "polled by an undeclared header"),
];

const VERSION: &str = "/versions/{galleryImageVersionName}";
const RUN_COMMAND: &str = "/runCommands/{runCommandName}";

/// The entry of [`ELSEWHERE`] that an answer falls under.
fn elsewhere(name: &str, operation: &Operation) -> Option<usize> {
    ELSEWHERE.iter().position(|(file, method, end, _)| {
        *file == name && operation.method == *method && operation.template.ends_with(end)
    })
}

#[test]
fn recorded_answers_are_what_the_documents_say_but_for_the_exceptions() {
    let Some(contract) = contract() else { return };
    let mut checked = 0;
    let mut deviating: Vec<String> = Vec::new();
    let mut needed = BTreeSet::new();

    for (name, operation, exchange) in recorded(&contract) {
        checked += 1;
        for finding in contract.answer(operation, &exchange) {
            if is_left_out(&name, &finding) {
                continue;
            }
            match elsewhere(&name, operation) {
                Some(entry) => _ = needed.insert(entry),
                None => deviating
                    .push(format!("{name} {} {}: {finding}", operation.method, operation.template)),
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    assert_eq!(needed, (0..ELSEWHERE.len()).collect(), "an entry that nothing needs any more");
    eprintln!("{checked} recorded answers are what the documents say");
}

/// What the recorder left out: some headers, and the body of one request. And the size of one sku's
/// disk, which no document has and nobody asks for.
fn is_left_out(name: &str, finding: &Finding) -> bool {
    let content_type = finding.place == "header content-type";
    match name {
        "imagebuilder-2022-07-01.condensed.json" => content_type || finding.what == What::Body,
        "marketplace_terms.json" => finding.place.ends_with("/sizeInGb"),
        _ => false,
    }
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
            if finding.place != "query $skiptoken" && !is_left_out(&name, &finding) {
                deviating.push(format!("{name} {} {}: {finding}", operation.method, exchange.path));
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    eprintln!("{checked} recorded requests are what the documents say");
}

/// Disks and run commands have what they make in their status too.
const MADE_IN_A_STATUS: [&str; 2] = ["disk_from_gallery.json", "run_command_action.json"];

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
            match MADE_IN_A_STATUS.iter().find(|it| **it == name) {
                Some(name) => _ = elsewhere.insert(*name),
                None => deviating.push(format!("{name}: {violation}")),
            }
        }
    }

    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    assert_eq!(elsewhere, BTreeSet::from(MADE_IN_A_STATUS), "one of them is needed no more");
}
