//! Galleries, image definitions, platform images and resource groups.

use arm::{Error, GroupId, Provisioning};
use rules::catalog::{Generation, PlatformImage, Security};
use serde_json::{Value, json};

use crate::bodies::definition_intent;
use crate::script::{Script, gallery, permit};

#[tokio::test]
async fn a_definition_is_read() {
    let script = Script::answering(
        200,
        json!({"name": "image1", "id": "/x", "location": "West US",
        "type": "Microsoft.Compute/galleries/images", "tags": {},
        "properties": {"hyperVGeneration": "V2", "architecture": "x64",
            "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
            "osType": "Linux", "osState": "Generalized",
            "identifier": {"publisher": "publisher1", "offer": "offer1", "sku": "sku1"},
            "provisioningState": "Succeeded"}}),
    );

    let read = script.arm().definition(&gallery().definition("image1")).await.unwrap();

    assert_eq!(read.provisioning, Provisioning::Succeeded);
    assert_eq!(read.location.as_str(), "westus");
    assert_eq!(read.security.as_deref(), Some("TrustedLaunchSupported"));
    assert_eq!(read.generation.as_deref(), Some("V2"));
    assert_eq!(read.identifier.sku, "sku1");
    assert_eq!((read.os.as_str(), read.os_state.as_str()), ("Linux", "Generalized"));
}

#[tokio::test]
async fn a_definition_that_is_not_there_is_told() {
    let script =
        Script::answering(404, json!({"error": {"code": "ResourceNotFound", "message": "m"}}));

    let error = script.arm().definition(&gallery().definition("image1")).await.unwrap_err();

    assert!(matches!(error, Error::NotFound { .. }));
    assert!(error.to_string().starts_with("could not read the image definition `/subscriptions/"));
}

#[tokio::test]
async fn a_made_definition_says_its_generation_and_security() {
    let script = Script::answering(201, "{}");

    script
        .arm()
        .create_definition(&permit(), &gallery().definition("ubuntu-web"), &definition_intent())
        .await
        .unwrap();

    assert_eq!(
        script.only().body,
        json!({"location": "westeurope", "tags": {"owner": "platform"},
        "properties": {"osType": "Windows", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "Contoso", "offer": "Server", "sku": "2022"},
            "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
            "purchasePlan": {"name": "n", "product": "p", "publisher": "b"}}})
    );
}

#[tokio::test]
async fn a_standard_definition_says_so_only_where_another_would_be_the_default() {
    for (generation, features) in [
        (Generation::V1, Value::Null),
        (Generation::V2, json!([{"name": "SecurityType", "value": "Standard"}])),
    ] {
        let script = Script::answering(201, "{}");
        let mut intent = definition_intent();
        (intent.generation, intent.security) = (generation, Security::Standard);

        let definition = gallery().definition("ubuntu-web");
        script.arm().create_definition(&permit(), &definition, &intent).await.unwrap();

        assert_eq!(script.only().body["properties"]["features"], features);
    }
}

#[tokio::test]
async fn a_gallery_tells_its_shared_names_and_whether_it_keeps_deleted_versions() {
    let script = Script::answering(
        200,
        json!({"name": "golden", "location": "westus", "properties": {
        "identifier": {"uniqueName": "f758ac53-GOLDEN"}, "provisioningState": "Succeeded",
        "sharingProfile": {"permissions": "Community",
            "communityGalleryInfo": {"publicNames": ["contoso-7e677663"]}},
        "softDeletePolicy": {"isSoftDeleteEnabled": true, "retentionPeriodInDays": 31}}}),
    );

    let read = script.arm().gallery(&gallery()).await.unwrap();

    assert!(read.soft_delete);
    assert_eq!(read.shared_names, ["f758ac53-GOLDEN", "contoso-7e677663"]);
}

#[tokio::test]
async fn a_plain_gallery_keeps_nothing() {
    let script = Script::answering(
        200,
        json!({"name": "golden", "location": "westus",
        "properties": {"identifier": {"uniqueName": "u"}, "provisioningState": "Succeeded"}}),
    );

    assert!(!script.arm().gallery(&gallery()).await.unwrap().soft_delete);
}

