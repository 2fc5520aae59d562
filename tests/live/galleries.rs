//! What a gallery does with writes that its documents do not speak of.

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use crate::azure::{Answer, Azure};

/// The id of a fresh definition that only one question uses. Its gallery is made on the way.
pub(crate) async fn definition(azure: &Azure, name: &str) -> String {
    let place = &azure.place;
    let gallery = format!("{}/providers/Microsoft.Compute/galleries/goldsmithLive", place.group);
    let body = json!({ "location": place.location, "properties": {} });
    azure.put(&gallery, &body).await.expect("making the gallery");
    azure.ready(&gallery).await;

    let definition = format!("{gallery}/images/{name}-{}", azure.now().timestamp());
    let offer = definition.rsplit('/').next().unwrap_or_default();
    let body = json!({
        "location": place.location,
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "features": [{ "name": "SecurityType", "value": "TrustedLaunchSupported" }],
            "identifier": { "publisher": "goldsmith", "offer": offer, "sku": "live" },
        },
    });
    azure.put(&definition, &body).await.expect("making the definition");
    azure.ready(&definition).await;
    definition
}

/// The body of a version in these regions, with a regional flag where one is given.
pub(crate) fn version(azure: &Azure, excluded: bool, regions: &[(&str, Option<bool>)]) -> Value {
    let regions = regions.iter().map(|(name, excluded)| {
        let mut region = json!({ "name": name, "regionalReplicaCount": 1 });
        if let Some(excluded) = excluded {
            region["excludeFromLatest"] = json!(excluded);
        }
        region
    });
    json!({
        "location": azure.place.location,
        "tags": { "purpose": "live" },
        "properties": {
            "publishingProfile": {
                "excludeFromLatest": excluded,
                "targetRegions": regions.collect::<Vec<_>>(),
            },
            "storageProfile": { "source": { "id": azure.place.source } },
        },
    })
}

/// Makes the version `number` of `definition` and waits until it is ready.
pub(crate) async fn made(azure: &Azure, definition: &str, number: &str, body: &Value) -> String {
    let id = format!("{definition}/versions/{number}");
    azure.put(&id, body).await.expect("making the version");
    let ready = azure.ready(&id).await;
    assert_eq!(ready["properties"]["provisioningState"], "Succeeded", "{ready}");
    id
}

/// A version in the home region alone, and the body that made it.
async fn at_home(azure: &Azure, question: &str) -> (String, Value) {
    let definition = definition(azure, question).await;
    let body = version(azure, true, &[(&azure.place.location, None)]);
    let id = made(azure, &definition, "1.0.0", &body).await;
    (id, body)
}

fn accepted(answer: &Answer) -> String {
    if answer.done() { "accepted".to_owned() } else { format!("refused ({})", answer.said()) }
}

pub(crate) async fn update_while_updating(azure: Azure) -> String {
    let (id, mut body) = at_home(&azure, "busy").await;
    let second = json!({ "name": azure.place.second_location, "regionalReplicaCount": 1 });
    let regions = &mut body["properties"]["publishingProfile"]["targetRegions"];
    regions.as_array_mut().unwrap().push(second);
    azure.put(&id, &body).await.expect("adding a region");

    body["tags"]["written"] = json!("while Updating");
    let answer = azure.put(&id, &body).await;

    azure.ready(&id).await;
    accepted(&answer)
}

pub(crate) async fn past_end_of_life(azure: Azure) -> String {
    let (id, mut body) = at_home(&azure, "past").await;
    let soon = azure.now() + TimeDelta::minutes(10);
    let date = json!(soon.to_rfc3339_opts(SecondsFormat::Secs, true));
    body["properties"]["publishingProfile"]["endOfLifeDate"] = date;
    azure.put(&id, &body).await.expect("setting an end of life");
    azure.ready(&id).await;
    azure.wait(soon - azure.now() + TimeDelta::minutes(1)).await;

    body["tags"]["written"] = json!("afterwards");
    let again = azure.put(&id, &body).await;
    azure.ready(&id).await;
    let profile = body["properties"]["publishingProfile"].as_object_mut().unwrap();
    profile.remove("endOfLifeDate");
    azure.put(&id, &body).await.expect("leaving the end of life out");
    let after = azure.ready(&id).await;

    let left = match after["properties"]["publishingProfile"].get("endOfLifeDate") {
        Some(Value::String(_)) => "kept",
        _ => "cleared",
    };
    format!("unchanged it is {}; left out it is {left}", accepted(&again))
}

pub(crate) async fn lift_and_remove_at_once(azure: Azure) -> String {
    let definition = definition(&azure, "lift").await;
    let (home, second) = (&azure.place.location, &azure.place.second_location);
    let mut body = version(&azure, true, &[(home, None), (second, None)]);
    body["properties"]["safetyProfile"] = json!({ "allowDeletionOfReplicatedLocations": false });
    let id = made(&azure, &definition, "1.0.0", &body).await;

    let mut body = version(&azure, true, &[(home, None)]);
    body["properties"]["safetyProfile"] = json!({ "allowDeletionOfReplicatedLocations": true });
    let answer = azure.put(&id, &body).await;

    azure.ready(&id).await;
    accepted(&answer)
}

pub(crate) async fn tags_only(azure: Azure) -> String {
    let (id, mut body) = at_home(&azure, "tags").await;
    body["tags"]["written"] = json!("alone");
    let begun = azure.now();

    azure.put(&id, &body).await.expect("writing tags");
    azure.ready(&id).await;

    let seconds = (azure.now() - begun).num_seconds();
    if seconds < 60 { "under a minute".to_owned() } else { format!("{seconds} s") }
}

pub(crate) async fn bare_update(azure: Azure) -> String {
    let definition = definition(&azure, "bare").await;
    let (home, second) = (&azure.place.location, &azure.place.second_location);
    let mut body = version(&azure, true, &[(home, Some(true)), (second, Some(true))]);
    // Else a reset that removes a region could be refused for that reason.
    body["properties"]["safetyProfile"] = json!({ "allowDeletionOfReplicatedLocations": true });
    let id = made(&azure, &definition, "1.0.0", &body).await;

    let bare = json!({ "location": home, "tags": { "written": "bare" } });
    let answer = azure.put(&id, &bare).await;
    let after = azure.ready(&id).await;

    if !answer.done() {
        return accepted(&answer);
    }
    let profile = &after["properties"]["publishingProfile"];
    let regions = profile["targetRegions"].as_array().map_or(0, Vec::len);
    let excluded = profile["excludeFromLatest"] == json!(true);
    let tags =
        if after["tags"]["written"] == "bare" { "writes the tags" } else { "writes nothing" };
    match (regions, excluded) {
        (2, true) => format!("{tags} and keeps the publishing profile"),
        _ => format!("{tags} and leaves {regions} regions, excluded from latest: {excluded}"),
    }
}
