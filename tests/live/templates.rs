//! Whether a version still needs the template that built it.

use serde_json::json;

use crate::azure::Azure;

pub(crate) async fn deleted_while_replicating(azure: Azure) -> String {
    let template = azure.place.template.as_ref();
    let template = template.expect("GOLDSMITH_LIVE_TEMPLATE is set: a template that has run");
    let outputs = azure.get(&format!("{template}/runOutputs")).await.expect("reading its outputs");
    let version = outputs.body["value"][0]["properties"]["artifactId"].as_str();
    let version = version.expect("the template's last run published a version").to_owned();
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
    let deletion = azure.delete(template).await;

    let after = azure.ready(&version).await;
    let state = after["properties"]["replicationStatus"]["aggregatedState"].as_str();
    let state = state.unwrap_or("unknown");
    format!("the deletion is answered {}; the replication ends {state}", deletion.said())
}
