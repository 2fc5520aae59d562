//! What processes and files go through on a machine: killed, stopped, out of disk, out of ports,
//! spoiled. The real `goldsmith` on a real folder; afterwards its record is read by code that shares
//! nothing with it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail, and may say so")]

mod lot;
mod offered;
mod up;
mod stream;
mod azure;
mod judge;
mod kills;
mod full_disk;
mod spoiled;
mod doors;
mod stalled;
