//! What comes from outside: an event is a hint, and Azure is asked before anything is believed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use cli::load;
use futures::StreamExt;
use http::Method;
use rules::event::{Event, PinnedBase};
use rules::trigger::Trigger;
use sandbox::estate::Estate;
use seam::{Fault, Request, Response, Wire};
use serde_json::{Value, json};

use crate::desk::{Desk, HANDLER, root};
use crate::spoiled::{Deliveries, How, Spoil};

pub(crate) const PARENT: &str = "ubuntu-2204-base";
pub(crate) const CHILD: &str = "ubuntu-2204-web";

/// What ARM was asked: method, path, and under which request id.
pub(crate) type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Remembers what ARM was asked.
#[derive(Debug)]
struct Listening {
    wire: Arc<dyn Wire>,
    asked: Asked,
}

#[async_trait]
impl Wire for Listening {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if let Some(id) = request.headers().get("x-ms-client-request-id") {
            let what = format!("{} {}", request.method(), request.uri());
            self.asked.lock().unwrap().push((what, id.to_str().unwrap().to_owned()));
        }
        self.wire.send(request).await
    }
}

/// The example, two hours old, and what its ARM was asked since.
pub(crate) async fn desk() -> (Desk, Asked) {
    desk_of(|_| {}).await
}

/// The same on another Azure.
pub(crate) async fn desk_of(change: impl FnOnce(&mut Estate)) -> (Desk, Asked) {
    let examples = root().join("examples");
    let loaded = load::catalog(&examples.join("catalog")).unwrap();
    let mut estate = load::estate(&examples.join("estate.yaml")).unwrap();
    change(&mut estate);
    let asked = Asked::default();
    let kept = Arc::clone(&asked);
    let spoil = Spoil {
        world: Box::new(move |wire| Arc::new(Listening { wire, asked: kept })),
        ..Spoil::default()
    };
    let mut desk = Desk::of(loaded, &estate, spoil).await;
    desk.run_to(desk.now() + TimeDelta::hours(2)).await;
    asked.lock().unwrap().clear();
    (desk, asked)
}

