//! Reads and appends.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use rules::{CatalogName, ImageName};

use crate::chain::{follow, linked};
use crate::entry::sha256;
use crate::stream::fold;
use crate::{
    AppendError, Draft, ENTRY_LIMIT, Entry, LedgerError, SNAPSHOT_EVERY, Stream, StreamName, key,
    snapshot,
};

/// Snapshots grow with an image's history; a larger one is not read.
const SNAPSHOT_LIMIT: u64 = 16 * 1024 * 1024;

/// The ledger of one catalog. It holds nothing but the way to its store: every read is of what
/// is there, and any number of them may be used at once.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) catalog: CatalogName,
}

impl Ledger {
    /// The ledger of `catalog` in `store`, whose own retries should be off.
    pub fn new(store: Arc<dyn ObjectStore>, catalog: CatalogName) -> Ledger {
        Ledger { store, catalog }
    }

    /// Reads a stream: its snapshot where one fits, and every entry since.
    ///
    /// # Errors
    /// [`LedgerError::Broken`] when an entry is missing, was changed, or cannot be read;
    /// [`LedgerError::Store`] when the store is ill.
    pub async fn read(&self, name: &StreamName) -> Result<Stream, LedgerError> {
        let stream = match self.by_snapshot(name).await? {
            Some(stream) => return Ok(stream),
            None => Stream::empty(name.clone()),
        };

        let greatest = self.greatest(name, 0).await?;
        let stored = self.stored(name, 1..=greatest).await?;
        stored.iter().try_fold(stream, follow)
    }

    /// The stream by its snapshot and the entries after it; nothing when the snapshot is absent,
    /// cannot be read, or does not fit.
    async fn by_snapshot(&self, name: &StreamName) -> Result<Option<Stream>, LedgerError> {
        let key = key::snapshot(&self.catalog, name);
        let bytes = match self.get(&key, SNAPSHOT_LIMIT).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(LedgerError::TooLong { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(stream) = snapshot::from_bytes(name, &bytes) else {
            tracing::warn!(stream = %name, "The snapshot of {name} cannot be used");
            return Ok(None);
        };

        let greatest = self.greatest(name, stream.head).await?;
        if greatest == stream.head {
            let key = key::entry(&self.catalog, name, stream.head);
            // A snapshot is written after its entry, so an entry that is not there was lost.
            let Some(newest) = self.get(&key, ENTRY_LIMIT).await? else {
                let because = "a snapshot was made of it, and it is gone; restore it";
                return Err(LedgerError::broken(&key, because));
            };
            let fits = sha256(&newest) == stream.hash;
            return Ok(fits.then_some(stream));
        }

        let stored = self.stored(name, stream.head + 1..=greatest).await?;
        let fits = match stored.first() {
            Some(first) => linked(&stream.hash, first).is_ok(),
            None => false,
        };
        if !fits {
            tracing::warn!(stream = %name, "The snapshot of {name} does not fit its entries");
            return Ok(None);
        }
        stored.iter().try_fold(stream, follow).map(Some)
    }

    /// Appends an entry to `stream` and returns its number; `stream` is then as if it had been
    /// read again. On any error it is as before.
    ///
    /// An entry that is there after the store said no is ours when it has our very bytes: an
    /// answer was lost. A twin's entry for the same cause is not ours, since both would act.
    ///
    /// # Errors
    /// [`AppendError::WrongMove`] when an event cannot follow, and nothing was written;
    /// [`AppendError::Overtaken`] when somebody else's entry has the number;
    /// [`AppendError::Store`] when the store is ill, and the entry may or may not be there.
    pub async fn append(&self, stream: &mut Stream, draft: Draft) -> Result<u64, AppendError> {
        let seq = stream.head + 1;
        let key = key::entry(&self.catalog, &stream.name, seq);
        let state = fold(stream.state.clone(), seq, draft.at, &draft.events)?;
        let bytes = to_bytes(&key, &draft.after(stream.hash.clone()))?;

        let mode = PutMode::Create;
        let put = self.store.put_opts(&key, bytes.clone().into(), mode.into()).await;
        if let Err(error) = put {
            self.find_ours(seq, &key, &bytes, &error).await?;
        }

        *stream = Stream { name: stream.name.clone(), head: seq, hash: sha256(&bytes), state };
        if seq.is_multiple_of(SNAPSHOT_EVERY) {
            self.save_snapshot(stream).await;
        }
        Ok(seq)
    }

    /// Looks whether the entry is there although the store said `error`.
    async fn find_ours(
        &self,
        seq: u64,
        key: &Path,
        ours: &Bytes,
        error: &object_store::Error,
    ) -> Result<(), AppendError> {
        let taken = matches!(error, object_store::Error::AlreadyExists { .. });
        match self.get(key, ENTRY_LIMIT).await {
            Ok(Some(found)) if found == *ours => Ok(()),
            Ok(Some(found)) => {
                let by = Entry::read(key, &found).map(|it| it.id).unwrap_or_default();
                Err(AppendError::Overtaken { seq, by })
            }
            Ok(None) if taken => {
                let because = "it is said to exist and is not there: the store is ill".to_owned();
                Err(LedgerError::Store { key: key.to_string(), because }.into())
            }
            Ok(None) | Err(_) => Err(LedgerError::store(key, error).into()),
        }
    }

    /// The next reader is faster for it, and right without it.
    async fn save_snapshot(&self, stream: &Stream) {
        let Some(bytes) = snapshot::to_bytes(stream) else { return };
        let key = key::snapshot(&self.catalog, &stream.name);
        if let Err(error) = self.store.put(&key, bytes.into()).await {
            let name = &stream.name;
            tracing::warn!(stream = %name, "The snapshot of {name} was not saved: {error}");
        }
    }

    /// All entries of a stream with their numbers, in order: the story of an image.
    ///
    /// # Errors
    /// As [`Ledger::read`], except that the events are not judged.
    pub async fn entries(&self, name: &StreamName) -> Result<Vec<(u64, Entry)>, LedgerError> {
        let greatest = self.greatest(name, 0).await?;
        let stored = self.stored(name, 1..=greatest).await?;

        let mut prev = String::new();
        let mut entries = Vec::with_capacity(stored.len());
        for stored in stored {
            entries.push((stored.seq, linked(&prev, &stored)?));
            prev = sha256(&stored.bytes);
        }
        Ok(entries)
    }

    /// The images that have a stream, by name.
    ///
    /// # Errors
    /// [`LedgerError::Store`] when the store is ill.
    pub async fn streams(&self) -> Result<Vec<ImageName>, LedgerError> {
        let folder = key::catalog(&self.catalog);
        let listed = self.store.list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|error| LedgerError::store(&folder, &error))?;

        let mut images = Vec::new();
        for folder in listed.common_prefixes {
            match folder.filename().map(str::parse) {
                Some(Ok(image)) => images.push(image),
                _ if folder.filename() == Some(StreamName::Catalog.as_str()) => {}
                _ => tracing::warn!(folder = %folder, "`{folder}` is not the stream of an image"),
            }
        }
        images.sort();
        Ok(images)
    }
}

fn to_bytes(key: &Path, entry: &Entry) -> Result<Bytes, LedgerError> {
    let bytes = serde_json::to_vec(entry).map_err(|error| LedgerError::Unusable {
        key: key.to_string(),
        because: format!("its entry: {error}"),
    })?;
    let size = bytes.len() as u64;
    if size > ENTRY_LIMIT {
        return Err(LedgerError::TooLong { key: key.to_string(), size, limit: ENTRY_LIMIT });
    }
    Ok(bytes.into())
}
