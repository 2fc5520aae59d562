//! Image templates: strict reading, late failures, what comes back, what may not be done.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{BLOB, GROUP, TEMPLATE, WEB, desk, desk_of, template};

#[tokio::test]
async fn a_template_is_created_as_recorded() {
    let desk = desk();

    let created = desk.put(TEMPLATE, template(json!({}))).await;
    assert_eq!((created.status, created.state()), (StatusCode::CREATED, "Creating"));
    assert!(
        created.header("azure-asyncoperation").is_some() && created.header("location").is_none()
    );
    assert_eq!(created.body["properties"]["source"]["exactVersion"], "latest");
    assert_eq!(created.body["properties"]["exactStagingResourceGroup"], "");
    let id = created.body["id"].as_str().unwrap();
    assert!(id.contains("/resourcegroups/"), "{id}");
    assert_eq!(created.body["properties"]["distribute"][0]["versioning"], Value::Null);

    desk.wait(10.0);
    let polled = desk.follow(created.header("azure-asyncoperation").unwrap()).await;
    assert_eq!(polled.body["status"], "InProgress");
    let name = polled.body["name"].as_str().unwrap();
    assert_eq!(name, name.to_ascii_uppercase());
    desk.wait(40.0);
    let got = desk.get(TEMPLATE).await;
    assert_eq!(got.state(), "Succeeded");
    // The highest as numbers, not as texts, and not the one to come.
    assert_eq!(got.body["properties"]["source"]["exactVersion"], "22.04.2026082801");
    assert_eq!(got.body["properties"].get("lastRunStatus"), None);
    let identities = got.body["identity"]["userAssignedIdentities"].as_object().unwrap();
    assert!(identities.values().next().unwrap()["clientId"].is_string());
}

