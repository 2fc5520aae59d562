//! What the ledger is promised by blob storage, over the client that the handler uses: by the
//! sandbox's own endpoint, in process and over loopback, and by Microsoft's Azurite where it runs
//! (`tests/clients/azurite` starts it and names it in `GOLDSMITH_TEST_AZURITE`).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail, and may say so")]

mod troubled;

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use http::Method;
use ledger::{AppendError, Draft, Ledger, LedgerError, Stream, StreamName};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use rules::event::Event;
use sandbox::blob::Blobs;
use sandbox::desk::Holds;
use sandbox::identity::Identity;
use sandbox::identity::door::Service;
use sandbox::serve::{Door, Server};
use seam::outbound::Audience;
use seam::{Clock, Endpoint, Internet, Local, Outbound, SystemClock, Tokens, Wire};
use troubled::{Trouble, Troubled};

/// A storage service with one container of the test's own.
struct Place {
    name: &'static str,
    store: Arc<dyn ObjectStore>,
    wire: Arc<Troubled>,
    identity: Arc<Identity>,
    /// The address of the container.
    url: String,
    _server: Option<Server>,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    /// The container `container` of the account at `base`, reached over `wire` with the tokens of a
    /// managed identity.
    async fn at(name: &'static str, base: &str, container: &str, wire: Arc<dyn Wire>) -> Place {
        let url = format!("{base}/{container}");
        let (wire, identity) = (Arc::new(Troubled::new(wire)), identity());
        let router = ("169.254.169.254".to_owned(), identity.router());
        let tokens = Tokens::managed(Arc::new(Local::to([router])), None);
        let place = Place {
            name,
            store: Arc::new(InMemory::new()),
            wire,
            identity,
            url,
            _server: None,
            _folder: None,
        };
        let outbound = place.outbound(tokens);
        let mut create = seam::Request::new(Bytes::new());
        *create.method_mut() = Method::PUT;
        *create.uri_mut() = format!("{}?restype=container", place.url).parse().unwrap();
        create.headers_mut().insert("x-ms-version", "2023-11-03".parse().unwrap());
        create.headers_mut().insert("content-length", "0".parse().unwrap());
        create.extensions_mut().insert(Audience("https://storage.azure.com"));
        let created = outbound.send(create).await.unwrap();
        let status = created.status;
        assert_eq!(status, 201, "{name}: {}", created.excerpt(500).await);
        let store = seam::store::open(&place.url, &outbound).unwrap();
        Place { store, ..place }
    }

    fn outbound(&self, tokens: Tokens) -> Outbound {
        let host = self.url.parse::<Endpoint>().unwrap().authority().to_owned();
        let wire: Arc<dyn Wire> = Arc::clone(&self.wire) as Arc<dyn Wire>;
        Outbound::new(wire, Arc::new(SystemClock), Arc::new(tokens), [host])
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Arc::clone(&self.store), "main".parse().unwrap())
    }
}

fn identity() -> Arc<Identity> {
    Identity::new(Arc::new(SystemClock), "contoso", "secret")
}

/// The blobs of a desk behind its door.
fn desk(blobs: Blobs) -> Router {
    identity().guard(Service::Blob, Arc::new(blobs).router())
}

/// Every storage service that there is, each with a fresh container of this name.
async fn places(container: &str) -> Vec<Place> {
    let local = |router: Router| -> Arc<dyn Wire> {
        Arc::new(Local::to([("127.0.0.1:1".to_owned(), router)]))
    };
    let base = "http://127.0.0.1:1/golden";
    let folder = tempfile::tempdir().unwrap();
    let memory = Place::at("memory", base, container, local(desk(Blobs::memory(base)))).await;
    let files = desk(Blobs::folder(folder.path().to_owned(), base));
    let files = Place::at("a folder", base, container, local(files)).await;
    let files = Place { _folder: Some(folder), ..files };

    let door = Door::bind(0).await.unwrap();
    let base = format!("{}/golden", door.url());
    let server = door.open(desk(Blobs::memory(base.clone())), &Holds::none());
    let internet: Arc<dyn Wire> = Arc::new(Internet::default());
    let loopback = Place::at("loopback", &base, container, Arc::clone(&internet)).await;
    let loopback = Place { _server: Some(server), ..loopback };

    let mut places = vec![memory, files, loopback];
    match azurite() {
        Some(base) => places.push(Place::at("Azurite", &base, container, internet).await),
        None => println!("Azurite is skipped: run tests/clients/azurite"),
    }
    places
}

