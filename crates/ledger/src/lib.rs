//! The append-only record of everything that happened to an image: append, read, fold.
//!
//! One stream per image and one for the catalog, each a folder of numbered entries in an object
//! store. Creating the next number if it is absent is the compare-and-swap, and the only
//! primitive needed; nothing is ever changed or deleted. Beside the streams lie the snapshots,
//! which are believed only when they fit, and the blobs, where large things are.

mod key;
mod error;
mod entry;
mod stream;
mod snapshot;
mod ledger;
mod chain;
mod blobs;
mod refused;

pub use blobs::{BLOB_LIMIT, INBOX_LIMIT};
pub use entry::{Draft, ENTRY_LIMIT, Entry, FORMAT};
pub use error::{AppendError, LedgerError};
pub use ledger::Ledger;
pub use snapshot::SNAPSHOT_EVERY;
pub use stream::{Stream, StreamName};
