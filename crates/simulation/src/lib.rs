//! The real handlers, client, bus and ledger code in one process, in virtual time, in a world that
//! one number decides: its catalog, its estate, its calendar, everything that goes wrong in it, and
//! in which order things happen. The same seed gives the same trace, byte for byte.
//!
//! A seed begins in [`plan`], which draws its world; [`world`] puts it together; [`fault`] says what
//! may go wrong and how often; [`network`], [`bad_days`], [`delivery`], [`skew`], [`store`] and
//! [`people`] are where it does;
//! [`invariants`] looks after every event whether what must always hold holds.

pub mod chance;
pub mod plan;
pub mod fault;
pub mod trace;
pub mod record;
pub mod skew;
pub mod bad_days;
pub mod network;
pub mod delivery;
pub mod store;
pub mod people;
pub mod invariants;
pub mod world;
pub mod run;

pub use run::{Report, run, run_around};
