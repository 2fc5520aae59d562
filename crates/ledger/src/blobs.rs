//! Large things, by the hash of their content: catalogs, scripts, reports, logs, plans. And the
//! inbox, where Azure leaves what it was asked for.

use bytes::Bytes;
use object_store::PutMode;
use object_store::path::Path;

use crate::entry::sha256;
use crate::{Ledger, LedgerError};

/// A blob is read whole: at most this many bytes.
pub const BLOB_LIMIT: u64 = 64 * 1024 * 1024;

/// What lies in the inbox was written by a build, and is read whole: at most this many bytes.
pub const INBOX_LIMIT: u64 = 32 * 1024 * 1024;

impl Ledger {
    /// Stores `bytes` and returns their SHA-256 in hex, by which [`Ledger::blob`] finds them.
    /// Storing the same again changes nothing.
    ///
    /// # Errors
    /// When the store is ill, or `bytes` are more than [`BLOB_LIMIT`].
    pub async fn put_blob(&self, bytes: Bytes) -> Result<String, LedgerError> {
        let digest = sha256(&bytes);
        let key = Path::from_iter(["blobs", digest.as_str()]);
        let size = bytes.len() as u64;
        if size > BLOB_LIMIT {
            return Err(LedgerError::TooLong { key: key.to_string(), size, limit: BLOB_LIMIT });
        }
        self.create(&key, bytes).await?;
        Ok(digest)
    }

    /// The bytes whose SHA-256 is `digest`.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when there are none, [`LedgerError::Broken`] when they are
    /// others, [`LedgerError::Store`] when the store is ill.
    pub async fn blob(&self, digest: &str) -> Result<Bytes, LedgerError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digest.len() != 64 || !digest.bytes().all(hex) {
            let key = digest.chars().take(80).collect();
            let because = "a blob is named by the 64 hex digits of its SHA-256".to_owned();
            return Err(LedgerError::Unusable { key, because });
        }

        let key = Path::from_iter(["blobs", digest]);
        let bytes = self.get(&key, BLOB_LIMIT).await?;
        let bytes = bytes.ok_or_else(|| LedgerError::Missing { key: key.to_string() })?;
        if sha256(&bytes) != digest {
            return Err(LedgerError::broken(&key, "its content has another hash than its name"));
        }
        Ok(bytes)
    }

    /// What was left at `key` in the inbox; nothing when nothing has arrived.
    ///
    /// # Errors
    /// When `key` is not a place in the inbox, when it is larger than [`INBOX_LIMIT`], or when
    /// the store is ill.
    pub async fn inbox(&self, key: &str) -> Result<Option<Bytes>, LedgerError> {
        let not_a_key =
            |because: String| LedgerError::Unusable { key: format!("inbox/{key}"), because };
        let place = Path::parse(key).map_err(|error| not_a_key(error.to_string()))?;
        if place.is_root() {
            return Err(not_a_key("it is empty".to_owned()));
        }
        let key = Path::from_iter(Path::from("inbox").parts().chain(place.parts()));
        self.get(&key, INBOX_LIMIT).await
    }

    /// Writes `bytes` at `key` unless something is there.
    pub(crate) async fn create(&self, key: &Path, bytes: Bytes) -> Result<(), LedgerError> {
        match self.store.put_opts(key, bytes.into(), PutMode::Create.into()).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(LedgerError::store(key, &error)),
        }
    }
}
