//! What crosses in every test, held against Microsoft's documents where they are at hand.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arm::{Arm, GalleryId, Permit, RegionIntent, VersionIntent};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use chrono::TimeDelta;
use contract::{Checked, Report, Watch, at_hand, reference};
use seam::{Local, Outbound, Tokens, ToldClock};
use serde_json::Value;

use crate::desk::{ARM, Desk};

/// The arguments with which `up` holds its wire against the documents, where they are at hand.
pub(crate) fn verify_wire() -> Vec<OsString> {
    let folder = reference().into_iter();
    folder.flat_map(|it| ["--verify-wire".into(), it.into_os_string()]).collect()
}

/// Fails when a line of `up --json` tells of a violation.
pub(crate) fn is_not_violated(line: &Value) {
    assert_ne!(line["event"], "wireViolated", "{line}");
    if line["event"] == "wire" {
        assert_eq!(line["violations"], Value::Array(Vec::new()), "{line}");
    }
}

/// Fails when a whole `up --once`, which says `wire` at its end, had not hundreds of requests and
/// their answers held against the documents, where they are at hand.
pub(crate) fn hundreds_were_checked(wire: Option<&Value>) {
    if reference().is_none() {
        println!("skipped: Microsoft's documents, which up is held against, are not here");
        return;
    }
    let wire = wire.expect("it was asked to look at its wire");
    assert!(wire["requests"].as_u64().unwrap() >= 300, "{wire}");
    assert_eq!(wire["answers"], wire["requests"]);
    is_not_violated(wire);
}

/// Replaces `from` by `to` in a body.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(bytes).replace(from, to).into_bytes()
}

/// `router`, whose requests have another name for a member.
fn with_requests_renamed(router: Router, from: &'static str, to: &'static str) -> Router {
    router.layer(middleware::from_fn(async move |request: Request, next: Next| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        next.run(Request::from_parts(parts, Body::from(renamed(&body, from, to)))).await
    }))
}

/// `router`, whose answers have another name for a member.
fn with_answers_renamed(router: Router, from: &'static str, to: &'static str) -> Router {
    router.layer(middleware::from_fn(async move |request: Request, next: Next| {
        let (mut parts, body) = next.run(request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(renamed(&body, from, to)))
    }))
}

