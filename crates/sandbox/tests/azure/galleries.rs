//! Galleries and image definitions.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{GALLERY, GROUP, WEB, desk};

fn definition(properties: Value) -> Value {
    let mut body = json!({
        "location": "westeurope",
        "properties": {
            "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" },
        },
    });
    for (name, value) in properties.as_object().unwrap() {
        body["properties"][name] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_put_answers_with_the_async_header_alone_and_is_done_at_once() {
    let desk = desk();
    let gallery = format!("{GROUP}/providers/Microsoft.Compute/galleries/gal_two");

    let created = desk.put(&gallery, json!({ "location": "eastus2" })).await;
    assert_eq!((created.status, created.state()), (StatusCode::CREATED, "Creating"));
    assert_eq!(created.header("location"), None);
    assert_eq!(created.header("retry-after"), None);
    desk.wait(1.0);
    let polled = desk.follow(created.header("azure-asyncoperation").unwrap()).await;

    assert_eq!(polled.body["status"], "Succeeded");
    assert!(polled.body["startTime"].as_str().unwrap().ends_with("+00:00"));
    let got = desk.get(&gallery).await;
    assert_eq!(got.state(), "Succeeded");
    let unique = &got.body["properties"]["identifier"]["uniqueName"];
    assert_eq!(unique, "6f9619ff-8b86-4d11-b42d-00c04fc964ff-GAL_TWO");
    assert_eq!(desk.put(&gallery, json!({ "location": "eastus2" })).await.status, StatusCode::OK);
}

#[tokio::test]
async fn lists_of_galleries_have_the_group_in_upper_case() {
    let answer = desk().get(&format!("{GROUP}/providers/Microsoft.Compute/galleries")).await;

    let id = answer.body["value"][0]["id"].as_str().unwrap();
    assert!(id.contains("/resourceGroups/RG-IMAGES/"), "{id}");
    assert_eq!(answer.body.get("nextLink"), None);
}

#[tokio::test]
async fn a_definition_gets_the_defaults_of_its_api_version() {
    let desk = desk();
    let old = format!("{GALLERY}/images/old?api-version=2024-03-03");
    let new = format!("{GALLERY}/images/new?api-version=2025-03-03");

    let old = desk.put(&old, definition(json!({}))).await;
    let mut other = definition(json!({}));
    other["properties"]["identifier"]["sku"] = json!("t");
    let new = desk.put(&new, other).await;

    assert_eq!(old.body["properties"]["hyperVGeneration"], "V1");
    assert_eq!(old.body["properties"].get("features"), None);
    assert_eq!(new.body["properties"]["hyperVGeneration"], "V2");
    assert_eq!(new.body["properties"]["features"][0]["value"], "TrustedLaunchSupported");
}

#[tokio::test]
async fn an_identifier_is_unique_in_its_gallery() {
    let desk = desk();
    let body = definition(
        json!({ "identifier": { "publisher": "CONTOSO", "offer": "ubuntu", "sku": "web" } }),
    );

    let answer = desk.put(&format!("{GALLERY}/images/copy"), body).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "Conflict"));
}

#[tokio::test]
async fn what_a_definition_is_may_not_change() {
    let answer = desk().put(WEB, definition(json!({ "osType": "Windows" }))).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "PropertyChangeNotAllowed"));
}

#[tokio::test]
async fn an_end_of_life_in_the_past_is_refused() {
    let body = definition(json!({ "endOfLifeDate": "2026-09-07T05:59:59Z" }));

    let answer = desk().put(&format!("{GALLERY}/images/late"), body).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "InvalidParameter"));
    assert_eq!(answer.message(), "EndOfLifeDate must be set to a future date.");
    assert_eq!(answer.body["error"]["target"], "galleryImage.properties.endOfLifeDate");
}

#[tokio::test]
async fn what_holds_others_is_not_deleted() {
    let desk = desk();

    assert_eq!(desk.delete(GALLERY).await.status, StatusCode::CONFLICT);
    assert_eq!(desk.delete(WEB).await.status, StatusCode::CONFLICT);
    let other = desk.delete(&format!("{GALLERY}/images/other")).await;

    assert_eq!(other.status, StatusCode::ACCEPTED);
    assert!(other.header("azure-asyncoperation").is_some() && other.header("location").is_some());
    desk.wait(1.0);
    assert_eq!(desk.get(&format!("{GALLERY}/images/other")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        desk.delete(&format!("{GALLERY}/images/other")).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn tags_are_patched_on_the_resource_itself() {
    let desk = desk();
    let version = format!("{WEB}/versions/1.0.0");
    let tags =
        format!("{version}/providers/Microsoft.Resources/tags/default?api-version=2024-11-01");

    let merged = desk
        .patch(&tags, json!({ "operation": "Merge", "properties": { "tags": { "a": "b" } } }))
        .await;

    assert_eq!(merged.body["properties"]["tags"], json!({ "keep": "me", "a": "b" }));
    assert_eq!(desk.get(&version).await.body["tags"], json!({ "keep": "me", "a": "b" }));
}
