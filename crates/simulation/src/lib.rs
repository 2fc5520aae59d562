//! The real handlers, client, bus and ledger code in one process, in virtual time, in a world that
//! one number decides: its catalog, its estate, its calendar, everything that goes wrong in it, and
//! in which order things happen. The same seed gives the same trace, byte for byte.
//!
//! A seed begins in [`plan`], which draws its world; [`world`] puts it together; [`fault`] says what
//! may go wrong and how often; [`network`], [`bad_days`], [`delivery`], [`skew`], [`store`] and
//! [`people`] are where it does; `door` writes down what Azure takes, `log` reads what the app says, and
//! `watch` looks after every event:
//! [`invariants`] say what must always hold. [`year`] lives long in
//! one world, and [`backlog`] lets another one catch up with much.

pub mod chance;
pub mod plan;
pub mod fault;
pub mod trace;
pub mod record;
pub mod traffic;
pub mod skew;
pub mod bad_days;
pub mod network;
pub mod delivery;
pub mod store;
pub mod people;
pub mod invariants;
pub mod watch;
mod door;
pub mod world;
mod log;
pub mod run;
pub mod year;
pub mod backlog;

pub use run::{Report, run, run_around};
