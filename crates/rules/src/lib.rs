//! Everything that decides: values in, verdicts with reasons out. No IO, no clock, no async, no
//! Azure types.

pub mod name;
pub mod plain;
pub mod catalog;
pub mod version;
pub mod trigger;
pub mod newcomer;
pub mod request;
pub mod schedule;
pub mod event;
pub mod state;
pub mod wake;
pub mod pace;
pub mod standing;
pub mod number;
pub mod gate;
pub mod rings;
pub mod in_use;
pub mod retention;

pub use name::{CatalogName, ImageName, Region};
pub use version::VersionNumber;
