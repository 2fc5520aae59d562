//! A token bucket that refills as desk time passes. Between two requests it is a row in the
//! database: how much was left, and when.

use super::World;
use super::answer::Trouble;

/// So many parts of a token are counted.
const PARTS: u64 = 1_000_000;

/// How much a bucket holds when it is full, and how fast it fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) capacity: u64,
    /// Tokens that come back in a minute.
    pub(super) per_minute: u64,
}

/// What became of a request for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was there; so many whole ones are left.
    Left(u64),
    /// The bucket is empty, and there is a token again after so many seconds, at least one.
    Empty { wait_secs: u64 },
}

impl Bucket {
    /// Takes one token out of the bucket that is kept under `key`. One that was never touched is
    /// full.
    pub(super) fn take(self, world: &World<'_>, key: &str) -> Result<Taken, Trouble> {
        let capacity = world.estate.budget(self.capacity) * PARTS;
        let per_minute = world.estate.budget(self.per_minute);
        let now = world.now.timestamp_millis();

        let kept = world.records.value(key)?;
        let kept = kept.as_deref().and_then(|it| it.split_once(' '));
        let kept = kept.and_then(|(left, at)| Some((left.parse().ok()?, at.parse().ok()?)));
        let (left, at): (u64, i64) = kept.unwrap_or((capacity, now));
        let passed_millis = u64::try_from(now - at).unwrap_or(0);
        let came_back = passed_millis.saturating_mul(per_minute).saturating_mul(PARTS) / 60_000;
        let level = left.saturating_add(came_back).min(capacity);

        let Some(left) = level.checked_sub(PARTS) else {
            let missing = PARTS - level;
            let wait_secs = (missing * 60).div_ceil(per_minute * PARTS).max(1);
            return Ok(Taken::Empty { wait_secs });
        };
        world.records.set_value(key, &format!("{left} {now}"))?;
        Ok(Taken::Left(left / PARTS))
    }
}
