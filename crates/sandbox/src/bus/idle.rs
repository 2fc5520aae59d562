//! Which queues have nothing to give, and until when: whoever waits for twenty of them asks the
//! database about the one that has.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::shelf::Shelf;

/// By queue that had nothing to receive and to which nothing was done since: when time alone
/// changes that; never, when it is None.
///
/// It is written inside a transaction only, so that it is in the order of the database.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<BTreeMap<String, Option<DateTime<Utc>>>>);

impl Idle {
    /// Until when the queue has nothing to give, if that is known.
    pub(super) fn until(&self, shelf: &Shelf) -> Option<Option<DateTime<Utc>>> {
        if shelf.dead {
            return None;
        }
        self.known().get(&shelf.queue).copied()
    }

    /// The queue has nothing to give before `due`.
    pub(super) fn remember(&self, shelf: &Shelf, due: Option<DateTime<Utc>>) {
        // What is done to a queue may fill its dead letters.
        if !shelf.dead {
            self.known().insert(shelf.queue.clone(), due);
        }
    }

    /// Something is done to the queue.
    pub(super) fn forget(&self, shelf: &Shelf) {
        self.known().remove(&shelf.queue);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<DateTime<Utc>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
