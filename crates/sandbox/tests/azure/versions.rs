//! Versions: creating, reading, deleting, and which one is latest.

use http::StatusCode;
use sandbox::azure::AzureOptions;
use serde_json::json;

use crate::desk::{GALLERY, WEB, desk, desk_of, desk_with, version};

#[tokio::test]
async fn a_version_is_creating_for_as_long_as_recorded() {
    let desk = desk();
    let id = format!("{WEB}/versions/3.0.0");

    let created = desk.put(&id, version(&["West Europe"])).await;
    assert_eq!((created.status, created.state()), (StatusCode::CREATED, "Creating"));
    assert_eq!(created.header("location"), None);
    assert_eq!(created.header("retry-after"), Some("60"));
    assert_eq!(created.body["properties"]["storageProfile"].get("osDiskImage"), None);
    let address = created.header("azure-asyncoperation").unwrap();

    desk.wait(419.0);
    let running = desk.follow(address).await;
    assert_eq!(running.body["status"], "InProgress");
    assert_eq!(running.body.get("endTime"), None);
    desk.wait(92.0);
    let done = desk.follow(address).await;
    assert_eq!(done.body["status"], "Succeeded");
    assert_eq!(done.header("retry-after"), None);
    let got = desk.get(&id).await;
    assert_eq!(got.state(), "Succeeded");
    assert_eq!(got.body["properties"]["storageProfile"]["osDiskImage"]["source"], json!({}));
}

