//! Service Bus on a desk: its REST interface and its rules (locks, duplicates, schedules, dead
//! letters) on SQLite, and the same queues for the Functions host in this process.
//!
//! Nothing runs in the background: whatever became due by now is settled when a queue is looked at,
//! as the service itself does it.

mod authorization;
mod conditions;
mod due;
mod lock;
mod idle;
mod message;
mod options;
mod post;
mod properties;
mod refusal;
mod routes;
mod rows;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use seam::Clock;
use tokio::sync::watch;

use crate::database::Database;
use crate::estate::MissingRole;
use authorization::Guard;
use idle::Idle;
use post::Post;
use shelf::Shelf;

pub use authorization::SharedKey;
pub use conditions::Conditions;
pub use message::{DeadLetter, Delivery, Message, Property, Said};
pub use options::{Queue, QueueError, QueueOptions};

/// The longest message, properties included, that the Standard tier takes: 256 KB.
/// <https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas>
pub const LARGEST_MESSAGE_BYTES: usize = 256 * 1024;

/// A Service Bus namespace.
#[derive(Debug)]
pub struct Bus {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    queues: BTreeMap<String, QueueOptions>,
    conditions: Arc<Conditions>,
    post: Post,
    changes: watch::Sender<u64>,
    dead_lettered: Mutex<Vec<DeadLetter>>,
    idle: Idle,
}

/// Why the bus did not do what it was asked in this process.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("there is no queue `{0}`; name it with `--queue {0}`")]
    NoQueue(String),
    #[error("a message of {0} bytes is over the limit of 262144")]
    TooLarge(usize),
    #[error("queue `{0}` needs a session id in each message")]
    NeedsSession(String),
    #[error("the lock on message {0} is lost: it has expired, or the message is settled")]
    LockLost(String),
    #[error("the messages were not taken: {0}")]
    NotCommitted(String),
    #[error("the queues cannot be read or written: {0}")]
    Database(#[from] rusqlite::Error),
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready to be received.
    pub active: u64,
    /// Received, not yet settled.
    pub locked: u64,
    /// To come.
    pub scheduled: u64,
    /// In the queue's dead-letter queue.
    pub dead: u64,
}

/// When messages are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// Before anybody else has a turn: what happens in one process under told time happens in the
    /// order in which it was asked for.
    AtOnce,
    /// With what others send at the same time: over sockets their order is nobody's.
    Together,
}

/// What became of a message that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It can be received again, at once.
    Redelivered,
    /// It had been delivered as often as the queue allows.
    DeadLettered,
}

