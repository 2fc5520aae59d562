//! Event Grid, and what becomes due while nobody asks.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::desk::{Desk, TEMPLATE, WEB, desk, desk_with};

fn received(desk: &Desk) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some(delivery) = desk.bus.take("ingress").unwrap() {
        events.push(serde_json::from_slice(&delivery.body).unwrap());
    }
    events
}

#[tokio::test]
async fn what_happened_is_told_to_the_ingress_queue() {
    let desk = desk();
    desk.ready_template(json!({})).await;
    desk.run_to_end().await;
    desk.delete(&format!("{WEB}/versions/1.2.0")).await;
    desk.wait(200.0);

    desk.azure.settle().unwrap();

    let events = received(&desk);
    let told: Vec<(&str, &str)> = events
        .iter()
        .map(|it| (it["type"].as_str().unwrap(), it["data"]["operationName"].as_str().unwrap()))
        .collect();
    let prefix = "Microsoft.Resources.Resource";
    let template = "Microsoft.VirtualMachineImages/imageTemplates";
    let version = "Microsoft.Compute/galleries/images/versions";
    assert_eq!(
        told,
        [
            (format!("{prefix}WriteSuccess"), format!("{template}/write")),
            (format!("{prefix}WriteSuccess"), format!("{version}/write")),
            (format!("{prefix}ActionSuccess"), format!("{template}/run/action")),
            (format!("{prefix}DeleteSuccess"), format!("{version}/delete")),
        ]
        .iter()
        .map(|(kind, operation)| (kind.as_str(), operation.as_str()))
        .collect::<Vec<_>>()
    );
    assert_eq!(events[2]["subject"], TEMPLATE);
    assert_eq!(events[2]["specversion"], "1.0");
}

#[tokio::test]
async fn an_event_happens_at_its_own_instant_not_when_somebody_looks() {
    let desk = desk();
    desk.delete(&format!("{WEB}/versions/1.2.0")).await;
    let due = desk.azure.next_due().unwrap().expect("a deletion");

    desk.wait(100_000.0);
    desk.azure.settle().unwrap();

    let events = received(&desk);
    let time: chrono::DateTime<chrono::Utc> = events[0]["time"].as_str().unwrap().parse().unwrap();
    assert_eq!(time, due);
    assert_eq!(desk.azure.next_due().unwrap(), None);
}

/// The names of all members, those below `data` with the path to them.
fn members(value: &Value, above: &str, into: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        members(value, &format!("{path} "), into);
        into.insert(path);
    }
}

/// What of a sample is documented for some requests only.
fn without_http_request(mut event: Value) -> BTreeSet<String> {
    event["data"].as_object_mut().unwrap().remove("httpRequest");
    let mut names = BTreeSet::new();
    members(&event, "", &mut names);
    names
}

#[tokio::test]
async fn events_have_the_members_of_the_documented_samples_in_both_schemas() {
    let samples =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/event-samples");
    for (extra, schema) in [("", "cloudevents"), ("eventGrid: eventGrid\n", "eventgrid")] {
        let desk = desk_with(extra);
        desk.delete(&format!("{WEB}/versions/1.2.0")).await;
        desk.wait(200.0);
        desk.azure.settle().unwrap();

        let mut event = received(&desk).remove(0);
        if schema == "eventgrid" {
            event = event[0].take();
            assert_eq!(event["eventType"], "Microsoft.Resources.ResourceDeleteSuccess");
            assert_eq!(event["dataVersion"], "2");
        }
        assert_eq!(event["data"]["resourceUri"], event["subject"]);
        let sample =
            samples.join(format!("arm-gallery-image-version-delete-success.{schema}.json"));
        let Ok(sample) = std::fs::read(sample) else {
            println!("skipped: the reference is not beside this repository");
            continue;
        };
        let mut sample: Value = serde_json::from_slice(&sample).unwrap();
        if sample.is_array() {
            sample = sample[0].take();
        }
        assert_eq!(without_http_request(event), without_http_request(sample), "{schema}");
    }
}
