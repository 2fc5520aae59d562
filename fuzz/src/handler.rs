//! What reaches the handler: invocations of every function, whole or only the event inside one.

use std::sync::Arc;

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use functions::{App, Settings};
use http::{HeaderValue, StatusCode};
use ledger::{Draft, Ledger, Stream, StreamName};
use rules::catalog::Catalog;
use rules::event::Event;
use rules::trigger::Trigger;
use seam::{Local, Outbound, Request, Tokens, ToldClock, Wire};

use super::script::{ask, block_on, noon, pieces, request};

const ARM: &str = "127.0.0.1:4011";
const BUS: &str = "127.0.0.1:4012";
const BLOB: &str = "127.0.0.1:4013";

/// Two images, the second built from the first.
const CATALOG: &str = r#"{"catalog":"contoso",
    "gallery":{"subscription":"4a6c1f0e-3b52-4d8e-9f61-7c0d2e5b8a94","resourceGroup":"images",
        "name":"contosoGallery","location":"westeurope"},
    "build":{"resourceGroup":"builds","identity":"/subscriptions/x"},
    "consumers":{"subscriptions":["4a6c1f0e-3b52-4d8e-9f61-7c0d2e5b8a94"]},
    "notify":{"webhook":true},
    "images":[
        {"name":"web","identifier":{"publisher":"c","offer":"u","sku":"web"},"os":"linux",
         "base":{"platform":{"publisher":"Canonical","offer":"jammy","sku":"gen2"}},
         "rings":[{"name":"all","regions":["westeurope"]}]},
        {"name":"shop","identifier":{"publisher":"c","offer":"u","sku":"shop"},"os":"linux",
         "base":{"image":"web"},"rings":[{"name":"all","regions":["westeurope"]}]}]}"#;

/// Requests to the handler, one after the other.
pub(crate) fn handler(bytes: &[u8]) {
    block_on(async {
        let app = app().await;
        for mut request in pieces(bytes).filter_map(request) {
            let headers = request.headers_mut();
            headers
                .entry("x-azure-functions-invocationid")
                .or_insert(HeaderValue::from_static("an-invocation"));
            headers
                .entry("x-goldsmith-now")
                .or_insert(HeaderValue::from_static("2026-09-08T06:00:00Z"));
            survives(&app, request).await;
        }
    });
}

/// The body of a message of the queue `ingress`: events of Azure, a pipeline's wish, a pointer.
pub(crate) fn event(bytes: &[u8]) {
    let message = STANDARD.encode(bytes);
    let text = "POST /receive_events\n\n{\"Data\":{\"message\":\"";
    handler(format!("{text}{message}\"}},\"Metadata\":{{}}}}").as_bytes());
}

/// The dispatcher catches a panic, so that one image's cannot stop another's: here it is a finding.
async fn survives(app: &Router, request: Request) {
    let (status, body) = ask(app, request).await;
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains("panicked"), "{status}: {text}");
    assert!(status != StatusCode::NO_CONTENT, "a host waits for ever");
}

/// A handler whose Azure is empty, and whose ledger holds one image that waits for its first run.
async fn app() -> Router {
    let blobs = Arc::new(sandbox::blob::Blobs::memory(format!("http://{BLOB}")));
    let nothing = r#"{"error":{"code":"ResourceNotFound","message":"it is not there"}}"#;
    let arm = Router::new().fallback(move || async move { (StatusCode::NOT_FOUND, nothing) });
    let bus = Router::new().fallback(|| async { StatusCode::CREATED });
    let services = [(ARM, arm), (BUS, bus), (BLOB, blobs.router())];
    let wire: Arc<dyn Wire> =
        Arc::new(Local::to(services.map(|(host, router)| (host.to_owned(), router))));
    let settings = Settings::from_env(|name| {
        let value = match name {
            "GOLDSMITH_CATALOG" => "contoso".to_owned(),
            "GOLDSMITH_ARM" => format!("http://{ARM}"),
            "GOLDSMITH_BUS" => format!("http://{BUS}"),
            "GOLDSMITH_STORE" => format!("http://{BLOB}/golden/goldsmith"),
            "GOLDSMITH_BLOBS" => format!("http://{BLOB}/{{account}}"),
            "GOLDSMITH_DESK_TIME" => "1".to_owned(),
            _ => return None,
        };
        Some(value)
    });
    let (clock, tokens) = (Arc::new(ToldClock(noon())), Arc::new(Tokens::fixed("a-token")));
    let outbound =
        Outbound::new(Arc::clone(&wire), clock.clone(), Arc::clone(&tokens), [BLOB.to_owned()]);
    put(&outbound).await;
    let app = App::new(settings.expect("they are complete"), wire, clock, tokens);
    Arc::new(app.expect("they can be used")).router()
}

async fn put(outbound: &Outbound) {
    let store = seam::store::open(&format!("http://{BLOB}/golden/goldsmith"), outbound);
    let ledger = Ledger::new(store.expect("an address"), "contoso".parse().expect("a name"));
    let catalog: Catalog = serde_json::from_str(CATALOG).expect("it is one");
    let bytes = Bytes::from(serde_json::to_vec(&catalog).expect("it has a JSON form"));
    let digest = ledger.put_blob(bytes).await.expect("the store is well");

    let published = Event::CatalogPublished { catalog: digest };
    let mut stream = ledger.read(&StreamName::Catalog).await.expect("it is empty");
    append(&ledger, &mut stream, vec![published]).await;
    let name = StreamName::Image("web".parse().expect("a name"));
    let mut stream = ledger.read(&name).await.expect("it is empty");
    let (by, why) = ("a person".to_owned(), "a reason".to_owned());
    let trigger = Trigger::Person { request: "first".to_owned(), by, why };
    let events = vec![Event::ImageAdopted {}, Event::TriggerAccepted { trigger }];
    append(&ledger, &mut stream, events).await;
}

async fn append(ledger: &Ledger, stream: &mut Stream, events: Vec<Event>) {
    let text = || "the target".to_owned();
    let draft = Draft { id: text(), cause: text(), by: text(), at: noon(), policy: text(), events };
    ledger.append(stream, draft).await.expect("the store is well");
}
