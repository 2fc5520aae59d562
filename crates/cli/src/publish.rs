//! Puts a catalog in force: its files and itself among the blobs, its digest into the ledger.

use chrono::{DateTime, Utc};
use ledger::{AppendError, Draft, Ledger, LedgerError, StreamName};
use rules::event::Event;

use crate::load::Loaded;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The SHA-256 of the catalog that is in force, in hex.
    pub digest: String,
    /// False: it was in force already, and nothing was recorded.
    pub changed: bool,
}

/// Why a catalog is not in force.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The catalog has no JSON form.
    #[error("the catalog cannot be written down")]
    Unwritable(#[from] serde_json::Error),
    /// Another catalog was published at the same moment, or the ledger is ill.
    #[error("the catalog cannot be published")]
    Append(#[from] AppendError),
    /// The ledger cannot be read or written.
    #[error("the catalog cannot be published")]
    Ledger(#[from] LedgerError),
}

/// Puts `loaded` in force in `ledger`, at `now`, in the name of `by`. Publishing the same again
/// records nothing.
///
/// # Errors
/// When the ledger is ill, or somebody else published at the same moment.
pub async fn publish(
    ledger: &Ledger,
    loaded: &Loaded,
    now: DateTime<Utc>,
    by: &str,
) -> Result<Published, PublishError> {
    for bytes in loaded.files.values() {
        keep(ledger, bytes.clone()).await?;
    }
    let digest = keep(ledger, serde_json::to_vec(&loaded.catalog)?).await?;

    let mut stream = ledger.read(&StreamName::Catalog).await?;
    if stream.state.catalog.as_ref() == Some(&digest) {
        return Ok(Published { digest, changed: false });
    }
    let draft = Draft {
        id: format!("publish.{digest}.{}", stream.head),
        cause: "publish".to_owned(),
        by: by.to_owned(),
        at: now,
        policy: digest.clone(),
        events: vec![Event::CatalogPublished { catalog: digest.clone() }],
    };
    ledger.append(&mut stream, draft).await?;
    Ok(Published { digest, changed: true })
}

/// Stores `bytes` as a blob, and reads them back: one that is there already may have been spoiled,
/// which every step would come to know, one after another.
async fn keep(ledger: &Ledger, bytes: Vec<u8>) -> Result<String, LedgerError> {
    let digest = ledger.put_blob(bytes.into()).await?;
    ledger.blob(&digest).await?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::load;
    use crate::state_folder::StateFolder;

    #[tokio::test]
    async fn publishing_twice_records_one_entry_and_keeps_every_file() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog");
        let loaded = load::catalog(&example).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(folder.path());
        let ledger = folder.ledger(loaded.catalog.catalog.clone()).unwrap();
        let now = DateTime::UNIX_EPOCH;

        let first = publish(&ledger, &loaded, now, "a test").await.unwrap();
        let second = publish(&ledger, &loaded, now, "a test").await.unwrap();

        let entries = ledger.entries(&StreamName::Catalog).await.unwrap();
        let read: rules::catalog::Catalog =
            serde_json::from_slice(&ledger.blob(&first.digest).await.unwrap()).unwrap();
        assert_eq!((first.changed, second.changed, entries.len()), (true, false, 1));
        assert_eq!(first.digest, second.digest);
        assert_eq!(read, loaded.catalog);
        for digest in loaded.files.keys() {
            assert!(ledger.blob(digest).await.is_ok(), "{digest}");
        }
        assert_eq!(folder.catalogs().unwrap(), [loaded.catalog.catalog]);
    }

    #[tokio::test]
    async fn a_changed_catalog_is_put_in_force_after_the_one_before() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog");
        let mut loaded = load::catalog(&example).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ledger = StateFolder::at(folder.path());
        let ledger = ledger.ledger(loaded.catalog.catalog.clone()).unwrap();
        let now = DateTime::UNIX_EPOCH;
        let first = publish(&ledger, &loaded, now, "a test").await.unwrap();

        loaded.catalog.deletions_per_sweep += 1;
        let second = publish(&ledger, &loaded, now, "a test").await.unwrap();

        let stream = ledger.read(&StreamName::Catalog).await.unwrap();
        assert_ne!(first.digest, second.digest);
        assert_eq!((stream.head, stream.state.catalog), (2, Some(second.digest)));
    }
}
