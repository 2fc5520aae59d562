//! Updates of a version: what may change, what may not, and how the open questions are answered.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{Desk, WEB, desk, desk_with};

const ONE: &str = "/versions/1.0.0";

/// An update of web 1.0.0 with this profile and safety profile.
async fn update(desk: &Desk, profile: Value, safety: Value) -> crate::desk::Answer {
    let body = json!({
        "location": "westeurope",
        "properties": {
            "publishingProfile": profile, "safetyProfile": safety, "storageProfile": {},
        },
    });
    desk.put(&format!("{WEB}{ONE}"), body).await
}

fn regions(names: &[&str]) -> Value {
    let regions: Vec<Value> = names.iter().map(|it| json!({ "name": it })).collect();
    json!({ "targetRegions": regions })
}

async fn one(desk: &Desk) -> Value {
    desk.get(&format!("{WEB}{ONE}?$expand=ReplicationStatus")).await.body
}

#[tokio::test]
async fn a_changed_attribute_takes_two_and_a_half_minutes() {
    let desk = desk();
    let mut profile = regions(&["westeurope", "northeurope"]);
    profile["targetRegions"][1]["excludeFromLatest"] = json!(true);

    let answer = update(&desk, profile, json!({})).await;
    assert_eq!((answer.status, answer.state()), (StatusCode::OK, "Updating"));
    desk.wait(149.0);
    assert_eq!(one(&desk).await["properties"]["provisioningState"], "Updating");
    desk.wait(2.0);

    let body = one(&desk).await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded");
    let told = &body["properties"]["publishingProfile"]["targetRegions"];
    assert_eq!(told[1]["excludeFromLatest"], true);
    assert_eq!(told[0].get("excludeFromLatest"), None);
    assert_eq!(body["tags"], json!({ "keep": "me" }), "a body without tags keeps them");
}

#[tokio::test]
async fn an_added_region_replicates_while_the_others_stay_complete() {
    let desk = desk();

    update(&desk, regions(&["westeurope", "northeurope", "uksouth"]), json!({})).await;
    desk.wait(100.0);
    let body = one(&desk).await;
    desk.wait(400.0);

    let summary = &body["properties"]["replicationStatus"]["summary"];
    assert_eq!(summary[0]["state"], "Completed");
    assert_eq!(summary[2]["state"], "Replicating");
    assert_eq!(one(&desk).await["properties"]["replicationStatus"]["aggregatedState"], "Completed");
}

