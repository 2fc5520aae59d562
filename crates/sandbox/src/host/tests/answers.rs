//! What the host makes of answers: every reply of the reference, redirects, what is forwarded, and
//! a handler that is not there.

use std::io::{Read, Write};
use std::net::TcpListener;

use axum::http::HeaderValue;
use seam::Internet;

use super::*;
use crate::host::process::{Process, ProcessOptions};

/// A reply of the reference: its name, the status, the type, the body and what becomes of it.
type Reply = (String, u16, Option<String>, String, String);

/// Small ones of our own, for whoever has no reference.
fn own() -> Vec<Reply> {
    let json = Some("application/json");
    [
        ("ok", 200, json, r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#, "success"),
        ("unknown", 202, json, r#"{"status":"accepted"}"#, "success"),
        ("bad request", 400, json, "{}", "failure"),
        ("logs lost", 500, json, r#"{"Logs":["why"]}"#, "failure"),
        ("array", 200, json, "[]", "failure"),
        ("cut", 200, json, r#"{"Outputs":"#, "failure"),
        ("untyped", 200, None, "{}", "failure"),
        ("problem", 200, Some("application/problem+json"), "{}", "failure"),
        ("no content", 204, None, "", "hang"),
        ("null", 200, json, "null", "hang"),
    ]
    .map(|(name, status, kind, body, result)| {
        (name.to_owned(), status, kind.map(str::to_owned), body.to_owned(), result.to_owned())
    })
    .to_vec()
}

/// Those of the reference that a router can give.
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn of_the_reference() -> Vec<Reply> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/custom-handler-vectors");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the reference is not beside this repository");
        return Vec::new();
    };
    let mut replies = Vec::new();
    for file in files {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let vector: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        if !name.starts_with("resp-") {
            continue;
        }
        let response = &vector["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let kind =
            response["headers"].as_array().unwrap().iter().find_map(|it| {
                (it[0] == "Content-Type").then(|| it[1].as_str().unwrap().to_owned())
            });
        let body = response["body_raw"].as_str().unwrap().to_owned();
        replies.push((name, status, kind, body, vector["host"]["result"].as_str().unwrap().into()));
    }
    assert_eq!(replies.len(), 24);
    // These two have tests of their own: there is no answer at all, and no place to follow to.
    replies.retain(|it| !["resp-fail-connection-reset", "resp-redirect-307"].contains(&&*it.0));
    replies
}

fn respond(reply: &Reply) -> Response {
    let mut response = Response::new(Body::from(reply.3.clone()));
    *response.status_mut() = StatusCode::from_u16(reply.1).unwrap();
    if let Some(kind) = &reply.2 {
        response.headers_mut().insert("content-type", HeaderValue::try_from(kind).unwrap());
    }
    response
}

fn event_grid(name: &str) -> (String, String) {
    let json = json!({"bindings": [{"type": "eventGridTrigger", "name": "e", "direction": "in"}]});
    (name.to_owned(), json.to_string())
}

#[tokio::test(start_paused = true)]
async fn every_reply_of_the_reference_has_its_effect_on_every_trigger() {
    for reply in own().into_iter().chain(of_the_reference()) {
        let (name, result) = (reply.0.clone(), reply.4.clone());
        let desk = Desk::paused();
        let functions = [queue("a"), event_grid("e"), route("h", "h", "anonymous")];
        let given = reply.clone();
        let host = desk.host(&functions, move |call: Call| {
            let given = given.clone();
            // A message that came back is completed, so that the story ends.
            let again = call.body["Metadata"]["DeliveryCount"] == "2";
            async move { if again { good(call).await } else { respond(&given) } }
        });
        desk.send("a", "x", 0);
        let mut outcomes = Vec::new();
        let wanted = if result == "success" { 1 } else { 2 };
        run(&host, |activity| {
            outcomes.extend(ended(activity).map(|(_, it)| it.clone()));
            outcomes.len() == wanted
        })
        .await;
        let first = match &outcomes[0] {
            Outcome::Succeeded => "success",
            Outcome::Failed(_) => "failure",
            Outcome::TimedOut => "hang",
        };
        assert_eq!(first, result, "{name}");
        assert_eq!(desk.bus.counts().unwrap()["a"], crate::bus::Counts::default(), "{name}");

        let event = Request::post("/runtime/webhooks/eventgrid?functionName=e")
            .header("aeg-event-type", "Notification")
            .body(Body::from(r#"{"id":"1"}"#))
            .unwrap();
        let event_grid = host.router().oneshot(event).await.unwrap().status().as_u16();
        let expected = if result == "success" { 202 } else { 500 };
        assert_eq!(event_grid, expected, "{name}");

        let (status, body) = post(&host, "/api/h", None).await;
        match (result.as_str(), name.as_str()) {
            ("success", "resp-http-output") => assert_eq!((status, &*body), (201, "{\"id\":1}")),
            ("success", _) => assert!(status < 300, "{name}: {status}"),
            _ => assert_eq!((status, &*body), (500, ""), "{name}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_and_repeats_the_call_only_where_it_says_so() {
    for (status, arrives) in [(307, true), (308, true), (302, false), (303, false)] {
        let desk = Desk::paused();
        let host = desk.host(&[queue("a")], move |call: Call| async move {
            if call.function == "a" {
                let mut response = StatusCode::from_u16(status).unwrap().into_response();
                response.headers_mut().insert("location", "/there".parse().unwrap());
                return response;
            }
            good(call).await
        });
        desk.send("a", "x", 0);

        run(&host, after(1)).await;

        let calls = desk.calls();
        let functions: Vec<&str> = calls.iter().map(|it| it.function.as_str()).collect();
        assert_eq!(functions, ["a", "there"], "{status}");
        assert_eq!(calls[1].body.is_object(), arrives, "{status}");
        assert_eq!(calls[1].invocation, calls[0].invocation);
        assert_eq!(desk.bus.counts().unwrap()["a"], crate::bus::Counts::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_that_leads_nowhere_or_in_circles_is_a_failure() {
    for location in [None, Some("/a")] {
        let desk = Desk::paused();
        let host = desk.host(&[queue("a")], move |_| async move {
            let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
            if let Some(location) = location {
                response.headers_mut().insert("location", location.parse().unwrap());
            }
            response
        });
        desk.send("a", "x", 0);
        let mut why = None;

        run(&host, |activity| {
            if let Some((_, Outcome::Failed(reason))) = ended(activity) {
                why.get_or_insert(reason.clone());
            }
            why.is_some()
        })
        .await;

        assert!(why.unwrap().contains("307"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_forwarded_arrives_as_it_was_and_so_does_its_answer() {
    let desk = Desk::paused();
    let host_json = json!({"version": "2.0", "customHandler": {
        "enableForwardingHttpRequest": true, "description": {"defaultExecutablePath": "handler"}}});
    let host = desk.host_of(
        &host_json,
        None,
        &[route("h", "x/{id}", "anonymous")],
        |call: Call| async move {
            // Not a success, and not a failure of the invocation either.
            (StatusCode::IM_A_TEAPOT, [("x-mine", "1")], call.body.to_string()).into_response()
        },
    );
    let request = |length: bool| {
        let mut request = Request::post("/api/x/7?force=true&who=a%20b").header("user-agent", "me");
        if length {
            request = request.header("content-length", 9);
        }
        request.body(Body::from(r#"{"a":"b"}"#)).unwrap()
    };

    let answer = host.router().oneshot(request(true)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-mine"]),
        (418, &"1".parse().unwrap())
    );
    let chunked = host.router().oneshot(request(false)).await.unwrap();
    assert_eq!(chunked.status(), 418);

    let calls = desk.calls();
    assert_eq!(calls[0].function, "api/x/7");
    assert_eq!(calls[0].body, json!({ "a": "b" }));
    assert!(!calls[0].chunked, "what has a length keeps it");
    assert_eq!(calls[1].body, Value::Null, "a body without a length is dropped");
}

/// Reads one request from a socket, as bytes, and answers it with `answer`.
fn one_request(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        while !seen.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&chunk[..read]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, server)
}

async fn first_outcome(handler: String) -> Outcome {
    let desk = Desk::jumping();
    let host_json = json!({"version": "2.0",
        "customHandler": {"description": {"defaultExecutablePath": "handler"}}});
    let options = HostOptions { handler, ..HostOptions::default() };
    let host = desk.host_on(Arc::new(Internet::default()), options, &host_json, &[queue("a")]);
    desk.send("a", "x", 0);
    let mut outcome = None;
    run(&host, |activity| {
        if let Some((_, it)) = ended(activity) {
            outcome.get_or_insert(it.clone());
        }
        outcome.is_some()
    })
    .await;
    outcome.unwrap()
}

#[tokio::test]
async fn a_call_comes_in_chunks_and_without_a_length() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\n{}";
    let (handler, server) = one_request(answer);

    assert_eq!(first_outcome(handler).await, Outcome::Succeeded);

    let seen = server.join().unwrap().to_ascii_lowercase();
    let (head, _) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("post /a http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure() {
    let (handler, server) = one_request(b"");

    let outcome = first_outcome(handler).await;

    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    server.join().unwrap();
}

#[tokio::test]
async fn a_handler_that_never_becomes_ready_ends_the_host() {
    let desk = Desk::jumping();
    let host_json = json!({"version": "2.0", "customHandler": {
        "initializationTimeout": "00:00:00.05",
        "description": {"defaultExecutablePath": "handler"}}});
    let process = Process::start(
        ProcessOptions {
            executable: "/nowhere/handler".into(),
            arguments: Vec::new(),
            app_root: std::env::temp_dir(),
            working_folder: None,
            environment: BTreeMap::new(),
            port: 1,
            initialization_timeout: TimeDelta::milliseconds(50),
            stderr_is_errors: true,
        },
        Arc::clone(&desk.clock),
        Arc::new(Internet::default()),
        Arc::new(|_| {}),
    );
    let options =
        HostOptions { handler: process.url(), process: Some(process), ..HostOptions::default() };
    let host = desk.host_on(Arc::new(Internet::default()), options, &host_json, &[queue("a")]);
    desk.send("a", "x", 0);

    let waited = tokio::time::timeout(Duration::from_secs(30), host.run()).await;
    let error = waited.expect("the host never gives up").unwrap_err();

    assert!(matches!(error, HostError::NeverReady(_)), "{error}");
    assert!(error.to_string().contains("shutting down"), "{error}");
}
