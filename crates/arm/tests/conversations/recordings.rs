//! Every recorded answer of the operations that we use is read: those to a GET here, those to the
//! queries of Resource Graph, which are POSTs, in `src/graph/recorded.rs`.

use std::path::{Path, PathBuf};

use arm::{Error, RunState};
use rules::catalog::PlatformImage;
use serde_json::{Value, json};

use crate::script::{Script, gallery, template, version};

/// The recorded conversations, where they are at hand, the one of another recorder among them.
pub(crate) fn recordings() -> Vec<(PathBuf, Value)> {
    let Some(folder) = contract::reference() else {
        eprintln!("skipped: the recordings are not here");
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder.join("recordings")).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let recording = json_of(&path);
        (path, recording)
    };
    let mut recordings: Vec<(PathBuf, Value)> = files.into_iter().map(read).collect();
    let condensed = folder.join("specs/recordings/imagebuilder-2022-07-01.condensed.json");
    let recording = interactions_of(&json_of(&condensed));
    recordings.push((condensed, recording));
    recordings
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Microsoft's own recordings of Image Builder in the form of the others: whole addresses are paths,
/// and what has no request is left out.
fn interactions_of(condensed: &Value) -> Value {
    let exchanges = condensed["exchanges"].as_array().unwrap().iter();
    let interactions = exchanges.filter(|it| it.get("request").is_some()).map(|it| {
        let mut interaction = it.clone();
        let url = it["request"]["url"].as_str().unwrap();
        let path = url.strip_prefix("https://management.azure.com").unwrap();
        interaction["request"]["path"] = json!(path);
        interaction
    });
    json!({ "interactions": interactions.collect::<Vec<Value>>() })
}

/// What a path below the subscription is, if it is one of ours.
fn operation(path: &str) -> Option<&'static str> {
    let path = path.split('?').next()?.to_ascii_lowercase();
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|it| *it == "providers")?;
    match parts.get(at + 1..)? {
        ["microsoft.virtualmachineimages", "imagetemplates"] => Some("templates"),
        ["microsoft.virtualmachineimages", "imagetemplates", _] => Some("template"),
        ["microsoft.virtualmachineimages", "imagetemplates", _, "runoutputs", _] => {
            Some("run output")
        }
        ["microsoft.compute", "galleries", _] => Some("gallery"),
        ["microsoft.compute", "galleries", _, "images", _] => Some("definition"),
        ["microsoft.compute", "galleries", _, "images", _, "versions"] => Some("versions"),
        ["microsoft.compute", "galleries", _, "images", _, "versions", _] => Some("version"),
        [
            "microsoft.compute",
            "galleries",
            _,
            "softdeletedartifacttypes",
            _,
            "artifacts",
            _,
            "versions",
        ] => Some("soft-deleted"),
        ["microsoft.compute", "locations", .., "versions"] => Some("platform"),
        ["microsoft.compute", "virtualmachinescalesets", _, "virtualmachines"] => Some("instances"),
        _ => None,
    }
}

pub(crate) async fn read(operation: &str, body: &Value) -> Result<(), Error> {
    let arm = Script::answering(200, body).arm();
    let definition = gallery().definition("x");
    let image =
        PlatformImage { publisher: "p".into(), offer: "o".into(), sku: "s".into(), plan: None };
    match operation {
        "templates" => arm.templates(&arm::GroupId::new("s", "g")).await.map(|_| ()),
        "template" => arm.template(&template()).await.map(|_| ()),
        "run output" => arm.run_output(&template(), "x").await.map(|_| ()),
        "gallery" => arm.gallery(&gallery()).await.map(|_| ()),
        "definition" => arm.definition(&definition).await.map(|_| ()),
        "versions" => arm.versions(&definition).await.map(|_| ()),
        "version" => arm.version(&version()).await.map(|_| ()),
        "soft-deleted" => arm.soft_deleted(&definition).await.map(|_| ()),
        "platform" => {
            arm.platform_versions("s", &"westus".parse().unwrap(), &image).await.map(|_| ())
        }
        "instances" => arm.scale_set_instances("/x").await.map(|_| ()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_recorded_answer_of_our_operations_is_read() {
    let mut count = 0;
    for (file, recording) in recordings() {
        for interaction in recording["interactions"].as_array().into_iter().flatten() {
            let (request, response) = (&interaction["request"], &interaction["response"]);
            let operation = operation(request["path"].as_str().unwrap_or_default());
            let ours = request["method"] == "GET" && response["status"] == 200;
            let Some(operation) = operation.filter(|_| ours) else { continue };

            let answer = read(operation, &response["body"]).await;

            assert_eq!(answer, Ok(()), "{} {operation}: {}", file.display(), response["body"]);
            count += 1;
        }
    }
    // None where the folder is absent, which was said; a few would mean that they are passed over.
    assert!(count == 0 || count >= 100, "only {count} recorded answers were read");
    eprintln!("{count} recorded answers were read");
}

/// Only a part of this answer was kept: it is laid over the whole one to the same question.
#[tokio::test]
async fn a_run_that_succeeded_in_the_powershell_recordings_has_its_end_to_the_nanosecond() {
    let Some(folder) = contract::reference() else {
        eprintln!("skipped: the recordings are not here");
        return;
    };
    let condensed =
        json_of(&folder.join("specs/recordings/imagebuilder-2022-07-01.condensed.json"));
    let exchanges = condensed["exchanges"].as_array().unwrap();
    let called = |name: &str| exchanges.iter().find(|it| it["name"] == name).unwrap();
    let mut body = called("get right after cancel")["response"]["body"].clone();
    let part = &called("get after a successful run (19 min 27 s)")["response"]["body_part"];
    for (name, value) in part["properties"].as_object().unwrap() {
        body["properties"][name] = value.clone();
    }

    let read = Script::answering(200, &body).arm().template(&template()).await.unwrap();

    let run = read.last_run.unwrap();
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(run.sub_state, None);
    let ended = run.ended.unwrap();
    assert_eq!(ended.to_rfc3339(), "2025-04-30T06:05:24.092474408+00:00");
}

#[tokio::test]
async fn every_recorded_refusal_becomes_an_error_of_its_kind() {
    let mut count = 0;
    for (file, recording) in recordings() {
        for interaction in recording["interactions"].as_array().into_iter().flatten() {
            let response = &interaction["response"];
            let Some(status @ 400..) = response["status"].as_u64() else { continue };
            let body = match &response["body"] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                body => body.to_string(),
            };
            let script = Script::answering(u16::try_from(status).unwrap(), body);

            let error = script.arm().template(&template()).await.unwrap_err();

            let fits = match status {
                404 => matches!(error, Error::NotFound { .. }),
                429 => matches!(error, Error::Throttled { .. } | Error::Busy { .. }),
                409 => matches!(error, Error::Conflict { .. } | Error::NotAllowed { .. }),
                500.. => matches!(error, Error::Unavailable { .. }),
                400 => matches!(error, Error::Invalid { .. }),
                _ => true,
            };
            assert!(fits, "{} {status}: {error}", file.display());
            count += 1;
        }
    }
    // None where the folder is absent, which was said; a few would mean that they are passed over.
    assert!(count == 0 || count >= 35, "only {count} recorded refusals were read");
    eprintln!("{count} recorded refusals were read");
}
