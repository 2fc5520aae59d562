//! Versions of an image.

use arm::{Deletion, Error, Provisioning, ReplicationState, Written};
use serde_json::{Value, json};

use crate::bodies::version_intent;
use crate::script::{Script, gallery, permit, version};

/// As recorded in 2025 and 2021: `East US 2` here and `eastus2` there.
fn recorded(number: &str, provisioning: &str) -> Value {
    json!({"name": number, "id": "/subscriptions/s/resourceGroups/RG/providers/x", "type": "Microsoft.Compute/galleries/images/versions",
        "location": "eastus2", "tags": {"correlationId": "52bac723"}, "properties": {
            "publishingProfile": {"targetRegions": [
                {"name": "East US 2", "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"},
                {"name": "West Europe", "excludeFromLatest": true}],
                "replicaCount": 2, "excludeFromLatest": false,
                "publishedDate": "2025-01-07T05:56:46.4648477+00:00",
                "endOfLifeDate": "2021-06-30T00:00:00+00:00", "storageAccountType": "Standard_LRS"},
            "storageProfile": {"source": {"id": "/subscriptions/s/images/managed"},
                "osDiskImage": {"sizeInGB": 30, "hostCaching": "ReadWrite", "source": {}}},
            "safetyProfile": {"reportedForPolicyViolation": false, "allowDeletionOfReplicatedLocations": true},
            "validationsProfile": {"validationOperationStatus": "NotExecuted"},
            "provisioningState": provisioning}})
}

#[tokio::test]
async fn a_version_is_read_and_its_two_spellings_of_a_region_are_one() {
    let mut body = recorded("1.2.3", "Succeeded");
    body["properties"]["replicationStatus"] = json!({"aggregatedState": "InProgress", "summary": [
        {"region": "eastus2", "state": "Completed", "progress": 100, "details": ""},
        {"region": "westeurope", "state": "Replicating", "progress": 40}]});
    let script = Script::answering(200, body);

    let read = script.arm().version(&version()).await.unwrap();

    assert!(
        script
            .only()
            .path
            .ends_with("/versions/1.2.3?$expand=ReplicationStatus&api-version=2026-03-03")
    );
    assert_eq!(read.id, version());
    assert_eq!(read.provisioning, Provisioning::Succeeded);
    assert_eq!(read.os_disk_gb, Some(30));
    assert_eq!(read.end_of_life, Some("2021-06-30T00:00:00Z".parse().unwrap()));
    assert!(read.allow_deletion_of_replicated_locations);
    let replication = read.replication.unwrap();
    assert_eq!(read.target_regions[0].region, replication[0].region);
    assert_eq!(replication[0].state, ReplicationState::Completed);
    assert_eq!(
        (replication[1].state.clone(), replication[1].progress),
        (ReplicationState::Replicating, 40)
    );
    assert_eq!(replication[0].details, None);
}

#[tokio::test]
async fn a_flag_that_was_never_said_is_not_the_same_as_false() {
    let script = Script::answering(200, recorded("1.2.3", "Succeeded"));

    let read = script.arm().version(&version()).await.unwrap();

    assert_eq!(read.target_regions[0].exclude_from_latest, None);
    assert_eq!(read.target_regions[1].exclude_from_latest, Some(true));
    assert_eq!(read.target_regions[1].replicas, 2);
    assert_eq!(read.replication, None);
}

#[tokio::test]
async fn a_version_that_is_being_created_has_no_disk_yet() {
    let mut body = recorded("1.2.3", "Creating");
    body["properties"]["storageProfile"] = json!({"source": {"virtualMachineId": "/vm"}});
    let script = Script::answering(200, body);

    let read = script.arm().version(&version()).await.unwrap();

    assert_eq!(read.os_disk_gb, None);
    assert_eq!(read.source.as_deref(), Some("/vm"));
}

