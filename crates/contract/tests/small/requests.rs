//! Requests and answers but for their bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use contract::{Checked, Report, Watch};
use http::{Method, Request};
use serde_json::json;
use tower::ServiceExt;

use crate::pets::{CAT, PETS, Said, asked, cat, contract, got, heard, put, report, said};

const NONE: [String; 0] = [];

fn listed(query: &str) -> Said {
    asked(Method::GET, &format!("{PETS}{query}")).answered(200, &json!({ "value": [] }))
}

#[test]
fn literal_parts_of_a_path_have_no_case() {
    let path = "/SUBSCRIPTIONS/s/Providers/contoso.pets/PETS/tom?api-version=2025-01-01";

    assert_eq!(said(&[got(&cat()).at(path)]), NONE);
}

#[test]
fn a_path_that_no_document_declares_is_a_violation() {
    let path = "/subscriptions/s/providers/Contoso.Pets/fish/x?api-version=2025-01-01";

    assert_eq!(said(&[got(&cat()).at(path)]), ["request path is a path that no document declares"]);
}

#[test]
fn a_method_that_the_path_does_not_have_is_a_violation() {
    let posted = asked(Method::POST, CAT).with_status(204);

    assert_eq!(said(&[posted]), ["request path is a path that no document declares"]);
}

#[test]
fn our_client_may_ask_in_documented_versions_only_and_others_are_counted() {
    let other = format!("{CAT}?api-version=2020-01-01");
    let ours = got(&cat()).at(&other).asking("user-agent", "goldsmith/0.1.0");
    let theirs = got(&cat()).at(&other).asking("user-agent", "azsdk-python-mgmt-compute/39.0.0");

    assert_eq!(
        said(&[ours]),
        ["request query api-version no document at hand is of 2020-01-01; one is of 2025-01-01"]
    );
    let report = report(&[theirs.clone(), theirs]);
    assert!(report.violations().is_empty());
    assert_eq!(report.counts().without_document.values().sum::<u64>(), 2);
    assert_eq!(report.counts().requests, 0);
}

#[test]
fn the_requests_of_other_clients_are_not_ours_to_judge_but_their_answers_are() {
    let theirs = put(&json!({})).asking("user-agent", "azsdk-python").answered(200, &json!({}));

    let found = said(&[theirs]);

    assert!(!found.is_empty() && found.iter().all(|it| it.starts_with("answer")), "{found:?}");
}

#[test]
fn a_pattern_with_a_look_behind_is_kept() {
    let named = |name| {
        let path = CAT.replace("tom", name);
        got(&cat()).at(&format!("{path}?api-version=2025-01-01"))
    };

    let found = said(&[named("tom.")]);

    assert_eq!(said(&[named("t-o.m")]), NONE);

    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("request path petName"), "{found:?}");
}

#[test]
fn a_query_holds_what_is_declared_and_nothing_else() {
    let expanded = |value| asked(Method::GET, &format!("{CAT}?$expand={value}"));

    assert_eq!(said(&[expanded("Status").answered(200, &cat())]), NONE);
    assert_eq!(said(&[expanded("Mood").answered(200, &cat())]).len(), 1);
    assert_eq!(said(&[listed("?$top=1")]), ["request query $top is not declared"]);
}

#[test]
fn a_template_with_a_query_is_an_operation_of_its_own() {
    let names = asked(Method::GET, &format!("{PETS}?$expand=Names"));

    assert_eq!(said(&[names.clone().answered(200, &json!(["tom"]))]), NONE);
    assert_eq!(said(&[names.answered(200, &json!({ "value": [] }))]).len(), 1);
}

#[test]
fn a_body_that_is_required_missing_or_not_declared_is_a_violation() {
    let empty = asked(Method::PUT, CAT).answered(200, &cat());
    let too_much = got(&cat()).sending(&cat());

    assert_eq!(said(&[empty]), ["request body is required and was not sent"]);
    assert_eq!(said(&[too_much]), ["request body was sent and is not declared"]);
}

#[test]
fn a_success_must_be_declared_and_a_refusal_have_its_form() {
    let accepted = put(&cat()).answered(202, &cat());
    let refused = got(&cat()).answered(409, &json!({ "error": { "code": "Conflict" } }));
    let strange = got(&cat()).answered(409, &json!({ "code": "Conflict" }));

    assert_eq!(said(&[accepted]), ["answer 202 status 202 is not declared; 200, 201 are"]);
    assert_eq!(said(&[refused]), NONE);
    assert_eq!(said(&[strange]), ["answer 409 /code is not declared"]);
}

#[test]
fn a_long_running_answer_says_where_it_can_be_followed_in_the_declared_header() {
    let created = put(&cat()).answered(201, &cat());
    let location = created.clone().telling("location", "http://h/x");
    let right = created.clone().telling("azure-asyncoperation", "http://h/x");

    assert_eq!(said(&[right]), NONE);
    assert_eq!(said(&[created]).len(), 2);
    assert_eq!(
        said(&[location]),
        [
            "answer 201 header location is there and not declared",
            "answer 201 header azure-asyncoperation is declared and not there"
        ]
    );
}

#[test]
fn json_says_that_it_is_json() {
    let plain = got(&cat()).telling("content-type", "text/plain");

    assert_eq!(said(&[plain]), ["answer 200 header content-type does not say `application/json`"]);
}

#[test]
fn the_same_violation_is_one_with_its_count_and_its_first_example() {
    let wrong = |name: &str| {
        let path = format!("{}?api-version=2025-01-01&sig=secret", CAT.replace("tom", name));
        put(&json!({ "location": "x" })).at(&path)
    };

    let found = heard(&[wrong("tom"), wrong("tim"), wrong("tam")]);

    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{shown:?}");
    assert!(found.iter().all(|it| it.times == 3), "{shown:?}");
    assert!(shown[0].starts_with(&format!("PUT {CAT}, request: `query sig`")), "{shown:?}");
    assert!(shown.iter().all(|it| !it.contains("secret")), "{shown:?}");
}

#[tokio::test]
async fn a_request_that_breaks_off_reaches_nobody_and_is_not_judged() {
    let reached = Arc::new(AtomicBool::new(false));
    let reaches = Arc::clone(&reached);
    let router = Router::new().fallback(async move || reaches.store(true, Ordering::Relaxed));
    let report = Arc::new(Report::default());
    let watch = Watch::new(contract(), Checked::Both, Arc::clone(&report));
    let broken = futures::stream::iter([Ok("{ \"loc"), Err(std::io::Error::other("gone"))]);
    let request = Request::put(CAT).body(Body::from_stream(broken)).unwrap();

    let answer = watch.around(router).oneshot(request).await.unwrap();

    assert_eq!(answer.status(), 400);
    assert!(!reached.load(Ordering::Relaxed));
    assert_eq!(report.counts().requests, 0);
}
