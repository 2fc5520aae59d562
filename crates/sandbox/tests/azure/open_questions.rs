//! What only live Azure can answer: each answer that may be, by its switch.

use serde_json::{Value, json};

use crate::desk::{Desk, TEMPLATE, WEB, desk_with};

const BUILT: &str = "2.0.0";

fn variant(text: &str) -> Desk {
    desk_with(&format!("variants: {{ {text} }}"))
}

async fn build(desk: &Desk) {
    desk.ready_template(json!({})).await;
    desk.run_to_end().await;
}

async fn flag_of_built(desk: &Desk) -> Value {
    let body = desk.get(&format!("{WEB}/versions/{BUILT}")).await.body;
    body["properties"]["publishingProfile"]["targetRegions"][0]["excludeFromLatest"].clone()
}

#[tokio::test]
async fn what_is_shown_as_the_flag_of_a_region_after_a_build_is_a_variant() {
    let cases = [
        ("", Value::Null),
        ("unsetFlag: false", json!(false)),
        ("unsetFlag: likeGlobal", json!(true)),
    ];
    for (text, shown) in cases {
        let desk = variant(text);
        build(&desk).await;

        assert_eq!(flag_of_built(&desk).await, shown, "{text}");
        // Shown or not: nobody gets it.
        assert_eq!(desk.azure.latest(WEB, "westeurope").unwrap().as_deref(), Some("1.2.0"));
    }
}

#[tokio::test]
async fn who_tells_the_version_of_a_machine_made_from_latest_is_a_variant() {
    let cases = [
        ("", true, true),
        ("exactVersionOfLatest: armAlone", true, false),
        ("exactVersionOfLatest: graphAlone", false, true),
        ("exactVersionOfLatest: absent", false, false),
    ];
    let machine = "/subscriptions/b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/vm1";
    for (text, arm, graph) in cases {
        let desk = variant(text);

        let by_arm = desk.get(machine).await.body;
        let query = "resources | where name == 'vm1' | project id, \
                     x = properties.storageProfile.imageReference.exactVersion";
        let by_graph = desk.graph(query).await.body;

        let told = &by_arm["properties"]["storageProfile"]["imageReference"]["exactVersion"];
        assert_eq!(told.is_string(), arm, "{text}");
        assert_eq!(by_graph["data"][0]["x"].is_string(), graph, "{text}: {by_graph}");
    }
}

#[tokio::test]
async fn whether_a_template_that_is_deleted_breaks_its_versions_replication_is_a_variant() {
    for (text, state) in [("", "Failed"), ("stagingDeleted: harmless", "Completed")] {
        let desk = variant(text);
        build(&desk).await;
        let regions = ["westeurope", "northeurope"].map(|it| json!({ "name": it }));
        let body = json!({
            "location": "westeurope",
            "properties": { "publishingProfile": { "targetRegions": regions }, "storageProfile": {} },
        });
        let version = format!("{WEB}/versions/{BUILT}");
        desk.put(&version, body).await;

        desk.delete(TEMPLATE).await;
        desk.wait(600.0);

        let body = desk.get(&format!("{version}?$expand=ReplicationStatus")).await.body;
        let summary = body["properties"]["replicationStatus"]["summary"].as_array().unwrap();
        assert_eq!(summary[0]["state"], "Completed", "{text}: what was complete stays so");
        assert_eq!(summary[1]["state"], state, "{text}");
    }
}

fn told(desk: &Desk, operation: &str) -> Vec<String> {
    let mut times = Vec::new();
    while let Some(delivery) = desk.bus.take("ingress").unwrap() {
        let event: Value = serde_json::from_slice(&delivery.body).unwrap();
        if event["data"]["operationName"].as_str().unwrap().ends_with(operation) {
            times.push(event["time"].as_str().unwrap().to_owned());
        }
    }
    times
}

#[tokio::test]
async fn when_the_run_of_a_template_is_told_is_a_variant() {
    for (text, accepted) in [("", false), ("runEvent: atAcceptance", true)] {
        let desk = variant(text);
        desk.ready_template(json!({})).await;
        desk.post(&format!("{TEMPLATE}/run"), Value::Null).await;
        let at_acceptance = told(&desk, "run/action").len();
        desk.wait(4000.0);
        desk.azure.settle().unwrap();
        let at_end = told(&desk, "run/action").len();

        assert_eq!((at_acceptance, at_end), (usize::from(accepted), usize::from(!accepted)));
    }
}

#[tokio::test]
async fn whether_versions_are_told_of_is_a_variant() {
    for (text, count) in [("", 1), ("versionEvents: notTold", 0)] {
        let desk = variant(text);
        desk.delete(&format!("{WEB}/versions/1.2.0")).await;
        desk.wait(200.0);
        desk.azure.settle().unwrap();

        assert_eq!(told(&desk, "versions/delete").len(), count, "{text}");
    }
}

#[tokio::test]
async fn a_put_of_location_and_tags_may_change_nothing_by_variant() {
    let desk = variant("bareUpdate: ignored");
    let version = format!("{WEB}/versions/1.0.0");
    let before = desk.get(&version).await.body;

    desk.put(&version, json!({ "location": "westeurope", "tags": { "new": "tag" } })).await;
    desk.wait(200.0);

    assert_eq!(desk.get(&version).await.body, before);
}