#[tokio::test]
async fn versions_are_listed_in_the_order_of_their_numbers() {
    let body = json!({"value": [recorded("1.10.0", "Succeeded"), recorded("1.9.0", "Failed"), recorded("0.24322.55884", "Migrating")]});
    let script = Script::answering(200, body);

    let listed = script.arm().versions(&gallery().definition("ubuntu-web")).await.unwrap();

    let numbers: Vec<String> = listed.iter().map(|it| it.number.to_string()).collect();
    assert_eq!(numbers, ["0.24322.55884", "1.9.0", "1.10.0"]);
}

#[tokio::test]
async fn an_update_says_every_regions_flag_and_keeps_the_source() {
    let script = Script::answering(200, recorded("1.2.3", "Updating"));

    let written = script.arm().put_version(&permit(), &version(), &version_intent()).await;

    assert_eq!(written, Ok(Written::Updated));
    let asked = script.only();
    assert!(asked.path.ends_with("/versions/1.2.3?api-version=2026-03-03"));
    assert_eq!(
        asked.body,
        json!({"location": "eastus2", "tags": {"goldsmith-image": "ubuntu-web"},
        "properties": {"publishingProfile": {"targetRegions": [
                {"name": "eastus2", "regionalReplicaCount": 1, "excludeFromLatest": false, "storageAccountType": "Standard_LRS"},
                {"name": "westeurope", "regionalReplicaCount": 3, "excludeFromLatest": true}],
            "excludeFromLatest": true, "endOfLifeDate": "2026-12-01T00:00:00Z"},
            "safetyProfile": {"allowDeletionOfReplicatedLocations": false},
            "storageProfile": {}}})
    );
}

#[tokio::test]
async fn what_is_not_meant_to_change_is_not_sent() {
    let mut intent = version_intent();
    intent.end_of_life = None;
    let script = Script::answering(200, "{}");

    script.arm().put_version(&permit(), &version(), &intent).await.unwrap();

    let body = script.only().body.to_string();
    assert!(!body.contains("endOfLifeDate") && !body.contains("blockDeletion"), "{body}");
    assert!(!body.contains("null"), "{body}");
}

#[tokio::test]
async fn an_intent_without_the_home_region_or_with_a_region_twice_is_not_sent() {
    let mut homeless = version_intent();
    homeless.regions.remove(0);
    let mut twice = version_intent();
    twice.regions.push(twice.regions[1].clone());
    for (intent, says) in [(homeless, "home region `eastus2`"), (twice, "`westeurope` twice")] {
        let script = Script::default();

        let error = script.arm().put_version(&permit(), &version(), &intent).await.unwrap_err();

        assert!(matches!(error, Error::NotSent { .. }));
        assert!(error.to_string().contains(says), "{error}");
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn a_past_end_of_life_is_refused_as_wrong() {
    let script = Script::answering(
        400,
        json!({"error": {"code": "InvalidParameter",
        "message": "EndOfLifeDate must be set to a future date.",
        "target": "galleryImage.properties.endOfLifeDate"}}),
    );

    let error =
        script.arm().put_version(&permit(), &version(), &version_intent()).await.unwrap_err();

    let Error::Invalid { target, .. } = error else { panic!("{error}") };
    assert_eq!(target.as_deref(), Some("galleryImage.properties.endOfLifeDate"));
}

#[tokio::test]
async fn a_version_is_deleted() {
    let script = Script::answering(202, "");

    assert_eq!(script.arm().delete_version(&permit(), &version()).await, Ok(Deletion::Accepted));
    assert_eq!(script.only().method, "DELETE");
    assert!(script.only().path.ends_with("/versions/1.2.3?api-version=2026-03-03"));
}

#[tokio::test]
async fn a_version_protected_until_its_end_of_life_may_not_be_deleted() {
    let script = Script::answering(
        409,
        json!({"error": {"code": "DeleteGalleryImageVersionBlockedBeforeEndOfLife", "message": "make it false and try again"}}),
    );

    let error = script.arm().delete_version(&permit(), &version()).await.unwrap_err();

    assert!(matches!(error, Error::NotAllowed { .. }), "{error}");
}
