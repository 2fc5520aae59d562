//! `fuzz/src/lib.rs` says what this does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::run("entry", bytes));
