//! The binary that ships, `handler`, as the Functions host meets it: a process, its port, and bytes.
//!
//! It belongs to the package `functions`, whose binary is built without the rest of the workspace;
//! `GOLDSMITH_HANDLER` names another binary to be looked at, such as the one that was built for
//! shipping.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail, and may say so")]

mod desk;
mod client;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Answer, Request};
use desk::Desk;
use functions::invocation;
use serde_json::{Value, json};

/// A queue function, a timer and the one that a request wakes: as the vectors' functions are.
const QUEUE: &str = "start_build";
const TIMER: &str = "look_again";
const HTTP: &str = "api";

/// What may never happen to an answer: the host makes nothing of it, and waits until it kills us.
fn is_heard(answer: &Answer, what: &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(body.as_object().is_some_and(|it| !it.is_empty()), "{what}: {body}");
    if answer.status < 300 {
        assert!(body["Outputs"].is_object() && body["Logs"] == json!([]), "{what}: {body}");
    } else {
        assert!(body["error"].as_str().is_some_and(|it| !it.is_empty()), "{what}: {body}");
    }
}

/// An invocation of our own, for whoever has no reference.
fn message(body: &[u8]) -> Vec<u8> {
    json!({ "Data": { "message": STANDARD.encode(body) }, "Metadata": {} }).to_string().into()
}

/// The requests of the reference.
fn vectors() -> Vec<(String, Value)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/custom-handler-vectors");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the reference is not beside this repository");
        return Vec::new();
    };
    let mut vectors = Vec::new();
    for file in files.map(|it| it.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if let Some(name) = name.strip_prefix("req-") {
            let vector = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            vectors.push((name.to_owned(), vector));
        }
    }
    vectors.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(vectors.len(), 24);
    vectors
}

/// A vector as it is sent: its own headers, and its body in chunks.
fn sent(vector: &Value, path: &str, body: &str) -> Request {
    let mut request = Request::new(vector["request"]["method"].as_str().unwrap(), path);
    for header in vector["request"]["headers"].as_array().into_iter().flatten() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        let lower = name.to_ascii_lowercase();
        if !["host", "transfer-encoding", "content-length"].contains(&lower.as_str()) {
            request = request.header(name, value);
        }
    }
    if body.is_empty() { request } else { request.chunked(body.as_bytes(), 7) }
}

#[test]
fn every_request_of_the_reference_is_answered_and_ours_are_understood() {
    let desk = Desk::start();
    let own = desk
        .send(Request::new("POST", "/start_build").invocation("own").chunked(&message(b"x"), 5));
    assert_eq!(own.status, 200);
    is_heard(&own, "own");

    for (name, vector) in vectors() {
        let path = vector["request"]["path"].as_str().unwrap();
        let body = vector["request"]["body_raw"].as_str().unwrap_or_default();
        let as_ours = body.replacen("{\"Data\":{\"msg\":", "{\"Data\":{\"message\":", 1);
        let (path, body, expected) = match vector["function_json"]["bindings"][0]["type"].as_str() {
            None => ("/", String::new(), 200),
            Some("serviceBusTrigger") => (&*format!("/{QUEUE}"), as_ours, 200),
            Some("timerTrigger") => (&*format!("/{TIMER}"), body.to_owned(), 200),
            Some("httpTrigger") if name == "http-not-forwarded" => {
                (&*format!("/{HTTP}"), body.to_owned(), 200)
            }
            // Triggers that we have none of, and a request that is passed on as it came.
            Some(_) => (path, body.to_owned(), 404),
        };
        let answer = desk.send(sent(&vector, path, &body));
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
        if name != "ready-ping" {
            is_heard(&answer, &name);
        }
        if expected == 404 {
            // The same on a function that there is: still no panic, and still an answer.
            let answer = desk.send(sent(&vector, "/receive_events", &body));
            assert!([200, 405].contains(&answer.status), "{name}: {answer:?}");
            is_heard(&answer, &name);
        }
        understood(&name, &body);
    }
    desk.is_alive();
}