#[tokio::test]
async fn a_region_is_removed_only_after_the_safety_profile_was_lifted() {
    let desk = desk();
    let lift = json!({ "allowDeletionOfReplicatedLocations": true });

    let refused = update(&desk, regions(&["westeurope"]), json!({})).await;
    let at_once = update(&desk, regions(&["westeurope"]), lift.clone()).await;
    update(&desk, regions(&["westeurope", "northeurope"]), lift).await;
    desk.wait(200.0);
    let accepted = update(&desk, regions(&["westeurope"]), json!({})).await;
    desk.wait(430.0);

    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "OperationNotAllowed"));
    assert_eq!(at_once.status, StatusCode::CONFLICT);
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
    let told = one(&desk).await["properties"]["publishingProfile"]["targetRegions"].clone();
    assert_eq!(told.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn whether_one_put_may_lift_and_remove_is_a_variant() {
    let desk = desk_with("variants: { liftAndRemoveAtOnce: accept }");
    let lift = json!({ "allowDeletionOfReplicatedLocations": true });

    let answer = update(&desk, regions(&["westeurope"]), lift).await;

    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_put_while_updating_is_refused_or_taken_by_variant() {
    for (variants, expected) in
        [("", StatusCode::CONFLICT), ("variants: { updateWhileUpdating: accept }", StatusCode::OK)]
    {
        let desk = desk_with(variants);
        let both = || regions(&["westeurope", "northeurope"]);
        let first = update(&desk, both(), json!({})).await;

        let second = update(&desk, both(), json!({})).await;
        desk.wait(600.0);

        assert_eq!(second.status, expected, "{variants}");
        let polled = desk.follow(first.header("azure-asyncoperation").unwrap()).await;
        assert_eq!(polled.body["status"], "Succeeded");
        assert_eq!(one(&desk).await["properties"]["provisioningState"], "Succeeded");
    }
}

#[tokio::test]
async fn the_source_the_storage_and_the_location_never_change() {
    let desk = desk();
    let body = |properties: Value| json!({ "location": "westeurope", "properties": properties });
    let id = format!("{WEB}{ONE}");

    let source =
        json!({ "storageProfile": { "source": { "id": format!("{WEB}/versions/1.2.0") } } });
    let source = desk.put(&id, body(source)).await;
    let storage = json!({ "publishingProfile": { "storageAccountType": "Standard_ZRS" } });
    let storage = desk.put(&id, body(storage)).await;
    let moved = desk.put(&id, json!({ "location": "uksouth", "properties": {} })).await;

    assert_eq!(source.code(), "PropertyChangeNotAllowed");
    assert_eq!(
        source.message(),
        "Changing property 'galleryImageVersion.properties.storageProfile.source.id' is not allowed."
    );
    assert_eq!(storage.code(), "PropertyChangeNotAllowed");
    assert_eq!(moved.code(), "InvalidResourceLocation");
}

#[tokio::test]
async fn an_end_of_life_must_lie_ahead() {
    let desk = desk();
    let mut profile = regions(&["westeurope", "northeurope"]);
    profile["endOfLifeDate"] = json!("2026-09-01T00:00:00Z");

    let past = update(&desk, profile.clone(), json!({})).await;
    profile["endOfLifeDate"] = json!("2026-09-07T07:00:00Z");
    let ahead = update(&desk, profile.clone(), json!({})).await;
    desk.wait(4000.0);
    let unchanged = update(&desk, profile, json!({})).await;

    assert_eq!(past.message(), "EndOfLifeDate must be set to a future date.");
    let told = &ahead.body["properties"]["publishingProfile"]["endOfLifeDate"];
    assert_eq!(told, "2026-09-07T07:00:00+00:00");
    assert_eq!(unchanged.status, StatusCode::BAD_REQUEST, "by the default of the open question");
}

#[tokio::test]
async fn an_unchanged_past_end_of_life_may_be_taken_by_variant() {
    let desk = desk_with("variants: { unchangedPastEndOfLife: accept }");
    let mut profile = regions(&["westeurope", "northeurope"]);
    profile["endOfLifeDate"] = json!("2026-09-07T07:00:00Z");
    update(&desk, profile.clone(), json!({})).await;
    desk.wait(4000.0);

    assert_eq!(update(&desk, profile, json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_absent_end_of_life_is_kept_or_cleared_by_variant() {
    for (variants, stays) in [("", true), ("variants: { absentEndOfLife: cleared }", false)] {
        let desk = desk_with(variants);
        let mut profile = regions(&["westeurope", "northeurope"]);
        profile["endOfLifeDate"] = json!("2027-01-01T00:00:00Z");
        update(&desk, profile, json!({})).await;
        desk.wait(200.0);

        let answer = update(&desk, regions(&["westeurope", "northeurope"]), json!({})).await;

        let told = answer.body["properties"]["publishingProfile"].get("endOfLifeDate");
        assert_eq!(told.is_some(), stays, "{variants}");
    }
}

#[tokio::test]
async fn a_put_of_location_and_tags_does_what_its_variant_says() {
    let bare = || json!({ "location": "westeurope", "tags": { "new": "tag" } });
    let id = format!("{WEB}{ONE}");

    let desk = desk_with("variants: { bareUpdate: resetsProfile }");
    desk.put(&id, bare()).await;
    assert_eq!(desk.get(&id).await.status, StatusCode::OK);
    let reset = desk.get(&id).await.body;

    let desk = desk_with("variants: { bareUpdate: refused }");
    let refused = desk.put(&id, bare()).await;

    let desk = crate::desk::desk();
    desk.put(&id, bare()).await;
    let changed = desk.get(&id).await.body;

    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let count = |body: &Value| {
        body["properties"]["publishingProfile"]["targetRegions"].as_array().unwrap().len()
    };
    assert_eq!((count(&changed), changed["tags"].clone()), (2, json!({ "new": "tag" })));
    // Without a lifted safety profile not even a reset removes a region.
    assert_eq!(count(&reset), 2);
}

#[tokio::test]
async fn a_region_that_is_out_fails_and_a_repeated_request_cures_it() {
    let desk = desk_with(
        "outages: [{ region: uksouth, from: 2026-09-07T00:00:00Z, until: 2026-09-07T08:00:00Z }]",
    );
    let all = || regions(&["westeurope", "northeurope", "uksouth"]);

    let answer = update(&desk, all(), json!({})).await;
    desk.wait(500.0);
    let polled = desk.follow(answer.header("azure-asyncoperation").unwrap()).await;
    let failed = one(&desk).await;
    desk.wait_until("2026-09-07T09:00:00Z");
    update(&desk, all(), json!({})).await;
    desk.wait(500.0);
    let cured = one(&desk).await;

    assert_eq!(polled.body["status"], "Failed");
    assert_eq!(polled.status, StatusCode::OK);
    assert_eq!(failed["properties"]["provisioningState"], "Failed");
    let summary = &failed["properties"]["replicationStatus"]["summary"];
    assert_eq!(
        (summary[0]["state"].as_str(), summary[2]["state"].as_str()),
        (Some("Completed"), Some("Failed"))
    );
    assert_eq!(cured["properties"]["provisioningState"], "Succeeded");
    assert_eq!(cured["properties"]["replicationStatus"]["aggregatedState"], "Completed");
}
