//! What several senders send at the same time is committed together: one transaction for all of
//! them, and nobody is told before it is committed.

use std::mem;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::message::Message;
use super::shelf::Shelf;

/// The messages of senders who wait for the next commit.
#[derive(Debug, Default)]
pub(super) struct Post(Mutex<Vec<Posted>>);

/// What one sender sends at once.
#[derive(Debug)]
struct Posted {
    shelf: Shelf,
    messages: Vec<Message>,
    sender: oneshot::Sender<Result<(), String>>,
}

/// What goes into one transaction, in the order in which it came.
#[derive(Debug)]
pub(super) struct Group(Vec<Posted>);

impl Post {
    /// Adds messages that the queue has accepted. The receiver is told that they are there, or why
    /// they are not.
    pub(super) fn add(
        &self,
        shelf: Shelf,
        messages: Vec<Message>,
    ) -> oneshot::Receiver<Result<(), String>> {
        let (sender, told) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Posted { shelf, messages, sender });
        told
    }

    /// Everything that waits; `None` when somebody else has taken it. Whoever went away meanwhile
    /// has sent nothing: a message must not arrive long after its sender gave up.
    pub(super) fn take(&self) -> Option<Group> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|it| !it.sender.is_closed());
        let posted = mem::take(&mut *waiting);
        (!posted.is_empty()).then_some(Group(posted))
    }
}

impl Group {
    /// The queues that it goes to.
    pub(super) fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.0.iter().map(|it| &it.shelf)
    }

    /// Writes the messages of everybody.
    pub(super) fn write(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        for Posted { shelf, messages, .. } in &mut self.0 {
            for message in messages.drain(..) {
                shelf.insert(transaction, message, now)?;
            }
        }
        Ok(())
    }

    /// Tells everybody what became of the transaction.
    pub(super) fn tell(self, committed: &rusqlite::Result<()>) {
        for posted in self.0 {
            let answer = match committed {
                Ok(()) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            // Whoever went away by now does not want to know.
            let _ = posted.sender.send(answer);
        }
    }
}
