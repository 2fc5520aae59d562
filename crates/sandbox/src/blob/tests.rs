//! The REST interface, over both places, and object_store's own client against it.

use std::sync::Barrier;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use seam::ToldClock;
use tower::ServiceExt;

use super::*;

const KEY: &str = "/golden/ledger/contoso/web/0000000001.json";

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|it| it.to_str().unwrap()).unwrap_or_default()
    }
}

/// The same blobs in memory and in a folder.
fn places() -> (tempfile::TempDir, Vec<Arc<Blobs>>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = || Arc::new(ToldClock(chrono::DateTime::from_timestamp(1_789_000_000, 0).unwrap()));
    let memory = Blobs::memory("http://blob").told_by(clock());
    let files = Blobs::folder(folder.path().to_owned(), "http://blob").told_by(clock());
    (folder, vec![Arc::new(memory), Arc::new(files)])
}

async fn ask(
    blobs: &Arc<Blobs>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("authorization", "Bearer x");
    if method == "PUT" {
        request = request.header("x-ms-blob-type", "BlockBlob");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let answer = blobs.router().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn a_blob_is_written_read_and_deleted() {
    let (_folder, places) = places();
    for blobs in &places {
        let put = ask(blobs, "PUT", KEY, &[], "hello").await;
        assert_eq!(put.status, 201);

        let got = ask(blobs, "GET", KEY, &[], "").await;
        assert_eq!((got.status, got.body.as_str()), (200, "hello"));
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("last-modified"), "Thu, 10 Sep 2026 00:26:40 GMT");
        let head = ask(blobs, "HEAD", KEY, &[("x-ms-version", "2021-12-02")], "").await;
        assert_eq!(
            (head.status, head.body.as_str(), head.header("content-length")),
            (200, "", "5")
        );
        assert_eq!(head.header("x-ms-version"), "2021-12-02");

        assert_eq!(ask(blobs, "DELETE", KEY, &[], "").await.status, 202);
        let gone = ask(blobs, "GET", KEY, &[], "").await;
        assert_eq!((gone.status, gone.header("x-ms-error-code")), (404, "BlobNotFound"));
        assert!(gone.body.contains("<Code>BlobNotFound</Code>"));
        assert_eq!(ask(blobs, "DELETE", KEY, &[], "").await.status, 404);
    }
}

#[test]
fn a_draft_that_a_killed_process_left_is_not_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(folder.path().to_owned(), "http://blob");
    blobs.put("golden", "ledger", "1.json", *b"first").unwrap();
    // Killed after the draft had its second name, and before it lost its first. The next process has
    // the same number, as the only one of a container has.
    let entry = folder.path().join("golden/ledger/1.json");
    for number in 1..4 {
        let draft = folder.path().join(format!(".staging/{}-{number}", std::process::id()));
        std::fs::hard_link(&entry, draft).unwrap();
    }
    let next = Blobs::folder(folder.path().to_owned(), "http://blob");

    next.put("golden", "ledger", "2.json", *b"second").unwrap();

    assert_eq!(next.get("golden", "ledger", "1.json").unwrap().unwrap(), b"first");
    assert_eq!(next.get("golden", "ledger", "2.json").unwrap().unwrap(), b"second");
}

#[tokio::test]
async fn a_create_is_refused_when_there_is_one() {
    let (_folder, places) = places();
    for blobs in &places {
        let create = [("if-none-match", "*")];
        assert_eq!(ask(blobs, "PUT", KEY, &create, "first").await.status, 201);

        let second = ask(blobs, "PUT", KEY, &create, "second").await;

        assert_eq!((second.status, second.header("x-ms-error-code")), (409, "BlobAlreadyExists"));
        assert_eq!(
            blobs.get("golden", "ledger", "contoso/web/0000000001.json").unwrap().unwrap(),
            b"first"
        );
    }
}

#[tokio::test]
async fn an_update_is_refused_when_the_blob_has_changed() {
    let (_folder, places) = places();
    for blobs in &places {
        let first = ask(blobs, "PUT", KEY, &[], "one").await;
        let tag = first.header("etag").to_owned();
        let second = ask(blobs, "PUT", KEY, &[("if-match", &tag)], "two").await;
        assert_eq!(second.status, 201);
        assert_ne!(second.header("etag"), tag);

        let stale = ask(blobs, "PUT", KEY, &[("if-match", &tag)], "two").await;
        assert_eq!((stale.status, stale.header("x-ms-error-code")), (412, "ConditionNotMet"));
        assert_eq!(
            ask(blobs, "PUT", "/golden/c/none", &[("if-match", &tag)], "x").await.status,
            412
        );
        assert_eq!(ask(blobs, "DELETE", KEY, &[("if-match", &tag)], "").await.status, 412);
        assert_eq!(ask(blobs, "GET", KEY, &[("if-match", &tag)], "").await.status, 412);
        let same = [("if-none-match", second.header("etag"))];
        assert_eq!(ask(blobs, "GET", KEY, &same, "").await.status, 304);
    }
}

