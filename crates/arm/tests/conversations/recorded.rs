//! What bites, in the recording's own bytes: each test plays one recording to the client, and is
//! skipped, aloud, where the recordings are not.

use std::path::Path;

use arm::{GroupId, Provisioning, RunState};
use serde_json::Value;

use crate::script::{Script, template, version};

/// The requests and answers of one recording.
fn recording(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/recordings");
    let Ok(bytes) = std::fs::read(folder.join(name)) else {
        eprintln!("skipped: the recording {name} is not here");
        return Vec::new();
    };
    let recording: Value = serde_json::from_slice(&bytes).unwrap();
    recording["interactions"].as_array().unwrap().clone()
}

/// The bodies of the good answers to a GET whose path contains `what`.
fn answers(name: &str, what: &str) -> Vec<Value> {
    let good = |it: &Value| {
        let path = it["request"]["path"].as_str().unwrap_or_default();
        it["request"]["method"] == "GET" && it["response"]["status"] == 200 && path.contains(what)
    };
    let found = recording(name).into_iter().filter(good);
    found.map(|it| it["response"]["body"].clone()).collect()
}

#[tokio::test]
async fn the_match_on_the_second_of_six_pages_is_found() {
    let pages = answers("paging_empty_pages.json", "/resources?");
    if pages.is_empty() {
        return;
    }
    let count = pages.len();
    let script = pages.into_iter().fold(Script::default(), |script, page| script.then(200, page));

    let found = script.arm().storage_accounts(&GroupId::new("s", "g")).await.unwrap();

    assert_eq!(found, ["cli000002"]);
    assert_eq!((script.asked().len(), count), (6, 6));
}

#[tokio::test]
async fn both_spellings_of_a_region_in_one_answer_are_one_region() {
    let name = "gallery_version_replication_status.json";
    for body in answers(name, "$expand=ReplicationStatus") {
        let text = body.to_string();
        assert!(text.contains("\"East US 2\"") && text.contains("\"eastus2\""), "{text}");

        let read = Script::answering(200, body).arm().version(&version()).await.unwrap();

        let replication = read.replication.unwrap();
        assert_eq!(read.target_regions[0].region, replication[0].region);
        assert_eq!(read.location, replication[0].region);
    }
}

#[tokio::test]
async fn a_cancelled_run_is_first_only_canceling_and_has_no_end() {
    let mut canceling = 0;
    for body in answers("ib_cancel.json", "/imageTemplates/") {
        let Some("Canceling") = body["properties"]["lastRunStatus"]["runState"].as_str() else {
            continue;
        };
        let read = Script::answering(200, body).arm().template(&template()).await.unwrap();

        let run = read.last_run.unwrap();
        assert_eq!((run.state, run.ended, run.sub_state), (RunState::Canceling, None, None));
        assert_eq!(read.provisioning, Provisioning::Succeeded, "of the template, not of its run");
        canceling += 1;
    }
    assert!(canceling > 0 || recording("ib_cancel.json").is_empty());
}

/// A PUT is 201, and the template Failed eleven seconds later.
#[tokio::test]
async fn a_template_that_was_created_and_then_failed_says_why() {
    let mut failed = 0;
    for body in answers("ib_create_failed_vmprofile.json", "/imageTemplates/") {
        let read = Script::answering(200, body).arm().template(&template()).await.unwrap();
        if read.provisioning == Provisioning::Failed {
            assert!(read.error.unwrap().starts_with("Other: "));
            failed += 1;
        }
    }
    assert!(failed > 0 || recording("ib_create_failed_vmprofile.json").is_empty());
}

/// `versioning` comes back null, `sha256Checksum` and empty tags are added: none of it matters.
#[tokio::test]
async fn what_the_service_adds_or_echoes_as_null_is_no_obstacle() {
    let mut nulls = 0;
    for name in ["ib_output_versioning.json", "ib_customizers.json", "ib_outputs.json"] {
        for body in answers(name, "/imageTemplates/") {
            nulls += usize::from(body.to_string().contains("\"versioning\":null"));
            let read = Script::answering(200, &body).arm().template(&template()).await;
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
    assert!(nulls > 0 || recording("ib_output_versioning.json").is_empty());
}
