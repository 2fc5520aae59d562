//! The simulated Azure Resource Manager, through its routes and under a clock that is moved by hand.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may unwrap and say that it skips"
)]

mod desk;
mod admission;
mod galleries;
mod versions;
mod version_changes;
mod soft_delete;
mod templates;
mod builds;
mod marketplace;
mod machines;
mod resource_graph;
mod events;
mod estates;
mod throttling;
mod open_questions;
