//! The desk's doors, to the byte: what no client of a library would send gets an answer or is hung
//! up on, and the next one is served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use sandbox::bus::SharedKey;
use sandbox::desk::Holds;
use sandbox::estate::Estate;
use sandbox::host::{Host, HostOptions, Package};
use sandbox::serve::{Door, Server};
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Local, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ESTATE: &str = include_str!("../it/northwind/estate.yaml");

/// Nobody waits longer for any of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The doors of a desk, each with a request that it answers.
struct Doors {
    all: Vec<(&'static str, SocketAddr, String)>,
    _servers: Vec<Server>,
}

impl Doors {
    async fn open() -> Doors {
        let options = SandboxOptions {
            blob_url: "http://127.0.0.1:1".to_owned(),
            queues: vec!["notify".parse().unwrap()],
            bus_key: SharedKey::default(),
            identity_secret: "secret".to_owned(),
            retry_after_always: false,
        };
        let estate = Estate::parse(ESTATE).unwrap();
        let time = Time::Told(Arc::new(SystemClock));
        let sandbox = Sandbox::open(&estate, &Place::Memory, time, options).unwrap();
        let routers = sandbox.routers();
        let host = host(&sandbox).router();
        let token = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com";
        let doors = [
            ("arm", routers.arm, "/subscriptions?api-version=2022-12-01", ""),
            ("bus", routers.bus, "/notify/messages/head?timeout=0", ""),
            ("blob", routers.blob, "/a/c?restype=container&comp=list", "x-ms-version: 2023-11-03"),
            ("identity", routers.identity, token, "x-identity-header: secret"),
            ("host", host, "/api/images/web/hold", "Content-Length: 0"),
        ];
        let (mut all, mut servers) = (Vec::new(), Vec::new());
        for (name, router, path, header) in doors {
            let door = Door::bind(0).await.unwrap();
            let method = match name {
                "bus" => "DELETE",
                "host" => "POST",
                _ => "GET",
            };
            let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
            let good = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n{header}\
                 Connection: close\r\n\r\n"
            );
            all.push((name, door.address(), good));
            servers.push(door.open(router, &Holds::none()));
        }
        Doors { all, _servers: servers }
    }

    /// Every door still answers what it should.
    async fn serve(&self, after: &str) {
        for (name, address, good) in &self.all {
            let status = ask(*address, good.as_bytes()).await;
            assert!(matches!(status, Some(200..=204)), "{name} after {after}: {status:?}");
        }
    }
}

/// The host of what people ask of the app, whose handler answers everything with 200.
fn host(sandbox: &Sandbox) -> Arc<Host> {
    let functions = functions::package::functions().into_iter().filter(|(name, _)| *name == "api");
    let functions = functions.map(|(name, json)| (name.to_owned(), json.to_owned()));
    let package = Package::of(functions::package::HOST_JSON, functions, &BTreeMap::new()).unwrap();
    let answer = serde_json::json!({ "Outputs": { "res": { "statusCode": 200 } } });
    let answers = move || async { axum::Json(answer) };
    let handler = Local::to([("handler".to_owned(), Router::new().fallback(answers))]);
    let options = HostOptions { handler: "http://handler".to_owned(), ..HostOptions::default() };
    let (bus, database) = (Arc::clone(&sandbox.bus), Arc::clone(&sandbox.database));
    let (clock, holds) = (Arc::clone(&sandbox.clock), Holds::none());
    Host::new(package, bus, database, clock, holds, Arc::new(handler), options).unwrap()
}

/// The status of the first answer to `bytes`; none when the door was shut.
async fn ask(address: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let text = converse(address, bytes).await;
    text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

/// All that is heard until the other side hangs up.
async fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let talk = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let mut heard = Vec::new();
        // Both at once: whoever is refused hears it while still talking.
        let (_, _) = tokio::join!(to.write_all(bytes), from.read_to_end(&mut heard));
        String::from_utf8_lossy(&heard).into_owned()
    };
    tokio::time::timeout(PATIENCE, talk).await.unwrap_or_else(|_| "it waits".to_owned())
}

