//! An entry: everything that one step had to say, whole or absent.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use object_store::path::Path;
use rules::event::Event;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LedgerError;

/// The format of entries that this release writes, and the newest it reads.
pub const FORMAT: u8 = 1;

/// What is large is a blob; an entry has at most this many bytes.
pub const ENTRY_LIMIT: u64 = 1024 * 1024;

/// One entry of a stream, as it is stored: JSON with its members in this order. A ledger is kept
/// for ever: members may be added with a default, never renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The format, [`FORMAT`].
    pub v: u8,
    /// The attempt that wrote it: two attempts never have the same.
    pub id: String,
    /// The SHA-256 of the bytes of the entry before, in hex; empty in the first.
    pub prev: String,
    /// What made the step run: a message id, an occurrence, a request.
    pub cause: String,
    /// Who: a function, or a person.
    pub by: String,
    /// When, by the clock of the step.
    pub at: DateTime<Utc>,
    /// The digest of the catalog in force.
    pub policy: String,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// An entry that is to be appended; its number and `prev` follow from the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The attempt that writes it. It must differ between two invocations, even of the same
    /// message: it is how an entry whose answer was lost is told from one of a twin.
    pub id: String,
    pub cause: String,
    pub by: String,
    pub at: DateTime<Utc>,
    pub policy: String,
    pub events: Vec<Event>,
}

impl Draft {
    pub(crate) fn after(self, prev: String) -> Entry {
        let Draft { id, cause, by, at, policy, events } = self;
        Entry { v: FORMAT, id, prev, cause, by, at, policy, events }
    }
}

impl Entry {
    /// Reads the bytes at `key`.
    pub(crate) fn read(key: &Path, bytes: &Bytes) -> Result<Entry, LedgerError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }

        let newer = |v: u64| {
            let because =
                format!("it has format {v}, and this release reads {FORMAT}: run the newer one");
            LedgerError::broken(key, because)
        };
        match serde_json::from_slice::<Entry>(bytes) {
            Ok(entry) if entry.v == FORMAT => Ok(entry),
            Ok(entry) => Err(newer(entry.v.into())),
            Err(error) => match serde_json::from_slice(bytes) {
                Ok(Versioned { v }) if v != u64::from(FORMAT) => Err(newer(v)),
                _ => {
                    let because = format!("its content is not an entry ({error})");
                    Err(LedgerError::broken(key, because))
                }
            },
        }
    }
}

/// The SHA-256 of `bytes`, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
