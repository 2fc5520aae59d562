//! What each fuzz target does with its bytes, one file per way in.
//!
//! A panic, more than five seconds or more than a gigabyte is a finding; some targets assert more.
//! The fuzzer calls these functions, and so does `tests/hostile/corpus.rs` with every file of
//! `fuzz/corpus`, so that no target rots and no finding comes back.

mod answers;
mod arm;
mod catalog;
mod entry;
mod handler;
mod host;
mod pointer;
mod report;
mod sandbox;
mod script;
mod store;

/// A target: its name, which is that of its corpus and of its file in `fuzz_targets`, and what it
/// does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 16] = [
    ("arm", arm::arm),
    ("arm_door", sandbox::arm_door),
    ("blob_door", sandbox::blob_door),
    ("bus_door", sandbox::bus_door),
    ("catalog", catalog::catalog),
    ("entry", entry::entry),
    ("estate", catalog::estate),
    ("event", handler::event),
    ("handler", handler::handler),
    ("host", host::host),
    ("identity_door", sandbox::identity_door),
    ("kql", sandbox::kql),
    ("pointer", pointer::pointer),
    ("report", report::report),
    ("store", store::store),
    ("token", answers::token),
];

/// Feeds `bytes` to the target `name`.
///
/// # Panics
/// When that is a finding, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(it, _)| *it == name);
    let (_, target) = found.unwrap_or_else(|| panic!("no target is called `{name}`"));
    target(bytes);
}
