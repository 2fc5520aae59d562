//! Reads entries one after another, and sees to it that none is missing or was changed.

use std::ops::RangeInclusive;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::entry::sha256;
use crate::stream::fold;
use crate::{ENTRY_LIMIT, Entry, Ledger, LedgerError, Stream, StreamName, key};

/// Entries under way at once while a stream is read.
const READ_AT_ONCE: usize = 8;

/// An entry as it lies in the store.
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) key: Path,
    pub(crate) bytes: Bytes,
}

impl Ledger {
    /// The greatest number in the stream's folder above `offset`; `offset` when there is none.
    ///
    /// A folder that is listed while others append may show a later entry without an earlier
    /// one, so the greatest is all that a listing is asked for.
    pub(crate) async fn greatest(
        &self,
        name: &StreamName,
        offset: u64,
    ) -> Result<u64, LedgerError> {
        let folder = key::stream(&self.catalog, name);
        let listing = if offset == 0 {
            self.store.list(Some(&folder))
        } else {
            let from = key::entry(&self.catalog, name, offset);
            self.store.list_with_offset(Some(&folder), &from)
        };
        let listed: Vec<_> =
            listing.try_collect().await.map_err(|error| LedgerError::store(&folder, &error))?;

        let mut greatest = offset;
        for object in listed {
            let Some(seq) = key::seq(&object.location) else {
                let because = "it is not an entry; nothing else may be in this folder";
                return Err(LedgerError::broken(&object.location, because));
            };
            greatest = greatest.max(seq);
        }
        Ok(greatest)
    }

    /// The entries `seqs`, in order.
    pub(crate) async fn stored(
        &self,
        name: &StreamName,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<Stored>, LedgerError> {
        stream::iter(seqs)
            .map(|seq| async move {
                let key = key::entry(&self.catalog, name, seq);
                let bytes = self.get(&key, ENTRY_LIMIT).await?.ok_or_else(|| {
                    LedgerError::broken(&key, "the entry is missing, and a later one is there")
                })?;
                Ok(Stored { seq, key, bytes })
            })
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await
    }

    /// The bytes at `key`, at most `limit`; nothing when there are none.
    pub(crate) async fn get(&self, key: &Path, limit: u64) -> Result<Option<Bytes>, LedgerError> {
        let found = match self.store.get(key).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(LedgerError::store(key, &error)),
        };
        let size = found.meta.size;
        if size > limit {
            return Err(LedgerError::TooLong { key: key.to_string(), size, limit });
        }
        let bytes = found.bytes().await.map_err(|error| LedgerError::store(key, &error))?;
        Ok(Some(bytes))
    }
}

/// Reads `stored`, which must follow an entry whose hash is `prev`.
pub(crate) fn linked(prev: &str, stored: &Stored) -> Result<Entry, LedgerError> {
    let entry = Entry::read(&stored.key, &stored.bytes)?;
    if entry.prev != prev {
        return Err(LedgerError::broken(
            &stored.key,
            "its `prev` is not the hash of the entry before: one of the two was changed",
        ));
    }
    Ok(entry)
}

/// Returns the stream after `stored`, the entry that follows its head.
pub(crate) fn follow(stream: Stream, stored: &Stored) -> Result<Stream, LedgerError> {
    let entry = linked(&stream.hash, stored)?;
    let state = fold(stream.state, stored.seq, entry.at, &entry.events)
        .map_err(|wrong| LedgerError::broken(&stored.key, wrong.to_string()))?;
    Ok(Stream { name: stream.name, head: stored.seq, hash: sha256(&stored.bytes), state })
}
