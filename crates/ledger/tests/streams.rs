//! What a stream promises: one winner for each number, no entry lost, none changed unnoticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod flaky;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flaky::{Fault, Flaky};
use futures::future::join_all;
use ledger::{AppendError, Draft, Ledger, LedgerError, SNAPSHOT_EVERY, Stream, StreamName};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rules::event::Event;
use serde_json::{Value, json};

fn web() -> StreamName {
    StreamName::Image("web".parse().unwrap())
}

fn ledger(store: &Arc<impl ObjectStore>) -> Ledger {
    Ledger::new(Arc::clone(store) as Arc<dyn ObjectStore>, "main".parse().unwrap())
}

fn noon() -> DateTime<Utc> {
    "2026-09-08T12:00:00Z".parse().unwrap()
}

/// What `who` has to say: schedule occurrences have been judged through the `n`th minute.
fn draft(who: &str, n: u64) -> Draft {
    let through = noon() + TimeDelta::minutes(i64::try_from(n).unwrap());
    Draft {
        id: format!("{who}-{n}"),
        cause: "timer".to_owned(),
        by: who.to_owned(),
        at: through,
        policy: "digest".to_owned(),
        events: vec![
            Event::ScheduleJudged { through },
            Event::NoticeDue { text: format!("{who} said {n}") },
        ],
    }
}

/// A stream of `length` entries.
async fn grown(ledger: &Ledger, length: u64) -> Stream {
    let mut stream = ledger.read(&web()).await.unwrap();
    for n in stream.head + 1..=length {
        ledger.append(&mut stream, draft("one", n)).await.unwrap();
    }
    stream
}

fn entry_key(seq: u64) -> Path {
    Path::from(format!("ledger/main/web/{seq:010}.json"))
}

const SNAPSHOT: &str = "heads/main/web.json";

async fn json_at(store: &Arc<impl ObjectStore>, key: &str) -> Value {
    let bytes = store.get(&Path::from(key)).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The newest snapshot as it lies there, with one text in it replaced.
async fn snapshot_with(store: &Arc<impl ObjectStore>, old: &str, new: &str) -> String {
    let bytes = store.get(&Path::from(SNAPSHOT)).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.into()).unwrap();
    assert!(text.contains(old), "no {old} in {text}");
    text.replacen(old, new, 1)
}

#[tokio::test]
async fn an_entry_is_stored_with_its_members_in_order() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);

    grown(&ledger, 2).await;

    let first = store.get(&entry_key(1)).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    let expected = r#"{"v":1,"id":"one-1","prev":"","cause":"timer","by":"one","at":"2026-09-08T12:01:00Z","policy":"digest","events":[{"event":"scheduleJudged","through":"2026-09-08T12:01:00Z"},{"event":"noticeDue","text":"one said 1"}]}"#;
    assert_eq!(text, expected);
    let entries = ledger.entries(&web()).await.unwrap();
    assert_eq!(entries.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(entries[1].1.prev.len(), 64);
}

async fn eight_writers_have_one_winner(store: Arc<impl ObjectStore>) {
    let ledger = ledger(&store);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(ledger.read(&web()).await.unwrap());
    }

    let ledger = &ledger;
    let attempts = streams.iter_mut().enumerate().map(|(who, stream)| async move {
        let before = stream.clone();
        let result = ledger.append(stream, draft(&format!("writer{who}"), 1)).await;
        (result, *stream == before)
    });
    let results = join_all(attempts).await;

    let winners = results.iter().filter(|(result, _)| *result == Ok(1)).count();
    assert_eq!(winners, 1, "{results:?}");
    let winner = ledger.entries(&web()).await.unwrap()[0].1.id.clone();
    for (result, unchanged) in &results {
        let lost = AppendError::Overtaken { seq: 1, by: winner.clone() };
        assert!(*result == Ok(1) || (*result == Err(lost) && *unchanged), "{result:?}");
    }
}