/// Whose messages are received.
#[derive(Clone, Copy, Debug)]
pub enum Sessions<'a> {
    Any,
    /// Of none of these sessions: somebody has them.
    Except(&'a BTreeSet<String>),
    /// Of this session.
    Only(&'a str),
}

impl Bus {
    /// Opens the namespace in `database`. Messages of earlier sessions are still there; those in a
    /// queue that is not among `queues` wait until it is again.
    ///
    /// # Errors
    /// When the tables cannot be made.
    pub fn open(
        database: Arc<Database>,
        clock: Arc<dyn Clock>,
        queues: impl IntoIterator<Item = Queue>,
    ) -> Result<Arc<Bus>, BusError> {
        Bus::open_under(Conditions::default(), database, clock, queues)
    }

    /// The same, of a namespace that works under `conditions`.
    ///
    /// # Errors
    /// As [`Bus::open`].
    pub fn open_under(
        conditions: Conditions,
        database: Arc<Database>,
        clock: Arc<dyn Clock>,
        queues: impl IntoIterator<Item = Queue>,
    ) -> Result<Arc<Bus>, BusError> {
        database.write(rows::create)?;
        let queues = queues.into_iter().map(|it| (it.name.to_ascii_lowercase(), it.options));
        Ok(Arc::new(Bus {
            database,
            clock,
            queues: queues.collect(),
            conditions: Arc::new(conditions),
            post: Post::default(),
            changes: watch::Sender::new(0),
            dead_lettered: Mutex::default(),
            idle: Idle::default(),
        }))
    }

    /// The REST interface, `/{queue}/messages[/head|/{id}/{lock token}]`. It takes signatures made
    /// with `key` that have not expired by `signers_clock`, and any bearer token.
    pub fn router(self: &Arc<Self>, key: SharedKey, signers_clock: Arc<dyn Clock>) -> Router {
        routes::router(Arc::clone(self), Guard::new(key, signers_clock))
    }

    /// What it answers to a token whose bearer has no role.
    pub(crate) fn missing_role(&self) -> MissingRole {
        self.conditions.missing_role()
    }

    /// Sends a JSON text, as another service of Azure would: visible at `at`, at once when that has
    /// passed. A message with a remembered id is dropped.
    ///
    /// Opens its own transaction; inside one, use [`Bus::deliver_within`].
    ///
    /// # Errors
    /// [`BusError::NoQueue`], [`BusError::TooLarge`], [`BusError::NeedsSession`].
    pub fn deliver(
        &self,
        queue: &str,
        message_id: &str,
        body: &str,
        at: DateTime<Utc>,
    ) -> Result<(), BusError> {
        self.database
            .write(|transaction| self.deliver_within(transaction, queue, message_id, body, at))
    }

    /// [`Bus::deliver`] as part of a larger change: the message is there if and only if that is.
    ///
    /// # Errors
    /// As [`Bus::deliver`].
    pub fn deliver_within(
        &self,
        transaction: &Transaction<'_>,
        queue: &str,
        message_id: &str,
        body: &str,
        at: DateTime<Utc>,
    ) -> Result<(), BusError> {
        let message = Message {
            message_id: message_id.to_owned(),
            body: body.as_bytes().to_vec(),
            content_type: Some("application/json".to_owned()),
            scheduled_at: Some(at),
            ..Message::default()
        };
        self.send_within(transaction, queue, message)
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// As [`Bus::deliver`].
    pub fn send(&self, queue: &str, message: Message) -> Result<(), BusError> {
        self.database.write(|transaction| self.send_within(transaction, queue, message))
    }

    /// Sends all of `messages` or none; returns once they are committed.
    ///
    /// # Errors
    /// As [`Bus::deliver`]; [`BusError::NotCommitted`].
    async fn send_all(
        &self,
        queue: &str,
        messages: Vec<Message>,
        commit: Commit,
    ) -> Result<(), BusError> {
        let shelf = self.shelf(queue)?;
        accept(&shelf, &messages)?;

        let told = self.post.add(shelf, messages);
        match commit {
            Commit::AtOnce => {}
            // Whoever else has a message ready adds it meanwhile.
            Commit::Together => tokio::task::yield_now().await,
        }
        self.commit_post();
        match told.await {
            Ok(answer) => answer.map_err(BusError::NotCommitted),
            Err(_) => Err(BusError::NotCommitted("nobody has committed them".to_owned())),
        }
    }

    /// Commits what is waiting, unless somebody has done it already.
    fn commit_post(&self) {
        let Some(mut group) = self.post.take() else { return };
        let now = self.clock.now();
        let committed = self.database.write(|transaction| {
            group.shelves().for_each(|it| self.idle.forget(it));
            group.write(transaction, now)
        });
        group.tell(&committed);
        self.changes.send_modify(|it| *it += 1);
    }

    fn send_within(
        &self,
        transaction: &Transaction<'_>,
        queue: &str,
        message: Message,
    ) -> Result<(), BusError> {
        let shelf = self.shelf(queue)?;
        accept(&shelf, std::slice::from_ref(&message))?;
        self.idle.forget(&shelf);
        shelf.insert(transaction, message, self.clock.now())?;
        self.changes.send_modify(|it| *it += 1);
        Ok(())
    }

    fn needs_session(&self, queue: &str) -> Result<bool, BusError> {
        let shelf = self.shelf(queue)?;
        Ok(shelf.options.sessions && !shelf.dead)
    }

    /// The message that `token` locks, called by its message id or its sequence number.
    fn locked(&self, queue: &str, id: &str, token: &str) -> Result<Option<Delivery>, BusError> {
        let shelf = self.shelf(queue)?;
        let now = self.clock.now();
        self.on(&shelf, |transaction, shelf| shelf.find_locked(transaction, id, token, now))
    }

    /// Locks the next message of `queue` and returns it; `None` when there is none now.
    /// `queue` may name a dead-letter queue: `{name}/$deadletterqueue`.
    ///
    /// # Errors
    /// [`BusError::NoQueue`].
    pub fn receive(&self, queue: &str) -> Result<Option<Delivery>, BusError> {
        self.receive_of(queue, Sessions::Any)
    }

    /// [`Bus::receive`], of these sessions alone.
    ///
    /// # Errors
    /// [`BusError::NoQueue`].
    pub fn receive_of(
        &self,
        queue: &str,
        sessions: Sessions<'_>,
    ) -> Result<Option<Delivery>, BusError> {
        let shelf = self.shelf(queue)?;
        let now = self.clock.now();
        if self.idle.until(&shelf).is_some_and(|due| due.is_none_or(|due| now < due)) {
            return Ok(None);
        }
        let any = matches!(sessions, Sessions::Any);
        self.on(&shelf, |transaction, shelf| {
            let next = shelf.lock_next_of(transaction, sessions, now)?;
            if next.is_none() && any {
                self.idle.remember(shelf, shelf.next_due(transaction)?);
            }
            Ok(next)
        })
    }

    /// Takes the next message of `queue` away for good and returns it.
    ///
    /// # Errors
    /// [`BusError::NoQueue`].
    pub fn take(&self, queue: &str) -> Result<Option<Delivery>, BusError> {
        let shelf = self.shelf(queue)?;
        let now = self.clock.now();
        self.on(&shelf, |transaction, shelf| shelf.take_next(transaction, now))
    }

    /// Takes a locked message away for good.
    ///
    /// # Errors
    /// [`BusError::LockLost`] when its lock has expired or was given up.
    pub fn complete(&self, delivery: &Delivery) -> Result<(), BusError> {
        self.settled(delivery, |transaction, shelf, now| {
            shelf.complete(transaction, delivery.sequence, &delivery.lock_token, now)
        })
    }

    /// Gives a locked message back; it is delivered again without delay, or dead-lettered.
    ///
    /// # Errors
    /// [`BusError::LockLost`] when its lock has expired or was given up.
    pub fn abandon(&self, delivery: &Delivery) -> Result<Abandoned, BusError> {
        let abandoned = self.settled(delivery, |transaction, shelf, now| {
            shelf.abandon(transaction, delivery.sequence, &delivery.lock_token, now)
        })?;
        self.changes.send_modify(|it| *it += 1);
        Ok(abandoned)
    }

    /// Locks a locked message for another lock duration, counted from now; returns until when.
    ///
    /// # Errors
    /// [`BusError::LockLost`] when its lock has expired or was given up.
    pub fn renew(&self, delivery: &Delivery) -> Result<DateTime<Utc>, BusError> {
        self.settled(delivery, |transaction, shelf, now| {
            shelf.renew(transaction, delivery.sequence, &delivery.lock_token, now)
        })
    }

    /// When the next thing becomes due in any of `queues`: a scheduled message or the end of a
    /// lock. What waits to be received is not counted.
    ///
    /// # Errors
    /// [`BusError::NoQueue`].
    pub fn next_due<'a>(
        &self,
        queues: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<DateTime<Utc>>, BusError> {
        let mut shelves = Vec::new();
        let mut next = None;
        for queue in queues {
            let shelf = self.shelf(queue)?;
            match self.idle.until(&shelf) {
                Some(due) => next = [next, due].into_iter().flatten().min(),
                None => shelves.push(shelf),
            }
        }
        if shelves.is_empty() {
            return Ok(next);
        }
        self.database.write(|transaction| {
            for shelf in &shelves {
                let due = shelf.next_due(transaction)?;
                next = [next, due].into_iter().flatten().min();
            }
            Ok(next)
        })
    }

    /// How many messages each queue holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn counts(&self) -> Result<BTreeMap<String, Counts>, BusError> {
        let now = self.clock.now();
        let mut counts = BTreeMap::new();
        for name in self.queues.keys() {
            let shelf = self.shelf(name)?;
            let count = self.on(&shelf, |transaction, shelf| {
                shelf.settle(transaction, now)?;
                Ok(shelf.count(transaction)?)
            })?;
            counts.insert(name.clone(), count);
        }
        Ok(counts)
    }

    /// The names of the queues, in order.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }

    /// The messages that were dead-lettered since this was last asked.
    pub fn take_dead_lettered(&self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead_lettered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes whenever a message came or was given back.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn settled<T>(
        &self,
        delivery: &Delivery,
        work: impl FnOnce(&Transaction<'_>, &mut Shelf, DateTime<Utc>) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let shelf = self.shelf(&delivery.queue)?;
        let now = self.clock.now();
        self.on(&shelf, |transaction, shelf| work(transaction, shelf, now))
    }

    /// Runs `work` in a transaction and notes what it dead-lettered. What it settled on the way is
    /// kept even when the answer is a lost lock.
    fn on<T>(
        &self,
        shelf: &Shelf,
        work: impl FnOnce(&Transaction<'_>, &mut Shelf) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let mut shelf = shelf.clone();
        let answer = self.database.write(|transaction| {
            self.idle.forget(&shelf);
            match work(transaction, &mut shelf) {
                Err(BusError::Database(error)) => Err(error),
                answer => Ok(answer),
            }
        })?;
        if !shelf.dead_lettered.is_empty() {
            let mut news = self.dead_lettered.lock().unwrap_or_else(PoisonError::into_inner);
            news.append(&mut shelf.dead_lettered);
        }
        answer
    }

    fn shelf(&self, path: &str) -> Result<Shelf, BusError> {
        let path = path.to_ascii_lowercase();
        let (name, dead) = match path.strip_suffix("/$deadletterqueue") {
            Some(name) => (name, true),
            None => (path.as_str(), false),
        };
        let Some(options) = self.queues.get(name) else {
            return Err(BusError::NoQueue(name.to_owned()));
        };
        Ok(Shelf {
            queue: name.to_owned(),
            dead,
            options: options.clone(),
            conditions: Arc::clone(&self.conditions),
            dead_lettered: Vec::new(),
        })
    }
}

/// Whether a queue takes these messages, which come at once. A batch is one message to its limit.
fn accept(shelf: &Shelf, messages: &[Message]) -> Result<(), BusError> {
    let size = messages.iter().map(Message::size_bytes).sum();
    if size > LARGEST_MESSAGE_BYTES {
        return Err(BusError::TooLarge(size));
    }
    if shelf.options.sessions && messages.iter().any(|it| it.session_id.is_none()) {
        return Err(BusError::NeedsSession(shelf.queue.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
