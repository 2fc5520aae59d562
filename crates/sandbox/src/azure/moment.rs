//! Instants as each Azure service writes them, and how long each thing takes.

use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use sha2::{Digest, Sha256};

/// .NET ticks (100 ns) from year 1 to 1970.
const TICKS_TO_1970: i64 = 621_355_968_000_000_000;

/// The `endTime` of a run that has not ended (recorded).
pub(super) const YEAR_ONE: &str = "0001-01-01T00:00:00Z";

/// Compute's way: `+00:00`, a fraction of up to 7 digits without trailing zeros, never Z (recorded).
pub(super) fn compute(at: DateTime<Utc>) -> String {
    format!("{}{}+00:00", at.format("%Y-%m-%dT%H:%M:%S"), fraction(at.nanosecond() / 100, 7))
}

/// The way of Image Builder's operations: Z, a fraction of up to 7 digits (recorded).
pub(super) fn builder_operation(at: DateTime<Utc>) -> String {
    format!("{}{}Z", at.format("%Y-%m-%dT%H:%M:%S"), fraction(at.nanosecond() / 100, 7))
}

/// The way of `lastRunStatus`: Z and 9 digits (recorded).
pub(super) fn run(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn fraction(value: u32, digits: usize) -> String {
    if value == 0 {
        return String::new();
    }
    let text = format!("{value:0digits$}");
    format!(".{}", text.trim_end_matches('0'))
}

/// .NET ticks, as signed status URLs carry them.
pub(super) fn ticks(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() * 10 + i64::from(at.nanosecond() % 1000 / 100) + TICKS_TO_1970
}

/// A number that follows from `words` alone: what would be chance elsewhere.
pub(super) fn lot(words: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(bytes)
}

/// A time from `least` to `most` seconds, to 100 ns, that follows from `words` alone.
pub(super) fn between(words: &[&str], least: f64, most: f64) -> TimeDelta {
    let share = lot(words) as f64 / u64::MAX as f64;
    seconds(least + (most - least) * share)
}

/// `value` seconds, to 100 ns.
pub(super) fn seconds(value: f64) -> TimeDelta {
    TimeDelta::nanoseconds((value * 10_000_000.0).round() as i64 * 100)
}

/// `share` of `whole`.
pub(super) fn share(whole: TimeDelta, share: f64) -> TimeDelta {
    seconds(whole.as_seconds_f64() * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn compute_writes_an_offset_and_drops_trailing_zeros() {
        assert_eq!(compute(at("2025-01-07T07:11:57.0730900Z")), "2025-01-07T07:11:57.07309+00:00");
        assert_eq!(compute(at("2021-04-01T00:00:00Z")), "2021-04-01T00:00:00+00:00");
    }

    #[test]
    fn a_run_is_told_to_the_nanosecond() {
        assert_eq!(run(at("2024-05-14T08:39:55.679639302Z")), "2024-05-14T08:39:55.679639302Z");
        assert_eq!(run(at("2024-05-14T08:39:55Z")), "2024-05-14T08:39:55.000000000Z");
    }

    #[test]
    fn ticks_are_those_of_dotnet() {
        // The URL of a recorded operation, made a moment after its Date header.
        assert_eq!(ticks(at("2024-05-15T09:33:08.8567199Z")), 638_513_623_888_567_199);
    }

    #[test]
    fn a_duration_lies_in_its_range_and_follows_from_the_words() {
        for name in ["a", "b", "c", "d"] {
            let time = between(&[name, "run"], 850.0, 1000.0).as_seconds_f64();
            assert!((850.0..=1000.0).contains(&time), "{time}");
        }
        assert_eq!(between(&["a"], 0.0, 9.0), between(&["a"], 0.0, 9.0));
        assert_ne!(between(&["a"], 0.0, 9.0), between(&["b"], 0.0, 9.0));
    }
}
