//! Galleries that keep deleted versions.

use http::StatusCode;
use sandbox::azure::AzureOptions;
use serde_json::json;

use crate::desk::{Desk, GALLERY, WEB, desk, desk_of, version};

const ONE: &str = "/versions/1.2.0";

fn keeping() -> Desk {
    desk_of("softDelete: { retentionDays: 31, graceDays: 8 }", "", AzureOptions::default())
}

fn kept() -> String {
    format!("{GALLERY}/softdeletedartifacttypes/Images/artifacts/web/versions")
}

async fn delete(desk: &Desk, query: &str) {
    assert_eq!(desk.delete(&format!("{WEB}{ONE}{query}")).await.status, StatusCode::ACCEPTED);
    desk.wait(200.0);
}

#[tokio::test]
async fn a_deleted_version_is_listed_with_its_dates() {
    let desk = keeping();

    delete(&desk, "").await;

    assert_eq!(desk.get(&format!("{WEB}{ONE}")).await.status, StatusCode::NOT_FOUND);
    let list = desk.get(&kept()).await;
    let item = &list.body["value"][0];
    assert_eq!(item["id"], format!("{GALLERY}/softDeletedArtifactTypes/Images/artifacts/web{ONE}"));
    assert_eq!(item["properties"]["resourceArmId"], format!("{WEB}{ONE}"));
    let day = |name: &str| item["properties"][name].as_str().unwrap()[..10].to_owned();
    assert_eq!(day("softDeletedTime"), "2026-09-07");
    assert_eq!(day("consumptionEndTime"), "2026-10-08");
    assert_eq!(day("hardDeletionTargetTime"), "2026-10-16");
}

#[tokio::test]
async fn how_long_versions_are_kept_is_told_since_2026() {
    let desk = keeping();

    let new = desk.get(&format!("{GALLERY}?api-version=2026-03-03")).await;
    let old = desk.get(&format!("{GALLERY}?api-version=2025-03-03")).await;

    let policy = "softDeletePolicy";
    let kept = json!({
        "isSoftDeleteEnabled": true, "retentionPeriodInDays": 31, "gracePeriodInDays": 8,
    });
    assert_eq!(new.body["properties"][policy], kept);
    assert_eq!(old.body["properties"][policy], json!({ "isSoftDeleteEnabled": true }));
}

#[tokio::test]
async fn without_a_policy_nothing_is_kept() {
    let desk = desk();

    delete(&desk, "").await;

    assert_eq!(desk.get(&kept()).await.body, json!({ "value": [] }));
}

#[tokio::test]
async fn a_put_of_location_and_tags_restores() {
    let desk = keeping();
    let before = desk.get(&format!("{WEB}{ONE}")).await.body;
    delete(&desk, "").await;

    let answer =
        desk.put(&format!("{WEB}{ONE}"), json!({ "location": "westeurope", "tags": {} })).await;
    assert_eq!((answer.status, answer.state()), (StatusCode::OK, "Updating"));
    desk.wait(151.0);

    let after = desk.get(&format!("{WEB}{ONE}")).await.body;
    assert_eq!(after["properties"], before["properties"], "published when it was first published");
    assert_eq!(desk.get(&kept()).await.body, json!({ "value": [] }));
}

#[tokio::test]
async fn bypassing_deletes_for_good() {
    let desk = keeping();

    delete(&desk, "?bypassSoftDelete=true").await;

    assert_eq!(desk.get(&kept()).await.body, json!({ "value": [] }));
}

#[tokio::test]
async fn a_kept_version_is_gone_after_its_grace_period() {
    let desk = keeping();
    delete(&desk, "").await;

    desk.wait_until("2026-10-16T06:00:00Z");
    assert_eq!(desk.get(&kept()).await.body["value"].as_array().unwrap().len(), 1);
    desk.wait_until("2026-10-16T07:00:00Z");

    assert_eq!(desk.get(&kept()).await.body, json!({ "value": [] }));
    let again = desk.put(&format!("{WEB}{ONE}"), version(&["westeurope"])).await;
    assert_eq!(again.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_definition_with_kept_versions_is_not_deleted() {
    let desk = keeping();
    for number in ["1.0.0", "1.2.0", "1.10.0"] {
        desk.delete(&format!("{WEB}/versions/{number}")).await;
    }
    desk.wait(200.0);

    assert_eq!(desk.delete(WEB).await.status, StatusCode::CONFLICT);
}
