//! Machines, scale sets and disks.

use http::StatusCode;

use crate::desk::{WEB, desk, desk_with};

const SHOP: &str = "/subscriptions/b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70/resourceGroups/rg-shop/providers/Microsoft.Compute";

#[tokio::test]
async fn a_machine_tells_what_it_was_made_from() {
    let desk = desk();

    let latest = desk.get(&format!("{SHOP}/virtualMachines/vm1")).await;
    let pinned = desk.get(&format!("{SHOP}/virtualMachines/vm2")).await;

    let reference = &latest.body["properties"]["storageProfile"]["imageReference"];
    assert_eq!(
        (reference["id"].as_str(), reference["exactVersion"].as_str()),
        (Some(WEB), Some("1.2.0"))
    );
    assert_eq!(latest.header("etag"), Some("\"1\""));
    assert_eq!(latest.body["properties"]["timeCreated"], "2026-08-05T01:02:03.4567+00:00");
    let reference = &pinned.body["properties"]["storageProfile"]["imageReference"];
    assert_eq!(reference["exactVersion"], "1.0.0");
}

#[tokio::test]
async fn whether_a_machine_on_latest_tells_its_version_is_a_variant() {
    let desk = desk_with("variants: { exactVersionOfLatest: absent }");

    let latest = desk.get(&format!("{SHOP}/virtualMachines/vm1")).await;
    let graph = desk.graph("resources | where name == 'vm1' | project id, x = properties.storageProfile.imageReference.exactVersion").await;

    let reference = &latest.body["properties"]["storageProfile"]["imageReference"];
    assert_eq!(reference.get("exactVersion"), None);
    assert!(graph.body["data"][0]["x"].is_null(), "{}", graph.body);
    // The disk still knows.
    let disk = latest.body["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
        .as_str()
        .unwrap();
    let disk = desk.get(disk).await;
    assert_eq!(
        disk.body["properties"]["creationData"]["imageReference"]["id"],
        format!("{WEB}/versions/1.2.0")
    );
}

#[tokio::test]
async fn a_scale_set_refers_to_its_image_also_at_size_zero() {
    let desk = desk();

    let empty = desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss0")).await;
    let instances =
        desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1/virtualMachines")).await;

    assert_eq!(empty.body["sku"]["capacity"], 0);
    let reference =
        &empty.body["properties"]["virtualMachineProfile"]["storageProfile"]["imageReference"];
    assert_eq!(reference["id"], format!("{WEB}/versions/1.0.0"));
    assert_eq!(reference.get("exactVersion"), None, "a model never tells it");
    let list = instances.body["value"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["properties"]["storageProfile"]["imageReference"]["exactVersion"], "1.0.0");
}

#[tokio::test]
async fn scale_sets_of_a_subscription_have_the_group_in_upper_case() {
    let desk = desk();
    let (in_group, in_subscription) = (
        format!("{SHOP}/virtualMachineScaleSets"),
        format!("{}/virtualMachineScaleSets", SHOP.replace("/resourceGroups/rg-shop", "")),
    );

    let id =
        |answer: &crate::desk::Answer| answer.body["value"][0]["id"].as_str().unwrap().to_owned();
    assert!(id(&desk.get(&in_group).await).contains("/rg-shop/"));
    assert!(id(&desk.get(&in_subscription).await).contains("/RG-SHOP/"));
    assert_eq!(
        desk.get(&format!("{SHOP}/virtualMachines/none")).await.status,
        StatusCode::NOT_FOUND
    );
}

fn machine(reference: serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "location": "northeurope",
        "properties": {
            "hardwareProfile": { "vmSize": "Standard_B1s" },
            "storageProfile": { "imageReference": reference },
            "osProfile": { "computerName": "vm", "adminUsername": "a", "adminPassword": "secret" },
        },
    })
}

#[tokio::test]
async fn a_made_machine_gets_what_latest_means_in_its_region_at_that_instant() {
    let desk = desk();
    let path = format!("{SHOP}/virtualMachines/new");

    let made = desk.put(&path, machine(serde_json::json!({ "id": WEB }))).await;
    let location = made.header("location").unwrap().to_owned();
    let early = desk.follow(&location).await.status;
    desk.wait(60.0);
    let ready = desk.get(&path).await;
    let late = desk.follow(&location).await.status;

    assert_eq!((made.status, made.state()), (StatusCode::CREATED, "Creating"));
    assert_eq!((early, late), (StatusCode::ACCEPTED, StatusCode::OK));
    assert_eq!(ready.state(), "Succeeded");
    // 1.2.0 is higher and not replicated to northeurope.
    let storage = &ready.body["properties"]["storageProfile"];
    assert_eq!(storage["imageReference"]["exactVersion"], "1.0.0");
    let disk = desk.get(storage["osDisk"]["managedDisk"]["id"].as_str().unwrap()).await;
    let made_from = &disk.body["properties"]["creationData"]["imageReference"]["id"];
    assert_eq!(*made_from, format!("{WEB}/versions/1.0.0"));
    assert!(!ready.body.to_string().contains("secret"));
}

#[tokio::test]
async fn a_machine_is_not_made_from_what_is_not_in_its_region() {
    let desk = desk();
    let path = format!("{SHOP}/virtualMachines/new");

    let version = format!("{WEB}/versions/1.2.0");
    let elsewhere = desk.put(&path, machine(serde_json::json!({ "id": version }))).await;
    let empty = WEB.replace("/web", "/other");
    let nothing = desk.put(&path, machine(serde_json::json!({ "id": empty }))).await;

    assert_eq!(
        (elsewhere.status, elsewhere.code()),
        (StatusCode::NOT_FOUND, "GalleryImageNotFound")
    );
    assert_eq!((nothing.status, nothing.code()), (StatusCode::NOT_FOUND, "GalleryImageNotFound"));
    assert_eq!(desk.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_machine_made_from_the_marketplace_tells_its_version_and_is_deleted() {
    let desk = desk();
    let path = format!("{SHOP}/virtualMachines/new");
    let image = serde_json::json!({
        "publisher": "Canonical", "offer": "jammy", "sku": "22_04-lts-gen2", "version": "latest",
    });

    let made = desk.put(&path, machine(image)).await;
    desk.wait(60.0);
    let deleted = desk.delete(&path).await;
    desk.wait(60.0);

    let reference = &made.body["properties"]["storageProfile"]["imageReference"];
    assert_eq!(reference["exactVersion"], "22.04.2026082801");
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(desk.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.delete(&path).await.status, StatusCode::NO_CONTENT);
}
