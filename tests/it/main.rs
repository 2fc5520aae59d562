//! The product as a whole, in one binary: the walk in one process under paused time, and the
//! processes that `goldsmith up` starts.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail, and may say so")]

mod desk;
mod spoiled;
mod stand;
mod changed;
mod hard_answers;
mod wire;
mod lifecycle;
mod fabrikam;
mod processes;
mod identity;
mod cloud;
mod twice;
mod faults;
mod bad_input;
mod events;
mod newcomers;
mod people;
mod variants;
mod exposed;
mod superseded;
mod coalesced;
mod storm;
mod sweeps;
mod kept;
mod late;
mod waits;
mod layout;
mod bites;