/// Features unify differently in a binary that is built alone: what it asks for crosses the layer
/// too, which holds it against Microsoft's documents when the desk is dropped.
#[test]
fn what_it_asks_azure_for_is_what_the_documents_declare() {
    let desk = Desk::with_an_image();
    let timer = json!({ "Data": { "timer": {} }, "Metadata": {} }).to_string();

    for function in ["watch_base_images", "find_expired_versions", "find_due_images"] {
        let request = Request::new("POST", &format!("/{function}")).invocation(function);
        let answer = desk.send(request.chunked(timer.as_bytes(), 100));
        assert_eq!(answer.status, 200, "{function}: {answer:?}");
        is_heard(&answer, function);
    }

    // What was read has become part of the ledger.
    assert!(desk.kept("ledger/").len() > 1, "nothing was written down");
}

/// What the product's own decoder makes of a vector.
fn understood(name: &str, body: &str) {
    let bytes = body.as_bytes();
    let text = |bytes: &[u8]| {
        let message = invocation::queue_message(bytes).unwrap();
        String::from_utf8(message.body.to_vec()).unwrap()
    };
    let job = r#"{"jobId":"job-000042","image":"ubuntu-22.04","count":2,"dryRun":false,"tags":["a","b"],"spec":{"size":"D4"}}"#;
    match name {
        "servicebus-binary" => assert_eq!(text(bytes), r#"{"jobId":"job-000042"}"#),
        "servicebus-nonjson" => assert_eq!(text(bytes), "hello \"wörld\""),
        "servicebus-json-string" | "servicebus-redelivery" | "servicebus-session" => {
            assert_eq!(text(bytes), job);
        }
        "servicebus-metadata-clobber" => {
            let message = invocation::queue_message(bytes).unwrap();
            assert_eq!(message.said_id.as_deref(), Some("EVIL"), "so it is never believed");
        }
        batch if batch.starts_with("servicebus-batch") => {
            let error = invocation::queue_message(bytes).unwrap_err().to_string();
            assert!(error.contains("cardinality one"), "{name}: {error}");
        }
        timer if timer.starts_with("timer-") => invocation::timer(bytes).unwrap(),
        "http-not-forwarded" => {
            let request = invocation::http_request(bytes).unwrap();
            assert_eq!(
                (request.method.as_str(), request.params["id"].as_str()),
                ("POST", "ubuntu")
            );
            assert_eq!(request.body.as_deref(), Some("{\"publish\":true}"));
        }
        _ => {}
    }
}

#[test]
fn no_abuse_stops_it_and_each_gets_an_answer() {
    let desk = Desk::start();
    let huge = "x".repeat(1 << 20);
    let post = |path: &str| Request::new("POST", path).invocation("abuse");
    let plain = |body: &[u8]| post("/start_build").chunked(body, 4096);
    let more_than_two_mb = message(&vec![b'x'; 5 << 19]);
    let clobbered = json!({
        "Data": { "message": STANDARD.encode(b"x") },
        "Metadata": { "MessageId": "\"../../ledger/x\"", "sys": 3, "big": huge, "ApplicationProperties": null },
    });
    let unknown = json!({ "Data": { "message": "eA==", "more": [1] }, "Metadata": {}, "New": {} });
    let cases: [(&str, Request, &[u16]); 20] = [
        ("more than 2 MB", plain(&more_than_two_mb), &[200]),
        ("more than 4 MB", plain(&vec![b' '; 5 << 20]), &[413]),
        ("a length and no chunks", post("/start_build").sized(&message(b"x")), &[200]),
        ("neither a length nor chunks", post("/start_build"), &[200]),
        ("unknown members", plain(unknown.to_string().as_bytes()), &[200]),
        ("huge and overwritten Metadata", plain(clobbered.to_string().as_bytes()), &[200]),
        ("null", plain(b"null"), &[200]),
        ("an array", plain(b"[]"), &[200]),
        ("Data of another kind", plain(b"{\"Data\":3}"), &[200]),
        ("cut short", plain(b"{\"Data\":{\"message\":"), &[200]),
        ("not UTF-8", plain(b"{\"Data\":{\"message\":\"\xff\xfe\"}}"), &[200]),
        ("a body that is not base64", plain(b"{\"Data\":{\"message\":\"***\"}}"), &[200]),
        ("deeply nested", plain("[".repeat(100_000).as_bytes()), &[200]),
        (
            "another content type",
            plain(&message(b"x")).header("Content-Type", "text/plain"),
            &[200],
        ),
        ("an unknown function", post("/NoSuch").chunked(b"{}", 9), &[404]),
        ("a function below a function", post("/start_build/x").chunked(b"{}", 9), &[404]),
        ("another method", Request::new("DELETE", "/start_build"), &[405]),
        ("no invocation id", Request::new("POST", "/start_build").chunked(b"{}", 9), &[400]),
        ("a timer of nothing", post("/look_again").chunked(b"not json", 9), &[400]),
        ("a request of nothing", post("/api").chunked(b"{\"Data\":{}}", 9), &[400]),
    ];
    for (what, request, expected) in cases {
        let answer = desk.send(request);
        assert!(expected.contains(&answer.status), "{what}: {answer:?}");
        is_heard(&answer, what);
    }

    assert_eq!(desk.send(Request::new("GET", "/")).status, 200);
    let head = desk.send(Request::new("HEAD", "/"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    let refused = desk.kept("refused/");
    assert!(refused.iter().all(|it| it.matches('/').count() == 1), "{refused:?}");
    assert!(desk.kept("ledger/").len() == 1, "somebody wrote to the ledger");
    desk.is_alive();
}

#[test]
fn a_flood_of_headers_is_turned_away_and_the_next_is_served() {
    let desk = Desk::start();
    let mut many = Request::new("POST", "/start_build").invocation("flood");
    for number in 0..500 {
        many = many.header(&format!("x-{number}"), "x");
    }
    let long = Request::new("POST", "/start_build").header("x-long", &"x".repeat(1 << 20));

    for flood in [many.sized(&message(b"x")), long.sized(b"{}")] {
        let answer = desk.try_send(flood);
        let status = answer.map_or(0, |it| it.status);
        assert!([0, 400, 431].contains(&status), "{status}");
    }

    assert_eq!(desk.send(Request::new("GET", "/")).status, 200);
    desk.is_alive();
}

#[test]
fn what_is_not_http_is_turned_away_and_the_next_is_served() {
    let desk = Desk::start();
    let post = "POST /start_build HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                X-Azure-Functions-InvocationId: a\r\n";
    let head = |lines: &str| format!("{post}{lines}\r\n").into_bytes();
    let target = |it: &str| {
        format!("GET {it} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("zeros", vec![0; 4096]),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a header without a colon", head("nonsense\r\n")),
        ("a zero in a header", head("X: a\0b\r\n")),
        ("a folded header", head("X: a\r\n b\r\n")),
        ("two lengths", head("Content-Length: 1\r\nContent-Length: 2\r\n")),
        ("a negative length", head("Content-Length: -1\r\n")),
        ("an unknown coding", head("Transfer-Encoding: gzip\r\n")),
        ("a chunk beyond all", {
            let mut chunk = head("Transfer-Encoding: chunked\r\n");
            chunk.extend(b"fffffffffffffffff\r\nx\r\n");
            chunk
        }),
        ("climbing", target("/../../etc/passwd")),
        ("climbing in disguise", target("/%2e%2e/%2e%2e/etc/passwd")),
        ("an escaped slash", target("/..%2f..%2fetc%2fpasswd")),
        ("a zero in a path", target("/start_build%00")),
        ("no UTF-8", target("/%ff%fe")),
        ("empty pieces", target("//start_build//")),
        ("a path of 60,000 characters", target(&format!("/{}", "x".repeat(60_000)))),
        ("another host", target("http://evil.example/start_build")),
        ("a name that is no name", head(&format!("{}: x\r\n", "x".repeat(200)))),
    ];
    for (what, bytes) in cases {
        let began = Instant::now();
        let status = desk.send_bytes(&bytes);
        assert!(matches!(status, 0 | 200 | 400..=499), "{what}: {status}");
        assert!(began.elapsed() < Duration::from_secs(20), "{what} keeps us waiting");
    }
    // A name of an invocation goes into entries and logs.
    let long = Request::new("POST", "/start_build").invocation(&"x".repeat(129));
    assert_eq!(desk.send(long.sized(&message(b"x"))).status, 400);

    assert_eq!(desk.send_bytes(b"GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(desk.send(Request::new("GET", "/")).status, 200);
    desk.is_alive();
}

#[test]
fn hundreds_who_say_nothing_keep_the_host_out_of_nothing() {
    let desk = Desk::start();
    let unfinished = Request::new("POST", "/start_build").invocation("slow").sized(&message(b"x"));
    let unfinished = unfinished.bytes();
    let silent = [
        desk.silent(100, b""),
        desk.silent(100, b"POST /start_build HTTP/1.1\r\nHost: "),
        desk.silent(100, &unfinished[..unfinished.len() - 1]),
    ];

    let began = Instant::now();
    let answer =
        desk.send(Request::new("POST", "/start_build").invocation("a").sized(&message(b"y")));

    assert_eq!(answer.status, 200);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for those who are silent");
    drop(silent);
    desk.is_alive();
}

#[test]
fn a_connection_that_breaks_off_and_a_body_that_drips_stop_nobody_else() {
    let desk = Desk::start();
    let whole = Request::new("POST", "/start_build").invocation("cut").chunked(&message(b"x"), 16);
    for keep in [10, 60, 150] {
        desk.send_part_of(&whole, keep);
    }
    let dripping = desk.begin(&whole);

    let began = Instant::now();
    let answer =
        desk.send(Request::new("POST", "/start_build").invocation("a").sized(&message(b"y")));
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for the one that drips");

    assert_eq!(dripping.finish(), 200, "slow is not wrong");
    desk.is_alive();
}

#[test]
fn a_hundred_at_once_are_all_answered() {
    let desk = Desk::start();

    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let request = Request::new("POST", "/start_build")
                    .invocation(&format!("many-{number}"))
                    .chunked(&message(number.to_string().as_bytes()), 11);
                scope.spawn(|| desk.send(request).status)
            })
            .collect();
        calls.into_iter().map(|it| it.join().unwrap()).collect()
    });

    assert_eq!(statuses, [200; 100]);
    assert_eq!(desk.kept("refused/").len(), 100, "none was lost, none was kept twice");
    desk.is_alive();
}

/// A host never starts a handler again that left with 0.
#[test]
fn it_never_leaves_with_0() {
    let desk = Desk::start();
    let taken = desk.port().to_string();
    let without_settings = Command::new(desk::handler()).env_clear().output().unwrap();
    let port_taken = desk.command().env("FUNCTIONS_CUSTOMHANDLER_PORT", taken).output().unwrap();
    let no_port = desk.command().env("FUNCTIONS_CUSTOMHANDLER_PORT", "x").output().unwrap();

    for (what, output) in
        [("settings", without_settings), ("a port", port_taken), ("a number", no_port)]
    {
        assert_eq!(output.status.code(), Some(1), "{what}");
        let said = String::from_utf8_lossy(&output.stdout);
        let line: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(line["level"], "ERROR", "{what}: {said}");
        assert!(output.stderr.is_empty(), "{what}: a host takes stderr for errors of its own");
    }
    desk.is_alive();
}
