//! What lies beside the streams: blobs by their hash, the inbox, and refused messages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use bytes::Bytes;
use ledger::{Ledger, LedgerError};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

fn ledger() -> (Ledger, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    (Ledger::new(Arc::clone(&store) as Arc<dyn ObjectStore>, "main".parse().unwrap()), store)
}

#[tokio::test]
async fn a_blob_is_found_by_its_hash_and_stored_once() {
    let (ledger, store) = ledger();

    let digest = ledger.put_blob(Bytes::from_static(b"abc")).await.unwrap();
    let again = ledger.put_blob(Bytes::from_static(b"abc")).await.unwrap();

    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(again, digest);
    assert_eq!(ledger.blob(&digest).await.unwrap(), "abc");
    assert!(store.head(&Path::from(format!("blobs/{digest}"))).await.is_ok());
}

#[tokio::test]
async fn a_blob_that_was_changed_is_not_given_out() {
    let (ledger, store) = ledger();
    let digest = ledger.put_blob(Bytes::from_static(b"abc")).await.unwrap();

    store.put(&Path::from(format!("blobs/{digest}")), "abd".into()).await.unwrap();

    let error = ledger.blob(&digest).await.unwrap_err();
    assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_named() {
    let (ledger, _) = ledger();

    let missing = ledger.blob(&"0".repeat(64)).await.unwrap_err();
    let nonsense = ledger.blob("../ledger").await.unwrap_err();

    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing}");
    assert!(matches!(nonsense, LedgerError::Unusable { .. }), "{nonsense}");
}

#[tokio::test]
async fn the_inbox_gives_what_has_arrived_and_nothing_outside_it() {
    let (ledger, store) = ledger();
    store.put(&Path::from("inbox/web/1.0.0/report.json"), "{}".into()).await.unwrap();
    store.put(&Path::from("secret"), "hush".into()).await.unwrap();

    assert_eq!(ledger.inbox("web/1.0.0/report.json").await.unwrap().unwrap(), "{}");
    assert_eq!(ledger.inbox("web/1.0.0/other.json").await.unwrap(), None);
    for key in ["", "../secret", "web/../../secret", "a//b"] {
        let error = ledger.inbox(key).await.unwrap_err();
        assert!(matches!(error, LedgerError::Unusable { .. }), "{key}: {error}");
    }
}

async fn refused(store: &InMemory, key: &str) -> Value {
    let bytes = store.get(&Path::from(key)).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_refused_message_is_kept_with_its_reason() {
    let (ledger, store) = ledger();

    ledger.refuse("m-1", "not a pointer", b"{\"a\":").await.unwrap();
    ledger.refuse("m-1", "another reason", b"later").await.unwrap();
    ledger.refuse("m-2", "not text", &[0xff, 0xfe]).await.unwrap();

    let first = json!({"id": "m-1", "reason": "not a pointer", "size": 5, "body": "{\"a\":"});
    let second = json!({"id": "m-2", "reason": "not text", "size": 2, "base64": "//4="});
    assert_eq!(refused(&store, "refused/m-1.json").await, first);
    assert_eq!(refused(&store, "refused/m-2.json").await, second);
}

#[tokio::test]
async fn a_large_refused_message_keeps_its_beginning() {
    let (ledger, store) = ledger();

    ledger.refuse("m-1", "too long", &vec![b'x'; 100_000]).await.unwrap();

    let kept = refused(&store, "refused/m-1.json").await;
    assert_eq!(kept["size"], 100_000);
    assert_eq!(kept["body"].as_str().unwrap().len(), 64 * 1024);
}
