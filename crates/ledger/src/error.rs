//! What keeps the ledger from being read or appended to.

use object_store::path::Path;
use rules::state::WrongMove;

/// Why something cannot be read from the ledger's store or written to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store did not answer, or refused.
    #[error("`{key}` cannot be reached in the store: {because}")]
    Store { key: String, because: String },
    /// The record itself is damaged: its stream stops acting until somebody has looked.
    #[error(
        "the ledger is broken at `{key}`: {because}; restore that key from a copy of the store, \
         nothing is done for this stream until then"
    )]
    Broken { key: String, because: String },
    /// A blob that the ledger speaks of is not there.
    #[error("`{key}` is not in the store; restore it from a copy of the store")]
    Missing { key: String },
    /// Larger than is read or written at once.
    #[error("`{key}` has {size} bytes, and at most {limit} are allowed")]
    TooLong { key: String, size: u64, limit: u64 },
    /// A place or a content that no store could take.
    #[error("`{key}` cannot be used: {because}")]
    Unusable { key: String, because: String },
}

impl LedgerError {
    /// True when the same call may succeed later, without anybody doing anything.
    pub fn later(&self) -> bool {
        match self {
            LedgerError::Store { .. } => true,
            LedgerError::Broken { .. }
            | LedgerError::Missing { .. }
            | LedgerError::TooLong { .. }
            | LedgerError::Unusable { .. } => false,
        }
    }

    pub(crate) fn store(key: &Path, error: &object_store::Error) -> LedgerError {
        let next = match error {
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => {
                "; grant the role `Storage Blob Data Contributor` on the container to the managed \
                 identity"
            }
            _ => "",
        };
        LedgerError::Store { key: key.to_string(), because: format!("{error}{next}") }
    }

    pub(crate) fn broken(key: &Path, because: impl Into<String>) -> LedgerError {
        LedgerError::Broken { key: key.to_string(), because: because.into() }
    }
}

/// Why an entry was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// An event cannot follow what has happened; nothing was written.
    #[error(transparent)]
    WrongMove(#[from] WrongMove),
    /// Somebody else's entry has this number: read the stream and decide again.
    #[error("entry {seq} is somebody else's: `{by}`")]
    Overtaken { seq: u64, by: String },
    /// The store is ill, or will not take the entry; whether it was written is not known.
    #[error(transparent)]
    Store(#[from] LedgerError),
}
