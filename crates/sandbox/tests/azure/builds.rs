//! Runs of a template: their states, their logs, the evidence, the version that comes out.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{BLOB, Desk, TEMPLATE, WEB, desk};

fn scan(address: &str) -> Value {
    let script = format!("set -eu\nREPORT_URL='{address}'\ntrivy rootfs --format json /");
    json!({ "inVMValidations": [{ "type": "Shell", "name": "scan", "inline": [script] }] })
}

fn report(desk: &Desk) -> Value {
    let bytes = desk.blobs.get("reports", "scans", "web/1.json").unwrap().expect("a report");
    serde_json::from_slice(&bytes).unwrap()
}

fn found(report: &Value) -> Vec<String> {
    let vulnerabilities = report["Results"][0]["Vulnerabilities"].as_array();
    let ids = vulnerabilities.into_iter().flatten();
    ids.map(|it| it["VulnerabilityID"].as_str().unwrap().to_owned()).collect()
}

fn last_run(got: &crate::desk::Answer) -> &Value {
    &got.body["properties"]["lastRunStatus"]
}

#[tokio::test]
async fn a_run_walks_through_its_states() {
    let desk = desk();
    let validate = scan(&format!("{BLOB}/reports/scans/web/1.json"));
    desk.ready_template(json!({ "validate": validate })).await;

    let started = desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    assert_eq!(started.header("retry-after"), None);
    let (status, location) =
        (started.header("azure-asyncoperation").unwrap(), started.header("location").unwrap());
    assert_ne!(status, location);
    let mut seen = Vec::new();
    for _ in 0..100 {
        let got = desk.get(TEMPLATE).await;
        let run = last_run(&got).clone();
        if run["runState"] == "Running" {
            assert_eq!(run["endTime"], "0001-01-01T00:00:00Z");
            let state = run["runSubState"].as_str().unwrap().to_owned();
            if seen.last() != Some(&state) {
                seen.push(state);
            }
        }
        desk.wait(10.0);
    }

    assert_eq!(seen, ["Queued", "Building", "Customizing", "Validating", "Distributing"]);
    let got = desk.get(TEMPLATE).await;
    let run = last_run(&got);
    assert_eq!((run["runState"].as_str(), run["message"].as_str()), (Some("Succeeded"), Some("")));
    assert_eq!(run.get("runSubState"), None);
    for name in ["startTime", "endTime"] {
        let text = run[name].as_str().unwrap();
        assert_eq!(text.len(), "2024-05-14T08:39:55.679639302Z".len(), "nanoseconds: {text}");
    }
    assert_eq!(desk.follow(status).await.body["status"], "Succeeded");
    assert_eq!(desk.follow(location).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_run_takes_as_long_as_recorded() {
    let desk = desk();
    desk.ready_template(json!({})).await;
    desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;

    desk.wait(849.0);
    assert_eq!(last_run(&desk.get(TEMPLATE).await)["runState"], "Running");
    desk.wait(152.0);
    assert_eq!(last_run(&desk.get(TEMPLATE).await)["runState"], "Succeeded");
}

#[tokio::test]
async fn the_version_carries_what_image_builder_adds() {
    let desk = desk();
    desk.ready_template(json!({})).await;

    desk.run_to_end().await;

    let output = desk.get(&format!("{TEMPLATE}/runOutputs/web")).await;
    assert_eq!(output.body["properties"]["artifactId"], format!("{WEB}/versions/2.0.0"));
    assert!(output.body["id"].as_str().unwrap().contains("/resourcegroups/"));
    let version = desk.get(&format!("{WEB}/versions/2.0.0")).await;
    let tags = &version.body["tags"];
    assert_eq!(
        tags["VMImageBuilderSource"],
        "PlatformImage Canonical::jammy::22_04-lts-gen2::latest (22.04.2026082801)"
    );
    assert!(tags["correlationId"].is_string());
    assert_eq!(tags["goldsmith-image"], "web");
    let properties = &version.body["properties"];
    assert_eq!(properties["publishingProfile"]["excludeFromLatest"], true);
    assert_eq!(properties["publishingProfile"]["targetRegions"][0].get("excludeFromLatest"), None);
    assert!(properties["storageProfile"]["osDiskImage"]["source"]["uri"].is_string());
    // Published when the run ended, not when somebody looked.
    let published = properties["publishingProfile"]["publishedDate"].as_str().unwrap();
    let ended = desk.get(TEMPLATE).await;
    let ended = last_run(&ended)["endTime"].as_str().unwrap();
    assert_eq!(published[..19], ended[..19]);
}

#[tokio::test]
async fn without_a_number_the_first_is_one_and_then_the_patch_rises() {
    for (image, expected) in [(WEB.to_owned(), "1.10.1"), (WEB.replace("/web", "/other"), "1.0.0")]
    {
        let desk = desk();
        let target = json!([{ "type": "SharedImage", "runOutputName": "o", "galleryImageId": image, "replicationRegions": ["westeurope"] }]);
        desk.ready_template(json!({ "distribute": target })).await;

        desk.run_to_end().await;

        let outputs = desk.get(&format!("{TEMPLATE}/runOutputs")).await;
        let id = &outputs.body["value"][0]["properties"]["artifactId"];
        assert_eq!(id, &format!("{image}/versions/{expected}"));
    }
}

#[tokio::test]
async fn a_second_run_is_refused_and_so_is_a_deletion() {
    let desk = desk();
    desk.ready_template(json!({})).await;
    desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;

    let run = desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;
    let deletion = desk.delete(TEMPLATE).await;

    assert_eq!((run.status, run.code()), (StatusCode::CONFLICT, "OperationNotAllowed"));
    assert_eq!((deletion.status, deletion.code()), (StatusCode::CONFLICT, "OperationNotAllowed"));
}

#[tokio::test]
async fn a_cancellation_is_answered_before_it_is_done() {
    let desk = desk();
    desk.ready_template(json!({})).await;
    desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;
    desk.wait(20.0);

    let answer = desk.post(&format!("{TEMPLATE}/cancel"), Value::Null).await;
    let got = desk.get(TEMPLATE).await;
    desk.wait(1200.0);

    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let run = last_run(&got);
    assert_eq!(run["runState"], "Canceling");
    assert_eq!(run["message"], "Canceling image build");
    assert_eq!(run.get("runSubState"), None);
    assert_eq!(run["endTime"], "0001-01-01T00:00:00Z");
    let done = desk.get(TEMPLATE).await;
    assert_eq!(last_run(&done)["runState"], "Canceled");
    assert_eq!(desk.get(&format!("{WEB}/versions/2.0.0")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_failing_step_fails_the_run_and_its_log_says_why() {
    let desk = desk();
    let steps = json!([{ "type": "Shell", "name": "apply-updates", "inline": ["x"] }, { "type": "Shell", "name": "broken", "inline": ["x"] }]);
    desk.ready_template(json!({ "customize": steps })).await;

    let got = desk.run_to_end().await;

    let run = last_run(&got);
    assert_eq!(run["runState"], "Failed");
    let message = run["message"].as_str().unwrap();
    assert!(message.contains("Packer build command has failed: exit status 1"), "{message}");
    let address = message.split("location: ").nth(1).unwrap().split(". Operation").next().unwrap();
    let path = address.strip_prefix(&format!("{BLOB}/")).unwrap();
    let mut pieces = path.splitn(3, '/');
    let (account, container, key) =
        (pieces.next().unwrap(), pieces.next().unwrap(), pieces.next().unwrap());
    assert_eq!(container, "packerlogs");
    let log = desk.blobs.get(account, container, key).unwrap().expect("a log");
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("E: Unable to locate package nginx"), "{log}");
    assert_eq!(desk.get(&format!("{TEMPLATE}/runOutputs")).await.body, json!({ "value": [] }));
}

#[tokio::test]
async fn the_report_is_caused_by_base_steps_and_advisories() {
    let address = format!("{BLOB}/reports/scans/web/1.json");
    for (day, customize, expected) in [
        ("2026-09-07T07:00:00Z", json!([]), vec![]),
        ("2026-09-08T01:00:00Z", json!([]), vec!["CVE-1", "CVE-2"]),
        // Known, but the fix is not there yet.
        (
            "2026-09-08T01:00:00Z",
            json!([{ "type": "Shell", "name": "apply-updates", "inline": ["x"] }]),
            vec!["CVE-1", "CVE-2"],
        ),
        (
            "2026-09-08T13:00:00Z",
            json!([{ "type": "Shell", "name": "apply-updates", "inline": ["x"] }]),
            vec!["CVE-2"],
        ),
        ("2026-09-08T13:00:00Z", json!([]), vec!["CVE-1", "CVE-2"]),
    ] {
        let desk = desk();
        desk.wait_until(day);
        desk.ready_template(json!({ "customize": customize, "validate": scan(&address) })).await;

        let got = desk.run_to_end().await;

        assert_eq!(last_run(&got)["runState"], "Succeeded", "{}", got.body);
        assert_eq!(found(&report(&desk)), expected, "{day} {customize}");
    }
}

#[tokio::test]
async fn the_report_is_in_trivys_shape() {
    let desk = desk();
    desk.wait_until("2026-09-08T13:00:00Z");
    let address = format!("{BLOB}/reports/scans/web/1.json");
    desk.ready_template(json!({ "customize": [], "validate": scan(&address) })).await;

    desk.run_to_end().await;

    let report = report(&desk);
    assert_eq!(
        (report["SchemaVersion"].as_i64(), report["ArtifactName"].as_str()),
        (Some(2), Some("/"))
    );
    assert_eq!(report["Metadata"]["OS"], json!({ "Family": "ubuntu", "Name": "22.04" }));
    let finding = &report["Results"][0]["Vulnerabilities"][0];
    assert_eq!(finding["PkgName"], "openssl");
    assert_eq!(finding["InstalledVersion"], "3.0.2-17");
    assert_eq!(finding["FixedVersion"], "3.0.2-18");
    assert_eq!(
        (finding["Status"].as_str(), finding["Severity"].as_str()),
        (Some("fixed"), Some("HIGH"))
    );
    let unfixed = &report["Results"][0]["Vulnerabilities"][1];
    assert_eq!((unfixed.get("FixedVersion"), unfixed["Status"].as_str()), (None, Some("affected")));
}

fn windows(script: &str) -> Value {
    json!({
        "source": { "type": "PlatformImage", "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2022-g2", "version": "20348.1.1" },
        "customize": [{ "type": "WindowsUpdate", "name": "updates" }],
        "validate": { "inVMValidations": [{ "type": "PowerShell", "name": "scan", "inline": [script] }] },
    })
}

#[tokio::test]
async fn a_windows_build_reports_what_windows_update_still_offers() {
    let desk = desk();
    let script = format!(
        "$ReportUrl = '{BLOB}/reports/scans/web/1.json'\n\
         $session = New-Object -ComObject Microsoft.Update.Session"
    );
    desk.ready_template(windows(&script)).await;

    desk.run_to_end().await;

    let report = report(&desk);
    assert_eq!(found(&report), ["CVE-3"]);
    let result = &report["Results"][0];
    assert_eq!(
        (result["Target"].as_str(), result["Type"].as_str()),
        (Some("Windows Update"), Some("windows"))
    );
    assert_eq!(report.get("Trivy"), None);
    assert!(report["ArtifactName"].is_string());
    let size = &desk.get(&format!("{WEB}/versions/2.0.0")).await.body["properties"]["storageProfile"]
        ["osDiskImage"]["sizeInGB"];
    assert_eq!(size, 127);
}

#[tokio::test]
async fn a_validation_of_windows_that_does_not_look_for_updates_reports_nothing() {
    let desk = desk();
    let script = format!("$ReportUrl = '{BLOB}/reports/scans/web/1.json'\nInvoke-RestMethod");
    desk.ready_template(windows(&script)).await;

    let got = desk.run_to_end().await;

    assert_eq!(last_run(&got)["runState"], "Succeeded");
    assert_eq!(desk.blobs.get("reports", "scans", "web/1.json").unwrap(), None);
}

#[tokio::test]
async fn a_report_that_cannot_be_uploaded_fails_the_run() {
    let desk = desk();
    desk.ready_template(json!({ "validate": scan("https://elsewhere.example/r.json") })).await;

    let got = desk.run_to_end().await;

    let run = last_run(&got);
    assert_eq!(run["runState"], "Failed");
    assert!(run["message"].as_str().unwrap().contains("validation.log"));
    assert_eq!(desk.get(&format!("{WEB}/versions/2.0.0")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_failed_validation_may_publish_all_the_same() {
    let desk = desk();
    let mut validate = scan("https://elsewhere.example/r.json");
    validate["continueDistributeOnFailure"] = json!(true);
    desk.ready_template(json!({ "validate": validate })).await;

    let got = desk.run_to_end().await;

    assert_eq!(last_run(&got)["runState"], "Failed");
    assert_eq!(desk.get(&format!("{WEB}/versions/2.0.0")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_of_two_targets_makes_a_partial_success() {
    let desk = desk();
    let target = |name: &str, number: &str| json!({ "type": "SharedImage", "runOutputName": name, "galleryImageId": format!("{WEB}/versions/{number}"), "replicationRegions": ["westeurope"] });
    let targets = json!([target("new", "2.0.0"), target("taken", "1.0.0")]);
    desk.ready_template(json!({ "distribute": targets })).await;

    let got = desk.run_to_end().await;

    assert_eq!(last_run(&got)["runState"], "PartiallySucceeded");
    assert_eq!(desk.get(&format!("{WEB}/versions/2.0.0")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_build_that_is_too_slow_is_given_up() {
    for (minutes, expected) in [(10, "context deadline exceeded"), (3, "client_jwt")] {
        let desk = desk();
        desk.ready_template(json!({ "buildTimeoutInMinutes": minutes })).await;

        let got = desk.run_to_end().await;

        let run = last_run(&got);
        assert_eq!(run["runState"], "Failed");
        assert!(run["message"].as_str().unwrap().contains(expected), "{run}");
    }
}

#[tokio::test]
async fn a_child_holds_what_its_parent_holds() {
    let address = format!("{BLOB}/reports/scans/web/1.json");
    let desk = desk();
    desk.wait_until("2026-09-08T13:00:00Z");
    let source =
        json!({ "type": "SharedImageVersion", "imageVersionId": format!("{WEB}/versions/1.0.0") });
    let properties = json!({ "source": source, "customize": [], "validate": scan(&address) });
    let got = desk.ready_template(properties).await;
    assert_eq!(got.body["properties"]["source"]["exactVersion"], format!("{WEB}/versions/1.0.0"));

    desk.run_to_end().await;

    // The packages of 22.04.202608090, which 1.0.0 was built from.
    assert_eq!(found(&report(&desk)), ["CVE-1", "CVE-2"]);
}

#[tokio::test]
async fn the_same_story_is_told_twice() {
    let tell = || async {
        let desk = desk();
        desk.ready_template(json!({})).await;
        let got = desk.run_to_end().await;
        (got.body.to_string(), desk.get(&format!("{WEB}/versions/2.0.0")).await.body.to_string())
    };

    assert_eq!(tell().await, tell().await);
}