#[tokio::test]
async fn eight_writers_to_memory_have_one_winner() {
    eight_writers_have_one_winner(Arc::new(InMemory::new())).await;
}

#[tokio::test]
async fn eight_writers_to_a_folder_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap().with_fsync(true);
    eight_writers_have_one_winner(Arc::new(store)).await;
}

#[tokio::test]
async fn writers_that_read_again_all_get_their_say() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let ledger = &ledger(&store);

    let writers = (0..8).map(|who| async move {
        for said in 0..5 {
            loop {
                let mut stream = ledger.read(&web()).await.unwrap();
                let mut mine = draft(&format!("writer{who}"), stream.head + 1);
                mine.id = format!("writer{who}-{said}");
                match ledger.append(&mut stream, mine).await {
                    Ok(_) => break,
                    Err(AppendError::Overtaken { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    join_all(writers).await;

    let mut ids: Vec<_> =
        ledger.entries(&web()).await.unwrap().into_iter().map(|(_, entry)| entry.id).collect();
    assert_eq!(ids.len(), 40);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
    assert_eq!(ledger.read(&web()).await.unwrap().head, 40);
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_ours() {
    for fault in [Fault::DoneAnswerLost, Fault::DoneSaysExists] {
        let store = Arc::new(Flaky::default());
        let ledger = ledger(&store);
        let mut stream = grown(&ledger, 1).await;

        store.next_puts([fault]);
        let seq = ledger.append(&mut stream, draft("one", 2)).await.unwrap();

        assert_eq!(seq, 2, "{fault:?}");
        assert_eq!(ledger.read(&web()).await.unwrap(), stream, "{fault:?}");
        assert_eq!(ledger.append(&mut stream, draft("one", 3)).await, Ok(3), "{fault:?}");
    }
}

#[tokio::test]
async fn an_entry_that_did_not_arrive_may_be_appended_again() {
    for fault in [Fault::NotDone, Fault::NotDoneSaysExists] {
        let store = Arc::new(Flaky::default());
        let ledger = ledger(&store);
        let mut stream = grown(&ledger, 1).await;
        let before = stream.clone();

        store.next_puts([fault]);
        let error = ledger.append(&mut stream, draft("one", 2)).await.unwrap_err();

        assert!(matches!(&error, AppendError::Store(cause) if cause.later()), "{error}");
        assert!(error.to_string().contains("0000000002.json"), "{error}");
        assert_eq!(stream, before, "{fault:?}");
        assert_eq!(ledger.append(&mut stream, draft("one", 2)).await, Ok(2), "{fault:?}");
    }
}

#[tokio::test]
async fn the_entry_of_a_twin_is_not_ours_though_it_has_the_same_cause() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    let mut stream = grown(&ledger, 1).await;
    let mut twin = stream.clone();
    let late = Draft { at: noon() + TimeDelta::hours(1), ..draft("one", 2) };

    ledger.append(&mut stream, draft("one", 2)).await.unwrap();
    let error = ledger.append(&mut twin, late).await.unwrap_err();

    assert_eq!(error, AppendError::Overtaken { seq: 2, by: "one-2".to_owned() });
}

#[tokio::test]
async fn a_wrong_move_writes_nothing() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    let mut stream = grown(&ledger, 3).await;
    let before = stream.clone();

    let error = ledger.append(&mut stream, draft("one", 3)).await.unwrap_err();

    assert!(matches!(error, AppendError::WrongMove(_)), "{error}");
    assert_eq!(stream, before);
    assert_eq!(ledger.read(&web()).await.unwrap(), before);
}

async fn broken(store: &Arc<impl ObjectStore>) -> String {
    let error = ledger(store).read(&web()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
    assert!(!error.later());
    error.to_string()
}

#[tokio::test]
async fn a_gap_stops_the_stream_and_is_named() {
    let store = Arc::new(InMemory::new());
    grown(&ledger(&store), 4).await;

    store.delete(&entry_key(2)).await.unwrap();

    let text = broken(&store).await;
    assert!(text.contains("`ledger/main/web/0000000002.json`: the entry is missing"), "{text}");
    assert!(text.contains("restore that key"), "{text}");
    assert!(ledger(&store).entries(&web()).await.is_err());
}

#[tokio::test]
async fn a_gap_behind_a_snapshot_stops_the_stream() {
    let store = Arc::new(InMemory::new());
    grown(&ledger(&store), SNAPSHOT_EVERY + 3).await;

    store.delete(&entry_key(SNAPSHOT_EVERY + 2)).await.unwrap();

    assert!(broken(&store).await.contains("0000000018.json"));
}

#[tokio::test]
async fn an_entry_that_was_changed_stops_the_stream() {
    let store = Arc::new(InMemory::new());
    grown(&ledger(&store), 4).await;
    let mut entry = json_at(&store, entry_key(2).as_ref()).await;

    entry["by"] = json!("somebody else");
    store.put(&entry_key(2), entry.to_string().into()).await.unwrap();

    let text = broken(&store).await;
    assert!(text.contains("0000000003.json"), "{text}");
    assert!(text.contains("hash of the entry before"), "{text}");
    assert!(ledger(&store).entries(&web()).await.is_err());
}

#[tokio::test]
async fn what_is_not_an_entry_stops_the_stream() {
    let cases = [
        (entry_key(3), "{", "not an entry"),
        (entry_key(3), r#"{"v":2,"id":"later"}"#, "run the newer one"),
        (entry_key(3), r#"{"v":1,"id":"x"}"#, "not an entry"),
        (Path::from("ledger/main/web/head.json"), "{}", "nothing else may be in this folder"),
    ];
    for (key, text, expected) in cases {
        let store = Arc::new(InMemory::new());
        grown(&ledger(&store), 2).await;

        store.put(&key, text.into()).await.unwrap();

        let error = broken(&store).await;
        assert!(error.contains(expected) && error.contains(key.as_ref()), "{error}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_have_happened_stops_the_stream() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    let stream = grown(&ledger, 2).await;
    let mut entry = json_at(&store, entry_key(2).as_ref()).await;

    entry["prev"] = json!(stream.hash);
    store.put(&entry_key(3), entry.to_string().into()).await.unwrap();

    let text = broken(&store).await;
    assert!(text.contains("0000000003.json") && text.contains("have been judged"), "{text}");
}

#[tokio::test]
async fn a_replay_from_any_prefix_is_what_was_live() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    let mut stream = ledger.read(&web()).await.unwrap();

    for n in 1..=SNAPSHOT_EVERY * 2 + 3 {
        ledger.append(&mut stream, draft("one", n)).await.unwrap();

        assert_eq!(ledger.read(&web()).await.unwrap(), stream, "after {n}");
        store.delete(&Path::from(SNAPSHOT)).await.unwrap_or_default();
        assert_eq!(ledger.read(&web()).await.unwrap(), stream, "after {n}, from the beginning");
    }
}

#[tokio::test]
async fn a_snapshot_saves_reading_what_is_before_it() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store);
    let live = grown(&ledger, SNAPSHOT_EVERY).await;
    store.gets();

    assert_eq!(ledger.read(&web()).await.unwrap(), live);
    assert_eq!(store.gets(), [SNAPSHOT, entry_key(SNAPSHOT_EVERY).as_ref()]);

    let live = grown(&ledger, SNAPSHOT_EVERY + 1).await;
    store.gets();
    assert_eq!(ledger.read(&web()).await.unwrap(), live);
    assert_eq!(store.gets(), [SNAPSHOT, entry_key(SNAPSHOT_EVERY + 1).as_ref()]);
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_not_believed() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    grown(&ledger, SNAPSHOT_EVERY).await;
    let seq = |seq: u64| format!(r#""seq":{seq},"#);
    let head = ledger.read(&web()).await.unwrap().hash;
    let cases = [
        "{".to_owned(),
        "{}".to_owned(),
        snapshot_with(&store, r#""v":3"#, r#""v":99"#).await,
        snapshot_with(&store, &seq(SNAPSHOT_EVERY), &seq(0)).await,
        snapshot_with(&store, &seq(SNAPSHOT_EVERY), &seq(SNAPSHOT_EVERY - 1)).await,
        snapshot_with(&store, &head, &"0".repeat(64)).await,
        snapshot_with(
            &store,
            r#""hold":null"#,
            r#""hold":{"by":"x","why":"x","until":null,"new":1}"#,
        )
        .await,
        // What an older release would have left out, and what a newer one would have added.
        snapshot_with(&store, r#""hold":null,"#, "").await,
        snapshot_with(&store, r#""state":{"#, r#""state":{"new":1,"#).await,
    ];

    for length in [SNAPSHOT_EVERY, SNAPSHOT_EVERY + 2] {
        let live = grown(&ledger, length).await;
        for case in &cases {
            store.put(&Path::from(SNAPSHOT), case.clone().into()).await.unwrap();
            assert_eq!(ledger.read(&web()).await.unwrap(), live, "{case}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_of_an_entry_that_is_gone_stops_the_stream() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    grown(&ledger, SNAPSHOT_EVERY).await;
    let (here, ahead) = (SNAPSHOT_EVERY, SNAPSHOT_EVERY + 7);
    let (here, ahead) = (format!(r#""seq":{here},"#), format!(r#""seq":{ahead},"#));
    let ahead = snapshot_with(&store, &here, &ahead).await;

    store.put(&Path::from(SNAPSHOT), ahead.into()).await.unwrap();

    let error = ledger.read(&web()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn a_stale_snapshot_is_continued() {
    let store = Arc::new(InMemory::new());
    let ledger = ledger(&store);
    grown(&ledger, SNAPSHOT_EVERY).await;
    let stale = store.get(&Path::from(SNAPSHOT)).await.unwrap().bytes().await.unwrap();
    let live = grown(&ledger, SNAPSHOT_EVERY * 2 + 1).await;

    store.put(&Path::from(SNAPSHOT), stale.into()).await.unwrap();

    assert_eq!(ledger.read(&web()).await.unwrap(), live);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_saved_costs_nothing_else() {
    let store = Arc::new(Flaky::default());
    let ledger = ledger(&store);
    let mut stream = grown(&ledger, SNAPSHOT_EVERY - 1).await;

    store.next_puts([Fault::None, Fault::NotDone]);
    let seq = ledger.append(&mut stream, draft("one", SNAPSHOT_EVERY)).await.unwrap();

    assert_eq!(seq, SNAPSHOT_EVERY);
    assert!(store.head(&Path::from(SNAPSHOT)).await.is_err());
    assert_eq!(ledger.read(&web()).await.unwrap(), stream);
}

#[tokio::test]
async fn streams_lists_the_images_and_not_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let ledger = ledger(&store);
    assert_eq!(ledger.streams().await.unwrap(), []);

    for name in ["web", "db-1"] {
        let name = StreamName::Image(name.parse().unwrap());
        let mut stream = ledger.read(&name).await.unwrap();
        ledger.append(&mut stream, draft("one", 1)).await.unwrap();
    }
    let mut own = ledger.read(&StreamName::Catalog).await.unwrap();
    ledger.append(&mut own, draft("one", 1)).await.unwrap();

    let names: Vec<_> = ledger.streams().await.unwrap().iter().map(|it| it.to_string()).collect();
    assert_eq!(names, ["db-1", "web"]);
    assert_eq!(ledger.read(&StreamName::Catalog).await.unwrap().head, 1);
}
