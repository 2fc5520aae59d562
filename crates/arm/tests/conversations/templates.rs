//! Image templates.

use arm::{Deletion, Error, GroupId, Provisioning, RunState, Written};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::bodies::template_intent;
use crate::script::{Script, now, permit, template};

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// As recorded in May 2024: the group's key in lower case, another case in the staging group.
fn recorded(provisioning: &str, exact: &str, last_run: Value) -> Value {
    let mut body = json!({
        "properties": {
            "source": {"exactVersion": exact, "offer": "UbuntuServer", "publisher": "Canonical",
                "sku": "18_04-LTS-GEN2", "type": "PlatformImage", "version": "latest"},
            "distribute": [{"artifactTags": {}, "excludeFromLatest": false, "type": "SharedImage",
                "galleryImageId": "/x", "runOutputName": "image1", "versioning": null}],
            "provisioningState": provisioning,
            "buildTimeoutInMinutes": 0,
            "vmProfile": {"vmSize": "", "osDiskSizeGB": 0},
            "stagingResourceGroup": "",
            "exactStagingResourceGroup": format!("{GROUP}/resourceGroups/IT_rg-build_t_8c561502"),
        },
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/id": {}}},
        "tags": {"owner": "platform"},
        "location": "eastus",
        "id": format!("{GROUP}/resourcegroups/rg-build/providers/Microsoft.VirtualMachineImages/imageTemplates/ubuntu-web-1.2.3"),
        "name": "ubuntu-web-1.2.3",
        "type": "Microsoft.VirtualMachineImages/imageTemplates"
    });
    if !last_run.is_null() {
        body["properties"]["lastRunStatus"] = last_run;
    }
    body
}

#[tokio::test]
async fn a_template_is_read() {
    let script = Script::answering(200, recorded("Succeeded", "18.04.202401161", Value::Null));

    let read = script.arm().template(&template()).await.unwrap();

    assert_eq!(read.id, template());
    assert_eq!(read.provisioning, Provisioning::Succeeded);
    assert_eq!(read.source_exact_version.as_deref(), Some("18.04.202401161"));
    assert_eq!(read.staging_group.unwrap().name, "IT_rg-build_t_8c561502");
    assert_eq!(read.location.as_str(), "eastus");
    assert_eq!(read.last_run, None);
    assert_eq!(read.tags["owner"], "platform");
}

#[tokio::test]
async fn every_request_says_who_asks_and_which_api_is_meant() {
    let script = Script::answering(200, recorded("Succeeded", "latest", Value::Null));

    script.arm().asking_as("ubuntu-web:17\r\nx").template(&template()).await.unwrap();

    let asked = script.only();
    assert_eq!(asked.method, "GET");
    assert_eq!(
        asked.path,
        format!(
            "{GROUP}/resourceGroups/rg-build/providers/Microsoft.VirtualMachineImages/imageTemplates/ubuntu-web-1.2.3?api-version=2025-10-01"
        )
    );
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(asked.header("authorization"), Some("Bearer told"));
    assert_eq!(asked.header("x-ms-client-request-id"), Some("ubuntu-web:17x"));
}

#[tokio::test]
async fn a_base_that_is_not_resolved_yet_has_no_exact_version() {
    let script = Script::answering(200, recorded("Creating", "latest", Value::Null));

    let read = script.arm().template(&template()).await.unwrap();

    assert_eq!(read.provisioning, Provisioning::Creating);
    assert_eq!(read.source_exact_version, None);
}

#[tokio::test]
async fn a_template_without_a_staging_group_yet_is_read() {
    let mut body = recorded("Creating", "latest", Value::Null);
    body["properties"]["exactStagingResourceGroup"] = json!("");
    body["tags"] = Value::Null;
    let script = Script::answering(200, body);

    let read = script.arm().template(&template()).await.unwrap();

    assert_eq!(read.staging_group, None);
    assert!(read.tags.is_empty());
}

#[tokio::test]
async fn a_running_build_has_nine_digits_and_no_end() {
    let run = json!({"startTime": "2024-05-14T08:39:55.679639302Z",
        "endTime": "0001-01-01T00:00:00Z", "runState": "Running", "runSubState": "Building",
        "message": ""});
    let script = Script::answering(200, recorded("Succeeded", "18.04.202401161", run));

    let run = script.arm().template(&template()).await.unwrap().last_run.unwrap();

    assert_eq!(run.state, RunState::Running);
    assert_eq!(run.sub_state.as_deref(), Some("Building"));
    assert_eq!(run.started.unwrap().timestamp_subsec_nanos(), 679_639_302);
    assert_eq!(run.ended, None);
}

#[tokio::test]
async fn a_run_that_is_being_canceled_has_no_sub_state() {
    let run = json!({"startTime": "2024-05-14T08:39:55.679639302Z",
        "endTime": "0001-01-01T00:00:00Z", "runState": "Canceling",
        "message": "Canceling image build"});
    let script = Script::answering(200, recorded("Succeeded", "1.2", run));

    let run = script.arm().template(&template()).await.unwrap().last_run.unwrap();

    assert_eq!((run.state, run.sub_state), (RunState::Canceling, None));
}