#[tokio::test]
async fn soft_deleted_versions_are_listed() {
    let script = Script::answering(
        200,
        json!({"value": [{"name": "1.1.1", "id": "/x",
        "location": "westus", "properties": {"resourceArmId": "/y",
            "softDeletedTime": "2026-09-22T07:04:07.3954716+00:00",
            "softDeletedArtifactType": "Images",
            "consumptionEndTime": "2026-10-23T07:04:07.3954716+00:00",
            "hardDeletionTargetTime": "2026-10-31T07:04:07.3954716+00:00"}}]}),
    );

    let listed = script.arm().soft_deleted(&gallery().definition("ubuntu-web")).await.unwrap();

    assert_eq!(listed[0].number.to_string(), "1.1.1");
    assert_eq!((listed[0].gone_at.unwrap() - listed[0].deleted_at.unwrap()).num_days(), 39);
    assert!(script.only().path.ends_with("/galleries/golden/softdeletedartifacttypes/images/artifacts/ubuntu-web/versions?api-version=2026-03-03"));
}

fn ubuntu() -> PlatformImage {
    PlatformImage {
        publisher: "Canonical".into(),
        offer: "0001-com-ubuntu-server-jammy".into(),
        sku: "22_04-lts-gen2".into(),
        plan: None,
    }
}

#[tokio::test]
async fn platform_versions_that_come_in_pages_are_read_to_the_last() {
    let first = json!({"value": [{"name": "1.0.0"}], "nextLink": "/next?page=2"});
    let script = Script::answering(200, first.clone())
        .then(200, first)
        .then(200, json!({"value": [{"name": "2.0.0"}]}));

    let versions = script
        .arm()
        .platform_versions("s", &"West Europe".parse().unwrap(), &ubuntu())
        .await
        .unwrap();

    assert_eq!(versions, ["1.0.0", "2.0.0"]);
}

#[tokio::test]
async fn platform_versions_come_as_a_bare_list_or_a_wrapped_one() {
    let items = json!([{"location": "westeurope", "name": "22.04.20240409", "id": "/Subscriptions/x"},
        {"location": "westeurope", "name": "22.04.202404090", "id": "/y", "extendedLocation": null,
         "properties": {"imageDeprecationStatus": {"imageState": "Active", "scheduledDeprecationTime": null}}}]);
    let wrapped = json!({"value": items});
    for body in [items, wrapped] {
        let script = Script::answering(200, body);

        let versions = script
            .arm()
            .platform_versions("s", &"West Europe".parse().unwrap(), &ubuntu())
            .await
            .unwrap();

        assert_eq!(arm::newest(&versions), Some("22.04.202404090"));
        assert_eq!(
            script.only().path,
            "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/artifacttypes/vmimage/offers/0001-com-ubuntu-server-jammy/skus/22_04-lts-gen2/versions?api-version=2026-04-01"
        );
    }
}

#[tokio::test]
async fn a_sku_without_versions_is_no_error() {
    let script = Script::answering(200, "[]");

    let versions =
        script.arm().platform_versions("s", &"westeurope".parse().unwrap(), &ubuntu()).await;

    assert_eq!(versions, Ok(vec![]));
}

#[tokio::test]
async fn the_storage_account_of_a_staging_group_is_found() {
    let script = Script::answering(
        200,
        json!({"value": [
        {"id": "/a", "name": "vault", "type": "Microsoft.KeyVault/vaults", "location": "eastus"},
        {"id": "/b", "name": "0z4wmebxze16dew6bieocpdd", "type": "microsoft.storage/storageaccounts", "location": "global"}]}),
    );

    let accounts = script.arm().storage_accounts(&GroupId::new("s", "IT_(rg)_t")).await.unwrap();

    assert_eq!(accounts, ["0z4wmebxze16dew6bieocpdd"]);
    assert_eq!(
        script.only().path,
        "/subscriptions/s/resourceGroups/IT_(rg)_t/resources?api-version=2025-04-01"
    );
}