/// What is found when our client reads a version and puts it as it is.
async fn violations(spoil: impl FnOnce(Router, &Watch) -> Router) -> Option<Vec<String>> {
    let contract = at_hand()?;
    let desk = Desk::example().await;
    let watch = Watch::new(contract, Checked::Both, Arc::new(Report::default()));
    let router = spoil(desk.sandbox.routers().arm, &watch);
    let wire = Arc::new(Local::to([(ARM.to_owned(), router)]));
    let clock = Arc::new(ToldClock(desk.now()));
    let tokens = Arc::new(Tokens::fixed("a-token"));
    let outbound = Outbound::new(wire, clock, tokens, [ARM.to_owned()]);
    let arm = Arm::new(format!("http://{ARM}").parse().unwrap(), outbound);

    let gallery = &desk.catalog.gallery;
    let gallery = GalleryId::new(&gallery.subscription, &gallery.resource_group, &gallery.name);
    let versions = arm.versions(&gallery.definition("ubuntu-2204-base")).await.unwrap();
    let version = versions.last().unwrap();
    let region = |it: &arm::version::TargetRegion| RegionIntent {
        region: it.region.clone(),
        replicas: it.replicas,
        exclude_from_latest: it.exclude_from_latest.unwrap_or_default(),
        storage: it.storage.clone(),
    };
    let intent = VersionIntent {
        location: version.location.clone(),
        regions: version.target_regions.iter().map(region).collect(),
        exclude_from_latest: version.exclude_from_latest,
        end_of_life: None,
        allow_deletion_of_replicated_locations: false,
        block_deletion_before_end_of_life: None,
        tags: version.tags.clone(),
    };
    let permit = Permit { send_before: desk.now() + TimeDelta::seconds(60) };
    // What the sandbox makes of a spoiled request is its affair.
    let _ = arm.put_version(&permit, &version.id, &intent).await;

    assert_eq!(watch.report().counts().requests, 2);
    Some(watch.report().violations().iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn a_client_and_a_sandbox_that_keep_to_the_documents_are_not_found_fault_with() {
    let Some(found) = violations(|router, watch| watch.around(router)).await else { return };

    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn one_field_name_that_our_client_has_wrong_is_found() {
    let spoil = |router, watch: &Watch| {
        with_requests_renamed(watch.around(router), "excludeFromLatest", "excludedFromLatest")
    };
    let Some(found) = violations(spoil).await else { return };

    let wrong = "`/properties/publishingProfile/excludedFromLatest` is not declared";
    let in_a_region =
        "`/properties/publishingProfile/targetRegions/*/excludedFromLatest` is not declared";
    assert!(found.iter().any(|it| it.contains(wrong) && it.contains("request")), "{found:?}");
    assert!(found.iter().any(|it| it.contains(in_a_region)), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn one_field_name_that_the_sandbox_has_wrong_is_found() {
    let spoil = |router, watch: &Watch| {
        watch.around(with_answers_renamed(router, "\"publishedDate\"", "\"publishingDate\""))
    };
    let Some(found) = violations(spoil).await else { return };

    let wrong = "`/value/*/properties/publishingProfile/publishingDate` is not declared";
    assert!(found.iter().any(|it| it.contains(wrong) && it.contains("answer 200")), "{found:?}");
}

/// The lines of `goldsmith up --once --json`, held against `folder`, and its exit code.
fn up_verified_against(folder: &Path, more: &[&str]) -> (Vec<Value>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
        .args(["up", "--once", "--json", "--verify-wire"])
        .arg(folder)
        .args(more)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    (lines, output.status.code().unwrap())
}

/// So short that it ends with 1 in any case: what two days cannot release is missing.
const TWO_DAYS: [&str; 2] = ["--until-days", "2"];

fn of_event<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|it| it["event"] == event).collect()
}

/// A copy of the documents in `from`, in which `name` is called `other`.
fn copied_with_renamed(from: &Path, to: &Path, name: &str, other: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied_with_renamed(&path, &copy, name, other);
        } else {
            std::fs::write(copy, renamed(&std::fs::read(&path).unwrap(), name, other)).unwrap();
        }
    }
}

/// That all is well otherwise is `processes.rs`'s: there the same run, held against the documents
/// as they are, ends with 0.
#[test]
fn one_field_name_that_is_none_of_the_documents_makes_up_fail_although_everything_is_released() {
    let Some(folder) = reference() else {
        println!("skipped: Microsoft's documents, which up is held against, are not here");
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    let (name, other) = ("\"excludeFromLatest\"", "\"excludedFromLatest\"");
    copied_with_renamed(&folder.join("specs"), &copy.path().join("specs"), name, other);

    let (lines, exit) = up_verified_against(copy.path(), &[]);

    let summary = lines.last().unwrap();
    assert!(summary["released"].as_array().unwrap().len() >= 6, "{summary}");
    assert_eq!(summary["failed"], Value::Array(Vec::new()));
    assert_eq!(exit, 1);
    let wire = of_event(&lines, "wire");
    let violations = wire[0]["violations"].as_array().unwrap();
    let of = |side: &str| violations.iter().any(|it| it.to_string().contains(side));
    assert!(of("request") && of("answer"), "{violations:?}");
    for violation in violations {
        assert!(violation.to_string().contains("excludeFromLatest"), "{violation}");
    }
}

#[test]
fn up_tells_each_violation_when_it_is_met_and_all_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    // A document that knows nothing of what the handler asks for.
    let document = r#"{"swagger": "2.0", "info": {"version": "2025-04-01"}, "paths": {
        "/subscriptions": {"get": {"operationId": "list", "responses": {"200": {}}}}}}"#;
    std::fs::write(folder.path().join("small.json"), document).unwrap();

    let (lines, _) = up_verified_against(folder.path(), &TWO_DAYS);

    let wire = of_event(&lines, "wire");
    let violations = wire[0]["violations"].as_array().unwrap();
    assert!(!violations.is_empty(), "{}", wire[0]);
    assert_eq!(of_event(&lines, "wireViolated").len(), violations.len());
    assert_eq!(violations[0]["what"], "is a path that no document declares");
}

#[test]
fn up_says_what_is_wrong_with_a_folder_that_holds_no_documents() {
    let folder = tempfile::tempdir().unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
        .args(["up", "--once", "--verify-wire"])
        .arg(folder.path())
        .output()
        .unwrap();

    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("holds no OpenAPI document"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
