//! What a build leaves behind: the flags of its version, and whether that still needs its template.

use serde_json::{Value, json};

use crate::azure::Azure;

/// The template, and the id of the version that its last run published.
async fn built(azure: &Azure) -> (String, String) {
    let template = azure.place.template.clone();
    let template = template.expect("GOLDSMITH_LIVE_TEMPLATE is set: a template that has run");
    let outputs = azure.get(&format!("{template}/runOutputs")).await.expect("reading its outputs");
    let version = outputs.body["value"][0]["properties"]["artifactId"].as_str();
    let version = version.expect("the template's last run published a version").to_owned();
    (template, version)
}

pub(crate) async fn flags_after_a_build(azure: Azure) -> String {
    let (_, version) = built(&azure).await;
    let body = azure.get(&version).await.expect("reading the version").body;
    let profile = &body["properties"]["publishingProfile"];
    let shown = |flag: Option<&Value>| flag.map_or("absent".to_owned(), Value::to_string);
    let regions = profile["targetRegions"].as_array().into_iter().flatten();
    let regions: Vec<String> = regions.map(|it| shown(it.get("excludeFromLatest"))).collect();
    format!("global {}, regional {}", shown(profile.get("excludeFromLatest")), regions.join(" "))
}

pub(crate) async fn deleted_while_replicating(azure: Azure) -> String {
    let (template, version) = built(&azure).await;
    let before = azure.get(&version).await.expect("reading the version").body;

    let second = json!({ "name": azure.place.second_location, "regionalReplicaCount": 1 });
    let mut regions = before["properties"]["publishingProfile"]["targetRegions"].clone();
    regions.as_array_mut().unwrap().push(second);
    let body = json!({
        "location": before["location"],
        "tags": before["tags"],
        "properties": {
            "publishingProfile": { "excludeFromLatest": true, "targetRegions": regions },
            "storageProfile": {},
        },
    });
    azure.put(&version, &body).await.expect("adding a region");
    let deletion = azure.delete(&template).await;

    let after = azure.ready(&version).await;
    let state = after["properties"]["replicationStatus"]["aggregatedState"].as_str();
    let state = state.unwrap_or("unknown");
    format!("the deletion is answered {}; the replication ends {state}", deletion.said())
}
