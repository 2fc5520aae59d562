//! Clouds that lack our newest api-version: sovereign ones get it later.

use arm::{Deletion, Error, Written};
use serde_json::{Value, json};

use crate::bodies::version_intent;
use crate::script::{Script, gallery, permit, template, version};

/// As ARM refuses an api-version that a cloud does not have; texts of `errors` in the notes.
fn lacks(offered: &str) -> Value {
    json!({"error": {"code": "NoRegisteredProviderFound", "message": format!(
        "No registered resource provider found for location 'usgovvirginia' and API version '2026-03-03' for type 'galleries'. The supported api-versions are '{offered}'. The supported locations are 'usgovvirginia'."
    )}})
}

fn a_version() -> Value {
    json!({"name": "1.2.3", "location": "usgovvirginia", "properties": {"provisioningState": "Succeeded"}})
}

fn paths(script: &Script) -> Vec<String> {
    script.asked().into_iter().map(|it| format!("{} {}", it.method, it.path)).collect()
}

#[tokio::test]
async fn a_cloud_without_the_newest_api_version_is_asked_once_more_with_an_older_one() {
    let script =
        Script::answering(400, lacks("2018-06-01, 2024-03-03, 2025-03-03")).then(200, a_version());

    let read = script.arm().version(&version()).await.unwrap();

    assert_eq!(read.number.to_string(), "1.2.3");
    let paths = paths(&script);
    assert!(paths[0].ends_with("/1.2.3?$expand=ReplicationStatus&api-version=2026-03-03"));
    assert!(paths[1].ends_with("/1.2.3?$expand=ReplicationStatus&api-version=2025-03-03"));
    assert_eq!(paths.len(), 2);
}

#[tokio::test]
async fn a_write_falls_back_with_the_same_body_since_nobody_saw_the_first() {
    let offered = lacks("2025-03-03");
    let script =
        Script::answering(400, &offered).then(200, a_version()).then(400, &offered).then(202, "");
    let arm = script.arm();

    let written = arm.put_version(&permit(), &version(), &version_intent()).await;
    let deleted = arm.delete_version(&permit(), &version()).await;

    assert_eq!((written, deleted), (Ok(Written::Updated), Ok(Deletion::Accepted)));
    let asked = script.asked();
    assert_eq!(asked[0].body, asked[1].body);
    let methods: Vec<&str> = asked.iter().map(|it| it.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "PUT", "DELETE", "DELETE"]);
}

#[tokio::test]
async fn a_cloud_with_none_of_our_api_versions_is_refused_politely() {
    let script = Script::answering(400, lacks("2018-06-01, 2021-10-01"));

    let error = script.arm().version(&version()).await.unwrap_err();

    let Error::NoCommonVersion { spoken, offered, .. } = &error else { panic!("{error}") };
    assert_eq!((spoken.as_str(), offered.len()), ("2026-03-03, 2025-03-03", 2));
    assert!(!error.is_transient() && !error.perhaps_done());
    assert!(error.to_string().contains("only 2018-06-01, 2021-10-01"), "{error}");
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_names_no_api_version_leads_to_the_provider() {
    let nameless = json!({"error": {"code": "InvalidResourceType", "message":
        "The resource type could not be found in the namespace 'Microsoft.VirtualMachineImages' for api version '2025-10-01'."}});
    let provider = json!({"namespace": "Microsoft.VirtualMachineImages", "registrationState": "Registered",
        "resourceTypes": [{"resourceType": "imageTemplates", "apiVersions": ["2024-02-01", "2022-07-01"]}]});
    let script = Script::answering(404, nameless).then(200, provider).then(202, "");

    script.arm().run_template(&permit(), &template()).await.unwrap();

    let paths = paths(&script);
    assert!(paths[1].starts_with("GET /subscriptions/"), "{paths:?}");
    assert!(paths[1].ends_with("/providers/Microsoft.VirtualMachineImages?api-version=2025-04-01"));
    assert!(paths[2].starts_with("POST ") && paths[2].ends_with("/run?api-version=2024-02-01"));
}

#[tokio::test]
async fn a_type_that_a_cloud_does_not_have_is_not_taken_as_gone() {
    let unknown = json!({"error": {"code": "InvalidResourceType", "message": "m"}});
    let provider = json!({"namespace": "Microsoft.Compute", "resourceTypes": []});
    let script = Script::answering(404, unknown).then(200, provider);

    let error = script.arm().versions(&gallery().definition("x")).await.unwrap_err();

    assert!(matches!(error, Error::NoCommonVersion { .. }), "{error}");
}

#[tokio::test]
async fn a_subscription_that_may_not_be_read_does_not_make_its_versions_gone() {
    let body = json!({"error": {"code": "SubscriptionNotFound", "message": "The subscription 's' could not be found."}});
    let script = Script::answering(404, body);

    let error = script.arm().version(&version()).await.unwrap_err();

    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
}
