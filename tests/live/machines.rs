//! What *latest* means: a machine is made from a definition without a version, and tells.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::galleries::{definition, made, version};

/// What became of a machine that was made from latest.
struct Machine {
    id: String,
    /// The version that it was made from, by its OS disk; `None` when it could not be made.
    made_from: Option<String>,
    body: Value,
}

/// Makes a machine of `definition` in the second location.
async fn machine(azure: &Azure, definition: &str, name: &str) -> Machine {
    let place = &azure.place;
    let subnet = place.subnet.as_ref().expect("GOLDSMITH_LIVE_SUBNET is set, for machines");
    let name = format!("{name}-{}", azure.now().timestamp());
    let id = format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", place.group);
    let interface = json!({
        "name": "nic", "properties": {
            "primary": true, "deleteOption": "Delete",
            "ipConfigurations": [{ "name": "ip", "properties": { "subnet": { "id": subnet } } }],
        },
    });
    let body = json!({
        "location": place.second_location,
        "properties": {
            "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
            "securityProfile": { "securityType": "TrustedLaunch" },
            "storageProfile": {
                "imageReference": { "id": definition },
                "osDisk": {
                    "createOption": "FromImage", "deleteOption": "Delete",
                    "managedDisk": { "storageAccountType": "StandardSSD_LRS" },
                },
            },
            "osProfile": {
                "computerName": "live", "adminUsername": "goldsmith",
                // Nobody logs in: the machine is deleted as soon as it has told its version.
                "adminPassword": format!("Gs-{}-{}", azure.now().timestamp_micros(), name),
            },
            "networkProfile": {
                "networkApiVersion": "2022-11-01",
                "networkInterfaceConfigurations": [interface],
            },
        },
    });
    let answer = azure.put(&id, &body).await;
    if !answer.done() {
        assert!(matches!(answer.status.as_u16(), 404 | 409), "{} {}", answer.said(), answer.body);
        return Machine { id, made_from: None, body: Value::Null };
    }
    let body = azure.ready(&id).await;
    let disk = body["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str();
    let disk = azure.get(disk.unwrap_or_default()).await.expect("reading the disk").body;
    let image = disk["properties"]["creationData"]["imageReference"]["id"].as_str();
    let made_from = image.and_then(|it| it.rsplit('/').next()).map(str::to_owned);
    Machine { id, made_from, body }
}

pub(crate) async fn exclusion(azure: Azure) -> String {
    let definition = definition(&azure, "exclusion").await;
    let (home, second) = (&azure.place.location, &azure.place.second_location);

    // Hidden by the global flag, with nothing said of the regions, as Image Builder leaves it.
    let body = version(&azure, true, &[(home, None), (second, None)]);
    let id = made(&azure, &definition, "1.0.0", &body).await;
    let regional_only = machine(&azure, &definition, "unset").await;
    azure.delete(&regional_only.id).await;
    // Hidden by the global flag, and shown by the regional ones.
    let body = version(&azure, true, &[(home, Some(false)), (second, Some(false))]);
    azure.put(&id, &body).await.expect("showing the regions");
    azure.ready(&id).await;
    let regional_wins = machine(&azure, &definition, "global").await;
    azure.delete(&regional_wins.id).await;
    // Hidden by the regional flag alone.
    let body = version(&azure, false, &[(home, Some(true)), (second, Some(true))]);
    azure.put(&id, &body).await.expect("turning the flags");
    let shown = azure.ready(&id).await;
    let global_only = machine(&azure, &definition, "regional").await;
    azure.delete(&global_only.id).await;

    let made = [regional_only, regional_wins, global_only].map(|it| it.made_from.is_some());
    let verdict = match made {
        [false, false, false] => "either flag",
        [false, true, false] => "the regional flag, over the global one",
        [true, true, false] => "the regional flag alone: a build is offered where it lands",
        [false, false, true] => "the global flag alone",
        _ => "no rule that is known here",
    };
    let regions = shown["properties"]["publishingProfile"]["targetRegions"].as_array();
    let echoed = regions.into_iter().flatten().all(|it| it["excludeFromLatest"] == json!(true));
    format!("{verdict}; a GET shows the regional flags: {echoed}")
}

pub(crate) async fn latest_while_replicating(azure: Azure) -> String {
    let definition = definition(&azure, "replicating").await;
    let (home, second) = (&azure.place.location, &azure.place.second_location);
    let both = version(&azure, false, &[(home, Some(false)), (second, Some(false))]);
    made(&azure, &definition, "1.0.0", &both).await;
    let only = version(&azure, false, &[(home, Some(false))]);
    let newer = made(&azure, &definition, "1.1.0", &only).await;

    azure.put(&newer, &both).await.expect("adding a region");
    let machine = machine(&azure, &definition, "replicating").await;
    azure.delete(&machine.id).await;
    azure.ready(&newer).await;

    match machine.made_from.as_deref() {
        Some("1.0.0") => "the highest version that is complete there".to_owned(),
        Some("1.1.0") => "the highest version, complete or not".to_owned(),
        Some(other) => format!("an unexpected {other}"),
        None => "nothing: the machine is refused".to_owned(),
    }
}

pub(crate) async fn exact_version_of_latest(azure: Azure) -> String {
    let definition = definition(&azure, "exact").await;
    let (home, second) = (&azure.place.location, &azure.place.second_location);
    let body = version(&azure, false, &[(home, Some(false)), (second, Some(false))]);
    made(&azure, &definition, "1.0.0", &body).await;
    let machine = machine(&azure, &definition, "exact").await;
    let query = format!(
        "resources | where id =~ '{}' | project id, \
         exact = properties.storageProfile.imageReference.exactVersion",
        machine.id
    );
    // Resource Graph lags; a few minutes are usual.
    let mut rows = azure.graph(&query).await;
    for _ in 0..40 {
        if rows.as_array().is_some_and(|it| !it.is_empty()) {
            break;
        }
        azure.wait(chrono::TimeDelta::seconds(30)).await;
        rows = azure.graph(&query).await;
    }
    azure.delete(&machine.id).await;

    let told = |value: &Value| if value == "1.0.0" { "told" } else { "not told" };
    let arm = told(&machine.body["properties"]["storageProfile"]["imageReference"]["exactVersion"]);
    let disk = if machine.made_from.as_deref() == Some("1.0.0") { "told" } else { "not told" };
    format!("by ARM {arm}, by Resource Graph {}, by the OS disk {disk}", told(&rows[0]["exact"]))
}
