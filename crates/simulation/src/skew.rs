//! A machine's own clock, which is a little off, and steps when it is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use seam::Clock;

/// The world's clock, off by so many milliseconds. Clones are the same machine's.
#[derive(Clone, Debug)]
pub struct Skewed {
    clock: Arc<dyn Clock>,
    off: Arc<AtomicI64>,
}

impl Skewed {
    /// A machine whose clock is right.
    pub fn of(clock: Arc<dyn Clock>) -> Skewed {
        Skewed { clock, off: Arc::default() }
    }

    /// Sets the clock: it is off by `off` from now on.
    pub fn set(&self, off: TimeDelta) {
        self.off.store(off.num_milliseconds(), Ordering::Relaxed);
    }

    fn off(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.off.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now() + self.off()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        self.clock.sleep_until(at - self.off()).await;
    }
}
