//! Marketplace images.

use http::StatusCode;
use serde_json::json;

use crate::desk::{SUBSCRIPTION, desk};

fn publishers() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/publishers"
    )
}

fn versions() -> String {
    format!(
        "{}/canonical/artifacttypes/vmimage/offers/JAMMY/skus/22_04-lts-gen2/versions",
        publishers()
    )
}

#[tokio::test]
async fn lists_are_bare_arrays_and_ids_begin_with_a_capital() {
    let desk = desk();

    let offers =
        desk.get(&format!("{}/Canonical/artifacttypes/vmimage/offers", publishers())).await;
    let all = desk.get(&publishers()).await;

    assert_eq!(offers.body[0]["name"], "jammy");
    assert!(offers.body[0]["id"].as_str().unwrap().starts_with("/Subscriptions/"));
    assert_eq!(all.body.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_release_to_come_appears_at_its_instant() {
    let desk = desk();

    let before = desk.get(&versions()).await;
    desk.wait_until("2026-09-10T00:00:00Z");
    let after = desk.get(&versions()).await;

    assert_eq!(before.body.as_array().unwrap().len(), 2);
    assert_eq!(after.body.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_order_by_name_is_one_of_texts() {
    let desk = desk();
    desk.wait_until("2026-09-10T00:00:00Z");

    let top = desk.get(&format!("{}?$top=1&$orderby=name%20desc", versions())).await;
    let latest = desk.get(&format!("{}/latest", versions())).await;

    // As a text 22.04.202609100 is above 22.04.2026082801, as a number it is below.
    assert_eq!(top.body[0]["name"], "22.04.202609100");
    assert_eq!(latest.body["name"], "22.04.2026082801");
}

#[tokio::test]
async fn expanding_tells_properties_and_the_deprecation_on_demand() {
    let desk = desk();

    let plain = desk.get(&format!("{}?$expand=properties", versions())).await;
    let status =
        desk.get(&format!("{}?$expand=properties/imageDeprecationStatus", versions())).await;

    assert_eq!(plain.body[0]["properties"]["hyperVGeneration"], "V2");
    assert_eq!(plain.body[0]["properties"].get("imageDeprecationStatus"), None);
    let states: Vec<_> = status
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["properties"]["imageDeprecationStatus"].clone())
        .collect();
    assert_eq!(states[0], json!({ "imageState": "Active", "scheduledDeprecationTime": null }));
    assert_eq!(states[1]["imageState"], "ScheduledForDeprecation");
}

#[tokio::test]
async fn what_is_not_offered_is_empty_or_missing() {
    let desk = desk();

    let empty = desk.get(&versions().replace("22_04-lts-gen2", "none")).await;
    let missing = desk.get(&format!("{}/9.9.9", versions())).await;
    let publisher =
        desk.get(&format!("{}/nobody/artifacttypes/vmimage/offers", publishers())).await;

    assert_eq!((empty.status, empty.body), (StatusCode::OK, json!([])));
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "NotFound"));
    assert_eq!(publisher.message(), "Publisher: nobody was not found.");
}

#[tokio::test]
async fn one_version_tells_its_plan_and_the_end_of_time() {
    let desk = desk();
    let planned = format!(
        "{}/Contoso/artifacttypes/vmimage/offers/planned/skus/one/versions/1.0.0",
        publishers()
    );

    let got = desk.get(&planned).await;

    assert_eq!(
        got.body["properties"]["plan"],
        json!({ "publisher": "r", "name": "p", "product": "q" })
    );
    let end = &got.body["properties"]["imageDiscontinuationStatus"]["imageDiscontinuationDate"];
    assert_eq!(end, "9999-12-31T23:59:59.9999999+00:00");
}
