//! What stops the desk's time: a hold, where holds are taken, and the hold of one HTTP request.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use seam::Clock;

use super::DeskClock;

/// Time stands still while this exists.
#[derive(Debug, Default)]
pub struct Hold(pub(super) Option<Arc<DeskClock>>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(clock) = &self.0 {
            clock.release();
        }
    }
}

/// Where holds are taken: on the desk's clock, or nowhere, under any other clock.
#[derive(Clone, Debug, Default)]
pub struct Holds(Option<Arc<DeskClock>>);

impl Holds {
    /// Holds that hold nothing.
    pub fn none() -> Holds {
        Holds(None)
    }

    /// Holds of this clock.
    pub fn of(clock: &Arc<DeskClock>) -> Holds {
        Holds(Some(Arc::clone(clock)))
    }

    /// Stops time until the returned value is dropped.
    pub fn take(&self) -> Hold {
        self.0.as_ref().map(DeskClock::hold).unwrap_or_default()
    }

    /// Gives `held` back and returns once `clock` reads `at`, with time stopped again. `clock` is
    /// the one that is held.
    pub async fn sleep_until(&self, clock: &dyn Clock, at: DateTime<Utc>, held: Hold) -> Hold {
        match &self.0 {
            Some(desk) => desk.hold_at(at, held).await,
            None => {
                clock.sleep_until(at).await;
                Hold::default()
            }
        }
    }
}

/// The hold of one HTTP request, among its extensions; a route that waits for something to happen
/// lets time pass meanwhile.
#[derive(Clone, Debug, Default)]
pub struct RequestHold {
    holds: Holds,
    hold: Arc<Mutex<Option<Hold>>>,
}

impl RequestHold {
    /// Takes the hold of a request.
    pub fn take(holds: &Holds) -> RequestHold {
        let hold = Arc::new(Mutex::new(Some(holds.take())));
        RequestHold { holds: holds.clone(), hold }
    }

    /// Lets time pass until `wait` is over.
    pub async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        drop(self.change(None));
        let result = wait.await;
        drop(self.change(Some(self.holds.take())));
        result
    }

    fn change(&self, hold: Option<Hold>) -> Option<Hold> {
        let mut held = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, hold)
    }
}
