//! Conversations with Azure Resource Manager, cut from recorded ones: what we send, and what we
//! make of each answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that skips says so")]

mod script;
mod bodies;
mod clouds;
mod definitions;
mod errors;
mod graph;
mod lists;
mod recorded;
mod budgets;
mod recordings;
mod secrets;
mod examples;
mod replay;
mod templates;
mod versions;
