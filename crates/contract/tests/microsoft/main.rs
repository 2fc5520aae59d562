//! The contract against Microsoft's own examples and recordings, where they are at hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that skips says so")]

mod reference;
mod examples;
mod verified;
mod recordings;
