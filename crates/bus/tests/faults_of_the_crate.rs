//! The faults of `azure_messaging_servicebus` 0.21, each driven through the crate itself over the
//! seam that cures it.
//!
//! | # | fault | here |
//! |---|---|---|
//! | 1 | one cloud, one host name | `a_message_goes_to_the_configured_namespace_in_any_cloud` |
//! | 2 | a shared access signature only | `no_signature_leaves_and_a_bearer_token_does` |
//! | 3 | `peek_lock_message2` takes a refusal for a message | `nothing_is_received_through_the_crate` |
//! | 4 | an empty queue looks like an empty message | the same |
//! | 5 | `peek_lock_message` locks and forgets the lock | the same |
//! | 6 | properties it cannot read burn a delivery | the same |
//! | 7 | (no fault: what it reads well) | the same |
//! | 8 | it drops most of what a message says | the same |
//! | 9 | raw text outside ASCII in a header | `text_outside_ascii_is_escaped` |
//! | 10 | a zone that is not documented | `a_scheduled_time_is_in_gmt_whatever_zone_it_had` |
//! | 10 | whole seconds, cut | `a_message_is_never_early_and_a_past_due_is_none` in `src/sender.rs` |
//! | 11 | custom properties become headers as they are | `a_custom_property_is_refused_before_it_is_sent` |
//! | 12 | what the service said is lost | `what_the_service_said_is_kept` |
//! | 13 | a connection for each call | `messages_share_a_connection` |
//! | 13 | no time-out | `a_wire_waits_as_long_as_it_was_told_and_then_the_request_is_perhaps_done` in the seam |
//! | 13 | no retry | none here either: whoever wanted it sends again, under the same id, as `a_refusal_says_whether_to_try_again_and_what_to_do` in `src/sender.rs` tells it |
//! | 14 | a body that is not UTF-8 fails after the lock | `nothing_is_received_through_the_crate` |
//! | 15 | a lock's address is followed anywhere, with credentials | the same, and `a_redirect_is_not_followed` |
//! | 16 | a queue's name is pasted into the address | `a_name_that_changes_the_address_is_refused_before_it_is_sent` |
//! | 17 | no batches, sessions, dead letters, management | nothing of it is needed to send pointers |
//! | 18 | it is not maintained | its one caller is `src/sender.rs`, which `tests/it/layout.rs` watches |
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::serve::ListenerExt;
use azure_core_legacy::Error;
use azure_core_legacy::date::parse_rfc3339;
use azure_messaging_servicebus::service_bus::{
    QueueClient, SendMessageOptions, SettableBrokerProperties,
};
use chrono::{DateTime, Utc};
use seam::legacy::{LegacyClient, NotAccepted};
use seam::{Endpoint, Fault, Internet, Local, Outbound, Tokens, ToldClock, Wire};
use tokio::net::TcpListener;

/// A request, as the namespace saw it.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: String,
}

type Memory = Arc<Mutex<Vec<Seen>>>;

/// A namespace that remembers what it is sent and answers `answer`.
fn namespace<A: IntoResponse + Clone + Send + Sync + 'static>(answer: A) -> (Router, Memory) {
    let memory = Memory::default();
    let seen = Arc::clone(&memory);
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: String| async move {
        let line = format!("{method} {uri}");
        seen.lock().unwrap().push(Seen { line, headers, body });
        answer
    };
    (Router::new().fallback(handler), memory)
}

/// The crate's own client for `queue`, over the seam and this wire.
fn client(wire: Arc<dyn Wire>, endpoint: &str, queue: &str) -> QueueClient {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let clock = Arc::new(ToldClock(DateTime::<Utc>::UNIX_EPOCH));
    let trusted = [endpoint.authority().to_owned()];
    let outbound = Outbound::new(wire, clock, Arc::new(Tokens::fixed("hush")), trusted);
    let transport = Arc::new(LegacyClient::new(outbound, endpoint));
    QueueClient::new(transport, "any", queue, "any", "any".to_owned()).unwrap()
}

/// The same, over a namespace in this process, which answers 201.
fn local(queue: &str) -> (QueueClient, Memory) {
    let (router, memory) = namespace(StatusCode::CREATED);
    let wire = Local::to([("golden.servicebus.chinacloudapi.cn".to_owned(), router)]);
    (client(Arc::new(wire), "https://golden.servicebus.chinacloudapi.cn", queue), memory)
}

fn saying(properties: SettableBrokerProperties) -> Option<SendMessageOptions> {
    Some(SendMessageOptions {
        content_type: Some("application/json".to_owned()),
        broker_properties: Some(properties),
        custom_properties: None,
    })
}

fn not_sent(error: &Error) -> &str {
    match error.downcast_ref() {
        Some(NotAccepted::Fault(Fault::NotSent(reason))) => reason,
        other => panic!("{other:?} of {error:?}"),
    }
}

#[tokio::test]
async fn a_message_goes_to_the_configured_namespace_in_any_cloud() {
    let (client, seen) = local("judge_image");

    client.send_message("{}", saying(SettableBrokerProperties::default())).await.unwrap();

    let seen = seen.lock().unwrap();
    let expected = "POST https://golden.servicebus.chinacloudapi.cn/judge_image/messages";
    assert_eq!((seen.len(), seen[0].line.as_str(), seen[0].body.as_str()), (1, expected, "{}"));
}

