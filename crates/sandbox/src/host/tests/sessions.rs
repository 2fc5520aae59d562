//! Sessions, batches and retries.

use super::*;

fn many(name: &str, queue: &str, sessions: bool) -> (String, String) {
    let json = json!({"bindings": [{"type": "serviceBusTrigger", "name": "messages",
        "direction": "in", "queueName": queue, "connection": "ServiceBus", "dataType": "string",
        "cardinality": "many", "isSessionsEnabled": sessions}]});
    (name.to_owned(), json.to_string())
}

fn in_sessions(name: &str, queue: &str) -> (String, String) {
    let json = json!({"bindings": [{"type": "serviceBusTrigger", "name": "message",
        "direction": "in", "queueName": queue, "connection": "ServiceBus", "dataType": "binary",
        "isSessionsEnabled": true}]});
    (name.to_owned(), json.to_string())
}

fn retried(mut function: (String, String)) -> (String, String) {
    let mut json: Value = serde_json::from_str(&function.1).unwrap();
    json["retry"] =
        json!({"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:10"});
    function.1 = json.to_string();
    function
}

fn send(desk: &Desk, session: &str, id: &str) {
    let message = Message {
        message_id: id.to_owned(),
        body: id.as_bytes().to_vec(),
        session_id: Some(session.to_owned()),
        ..Message::default()
    };
    desk.bus.send("s", message).unwrap();
}

async fn ten_seconds(call: Call) -> Response {
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(10)).await;
    good(call).await
}

#[tokio::test(start_paused = true)]
async fn of_each_session_one_message_at_a_time_and_in_order() {
    let desk = Desk::paused();
    let host = desk.host(&[in_sessions("f", "s")], ten_seconds);
    for (session, id) in [("x", "x1"), ("x", "x2"), ("y", "y1"), ("z", "z1"), ("x", "x3")] {
        send(&desk, session, id);
    }

    run(&host, after(5)).await;

    let calls: Vec<(String, i64)> =
        desk.calls().iter().map(|it| (it.text(), it.seconds())).collect();
    let call = |id: &str, at| (id.to_owned(), at);
    // Two sessions at once, which is what this host allows.
    assert_eq!(calls[..2], [call("x1", 0), call("y1", 0)]);
    let of_x: Vec<_> = calls.iter().filter(|it| it.0.starts_with('x')).cloned().collect();
    assert_eq!(of_x, [call("x1", 0), call("x2", 10), call("x3", 20)]);
    let first = &desk.calls()[0].body["Metadata"];
    assert_eq!(first["SessionId"], "\"x\"");
    assert_eq!(first["MessageSession"]["SessionLockedUntil"], "2026-09-07T06:01:00+00:00");
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_with_its_first_message_when_that_failed() {
    let desk = Desk::paused();
    let host = desk.host(&[in_sessions("f", "s")], |call: Call| async move {
        let again = call.body["Metadata"]["DeliveryCount"] == "2";
        if call.text() == "x1" && !again { bad(call).await } else { good(call).await }
    });
    send(&desk, "x", "x1");
    send(&desk, "x", "x2");

    run(&host, after(3)).await;

    let calls: Vec<String> = desk.calls().iter().map(Call::text).collect();
    assert_eq!(calls, ["x1", "x1", "x2"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_many_gets_all_that_is_there_and_one_call_at_a_time() {
    let desk = Desk::paused();
    let host = desk.host(&[many("f", "a", false)], ten_seconds);
    for id in ["1", "2", "3", "4"] {
        desk.send("a", id, 0);
    }

    run(&host, after(2)).await;

    let calls: Vec<(String, i64)> = desk
        .calls()
        .iter()
        .map(|it| (it.body["Data"]["messages"].as_str().unwrap().to_owned(), it.seconds()))
        .collect();
    let three = r#"["1","2","3"]"#.to_owned();
    assert_eq!(calls, [(three, 0), (r#"["4"]"#.to_owned(), 10)]);
    assert_eq!(desk.calls()[0].body["Metadata"]["MessageIdArray"], r#"["1","2","3"]"#);
    assert_eq!(desk.bus.counts().unwrap()["a"], crate::bus::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_back_as_a_whole() {
    let desk = Desk::paused();
    let host = desk.host(&[many("f", "a", false)], |call: Call| async move {
        let again = call.body["Metadata"]["DeliveryCountArray"] == "[2,2]";
        if again { good(call).await } else { bad(call).await }
    });
    desk.send("a", "1", 0);
    desk.send("a", "2", 0);

    run(&host, after(2)).await;

    assert_eq!(desk.calls().len(), 2);
    assert_eq!(desk.bus.counts().unwrap()["a"], crate::bus::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_session_holds_no_other_session() {
    let desk = Desk::paused();
    let host = desk.host(&[many("f", "s", true)], good);
    for (session, id) in [("x", "x1"), ("y", "y1"), ("x", "x2")] {
        send(&desk, session, id);
    }

    run(&host, after(2)).await;

    let batches: Vec<Value> =
        desk.calls().iter().map(|it| it.body["Data"]["messages"].clone()).collect();
    assert_eq!(batches, [r#"["x1","x2"]"#, r#"["y1"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_the_same_invocation_and_says_which_attempt_it_is() {
    let desk = Desk::paused();
    let host = desk.host(&[retried(timer("t", "0 */10 * * * *"))], bad);

    run(&host, after(1)).await;

    let calls = desk.calls();
    let context = |it: &Call| it.body["Metadata"]["RetryContext"].clone();
    assert_eq!(calls.iter().map(Call::seconds).collect::<Vec<_>>(), [600, 610, 620]);
    assert!(calls.iter().all(|it| it.invocation == calls[0].invocation));
    assert_eq!(context(&calls[0])["RetryCount"], 0);
    assert_eq!(context(&calls[2])["RetryCount"], 2);
    assert_eq!(context(&calls[2])["MaxRetryCount"], 2);
    let why = &context(&calls[1])["Exception"]["InnerException"]["Message"];
    assert_eq!(why, "Response status code does not indicate success: 500 (Internal Server Error).");
}

#[tokio::test(start_paused = true)]
async fn a_message_keeps_its_lock_between_attempts_and_is_given_back_after_the_last() {
    let desk = Desk::paused();
    let host = desk.host(&[retried(queue("a"))], |call: Call| async move {
        if call.seconds() < 25 { bad(call).await } else { good(call).await }
    });
    desk.send("a", "x", 0);

    run(&host, after(2)).await;

    let calls = desk.calls();
    let told: Vec<(i64, Value)> = calls
        .iter()
        .map(|it| (it.seconds(), it.body["Metadata"]["DeliveryCount"].clone()))
        .collect();
    let one = |at| (at, json!("1"));
    let two = |at| (at, json!("2"));
    assert_eq!(told, [one(0), one(10), one(20), two(20), two(30)]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_message_keeps_its_lock_until_the_function_ends() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a")], |call: Call| async move {
        if call.seconds() == 0 { StatusCode::NO_CONTENT.into_response() } else { good(call).await }
    });
    desk.send("a", "x", 0);

    run(&host, after(2)).await;

    assert_eq!(desk.calls().iter().map(Call::seconds).collect::<Vec<_>>(), [0, 300]);
}
