//! Time has one owner; everybody else asks it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time and waits for it. The desk's own clock, which stands still while work is in
/// flight, is in the sandbox.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The instant it is.
    fn now(&self) -> DateTime<Utc>;

    /// Returns once `at` has come; at once when it has passed.
    async fn sleep_until(&self, at: DateTime<Utc>);
}

/// The system's clock, in the cloud.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's time")]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        if let Ok(wait) = (at - self.now()).to_std() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// A time that somebody told us; it stands still. The handler on a desk is told the time with
/// each invocation.
#[derive(Clone, Copy, Debug)]
pub struct ToldClock(pub DateTime<Utc>);

#[async_trait]
impl Clock for ToldClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    async fn sleep_until(&self, _at: DateTime<Utc>) {
        std::future::pending::<()>().await;
    }
}

/// Tokio's paused clock, mapped onto a calendar: tests and the simulation. Time jumps to the next
/// sleeper when every task waits.
#[derive(Clone, Copy, Debug)]
pub struct PausedClock {
    start: DateTime<Utc>,
    began: tokio::time::Instant,
}

impl PausedClock {
    /// A calendar that reads `start` now. Must be called inside a runtime whose time is paused.
    pub fn starting_at(start: DateTime<Utc>) -> PausedClock {
        PausedClock { start, began: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.began.elapsed()).unwrap_or(TimeDelta::MAX);
        self.start + elapsed
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        let offset = (at - self.start).to_std().unwrap_or(Duration::ZERO);
        tokio::time::sleep_until(self.began + offset).await;
    }
}
