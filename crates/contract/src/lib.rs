//! What crossed the wire, held against what Microsoft wrote: every request and every answer is
//! checked against the operation of its OpenAPI document, and nothing that the document does not
//! declare is let through. Only this crate knows JSON Schema's side of Azure, and it knows nothing
//! of ours, so client and sandbox cannot agree on a mistake behind its back.

mod document;
mod operation;
mod schema;
mod finding;
mod exception;
mod later;
mod link;
mod contract;
mod outcome;
mod report;
mod watch;
mod verified;

pub use contract::{Contract, Found};
pub use document::Unreadable;
pub use exception::{EXCEPTIONS, Exception};
pub use finding::{Finding, What};
pub use operation::Operation;
pub use report::{Counts, Report, Side, Violation};
pub use verified::{Verified, at_hand, reference};
pub use watch::{Checked, Exchange, Watch};