#[expect(clippy::disallowed_methods, reason = "an opt-in test has a setting of its own")]
fn azurite() -> Option<String> {
    std::env::var("GOLDSMITH_TEST_AZURITE").ok().filter(|it| !it.is_empty())
}

fn web() -> StreamName {
    StreamName::Image("web".parse().unwrap())
}

/// What `who` has to say: schedule occurrences have been judged through the `n`th minute.
fn draft(who: &str, n: u64) -> Draft {
    let noon: DateTime<Utc> = "2026-09-08T12:00:00Z".parse().unwrap();
    let through = noon + TimeDelta::minutes(i64::try_from(n).unwrap());
    Draft {
        id: format!("{who}-{n}"),
        cause: "timer".to_owned(),
        by: who.to_owned(),
        at: through,
        policy: "digest".to_owned(),
        events: vec![Event::ScheduleJudged { through }],
    }
}

async fn grown(ledger: &Ledger, length: u64) -> Stream {
    let mut stream = ledger.read(&web()).await.unwrap();
    for n in stream.head + 1..=length {
        ledger.append(&mut stream, draft("one", n)).await.unwrap();
    }
    stream
}

#[tokio::test]
async fn of_eight_writers_of_an_entry_one_wins_each_time() {
    for place in places("eight-writers").await {
        let ledger = place.ledger();
        for seq in 1..=20 {
            let start = ledger.read(&web()).await.unwrap();
            assert_eq!(start.head, seq - 1, "{}", place.name);

            let writers = (0..8).map(|who| {
                let (ledger, mut stream) = (&ledger, start.clone());
                async move { ledger.append(&mut stream, draft(&format!("writer{who}"), seq)).await }
            });
            let results = join_all(writers).await;

            let winners = results.iter().filter(|it| **it == Ok(seq)).count();
            assert_eq!(winners, 1, "{}: {results:?}", place.name);
            let winner = ledger.entries(&web()).await.unwrap().pop().unwrap().1.id;
            let lost = Err(AppendError::Overtaken { seq, by: winner });
            assert!(
                results.iter().all(|it| *it == Ok(seq) || *it == lost),
                "{}: {results:?}",
                place.name
            );
        }
    }
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_ours_and_another_ones_is_not() {
    for place in places("answer-lost").await {
        let ledger = place.ledger();
        let mut stream = grown(&ledger, 1).await;
        let mut twin = stream.clone();

        place.wire.next_put(Trouble::AnswerLost);
        let ours = ledger.append(&mut stream, draft("one", 2)).await;
        place.wire.next_put(Trouble::AnswerLost);
        let theirs = ledger.append(&mut twin, draft("two", 2)).await;

        assert_eq!(ours, Ok(2), "{}", place.name);
        let lost = AppendError::Overtaken { seq: 2, by: "one-2".to_owned() };
        assert_eq!(theirs, Err(lost), "{}", place.name);
        assert_eq!(ledger.read(&web()).await.unwrap(), stream, "{}", place.name);
    }
}

#[tokio::test]
async fn a_conflict_and_a_failed_condition_both_say_that_the_entry_exists() {
    for place in places("exists").await {
        let key = Path::from("ledger/main/web/0000000001.json");
        let create = || place.store.put_opts(&key, "1".into(), PutMode::Create.into());
        create().await.unwrap();

        let said = create().await;
        assert!(matches!(said, Err(Error::AlreadyExists { .. })), "{}: {said:?}", place.name);
        for status in [409, 412] {
            place.wire.next_put(Trouble::Status(status));
            let said = create().await;
            assert!(matches!(said, Err(Error::AlreadyExists { .. })), "{status}: {said:?}");
        }
        let kept = place.store.get(&key).await.unwrap().bytes().await.unwrap();
        assert_eq!(kept, "1", "{}", place.name);
    }
}

#[tokio::test]
async fn a_store_that_is_ill_is_tried_again_later_and_nothing_is_lost() {
    for place in places("ill").await {
        let ledger = place.ledger();
        let mut stream = grown(&ledger, 1).await;
        let before = stream.clone();

        for trouble in [Trouble::Status(503), Trouble::Status(500), Trouble::Refused] {
            place.wire.always(Some(trouble));
            let read = ledger.read(&web()).await.unwrap_err();
            let append = ledger.append(&mut stream, draft("one", 2)).await.unwrap_err();

            assert!(read.later(), "{} {trouble:?}: {read}", place.name);
            let later = matches!(&append, AppendError::Store(cause) if cause.later());
            assert!(later, "{} {trouble:?}: {append}", place.name);
            assert_eq!(stream, before);
        }
        place.wire.always(None);

        assert_eq!(ledger.read(&web()).await.unwrap(), before, "{}", place.name);
        assert_eq!(ledger.append(&mut stream, draft("one", 2)).await, Ok(2), "{}", place.name);
    }
}

#[tokio::test]
async fn a_stream_of_more_than_5000_entries_is_read_whole() {
    const LENGTH: u64 = 5_003;
    let memory = Arc::new(InMemory::new());
    let grown =
        grown(&Ledger::new(Arc::clone(&memory) as _, "main".parse().unwrap()), LENGTH).await;

    // A folder pages with the same code, and syncs every one of so many writes to the disk.
    for place in places("long").await.into_iter().filter(|it| it.name != "a folder") {
        let copies = (1..=LENGTH).map(|seq| {
            let key = Path::from(format!("ledger/main/web/{seq:010}.json"));
            let (memory, store) = (&memory, &place.store);
            async move {
                let bytes = memory.get(&key).await.unwrap().bytes().await.unwrap();
                store.put_opts(&key, bytes.into(), PutMode::Create.into()).await.unwrap();
            }
        });
        stream::iter(copies).buffer_unordered(16).collect::<Vec<()>>().await;
        place.wire.lists();

        let read = place.ledger().read(&web()).await.unwrap();

        assert_eq!((read.head, &read), (LENGTH, &grown), "{}", place.name);
        assert_eq!(place.wire.lists(), 2, "{}: two pages", place.name);
    }
}

#[tokio::test]
async fn the_images_that_have_a_stream_are_listed() {
    for place in places("streams").await {
        let ledger = place.ledger();
        assert_eq!(ledger.streams().await.unwrap(), [], "{}", place.name);
        for image in ["web", "db-1"] {
            let name = StreamName::Image(image.parse().unwrap());
            let mut stream = ledger.read(&name).await.unwrap();
            ledger.append(&mut stream, draft("one", 1)).await.unwrap();
        }

        let streams = ledger.streams().await.unwrap();

        let names: Vec<_> = streams.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["db-1", "web"], "{}", place.name);
    }
}

#[tokio::test]
async fn a_token_for_another_service_or_an_expired_one_is_refused_and_says_what_to_grant() {
    for place in places("tokens").await {
        let now = SystemClock.now();
        let other = place.identity.token("https://management.azure.com", now + TimeDelta::hours(1));
        let expired = place.identity.token("https://storage.azure.com", now - TimeDelta::hours(1));

        for token in [other, expired] {
            let outbound = place.outbound(Tokens::fixed(token.clone()));
            let store = seam::store::open(&place.url, &outbound).unwrap();
            let ledger = Ledger::new(store, "main".parse().unwrap());
            let error = ledger.read(&web()).await.unwrap_err();

            assert!(matches!(error, LedgerError::Store { .. }), "{}: {error}", place.name);
            let text = error.to_string();
            assert!(text.contains("Storage Blob Data Contributor"), "{}: {text}", place.name);
            assert!(!text.contains(&token), "{}", place.name);
        }
    }
}