/// A head with these lines after a good beginning.
fn head(lines: &str) -> Vec<u8> {
    format!(
        "POST /notify/messages?api-version=2022-12-01 HTTP/1.1\r\nHost: a\r\n\
         Authorization: Bearer a\r\nConnection: close\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// A request for this target.
fn target(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_next_is_served() {
    let doors = Doors::open().await;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("nothing but line ends", b"\r\n".repeat(40_000)),
        ("zeros", vec![0; 4096]),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_vec()),
        ("a line without an end", vec![b'G'; 300_000]),
        ("a target of 300 KB", target(&format!("/{}", "x".repeat(300_000)))),
        ("a header without a colon", head("nonsense\r\n")),
        ("a blank before the colon", head("Content-Length : 1\r\n")),
        ("a folded header", head("X: a\r\n b\r\n")),
        ("a zero in a header", head("X: a\0b\r\n")),
        ("a lone carriage return in a header", head("X: a\rY: b\r\n")),
        ("1,000 headers", head(&"X: a\r\n".repeat(1000))),
        ("a header of 300 KB", head(&format!("X: {}\r\n", "a".repeat(300_000)))),
        ("two lengths", head("Content-Length: 1\r\nContent-Length: 2\r\n")),
        ("a negative length", head("Content-Length: -1\r\n")),
        ("a length with a sign", head("Content-Length: +1\r\n")),
        ("a length beyond all", head("Content-Length: 18446744073709551616\r\n")),
        ("a list of lengths", head("Content-Length: 1, 2\r\n")),
        ("an unknown coding", head("Transfer-Encoding: gzip\r\n")),
        ("chunks before a coding", head("Transfer-Encoding: chunked, gzip\r\n")),
    ];
    for (what, bytes) in cases {
        for (name, address, _) in &doors.all {
            let status = ask(*address, &bytes).await;
            assert!(matches!(status, None | Some(400..=499 | 505)), "{what} at {name}: {status:?}");
            assert_ne!(converse(*address, &bytes).await, "it waits", "{what} at {name}");
        }
    }
    doors.serve("what is not HTTP").await;
}

#[tokio::test]
async fn odd_requests_and_paths_get_an_answer_that_is_no_failure() {
    let doors = Doors::open().await;
    let long = format!("/{}?api-version=1", "a/".repeat(15_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "an unknown method",
            b"FROBNICATE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec()),
        (
            "CONNECT",
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        ("no host", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec()),
        ("an odd host", b"GET / HTTP/1.1\r\nHost: a b\"<>\r\nConnection: close\r\n\r\n".to_vec()),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("an asterisk", target("*")),
        ("another host in the target", target("http://evil.example/subscriptions?api-version=1")),
        ("climbing", target("/../../../etc/passwd?api-version=1")),
        ("climbing in disguise", target("/a/c/%2e%2e/%2e%2e/%2e%2e/etc/passwd?api-version=1")),
        ("an escaped slash", target("/a/c/..%2f..%2f..%2fetc%2fpasswd?api-version=1")),
        ("a backslash", target("/a/c/..%5c..%5cwindows?api-version=1")),
        ("a zero", target("/a/c/x%00y?api-version=1")),
        ("no UTF-8", target("/a/c/%ff%fe?api-version=%ff")),
        ("a broken escape", target("/a/c/%zz%?api-version=%")),
        ("empty pieces", target("//a///c//?api-version=1&&=&x")),
        ("30,000 pieces", target(&long)),
        ("both a length and chunks", {
            let mut both = head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n");
            both.extend(b"1\r\nx\r\n0\r\n\r\n");
            both
        }),
        ("chunks of nonsense", {
            let mut chunks = head("Transfer-Encoding: chunked\r\n");
            chunks.extend(b"zz\r\nx\r\n");
            chunks
        }),
        ("a chunk beyond all", {
            let mut chunks = head("Transfer-Encoding: chunked\r\n");
            chunks.extend(b"fffffffffffffffff\r\nx\r\n");
            chunks
        }),
        ("a body that is not JSON", {
            let mut body = head("Content-Type: application/json\r\nContent-Length: 4\r\n");
            body.extend(b"\xff\xfe{[");
            body
        }),
        (
            "a wish to upgrade",
            head("Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nContent-Length: 0\r\n"),
        ),
    ];
    for (what, bytes) in cases {
        for (name, address, _) in &doors.all {
            let status = ask(*address, &bytes).await;
            assert!(matches!(status, None | Some(200..=499)), "{what} at {name}: {status:?}");
            assert_ne!(converse(*address, &bytes).await, "it waits", "{what} at {name}");
        }
    }
    doors.serve("odd requests").await;
}

#[tokio::test]
async fn nothing_is_read_or_written_outside_a_container() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hush").unwrap();
    let blobs = sandbox::blob::Blobs::folder(folder.path().join("blobs"), "http://127.0.0.1:1");
    let door = Door::bind(0).await.unwrap();
    let address = door.address();
    let _server = door.open(Arc::new(blobs).router(), &Holds::none());

    for path in [
        "/a/c/../../../secret",
        "/a/c/%2e%2e/%2e%2e/%2e%2e/secret",
        "/a/c/..%2f..%2f..%2fsecret",
        "/a/..%2f..%2f/secret",
        "/..%2f../c/secret",
        "/%2e%2e/%2e%2e/secret",
        "/a/c/%2fetc%2fpasswd",
        "/a/c/x%00/../secret",
        "/./././secret",
    ] {
        let heard = converse(address, &target(path)).await;
        assert!(!heard.contains("hush") && !heard.contains("root:"), "{path}: {heard}");
        let put = format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nConnection: close\r\n\
             x-ms-blob-type: BlockBlob\r\nContent-Length: 4\r\n\r\nevil"
        );
        let _ = converse(address, put.as_bytes()).await;
    }

    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "hush");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|it| it == "secret" || it == "blobs"), "{names:?}");
}

#[tokio::test]
async fn a_body_without_end_is_not_kept() {
    let doors = Doors::open().await;
    let mut chunks = Vec::new();
    for _ in 0..24 {
        chunks.extend(b"200000\r\n");
        chunks.resize(chunks.len() + (2 << 20), b'x');
        chunks.extend(b"\r\n");
    }

    for (name, address, _) in &doors.all {
        if *name == "blob" {
            // Blobs may be large.
            continue;
        }
        let mut request = head("Transfer-Encoding: chunked\r\n");
        request.extend(&chunks);
        let status = ask(*address, &request).await;
        assert!(matches!(status, None | Some(400..=499)), "{name}: {status:?}");
    }
    doors.serve("48 MB").await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let doors = Doors::open().await;

    for (name, address, good) in &doors.all {
        let more = good.replace("Connection: close\r\n", "").repeat(49);
        let heard = converse(*address, format!("{more}{good}").as_bytes()).await;
        assert_eq!(heard.matches("HTTP/1.1 20").count(), 50, "{name}");
    }
}

#[tokio::test]
async fn hundreds_who_say_nothing_keep_nobody_waiting() {
    let doors = Doors::open().await;
    let mut silent = Vec::new();
    for (_, address, good) in &doors.all {
        for number in 0..60 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let said = good.len() * (number % 4) / 4;
            stream.write_all(&good.as_bytes()[..said]).await.unwrap();
            silent.push(stream);
        }
    }

    let began = Instant::now();
    doors.serve("hundreds who are silent").await;

    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