#[tokio::test]
async fn status_addresses_are_long_signed_and_secret() {
    let desk = desk();
    let created = desk.put(&format!("{WEB}/versions/3.0.0"), version(&["westeurope"])).await;
    let address = created.header("azure-asyncoperation").unwrap().to_owned();

    assert!((3000..3500).contains(&address.len()), "{}", address.len());
    assert_eq!(desk.follow(&address).await.status, StatusCode::OK);
    let forged = format!("{}x", &address[..address.len() - 1]);
    assert_eq!(desk.follow(&forged).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_operation_is_forgotten_a_day_after_its_end() {
    let desk = desk();
    let created = desk.put(&format!("{WEB}/versions/3.0.0"), version(&["westeurope"])).await;

    desk.wait(26.0 * 3600.0);

    let answer = desk.follow(created.header("azure-asyncoperation").unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_retry_after_can_be_had_on_every_answer() {
    let options = AzureOptions { retry_after_always: true };
    let desk = desk_of("", "", options);
    let gallery = format!("{GALLERY}2");

    let created = desk.put(&gallery, json!({ "location": "westus" })).await;
    let polled = desk.follow(created.header("azure-asyncoperation").unwrap()).await;

    assert_eq!(created.header("retry-after"), Some("1"));
    assert_eq!(
        (polled.body["status"].as_str(), polled.header("retry-after")),
        (Some("InProgress"), Some("1"))
    );
}

#[tokio::test]
async fn one_body_spells_a_region_in_two_ways() {
    let desk = desk();

    let got = desk.get(&format!("{WEB}/versions/1.0.0?$expand=ReplicationStatus")).await;

    let properties = &got.body["properties"];
    assert_eq!(got.body["location"], "westeurope");
    assert_eq!(properties["publishingProfile"]["targetRegions"][0]["name"], "West Europe");
    assert_eq!(properties["replicationStatus"]["summary"][0]["region"], "westeurope");
}

#[tokio::test]
async fn replication_is_told_with_expand_alone() {
    let desk = desk();
    let id = format!("{WEB}/versions/3.0.0");
    desk.put(&id, version(&["westeurope", "northeurope"])).await;

    desk.wait(200.0);
    let plain = desk.get(&id).await;
    let expanded = desk.get(&format!("{id}?$expand=ReplicationStatus")).await;
    desk.wait(400.0);
    let complete = desk.get(&format!("{id}?$expand=replicationStatus")).await;

    assert_eq!(plain.body["properties"].get("replicationStatus"), None);
    let status = &expanded.body["properties"]["replicationStatus"];
    assert_eq!(status["aggregatedState"], "InProgress");
    assert_eq!(status["summary"][0]["state"], "Replicating");
    let progress = status["summary"][0]["progress"].as_i64().unwrap();
    assert!((1..100).contains(&progress), "{progress}");
    let status = &complete.body["properties"]["replicationStatus"];
    assert_eq!(status["aggregatedState"], "Completed");
    assert_eq!(
        status["summary"][1],
        json!({ "region": "northeurope", "state": "Completed", "progress": 100 })
    );
}

#[tokio::test]
async fn a_create_needs_a_source_that_is_there() {
    let desk = desk();
    let id = format!("{WEB}/versions/3.0.0");

    let empty = desk
        .put(&id, json!({ "location": "westeurope", "properties": { "storageProfile": {} } }))
        .await;
    let mut body = version(&["westeurope"]);
    body["properties"]["storageProfile"]["source"]["id"] = json!(format!("{WEB}/versions/9.9.9"));
    let missing = desk.put(&id, body).await;

    assert_eq!((empty.status, empty.code()), (StatusCode::BAD_REQUEST, "InvalidParameter"));
    assert_eq!(
        empty.body["error"]["target"],
        "galleryImageVersion.properties.storageProfile.source.id"
    );
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_regions_must_contain_home_and_none_twice() {
    let desk = desk();
    let id = format!("{WEB}/versions/3.0.0");

    let away = desk.put(&id, version(&["northeurope"])).await;
    let twice = desk.put(&id, version(&["westeurope", "West Europe"])).await;
    let nowhere = desk.put(&id, version(&["westeurope", "atlantis"])).await;

    assert!(
        away.message().contains("must contain the location of image version"),
        "{}",
        away.message()
    );
    assert_eq!([away.status, twice.status, nowhere.status], [StatusCode::BAD_REQUEST; 3]);
}

#[tokio::test]
async fn a_number_is_three_numbers() {
    for number in ["1.0", "1.0.0.0", "1.0.x", "1.0.2147483648"] {
        let answer =
            desk().put(&format!("{WEB}/versions/{number}"), version(&["westeurope"])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{number}");
    }
}

#[tokio::test]
async fn a_deletion_takes_its_time_and_answers_with_both_headers() {
    let desk = desk();
    let id = format!("{WEB}/versions/1.2.0");

    let deleted = desk.delete(&id).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    let location = deleted.header("location").unwrap().to_owned();
    assert!(location.contains("monitor=true"));
    assert_ne!(deleted.header("azure-asyncoperation").unwrap(), location);
    assert_eq!(desk.get(&id).await.state(), "Deleting");
    assert_eq!(desk.follow(&location).await.status, StatusCode::ACCEPTED);
    let update = desk.put(&id, version(&["westeurope"])).await;
    assert_eq!(update.status, StatusCode::CONFLICT);
    assert!(update.message().contains("marked for deletion"), "{}", update.message());

    desk.wait(181.0);
    let done = desk.follow(&location).await;
    assert_eq!((done.status, done.body), (StatusCode::OK, serde_json::Value::Null));
    assert_eq!(desk.get(&id).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.delete(&id).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_version_can_be_kept_from_deletion_before_its_end_of_life() {
    let desk = desk();
    let id = format!("{WEB}/versions/1.0.0");
    let body = |block: bool| {
        json!({
            "location": "westeurope",
            "properties": {
                "publishingProfile": {
                    "endOfLifeDate": "2026-10-01T00:00:00Z",
                    "targetRegions": [{ "name": "westeurope" }, { "name": "northeurope" }],
                },
                "safetyProfile": { "blockDeletionBeforeEndOfLife": block },
                "storageProfile": {},
            },
        })
    };
    desk.put(&id, body(true)).await;
    desk.wait(200.0);

    let refused = desk.delete(&id).await;
    desk.put(&id, body(false)).await;
    desk.wait(200.0);
    let accepted = desk.delete(&id).await;

    assert_eq!(refused.code(), "DeleteGalleryImageVersionBlockedBeforeEndOfLife");
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_new_api_version_tells_validations_and_an_old_one_does_not() {
    let desk = desk();
    let id = format!("{WEB}/versions/1.0.0");

    let new = desk.get(&format!("{id}?api-version=2026-03-03")).await;
    let old = desk.get(&format!("{id}?api-version=2023-07-03")).await;

    let profile = &new.body["properties"]["validationsProfile"];
    assert_eq!(profile["validationOperationStatus"], "NotExecuted");
    assert_eq!(profile["platformAttributes"][0]["value"], "Canonical");
    assert_eq!(old.body["properties"].get("validationsProfile"), None);
}

#[tokio::test]
async fn latest_is_the_highest_number_that_is_not_excluded() {
    let desk = desk();

    // 1.10.0 is excluded everywhere, and 1.2.0 is not in North Europe.
    assert_eq!(desk.azure.latest(WEB, "West Europe").unwrap().as_deref(), Some("1.2.0"));
    assert_eq!(desk.azure.latest(WEB, "northeurope").unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(desk.azure.latest(WEB, "uksouth").unwrap(), None);
}

#[tokio::test]
async fn how_the_two_exclusions_work_together_is_a_variant() {
    for (variants, expected) in [
        ("", "1.2.0"),
        ("variants: { exclusion: either }", "1.2.0"),
        ("variants: { exclusion: regionalWins }", "1.10.0"),
        ("variants: { exclusion: globalOnly }", "1.2.0"),
    ] {
        let desk = desk_with(variants);
        let body = json!({
            "location": "westeurope",
            "properties": {
                "publishingProfile": {
                    "excludeFromLatest": true,
                    "targetRegions": [{ "name": "westeurope", "excludeFromLatest": false }],
                },
                "storageProfile": {},
            },
        });
        desk.put(&format!("{WEB}/versions/1.10.0"), body).await;
        desk.wait(200.0);

        let latest = desk.azure.latest(WEB, "westeurope").unwrap();
        assert_eq!(latest.as_deref(), Some(expected), "{variants}");
    }
}

#[tokio::test]
async fn what_latest_means_while_the_highest_replicates_is_a_variant() {
    for (variants, expected) in
        [("", "1.2.0"), ("variants: { latestWhileReplicating: highest }", "1.10.0")]
    {
        let desk = desk_with(variants);
        let body = json!({
            "location": "westeurope",
            "properties": {
                "publishingProfile": {
                    "excludeFromLatest": false,
                    "targetRegions": [{ "name": "westeurope" }, { "name": "northeurope" }],
                },
                "storageProfile": {},
            },
        });
        desk.put(&format!("{WEB}/versions/1.10.0"), body).await;
        desk.wait(5.0);

        let latest = desk.azure.latest(WEB, "northeurope").unwrap();
        let expected = if expected == "1.2.0" { "1.0.0" } else { expected };
        assert_eq!(latest.as_deref(), Some(expected), "{variants}");
    }
}
