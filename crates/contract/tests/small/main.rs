//! What the contract lets through and what it does not, with a small document of our own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pets;
mod bodies;
mod requests;
mod links;
