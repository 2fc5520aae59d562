//! The simulated Azure Resource Manager, through its routes and under a clock that is moved by hand.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may unwrap, and say what it skips"
)]

mod desk;
mod admission;
mod galleries;
mod versions;
mod version_changes;
mod soft_delete;
mod templates;
mod builds;
mod clouds;
mod marketplace;
mod machines;
mod resource_graph;
mod events;
mod estates;
mod resources;
mod foreign_clients;
mod throttling;
mod open_questions;