#[tokio::test]
async fn the_message_of_a_failed_run_shows_no_signature() {
    let run = json!({"startTime": "2024-05-14T08:39:55Z", "endTime": "2024-05-14T09:00:00.1Z",
        "runState": "Failed", "message": "failed; see https://a.blob.core.windows.net/packerlogs/1/customization.log?sig=hush for more"});
    let script = Script::answering(200, recorded("Succeeded", "1.2", run));

    let run = script.arm().template(&template()).await.unwrap().last_run.unwrap();

    assert_eq!(
        run.message,
        "failed; see https://a.blob.core.windows.net/packerlogs/1/customization.log?… for more"
    );
    assert!(run.ended.is_some());
}

#[tokio::test]
async fn a_template_that_could_not_be_made_says_why() {
    let mut body = recorded("Failed", "18.04.202401161", Value::Null);
    body["properties"]["provisioningError"] = json!({"provisioningErrorCode": "Other", "message": "Not authorized to access the resource: /x"});
    let script = Script::answering(200, body);

    let read = script.arm().template(&template()).await.unwrap();

    assert_eq!(read.provisioning, Provisioning::Failed);
    assert_eq!(read.error.as_deref(), Some("Other: Not authorized to access the resource: /x"));
}

#[tokio::test]
async fn a_made_template_is_told_from_one_that_was_there() {
    let status = "https://management.azure.com/subscriptions/s/operations/1?t=1&s=hush";
    for (code, written) in [(201, Written::Created), (200, Written::Updated)] {
        let body = recorded("Creating", "latest", Value::Null);
        let script = Script::default().with(code, &[("azure-asyncoperation", status)], body);

        let answer = script.arm().create_template(&permit(), &template(), &template_intent()).await;

        assert_eq!(answer, Ok(written));
        assert_eq!(script.only().method, "PUT");
    }
}

#[tokio::test]
async fn a_template_over_an_existing_one_is_a_conflict() {
    let script = Script::answering(
        409,
        json!({"error": {"code": "Conflict",
        "message": "Update/Upgrade of image templates is currently not supported"}}),
    );

    let error =
        script.arm().create_template(&permit(), &template(), &template_intent()).await.unwrap_err();

    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_run_is_posted_with_no_body() {
    let signed = "https://management.azure.com/x?c=hush";
    let script = Script::default().with(202, &[("location", signed)], "");

    script.arm().run_template(&permit(), &template()).await.unwrap();

    let asked = script.only();
    assert_eq!(asked.method, "POST");
    assert!(asked.path.ends_with("/ubuntu-web-1.2.3/run?api-version=2025-10-01"));
    assert_eq!(asked.header("content-length"), Some("0"));
    assert_eq!(asked.header("content-type"), None);
}

#[tokio::test]
async fn a_second_run_is_not_allowed() {
    for status in [400, 409] {
        let script = Script::answering(
            status,
            json!({"error": {"code": "OperationNotAllowed",
            "message": "Operation Microsoft.VirtualMachineImages/imageTemplates/run is not allowed in provisioning state: provisioned or run state: running"}}),
        );

        let error = script.arm().run_template(&permit(), &template()).await.unwrap_err();

        assert!(matches!(error, Error::NotAllowed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_run_is_canceled() {
    let script = Script::answering(204, "");

    script.arm().cancel_template(&permit(), &template()).await.unwrap();

    assert!(script.only().path.contains("/ubuntu-web-1.2.3/cancel?"));
}

#[tokio::test]
async fn a_deletion_goes_on_or_is_over() {
    let gone = json!({"error": {"code": "ResourceNotFound", "message": "m"}}).to_string();
    let answers = [
        (202, String::new(), Deletion::Accepted),
        (204, String::new(), Deletion::Gone),
        (404, gone, Deletion::Gone),
    ];
    for (status, body, deletion) in answers {
        let script = Script::answering(status, body);

        assert_eq!(script.arm().delete_template(&permit(), &template()).await, Ok(deletion));
    }
}

#[tokio::test]
async fn an_overtaken_write_is_never_sent() {
    let script = Script::default();
    let late = arm::Permit { send_before: now() - TimeDelta::seconds(1) };

    let error = script.arm().run_template(&late, &template()).await.unwrap_err();

    assert!(matches!(error, Error::NotSent { .. }), "{error}");
    assert!(!error.perhaps_done());
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn a_run_output_names_its_version() {
    let body = json!({"properties": {"artifactId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/image1/versions/1.0.0", "provisioningState": "Succeeded"},
        "id": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/t/runOutputs/image1",
        "name": "image1", "type": "Microsoft.VirtualMachineImages/imageTemplates/runOutputs"});
    let script = Script::answering(200, body);

    let output = script.arm().run_output(&template(), "image1").await.unwrap();

    assert_eq!(output.version.unwrap().number.to_string(), "1.0.0");
    assert_eq!(output.provisioning, Some(Provisioning::Succeeded));
    assert!(script.only().path.contains("/runOutputs/image1?"));
}

#[tokio::test]
async fn a_run_output_that_is_no_version_is_read_all_the_same() {
    let body = json!({"properties": {"artifactId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/images/img_1"},
        "name": "img_1"});
    let script = Script::answering(200, body);

    let output = script.arm().run_output(&template(), "img_1").await.unwrap();

    assert_eq!(output.version, None);
    assert!(output.artifact.unwrap().ends_with("/images/img_1"));
}

#[tokio::test]
async fn the_templates_of_a_group_are_listed() {
    let body = json!({"value": [recorded("Succeeded", "1.2", Value::Null)]});
    let script = Script::answering(200, body);
    let group: GroupId = format!("{GROUP}/resourceGroups/rg-build").parse().unwrap();

    let listed = script.arm().templates(&group).await.unwrap();

    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, template());
}
