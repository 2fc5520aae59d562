//! The webhook of Event Grid.

use super::*;

const EVENTS: &str = r#"[{"id":"1","eventType":"A","data":{"n":1}},
    {"id":"2","eventType":"A","data":{"n":2}}]"#;

fn events(name: &str, cardinality: &str) -> (String, String) {
    let json = json!({"bindings": [{"type": "eventGridTrigger", "name": "event",
        "direction": "in", "cardinality": cardinality}]});
    (name.to_owned(), json.to_string())
}

async fn deliver(host: &Arc<Host>, query: &str, kind: &str, body: &str) -> (u16, String) {
    let request = Request::post(format!("/runtime/webhooks/eventgrid?{query}"))
        .header("aeg-event-type", kind)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = host.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_event_of_a_delivery_is_a_call_and_they_run_at_the_same_time() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "one")], |call: Call| async move {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(10)).await;
        good(call).await
    });

    let answer = deliver(&host, "functionName=e", "Notification", EVENTS).await;

    assert_eq!(answer.0, 202);
    let calls = desk.calls();
    assert_eq!(calls.iter().map(Call::seconds).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(calls[1].body["Data"]["event"]["id"], "2");
    assert_eq!(calls[1].body["Metadata"]["data"], json!({ "n": 2 }));
}

#[tokio::test(start_paused = true)]
async fn one_failure_fails_the_delivery_and_says_why() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "one")], |call: Call| async move {
        let first = call.body["Data"]["event"]["id"] == "1";
        if first { good(call).await } else { bad(call).await }
    });

    let (status, why) = deliver(&host, "functionName=e", "Notification", EVENTS).await;

    assert_eq!((status, desk.calls().len()), (500, 2));
    assert!(why.contains("500 (Internal Server Error)"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_single_event_of_the_other_schema_is_a_call_too() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "one")], good);
    let event = r#"{"specversion":"1.0","id":"3","type":"A","data":"plain"}"#;

    let answer = deliver(&host, "FunctionName=E", "notification", event).await;

    assert_eq!(answer.0, 202);
    assert_eq!(desk.calls()[0].body["Data"]["event"]["specversion"], "1.0");
    assert_eq!(desk.calls()[0].body["Metadata"]["data"], "\"plain\"");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_many_gets_them_in_one_call() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "many")], good);

    let answer = deliver(&host, "functionName=e", "Notification", EVENTS).await;

    assert_eq!((answer.0, desk.calls().len()), (202, 1));
    let data = desk.calls()[0].body["Data"]["event"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap().as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_handshakes_end_at_the_host() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "one")], bad);
    let ask = r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
        "data":{"validationCode":"512d38b6","validationUrl":"https://x"}}]"#;

    let (status, body) = deliver(&host, "functionName=e", "SubscriptionValidation", ask).await;
    assert_eq!((status, body.as_str()), (200, r#"{"validationResponse":"512d38b6"}"#));

    let request = Request::options("/runtime/webhooks/eventgrid?functionName=e")
        .header("webhook-request-origin", "eventgrid.azure.net")
        .body(Body::empty())
        .unwrap();
    let answer = host.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["webhook-allowed-origin"], "eventgrid.azure.net");
    assert_eq!(desk.calls().len(), 0, "the handler never sees them");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_notification_is_answered_without_the_handler() {
    let desk = Desk::paused();
    let host = desk.host(&[events("e", "one"), queue("a")], good);
    let cases = [
        ("functionName=e", "Unsubscribe", 202),
        ("functionName=e", "", 400),
        ("functionName=e", "Other", 400),
        ("functionName=none", "Notification", 404),
        ("functionName=a", "Notification", 404),
        ("", "Notification", 404),
    ];

    for (query, kind, expected) in cases {
        let status = deliver(&host, query, kind, EVENTS).await.0;
        assert_eq!(status, expected, "{query} {kind}");
    }
    assert_eq!(deliver(&host, "functionName=e", "Notification", "3").await.0, 500);
    assert_eq!(desk.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_needs_the_key() {
    let desk = Desk::paused();
    let functions = [events("e", "one")];
    let host = desk.host_with("00:05:00", "00:05:00", Some("key"), &functions, good);

    let without = deliver(&host, "functionName=e", "Notification", EVENTS).await.0;
    let with = deliver(&host, "functionName=e&code=key", "Notification", EVENTS).await.0;

    assert_eq!((without, with, desk.calls().len()), (401, 202, 2));
}