/// Hands the handler a message of the queue `ingress`.
pub(crate) async fn hear(desk: &Desk, id: &str, body: &Value) -> u16 {
    let envelope = json!({
        "Data": { "message": STANDARD.encode(body.to_string()) },
        "Metadata": { "MessageId": format!("\"{id}\"") },
    });
    let mut request = Request::new(envelope.to_string().into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{HANDLER}/receive_events").parse().unwrap();
    request.headers_mut().insert("x-azure-functions-invocationid", id.parse().unwrap());
    desk.handler_once(request).await
}

pub(crate) fn version_id(desk: &Desk, image: &str, number: &str) -> String {
    let definition = arm::GalleryId::from(&desk.catalog.gallery).definition(image);
    format!("{definition}/versions/{number}")
}

/// A version was written, in the schema of Event Grid; the claims may be an object or a text.
pub(crate) fn written(subject: &str) -> Value {
    json!({
        "id": "4db48cba-50a2-455a-93b4-de41a3b5b7f6",
        "topic": "/subscriptions/x",
        "subject": subject,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "eventTime": "2026-09-07T08:00:00Z",
        "data": {
            "claims": "{\"name\":\"a-person\"}",
            "authorization": { "scope": subject },
            "httpRequest": "x",
            "operationName": "Microsoft.Compute/galleries/images/versions/write",
            "status": "Succeeded",
        },
        "dataVersion": "2",
        "metadataVersion": "1",
    })
}

/// Somebody else publishes a version in our gallery.
pub(crate) async fn publish(
    desk: &Desk,
    image: &str,
    number: &str,
    standing: Option<&str>,
    hidden: bool,
) {
    assert_eq!(put_version(desk, image, number, standing, hidden).await, 201);
}

/// Somebody else writes a version; the status of the answer.
pub(crate) async fn put_version(
    desk: &Desk,
    image: &str,
    number: &str,
    standing: Option<&str>,
    hidden: bool,
) -> u16 {
    let id = version_id(desk, image, number);
    let mut tags = json!({ "owner": "another-team" });
    if let Some(standing) = standing {
        tags["goldsmith-version-state"] = standing.into();
    }
    let body = json!({
        "location": "westeurope",
        "tags": tags,
        "properties": {
            "publishingProfile": {
                "targetRegions": [{ "name": "westeurope", "regionalReplicaCount": 1 }],
                "excludeFromLatest": hidden,
            },
            "storageProfile": { "source": { "id": version_id(desk, image, "1.7.0") } },
        },
    });
    desk.arm_put(&id, &body).await
}

/// The triggers of `image` that name this version of the parent.
pub(crate) async fn triggers(desk: &Desk, image: &str, number: &str) -> usize {
    let expected =
        Trigger::Parent { image: PARENT.parse().unwrap(), version: number.parse().unwrap() };
    let accepted =
        |event: &Event| matches!(event, Event::TriggerAccepted { trigger } if *trigger == expected);
    desk.events(image).await.iter().filter(|it| accepted(it)).count()
}

#[tokio::test(start_paused = true)]
async fn a_version_of_somebody_else_rebuilds_its_children_once_azure_shows_it() {
    let (mut desk, asked) = desk().await;
    let id = version_id(&desk, PARENT, "9.0.0");

    assert_eq!(hear(&desk, "e-1", &json!([written(&id)])).await, 200);
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 0, "it was forged");
    assert_eq!(asked.lock().unwrap().len(), 1, "{:?}", asked.lock().unwrap());
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    assert_eq!(hear(&desk, "e-2", &written(&id)).await, 200);
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 0, "it is still being made");

    // Azure's own event comes when it is there.
    desk.run_to(desk.now() + TimeDelta::hours(3)).await;

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
    let base =
        PinnedBase::Image { image: PARENT.parse().unwrap(), version: "9.0.0".parse().unwrap() };
    let events = desk.events(CHILD).await;
    let opened = |it: &Event| matches!(it, Event::RunOpened { base: it, .. } if *it == base);
    assert!(events.iter().any(opened), "{}", desk.story().await);
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_hidden_or_says_nothing_of_itself_is_no_reason_to_build() {
    let (mut desk, _) = desk().await;
    publish(&desk, PARENT, "9.0.1", Some("released"), true).await;
    publish(&desk, PARENT, "9.0.2", None, false).await;
    publish(&desk, PARENT, "9.0.3", Some("candidate"), false).await;
    desk.run_to(desk.now() + TimeDelta::hours(3)).await;

    for number in ["9.0.1", "9.0.2", "9.0.3"] {
        assert_eq!(triggers(&desk, CHILD, number).await, 0, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn versions_from_before_goldsmith_looked_after_the_image_are_no_news() {
    let (desk, asked) = desk().await;
    let id = version_id(&desk, PARENT, "1.7.0");

    assert_eq!(hear(&desk, "e", &written(&id)).await, 200);

    assert_eq!(triggers(&desk, CHILD, "1.7.0").await, 0);
    assert!(asked.lock().unwrap().len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_costs_one_read_however_it_comes() {
    let (mut desk, asked) = desk().await;
    let forged: Vec<Value> = (0..2000)
        .map(|number| {
            let id = version_id(&desk, PARENT, &format!("9.1.{number}"));
            // Azure changes the case of ids as it likes.
            written(&if number % 2 == 0 { id.to_ascii_uppercase() } else { id })
        })
        .collect();
    assert_eq!(hear(&desk, "flood", &json!(forged)).await, 200);
    assert_eq!(asked.lock().unwrap().len(), 1, "one list for all of them");

    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
    asked.lock().unwrap().clear();
    let event = written(&version_id(&desk, PARENT, "9.0.0"));
    for number in 0..50 {
        assert_eq!(hear(&desk, &format!("again-{number}"), &event).await, 200);
    }

    assert_eq!(*asked.lock().unwrap(), [], "what is known is not asked for again");
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_about_what_is_not_ours_costs_nothing() {
    let (desk, asked) = desk().await;
    let ours = version_id(&desk, PARENT, "9.0.0");
    let subscription = &desk.catalog.gallery.subscription;
    let group = &desk.catalog.gallery.resource_group;
    let subjects = [
        ours.replace(subscription.as_str(), "00000000-0000-0000-0000-0000000000a1"),
        ours.replace(group.as_str(), "rg-of-another"),
        ours.replace("galContoso", "galFabrikam"),
        ours.replace(PARENT, "not-in-the-catalog"),
        format!("https://evil.example{ours}"),
        format!("//evil.example{ours}"),
        format!("{ours}/../../../x"),
        format!("{ours}/x"),
        ours.replace("9.0.0", "latest"),
        ours.replace("9.0.0", "9.0.0?api-version=1"),
        // Nothing is built from this image.
        version_id(&desk, "debian-12-base", "9.0.0"),
        String::new(),
        "x".repeat(100_000),
    ];
    let before = desk.all_events().await;

    for (number, subject) in subjects.iter().enumerate() {
        let grid = json!([written(subject)]);
        let cloud = json!({ "specversion": "1.0", "id": "1", "source": "https://evil.example",
            "type": "Microsoft.Resources.ResourceWriteSuccess", "subject": subject,
            "data": { "resourceUri": ours } });
        assert_eq!(hear(&desk, &format!("g-{number}"), &grid).await, 200);
        assert_eq!(hear(&desk, &format!("c-{number}"), &cloud).await, 200);
    }
    let mut deleted = written(&ours);
    deleted["eventType"] = "Microsoft.Resources.ResourceDeleteSuccess".into();
    assert_eq!(hear(&desk, "deleted", &deleted).await, 200);

    assert_eq!(*asked.lock().unwrap(), []);
    assert_eq!(desk.all_events().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_or_no_event_is_kept_without_whom_it_is_about() {
    let (desk, asked) = desk().await;
    let event = written(&version_id(&desk, PARENT, "9.0.0"));
    let mut odd = vec![event.clone()];
    odd.push(json!(3));

    let small = json!({ "id": "1", "type": "x", "data": { "claims": "a-person" } });
    assert_eq!(hear(&desk, "ten-thousand", &json!(vec![small; 10_000])).await, 200);
    assert_eq!(hear(&desk, "odd", &json!(odd)).await, 200);
    assert_eq!(hear(&desk, "text", &json!(event.to_string())).await, 200);

    assert_eq!(*asked.lock().unwrap(), []);
    let kept = String::from_utf8(desk.blob("refused/ten-thousand.json").await).unwrap();
    assert!(kept.contains("10000 events in one message"), "{:.300}", kept);
    let kept = String::from_utf8(desk.blob("refused/odd.json").await).unwrap();
    assert!(kept.contains("ResourceWriteSuccess"), "{kept}");
    no_claims_are_kept(&desk).await;
}

/// Nothing that says who did something is anywhere in the store.
async fn no_claims_are_kept(desk: &Desk) {
    let store = desk.store();
    let objects: Vec<_> = store.list(None).collect().await;
    assert!(objects.len() > 5);
    for object in objects {
        let key = object.unwrap().location;
        let text = String::from_utf8_lossy(&desk.blob(key.as_ref()).await).to_ascii_lowercase();
        for word in ["a-person", "claims", "objectidentifier", "roleassignmentid"] {
            assert!(!text.contains(word), "{key} holds `{word}`");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_asks_once_however_often_its_event_comes() {
    let (desk, _) = desk().await;
    let asks = |image: &str| {
        json!({ "specversion": "1.0", "id": "build-7", "source": "ci/pipelines/3", "subject": image,
            "type": "Goldsmith.RebuildRequested" })
    };

    for id in ["a", "b", "c"] {
        assert_eq!(hear(&desk, id, &json!([asks(CHILD), asks(CHILD), asks("nothing")])).await, 200);
    }

    let events = desk.events(CHILD).await;
    let accepted = events.iter().filter(|it| matches!(it, Event::TriggerAccepted { .. })).count();
    assert_eq!(accepted, 1, "{}", desk.story().await);
}

/// Every write of ours comes back as an event.
#[tokio::test(start_paused = true)]
async fn our_own_echoes_cost_no_read() {
    let (asked, seen) = (Asked::default(), Arc::default());
    let (kept, deliveries) = (Arc::clone(&asked), Arc::clone(&seen));
    let mut desk = Desk::spoiled(Spoil {
        world: Box::new(move |wire| Arc::new(Listening { wire, asked: kept })),
        handler: Box::new(move |wires| Arc::new(Deliveries::new(wires, How::Once, deliveries))),
        ..Spoil::default()
    })
    .await;

    desk.run_until_over(30).await;

    let seen = seen.lock().unwrap();
    let heard: Vec<String> = seen
        .iter()
        .filter(|it: &&crate::spoiled::Delivered| it.function == "receive_events")
        .filter(|it| serde_json::from_slice::<Value>(&it.message()).unwrap()["type"].is_string())
        .map(|it| it.invocation())
        .collect();
    assert!(heard.len() > 20, "{} events", heard.len());
    let asked = asked.lock().unwrap();
    let reads: Vec<_> = asked.iter().filter(|(_, id)| heard.contains(id)).collect();
    assert!(reads.is_empty(), "{reads:?}");
}

/// Small ones of our own, for whoever has no reference, and every sample of it.
fn samples() -> Vec<(String, Value)> {
    let ours = written("/subscriptions/0/resourceGroups/g/providers/p/t/n");
    let mut samples = vec![("own".to_owned(), json!([ours.clone()])), ("one".to_owned(), ours)];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/event-samples");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: the reference is not beside this repository");
        return samples;
    };
    for file in files.map(|it| it.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".eventgrid.json") || name.ends_with(".cloudevents.json") {
            let sample = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            samples.push((name, sample));
        }
    }
    assert!(samples.len() > 25, "{}", samples.len());
    samples
}

#[tokio::test(start_paused = true)]
async fn every_sample_is_heard_and_none_is_believed() {
    let (desk, asked) = desk().await;
    let before = desk.all_events().await;
    let home = version_id(&desk, PARENT, "1.0.7");
    let theirs = "/subscriptions/00000000-0000-0000-0000-0000000000a1/resourceGroups/rg-images/\
                  providers/Microsoft.Compute/galleries/galGolden/images/ubuntu-2404/versions/1.0.7";

    for (name, sample) in samples() {
        assert_eq!(hear(&desk, &name, &sample).await, 200, "{name}");
        // What is no event of either schema is kept aside; what is one is not kept at all.
        let handshake =
            name.starts_with("validation-response") || name.starts_with("validation-exchange");
        let kept = desk.keys("refused/").await.iter().any(|it| it.contains(&name));
        assert_eq!(kept, handshake, "{name}");
        // The same as if it were about our own gallery: at most one look, and it finds nothing.
        let near = sample.to_string().replace(theirs, &home);
        let near: Value = serde_json::from_str(&near).unwrap();
        assert_eq!(hear(&desk, &format!("near-{name}"), &near).await, 200, "{name}");
    }

    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().all(|(what, _)| what.starts_with("GET ") && what.contains("/versions?")));
    assert_eq!(desk.all_events().await, before);
    no_claims_are_kept(&desk).await;
}
