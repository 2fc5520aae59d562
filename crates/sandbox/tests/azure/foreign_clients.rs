//! What Microsoft's clients were seen sending is known here, in the very api-versions they sent; and
//! they are told when to come back.

use std::collections::BTreeSet;
use std::path::Path;

use axum::Extension;
use axum::body::Body;
use http::{Method, Request};
use sandbox::azure::RetryAfterAlways;
use serde_json::json;
use tower::ServiceExt;

use crate::desk::{GALLERY, GROUP, SUBSCRIPTION, TEMPLATE, desk, template};

/// Refusals that mean: the sandbox does not know this request.
const UNKNOWN: [&str; 4] = [
    "InvalidResourceType",
    "NoRegisteredProviderFound",
    "InvalidApiVersionParameter",
    "InvalidResourceNamespace",
];

/// A request of a table row `| method | path | query | status |` that must be known: not those of
/// Entra's, which are elsewhere, nor those that were wrong on purpose.
fn request(row: &str) -> Option<(Method, String)> {
    let cells: Vec<&str> = row.split('|').map(|it| it.trim().trim_matches('`')).collect();
    let [_, method, path, query, status, ..] = cells[..] else { return None };
    let method: Method = method.parse().ok()?;
    let on_purpose = query.contains("1999-01-01") || !query.contains("api-version");
    let followed = path.contains("/operations/") || query.contains("skiptoken");
    // One of Cloud Custodian's loses names: `Microsoft.Compute//galleries`.
    if !path.starts_with('/') || status == "entra" || on_purpose || followed || path.contains("//")
    {
        return None;
    }
    let kind = "resourceType eq 'Microsoft.Compute/galleries'".replace(' ', "%20");
    let query = query.replace("resourceType eq '…'", &kind).replace(' ', "%20");
    let names = [
        ("{s}", SUBSCRIPTION),
        ("{rg}", "rg-images"),
        ("{g}", "galTest"),
        ("{i}", "web"),
        ("{v}", "1.0.0"),
        ("{t}", "t1"),
        ("{ro}", "web"),
        ("{loc}", "westeurope"),
        ("{p}", "Canonical"),
        ("{o}", "jammy"),
        ("{k}", "22_04-lts-gen2"),
    ];
    let mut path = path.to_owned();
    if path.contains("artifacttypes") {
        path = path.replace("{v}", "22.04.202608090");
    }
    for (placeholder, name) in names {
        path = path.replace(placeholder, name);
    }
    Some((method, format!("{path}?{query}")))
}

#[tokio::test]
async fn every_request_that_microsofts_clients_were_seen_sending_is_known() {
    let file = "../../../shared/reference/foreign-clients.md";
    let Ok(text) = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) else {
        println!("skipped: the list of what foreign clients send is not here");
        return;
    };
    let requests: BTreeSet<(String, String)> =
        text.lines().filter_map(request).map(|it| (it.0.to_string(), it.1)).collect();
    assert!(requests.len() > 80, "{}", requests.len());

    let mut unknown = Vec::new();
    for (method, path) in requests {
        // A desk for each: many of them delete.
        let desk = desk();
        let body = if path.contains("ResourceGraph") { json!({ "query": "" }) } else { json!({}) };
        let request = Request::builder()
            .method(method.as_str())
            .uri(&path)
            .header("authorization", "Bearer token")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = desk.send(request).await;
        if UNKNOWN.contains(&answer.code()) || answer.status.is_server_error() {
            unknown.push(format!("{method} {path}: {} {}", answer.status, answer.body));
        }
    }

    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// A client of the https address sleeps 30 seconds of wall time where no answer says otherwise.
#[tokio::test]
async fn clients_of_microsofts_are_told_to_come_back_in_a_second_and_the_handler_as_recorded() {
    let desk = desk();
    let created = desk.put(TEMPLATE, template(json!({}))).await;
    assert_eq!(created.header("retry-after"), None, "as recorded");
    let status = created.header("azure-asyncoperation").unwrap();
    let status = status.strip_prefix("http://arm.test").unwrap().to_owned();

    let polled = desk.get(&status).await;
    assert_eq!(
        (polled.body["status"].as_str(), polled.header("retry-after")),
        (Some("InProgress"), None)
    );

    let always = desk.verified.around(desk.azure.router()).layer(Extension(RetryAfterAlways));
    let ask = |method: &str, uri: String, body: String| {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", "Bearer token")
            .body(Body::from(body))
            .unwrap()
    };
    let polled = always.clone().oneshot(ask("GET", status, String::new())).await.unwrap();
    assert_eq!(polled.headers()["retry-after"], "1");
    let uri = format!("{GALLERY}2?api-version=2026-03-03");
    let body = json!({ "location": "westeurope" }).to_string();
    let put = always.clone().oneshot(ask("PUT", uri, body)).await.unwrap();
    assert_eq!(put.headers()["retry-after"], "1");
    let uri = format!("{}?api-version=2025-04-01", GROUP.replace("rg-images", "rg-empty"));
    let deleted = always.oneshot(ask("DELETE", uri, String::new())).await.unwrap();
    assert_eq!(deleted.headers()["retry-after"], "1", "15 as recorded");
}