#[tokio::test]
async fn no_signature_leaves_and_a_bearer_token_does() {
    let (client, seen) = local("judge_image");

    client.send_message("{}", None).await.unwrap();

    let headers = &seen.lock().unwrap()[0].headers;
    let authorizations: Vec<_> = headers.get_all("authorization").iter().collect();
    assert_eq!(authorizations, ["Bearer hush"]);
    assert!(!format!("{headers:?}").contains("SharedAccessSignature"), "{headers:?}");
}

#[tokio::test]
async fn nothing_is_received_through_the_crate() {
    let (client, seen) = local("judge_image");

    let errors = [
        client.receive_and_delete_message().await.unwrap_err(),
        client.peek_lock_message(None).await.unwrap_err(),
        client.peek_lock_message2(None).await.map(|_| ()).unwrap_err(),
    ];

    for error in errors {
        assert!(not_sent(&error).contains("does not send a message"), "{error:?}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn text_outside_ascii_is_escaped() {
    let (client, seen) = local("judge_image");
    let label = Some("Müll \u{1f600}".to_owned());
    let properties = SettableBrokerProperties { label, ..SettableBrokerProperties::default() };

    client.send_message("{}", saying(properties)).await.unwrap();

    let headers = &seen.lock().unwrap()[0].headers;
    let expected = r#"{"Label":"M\u00fcll \ud83d\ude00"}"#;
    assert_eq!(headers["brokerproperties"].as_bytes(), expected.as_bytes());
}

#[tokio::test]
async fn a_scheduled_time_is_in_gmt_whatever_zone_it_had() {
    let (client, seen) = local("judge_image");

    for zone in ["2026-09-08T12:00:02Z", "2026-09-08T14:00:02+02:00", "2026-09-07T23:00:02-13:00"] {
        let properties = SettableBrokerProperties {
            scheduled_enqueue_time_utc: Some(parse_rfc3339(zone).unwrap()),
            ..SettableBrokerProperties::default()
        };
        client.send_message("{}", saying(properties)).await.unwrap();

        let headers = seen.lock().unwrap().pop().unwrap().headers;
        let expected = r#"{"ScheduledEnqueueTimeUtc":"Tue, 08 Sep 2026 12:00:02 GMT"}"#;
        assert_eq!(headers["brokerproperties"], expected, "{zone}");
    }
}

#[tokio::test]
async fn a_custom_property_is_refused_before_it_is_sent() {
    let (client, seen) = local("judge_image");

    for name in ["attempt", "transfer-encoding", "x-ms-retrypolicy"] {
        let properties = HashMap::from([(name.to_owned(), "chunked".to_owned())]);
        let options = SendMessageOptions {
            custom_properties: Some(properties),
            ..SendMessageOptions::default()
        };
        let error = client.send_message("{}", Some(options)).await.unwrap_err();
        assert!(not_sent(&error).contains(&format!("`{name}`")), "{error:?}");
    }

    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_service_said_is_kept() {
    let said = "<Error><Code>410</Code><Detail>no such entity. TrackingId:7a</Detail></Error>";
    let (router, _) = namespace((StatusCode::GONE, said));
    let wire = Local::to([("golden.test".to_owned(), router)]);
    let client = client(Arc::new(wire), "https://golden.test", "judge_image");

    let error = client.send_message("{}", None).await.unwrap_err();

    let expected = NotAccepted::Refused { status: 410, detail: said.to_owned() };
    assert_eq!(error.downcast_ref(), Some(&expected));
}

/// Serves `router` on a port of this machine; counts the connections it takes.
#[expect(clippy::disallowed_methods, reason = "a server is a task of its own")]
async fn serve(router: Router) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&connections);
    let listener = listener.tap_io(move |_| {
        taken.fetch_add(1, Ordering::SeqCst);
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, connections)
}

#[tokio::test]
async fn messages_share_a_connection() {
    let (router, seen) = namespace(StatusCode::CREATED);
    let (address, connections) = serve(router).await;
    let client = client(Arc::new(Internet::default()), &address, "judge_image");

    for _ in 0..5 {
        client.send_message("{}", None).await.unwrap();
    }

    assert_eq!((seen.lock().unwrap().len(), connections.load(Ordering::SeqCst)), (5, 1));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, stolen) = namespace(StatusCode::CREATED);
    let (elsewhere, _) = serve(elsewhere).await;
    let location = [("location", format!("{elsewhere}/judge_image/messages"))];
    let (router, seen) = namespace((StatusCode::TEMPORARY_REDIRECT, location));
    let (address, _) = serve(router).await;
    let client = client(Arc::new(Internet::default()), &address, "judge_image");

    let error = client.send_message("{}", None).await.unwrap_err();

    let refused = error.downcast_ref::<NotAccepted>();
    assert!(matches!(refused, Some(NotAccepted::Refused { status: 307, .. })), "{error:?}");
    assert_eq!((seen.lock().unwrap().len(), stolen.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_name_that_changes_the_address_is_refused_before_it_is_sent() {
    for name in ["builds?x=1#f", "builds#f", "builds?"] {
        let (client, seen) = local(name);

        let error = client.send_message("{}", None).await.unwrap_err();

        assert!(not_sent(&error).contains("does not send a message"), "{name}: {error:?}");
        assert!(seen.lock().unwrap().is_empty());
    }
}