#[tokio::test]
async fn unknown_members_are_refused_since_2024() {
    let body = template(json!({ "optimize": { "vmboot": { "state": "Enabled" } } }));

    let strict = desk().put(TEMPLATE, body.clone()).await;
    let lenient = desk().put(&format!("{TEMPLATE}?api-version=2023-07-01"), body).await;

    assert_eq!(strict.status, StatusCode::BAD_REQUEST);
    assert!(strict.message().contains("unknown field \"vmboot\""), "{}", strict.message());
    assert_eq!(lenient.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_cannot_be_a_template_is_refused_at_once() {
    let table = [
        (template(json!({ "distribute": [] })), "distribute"),
        (template(json!({ "buildTimeoutInMinutes": "10" })), "cannot unmarshal string"),
        (template(json!({ "buildTimeoutInMinutes": 961 })), "960"),
        (template(json!({ "source": { "type": "Tape" } })), "'Tape' is not a type"),
        (
            template(json!({ "customize": [{ "type": "Shell", "name": "x" }] })),
            "'scriptUri' and 'inline'",
        ),
        (
            {
                let mut body = template(json!({}));
                body["identity"] = json!({ "type": "None" });
                body
            },
            "exactly one user-assigned identity",
        ),
    ];
    for (body, expected) in table {
        let answer = desk().put(TEMPLATE, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{expected}");
        assert!(answer.message().contains(expected), "{}", answer.message());
    }
}

#[tokio::test]
async fn a_template_with_a_fault_is_created_and_then_fails() {
    let script = format!("{BLOB}/scripts/v1/none.sh");
    let table = [
        (
            json!({ "source": { "type": "PlatformImage", "publisher": "Canonical", "offer": "jammy", "sku": "22_04-lts-gen2", "version": "22.04.202609100" } }),
            "BadPIRSource",
        ),
        (
            json!({ "source": { "type": "PlatformImage", "publisher": "Contoso", "offer": "planned", "sku": "one", "version": "latest" } }),
            "BadPIRSource",
        ),
        (
            json!({ "source": { "type": "SharedImageVersion", "imageVersionId": format!("{WEB}/versions/9.9.9") } }),
            "BadSharedImageVersionSource",
        ),
        (
            json!({ "customize": [{ "type": "Shell", "name": "x", "scriptUri": script }] }),
            "NoCustomizerScript",
        ),
        (
            json!({ "customize": [{ "type": "Shell", "name": "x", "scriptUri": "https://example.com/a.sh" }] }),
            "NoCustomizerScript",
        ),
        (
            json!({ "distribute": [{ "type": "SharedImage", "runOutputName": "o", "galleryImageId": format!("{WEB}x"), "replicationRegions": ["westeurope"] }] }),
            "BadSharedImageDistribute",
        ),
    ];
    for (properties, expected) in table {
        let desk = desk();
        let created = desk.put(TEMPLATE, template(properties)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{expected}");
        desk.wait(60.0);

        let polled = desk.follow(created.header("azure-asyncoperation").unwrap()).await;
        let got = desk.get(TEMPLATE).await;
        let run = desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;

        assert_eq!(
            (polled.status, polled.body["status"].as_str()),
            (StatusCode::OK, Some("Failed"))
        );
        assert_eq!(got.state(), "Failed");
        let code = &got.body["properties"]["provisioningError"]["provisioningErrorCode"];
        assert_eq!(code, expected, "{}", got.body["properties"]["provisioningError"]);
        assert_eq!(run.code(), "OperationNotAllowed");
    }
}

#[tokio::test]
async fn a_script_gets_its_checksum_and_a_wrong_one_fails() {
    let address = format!("{BLOB}/scripts/v1/a.sh");
    let step = |checksum: &str| json!({ "customize": [{ "type": "Shell", "name": "x", "scriptUri": address, "sha256Checksum": checksum }] });
    let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    for (checksum, state) in [("", "Succeeded"), (right, "Succeeded"), ("00", "Failed")] {
        let desk = desk();
        desk.blobs.put("scripts", "v1", "a.sh", b"abc".as_slice()).unwrap();
        let got = desk.ready_template(step(checksum)).await;
        assert_eq!(got.state(), state, "{checksum}: {}", got.body);
        if checksum.is_empty() {
            assert_eq!(got.body["properties"]["customize"][0]["sha256Checksum"], right);
        }
    }
}

#[tokio::test]
async fn a_put_over_a_template_is_a_conflict_also_over_a_failed_one() {
    let nothing =
        json!({ "imageVersionId": format!("{WEB}/versions/9.9.9"), "type": "SharedImageVersion" });
    for (properties, state) in [(json!({}), "Succeeded"), (json!({ "source": nothing }), "Failed")]
    {
        let desk = desk();
        assert_eq!(desk.ready_template(properties).await.state(), state);

        let answer = desk.put(TEMPLATE, template(json!({}))).await;

        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "Conflict"));
        let message = "Update/Upgrade of image templates is currently not supported";
        assert!(answer.message().contains(message), "{}", answer.message());
    }
}

#[tokio::test]
async fn a_patch_changes_tags_and_may_not_drop_a_target() {
    let desk = desk();
    desk.ready_template(json!({})).await;

    let tags = desk.patch(TEMPLATE, json!({ "tags": { "a": "b" } })).await;
    desk.wait(2.0);
    let dropped = desk
        .patch(
            TEMPLATE,
            json!({ "properties": { "distribute": [{ "type": "VHD", "runOutputName": "x" }] } }),
        )
        .await;
    let source = desk.patch(TEMPLATE, json!({ "properties": { "source": {} } })).await;

    assert_eq!(tags.status, StatusCode::ACCEPTED);
    assert!(tags.header("location").is_some() && tags.header("azure-asyncoperation").is_some());
    assert_eq!(desk.get(TEMPLATE).await.body["tags"], json!({ "a": "b" }));
    assert!(dropped.message().contains("Runoutput name web not found"), "{}", dropped.message());
    assert_eq!(source.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_staging_group_holds_a_storage_account_and_dies_with_the_template() {
    let desk = desk();
    let got = desk.ready_template(json!({ "managedResourceTags": { "owner": "us" } })).await;
    let group = got.body["properties"]["exactStagingResourceGroup"].as_str().unwrap().to_owned();

    assert!(group.contains("/resourceGroups/IT_rg-images_t1_"), "{group}");
    let resources = desk.get(&format!("{group}/resources")).await;
    assert_eq!(resources.body["value"][0]["type"], "Microsoft.Storage/storageAccounts");
    let tags = desk.get(&group).await.body["tags"].clone();
    assert_eq!(
        (tags["imageTemplateName"].as_str(), tags["owner"].as_str()),
        (Some("t1"), Some("us"))
    );

    let deleted = desk.delete(TEMPLATE).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(desk.get(TEMPLATE).await.state(), "Deleting");
    desk.wait(150.0);
    let polled = desk.follow(deleted.header("location").unwrap()).await;
    assert_eq!(polled.body["status"], "Succeeded", "Image Builder repeats the status");
    assert_eq!(desk.get(TEMPLATE).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.head(&group).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.delete(TEMPLATE).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_template_of_the_estate_is_there_and_ready() {
    let rest = "templates: [{ subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff, resourceGroup: rg-images, name: theirs, \
                location: westeurope, identity: /subscriptions/x/y, source: galTest/web/1.0.0, distribute: galTest/other }]";
    let desk = desk_of("", rest, Default::default());

    let list =
        desk.get(&format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates")).await;

    let template = &list.body["value"][0];
    assert_eq!(template["properties"]["provisioningState"], "Succeeded", "{template}");
    assert_eq!(template["properties"]["source"]["imageVersionId"], format!("{WEB}/versions/1.0.0"));
}

/// `ib_output_versioning.json`: a scheme is sent, and null comes back.
#[tokio::test]
async fn a_versioning_that_was_sent_comes_back_as_null() {
    let desk = desk();
    let target = json!({
        "type": "SharedImage", "runOutputName": "web", "galleryImageId": WEB,
        "targetRegions": [{ "name": "westeurope" }], "versioning": { "scheme": "Source" },
    });

    let created = desk.put(TEMPLATE, template(json!({ "distribute": [target] }))).await;

    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    let echoed = created.body["properties"]["distribute"][0].get("versioning");
    assert_eq!(echoed, Some(&serde_json::Value::Null));
}
