//! Bad input gets a clear answer, loses nothing and stops nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::TimeDelta;
use http::Method;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use rules::event::Event;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, HANDLER};
use crate::spoiled::Spoil;

fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = format!("http://{HANDLER}{path}").parse().unwrap();
    let id = "11111111-0000-4000-8000-000000000001".parse().unwrap();
    request.headers_mut().insert("x-azure-functions-invocationid", id);
    request
}

/// A message as the host hands it to a function whose binding is binary.
fn message(function: &str, id: &str, body: &[u8]) -> Request {
    let body = serde_json::json!({
        "Data": { "message": STANDARD.encode(body) },
        "Metadata": { "MessageId": format!("\"{id}\"") },
    });
    request(Method::POST, &format!("/{function}"), body.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_message_is_kept_with_its_reason_and_completed() {
    let desk = Desk::example().await;

    let answer = desk.handler_once(message("start_build", "odd-1", b"{\"image\":3}")).await;

    assert_eq!(answer, 200, "anything else would be redelivered for ever");
    let kept = desk.blob("refused/odd-1.json").await;
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    assert!(kept["reason"].as_str().unwrap().contains("not a pointer"), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_one_function_is_refused_by_another() {
    let desk = Desk::example().await;
    let body = br#"{"image":"rhel-9-base","seq":1,"function":"notify"}"#;

    assert_eq!(desk.handler_once(message("start_build", "odd-2", body)).await, 200);

    let kept = String::from_utf8(desk.blob("refused/odd-2.json").await).unwrap();
    assert!(kept.contains("a message of `notify` came to `start_build`"), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn a_message_about_an_entry_that_is_not_there_does_nothing_and_is_kept_with_its_reason() {
    let desk = Desk::example().await;
    let body = br#"{"image":"rhel-9-base","seq":400,"function":"delete_version","ordinal":3}"#;

    assert_eq!(desk.handler_once(message("delete_version", "x", body)).await, 200);

    assert_eq!(desk.events("rhel-9-base").await, []);
    let calls = desk.sandbox.azure.calls();
    assert_eq!((calls.read, calls.write, calls.delete), (0, 0, 0));
    let kept = desk.keys("refused").await;
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    let kept = String::from_utf8(desk.blob(kept).await).unwrap();
    assert!(kept.contains("entry 400 of `rhel-9-base` is gone"), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn the_hosts_metadata_is_not_believed() {
    let desk = Desk::example().await;
    let body = serde_json::json!({
        "Data": { "message": STANDARD.encode(b"no pointer") },
        "Metadata": { "MessageId": "\"../../ledger/contoso/rhel-9-base/0000000001\"", "sys": 3 },
    });

    let answer = desk.handler_once(request(Method::POST, "/notify", body.to_string())).await;

    assert_eq!(answer, 200);
    assert_eq!(desk.events("rhel-9-base").await, [], "the ledger was written through an id");
}

#[tokio::test(start_paused = true)]
async fn unknown_functions_wrong_methods_and_huge_bodies_get_a_clear_4xx() {
    let desk = Desk::example().await;
    let cases = [
        (request(Method::POST, "/no_such_function", "{}"), 404),
        (request(Method::GET, "/start_build", ""), 405),
        (request(Method::POST, "/a/b", "{}"), 404),
        (request(Method::POST, "/look_again", "not json"), 400),
        (request(Method::POST, "/start_build", vec![b' '; 5 << 20]), 413),
        (request(Method::GET, "/", ""), 200),
    ];

    for (request, expected) in cases {
        let what = format!("{} {}", request.method(), request.uri().path());
        assert_eq!(desk.handler_once(request).await, expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_a_build_is_over_is_only_a_reason_to_look() {
    let mut desk = Desk::example().await;
    let building = |it: &Event| matches!(it, Event::BuildStarted { .. });
    while !desk.events("windows-2022-base").await.iter().any(building) {
        desk.run_to(desk.now() + TimeDelta::minutes(1)).await;
    }
    let state = desk.state(&"windows-2022-base".parse().unwrap()).await;
    let template = &state.building.as_ref().unwrap().template;
    let gallery = &desk.catalog.gallery;
    let forged = serde_json::json!({
        "specversion": "1.0",
        "id": "1",
        "type": "Microsoft.Resources.ResourceActionSuccess",
        "source": "/",
        "subject": format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.VirtualMachineImages/imageTemplates/{template}/run",
            gallery.subscription, desk.catalog.build.resource_group
        ),
    })
    .to_string();
    let before = desk.events("windows-2022-base").await.len();

    for id in ["e-1", "e-1", "e-2"] {
        let body = forged.as_bytes();
        assert_eq!(desk.handler_once(message("receive_events", id, body)).await, 200);
    }
    desk.run_to(desk.now() + TimeDelta::minutes(1)).await;

    let events = desk.events("windows-2022-base").await;
    let woken: Vec<&Event> = events[before..].iter().collect();
    assert!(matches!(woken[..], [Event::RunWoken { .. }]), "{woken:?}");
}

/// Panics once, in the middle of a step.
#[derive(Debug)]
struct Trapdoor {
    wire: Arc<dyn Wire>,
    open: AtomicBool,
}

#[async_trait]
impl Wire for Trapdoor {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let is_write = request.method() == Method::PUT;
        let is_template = request.uri().path().contains("imageTemplates");
        assert!(!(is_write && is_template && self.open.swap(false, Ordering::Relaxed)), "trapdoor");
        self.wire.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_step_fails_that_invocation_and_the_next_one_goes_on() {
    let open = AtomicBool::new(true);
    let mut desk = Desk::spoiled(Spoil {
        world: Box::new(move |wire| Arc::new(Trapdoor { wire, open })),
        ..Spoil::default()
    })
    .await;

    desk.run_until_over(30).await;

    let ailments = desk.ailments.lock().unwrap().clone();
    let [ailment] = &ailments[..] else { panic!("{ailments:?}") };
    assert!(ailment.contains("create_template ended Failed"), "{ailment}");
    assert!(ailment.contains("500 (Internal Server Error)"), "{ailment}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_stops_its_image_and_no_other() {
    let mut desk = Desk::example().await;
    desk.run_to(desk.now() + TimeDelta::minutes(30)).await;
    let first = Path::from("ledger/contoso/rhel-9-base/0000000001.json");
    let bytes = desk.store().get(&first).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace("find_due_images", "somebody");
    desk.store().put(&first, text.into()).await.unwrap();
    // A second entry, so that the first one's hash matters.
    let gap = Path::from("ledger/contoso/rhel-9-base/0000000003.json");
    desk.store().put(&gap, "{}".into()).await.unwrap();

    desk.run_to(desk.now() + TimeDelta::days(4)).await;

    let definition = arm::GalleryId::from(&desk.catalog.gallery).definition("rhel-9-base");
    let versions = desk.arm().versions(&definition).await.unwrap();
    let newest = versions.last().unwrap().number.to_string();
    assert_eq!(newest, "1.11.0", "it was built although its stream is broken");
    let others = desk.events("ubuntu-2204-base").await;
    assert!(others.iter().any(|it| matches!(it, Event::RunReleased { .. })));
    let image = "rhel-9-base".parse().unwrap();
    let error = desk.ledger.read(&ledger::StreamName::Image(image)).await.unwrap_err();
    assert!(matches!(error, ledger::LedgerError::Broken { .. }), "{error}");
}
