//! Event Grid, and what becomes due while nobody asks.

use serde_json::{Value, json};

use crate::desk::{Desk, TEMPLATE, WEB, desk};

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
