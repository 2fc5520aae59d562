//! A wish of the ledger becomes a Service Bus message, and a message becomes a pointer again.
//!
//! Goldsmith only ever sends; the Functions host receives. A message that was sent twice has the
//! same id, which the queue's duplicate detection drops and the ledger does not mind.

mod error;
mod pointer;
mod sender;

pub use error::BusError;
pub use pointer::{Pointer, PointerError};
pub use sender::{Bus, Outgoing};

/// A message is a pointer into the ledger, never a payload: at most this many bytes.
pub const BODY_LIMIT: usize = 1024;
