//! Randomness from a seed: the one place that draws numbers.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;

/// A source of numbers that a seed decides. Clones draw from the same source.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    /// The source of `seed`.
    pub fn of(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A source of its own, so that what is drawn here moves nothing there.
    pub fn fork(&self) -> Chance {
        Chance(Arc::new(Mutex::new(self.rng(fastrand::Rng::fork))))
    }

    fn rng<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True with a probability of `rate`, 0 to 1. Nothing is drawn for 0.
    pub fn happens(&self, rate: f64) -> bool {
        rate > 0.0 && self.rng(fastrand::Rng::f64) < rate
    }

    /// A number in `range`, which must not be empty.
    pub fn within(&self, range: Range<u64>) -> u64 {
        self.rng(|it| it.u64(range))
    }

    /// A place in something that has `length` of them; 0 when it is empty.
    pub fn place(&self, length: usize) -> usize {
        self.rng(|it| if length == 0 { 0 } else { it.usize(..length) })
    }

    /// One of `choices`, of which there must be one.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.place(choices.len())]
    }

    /// A time from nothing up to `longest`, by the millisecond; short ones are likelier.
    pub fn delay(&self, longest: TimeDelta) -> TimeDelta {
        let share = self.rng(fastrand::Rng::f64).powi(4);
        let longest = u64::try_from(longest.num_milliseconds()).unwrap_or(0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a share of a time that is days at most"
        )]
        let drawn = (longest as f64 * share) as i64;
        TimeDelta::milliseconds(drawn)
    }

    /// Any instant of the time up to `longest`, by the second.
    pub fn sometime(&self, longest: TimeDelta) -> TimeDelta {
        let longest = u64::try_from(longest.num_seconds()).unwrap_or(0).max(1);
        TimeDelta::seconds(i64::try_from(self.within(0..longest)).unwrap_or(0))
    }

    /// Shuffles `items`.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        self.rng(|it| it.shuffle(items));
    }
}
