//! What is sent, named or written to do harm: whatever it is, it is refused or made harmless, and
//! nobody else suffers from it.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod corpus;
mod doors;
mod shown;
mod ssrf;