#[test]
fn one_of_eight_writers_creates_a_blob() {
    let (_folder, places) = places();
    for blobs in &places {
        for round in 0..50 {
            let name = place::Name::checked("golden", "ledger", &format!("a/{round}")).unwrap();
            let start = Barrier::new(8);
            let won = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..8_u8)
                    .map(|writer| {
                        let (name, start) = (&name, &start);
                        scope.spawn(move || {
                            start.wait();
                            let bytes = vec![writer; 4096].into();
                            let put = blobs.place.put(name, bytes, None, &Precondition::Absent);
                            matches!(put.unwrap(), place::Written::Done(_)).then_some(writer)
                        })
                    })
                    .collect();
                writers.into_iter().filter_map(|it| it.join().unwrap()).collect::<Vec<u8>>()
            });

            assert_eq!(won.len(), 1);
            assert_eq!(blobs.place.get(&name).unwrap().unwrap().bytes, vec![won[0]; 4096]);
        }
    }
}

#[tokio::test]
async fn a_part_of_a_blob_is_read_by_its_range() {
    let (_folder, places) = places();
    for blobs in &places {
        ask(blobs, "PUT", KEY, &[], "0123456789").await;

        for (range, status, body, content_range) in [
            ("bytes=1-3", 206, "123", "bytes 1-3/10"),
            ("bytes=8-", 206, "89", "bytes 8-9/10"),
            ("bytes=8-99", 206, "89", "bytes 8-9/10"),
            ("lines=1-2", 200, "0123456789", ""),
        ] {
            let got = ask(blobs, "GET", KEY, &[("range", range)], "").await;
            let content = got.header("content-range");
            assert_eq!((got.status, got.body.as_str(), content), (status, body, content_range));
        }
        assert_eq!(ask(blobs, "GET", KEY, &[("range", "bytes=10-")], "").await.status, 416);
    }
}

#[tokio::test]
async fn a_listing_is_sorted_and_comes_in_pages() {
    let (_folder, places) = places();
    for blobs in &places {
        for key in ["a/2", "a/1", "a-b", "a/1/x", "b & c"] {
            if key == "a/1/x" && matches!(blobs.place, place::Place::Folder(..)) {
                continue;
            }
            blobs.put("golden", "c", key, *b"12").unwrap();
        }
        let names = |xml: &str| -> Vec<String> {
            xml.split("<Name>")
                .skip(1)
                .map(|it| it.split("</Name>").next().unwrap().to_owned())
                .collect()
        };
        let list = |query: &'static str| async move {
            ask(blobs, "GET", &format!("/golden/c?restype=container&comp=list{query}"), &[], "")
                .await
        };

        let all = list("").await;
        let expected: Vec<&str> = match blobs.place {
            place::Place::Memory(_) => vec!["a-b", "a/1", "a/1/x", "a/2", "b &amp; c"],
            place::Place::Folder(..) => vec!["a-b", "a/1", "a/2", "b &amp; c"],
        };
        assert_eq!(names(&all.body), expected);
        let first = list("&prefix=a/&maxresults=1").await;
        assert_eq!(names(&first.body), ["a/1"]);
        assert!(!first.body.contains("<NextMarker></NextMarker>"));
        assert_eq!(names(&list("&prefix=a/&startFrom=a/2").await.body), ["a/2"]);
        assert_eq!(names(&list("&delimiter=/").await.body), ["a-b", "a/", "b &amp; c"]);
        assert_eq!(names(&list("&prefix=zzz").await.body), Vec::<String>::new());
        assert_eq!(list("&maxresults=0").await.status, 400);
    }
}

#[tokio::test]
async fn a_name_that_would_leave_its_folder_is_refused() {
    let (folder, places) = places();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    for blobs in &places {
        for path in [
            "/golden/c/../../secret",
            "/golden/c/%2e%2e/%2e%2e/secret",
            "/golden/c/a//b",
            "/golden/c/./a",
            "/golden/../secret",
            "/../c/secret",
            "/golden/c/a%5Cb",
            "/golden/c/a%00b",
            "/.staging/c/a",
        ] {
            assert_eq!(ask(blobs, "GET", path, &[], "").await.status, 400, "{path}");
            assert_eq!(ask(blobs, "PUT", path, &[], "x").await.status, 400, "{path}");
        }
        let traps = "/golden/c?restype=container&comp=list&prefix=../../";
        assert!(!ask(blobs, "GET", traps, &[], "").await.body.contains("secret"));
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_refused() {
    let (_folder, places) = places();
    let request = Request::get(KEY).body(Body::empty()).unwrap();

    let answer = places[0].router().oneshot(request).await.unwrap();

    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-ms-error-code"], "NoAuthenticationInformation");
}

#[tokio::test]
async fn files_are_plain_and_no_drafts_are_left() {
    let (folder, places) = places();
    ask(&places[1], "PUT", KEY, &[("if-none-match", "*")], "hello").await;
    ask(&places[1], "PUT", KEY, &[("if-none-match", "*")], "other").await;
    ask(&places[1], "PUT", KEY, &[], "again").await;

    let file = folder.path().join("golden/ledger/contoso/web/0000000001.json");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "again");
    assert_eq!(std::fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_blob_below_a_blob_is_refused_on_a_disk() {
    let (_folder, places) = places();
    ask(&places[1], "PUT", "/golden/c/a", &[], "x").await;

    let below = ask(&places[1], "PUT", "/golden/c/a/b", &[], "x").await;

    assert_eq!(below.status, 409);
}

#[test]
fn an_account_has_its_address() {
    assert_eq!(Blobs::memory("http://127.0.0.1:1").base_url("golden"), "http://127.0.0.1:1/golden");
}
