//! One queue, or its dead letters, as rows. Every function is one synchronous effect inside a
//! transaction that somebody else commits.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::guid;

use super::message::{DeadLetter, Delivery, Message, Property, Said};
use super::options::QueueOptions;
use super::{Abandoned, BusError, Counts, Sessions};

const SCHEDULED: u8 = 0;
const ACTIVE: u8 = 1;
const LOCKED: u8 = 2;

/// Makes the tables. Times are microseconds since 1970.
pub(super) fn create(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS bus_messages (
            queue TEXT NOT NULL,
            dead INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            state INTEGER NOT NULL,
            enqueued_sequence INTEGER NOT NULL,
            message_id TEXT NOT NULL,
            body BLOB NOT NULL,
            content_type TEXT,
            session_id TEXT,
            said TEXT NOT NULL,
            properties TEXT NOT NULL,
            enqueued_at INTEGER NOT NULL,
            due_at INTEGER,
            time_to_live INTEGER,
            delivery_count INTEGER NOT NULL,
            lock_token TEXT,
            PRIMARY KEY (queue, dead, sequence)
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS bus_ready ON bus_messages (queue, dead, state, sequence);
        CREATE INDEX IF NOT EXISTS bus_due ON bus_messages (queue, dead, state, due_at);
        CREATE INDEX IF NOT EXISTS bus_ageing
            ON bus_messages (queue, dead, state, enqueued_at + time_to_live)
            WHERE time_to_live IS NOT NULL;
        CREATE TABLE IF NOT EXISTS bus_seen (
            queue TEXT NOT NULL,
            message_id TEXT NOT NULL,
            at INTEGER NOT NULL,
            PRIMARY KEY (queue, message_id)
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS bus_seen_at ON bus_seen (queue, at);
        CREATE TABLE IF NOT EXISTS bus_sequences (
            queue TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL,
            lock INTEGER NOT NULL
        ) WITHOUT ROWID;",
    )
}

/// A queue or its dead letters.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub(super) queue: String,
    pub(super) dead: bool,
    pub(super) options: QueueOptions,
    /// What was dead-lettered since this value was made.
    pub(super) dead_lettered: Vec<DeadLetter>,
}

impl Shelf {
    /// Puts a message in; drops it when its id is remembered.
    pub(super) fn insert(
        &self,
        transaction: &Transaction<'_>,
        message: Message,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        let sequence = self.next_sequence(transaction)?;
        let message_id = match message.message_id.as_str() {
            "" => guid::of(&["message", &self.queue, &sequence.to_string()]),
            id => id.to_owned(),
        };
        if self.is_duplicate(transaction, &message_id, now)? {
            return Ok(());
        }

        let scheduled_at = message.scheduled_at.filter(|at| *at > now);
        let state = if scheduled_at.is_some() { SCHEDULED } else { ACTIVE };
        let time_to_live = [message.time_to_live, self.options.time_to_live];
        let time_to_live = time_to_live.into_iter().flatten().min();
        transaction
            .prepare_cached(
                "INSERT INTO bus_messages (queue, dead, sequence, state, enqueued_sequence,
                    message_id, body, content_type, session_id, said, properties, enqueued_at,
                    due_at, time_to_live, delivery_count)
                 VALUES (?1, 0, ?2, ?3, ?2, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0)",
            )?
            .execute(params![
                self.queue,
                sequence,
                state,
                message_id,
                message.body,
                message.content_type,
                message.session_id,
                json(&message.said)?,
                json(&message.properties)?,
                micros(now),
                scheduled_at.map(micros),
                time_to_live.and_then(|it| it.num_microseconds()),
            ])?;
        Ok(())
    }

    /// Locks the next message.
    pub(super) fn lock_next(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>, BusError> {
        self.lock_next_of(transaction, Sessions::Any, now)
    }

    /// Locks the next message of these sessions.
    pub(super) fn lock_next_of(
        &mut self,
        transaction: &Transaction<'_>,
        sessions: Sessions<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>, BusError> {
        self.settle(transaction, now)?;
        let first = match sessions {
            Sessions::Any => self.first_ready(transaction)?,
            Sessions::Except(_) | Sessions::Only(_) => self.first_of(transaction, sessions)?,
        };
        let Some(sequence) = first else {
            return Ok(None);
        };

        let lock: i64 = transaction
            .prepare_cached(
                "UPDATE bus_sequences SET lock = lock + 1 WHERE queue = ?1 RETURNING lock",
            )?
            .query_row([&self.queue], |row| row.get(0))?;
        let token = guid::of(&["lock", &self.queue, &lock.to_string()]);
        transaction
            .prepare_cached(
                "UPDATE bus_messages SET state = ?4, lock_token = ?5, due_at = ?6,
                    delivery_count = delivery_count + 1
                 WHERE queue = ?1 AND dead = ?2 AND sequence = ?3",
            )?
            .execute(params![
                self.queue,
                self.dead,
                sequence,
                LOCKED,
                token,
                micros(now + self.options.lock)
            ])?;
        Ok(Some(self.read(transaction, sequence)?))
    }

    /// Takes the next message away.
    pub(super) fn take_next(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>, BusError> {
        let Some(delivery) = self.lock_next(transaction, now)? else {
            return Ok(None);
        };
        self.remove(transaction, delivery.sequence)?;
        Ok(Some(delivery))
    }

    pub(super) fn complete(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(), BusError> {
        self.locked(transaction, sequence, token, now)?;
        self.remove(transaction, sequence)?;
        Ok(())
    }

    pub(super) fn abandon(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Abandoned, BusError> {
        self.locked(transaction, sequence, token, now)?;
        let dead = self.give_back(transaction, sequence, now)?;
        Ok(if dead { Abandoned::DeadLettered } else { Abandoned::Redelivered })
    }

    pub(super) fn renew(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, BusError> {
        self.locked(transaction, sequence, token, now)?;
        let until = now + self.options.lock;
        transaction
            .prepare_cached(
                "UPDATE bus_messages SET due_at = ?4
                 WHERE queue = ?1 AND dead = ?2 AND sequence = ?3",
            )?
            .execute(params![self.queue, self.dead, sequence, micros(until)])?;
        Ok(until)
    }

    /// The message that `token` locks and that is called `id`: its message id or its sequence
    /// number, since Microsoft's clients use either.
    pub(super) fn find_locked(
        &mut self,
        transaction: &Transaction<'_>,
        id: &str,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>, BusError> {
        self.settle(transaction, now)?;
        let sequence = transaction
            .prepare_cached(
                "SELECT sequence FROM bus_messages
                 WHERE queue = ?1 AND dead = ?2 AND state = ?3 AND lock_token = ?4
                    AND (message_id = ?5 OR CAST(sequence AS TEXT) = ?5)",
            )?
            .query_row(
                params![self.queue, self.dead, LOCKED, token.to_ascii_lowercase(), id],
                |row| row.get(0),
            )
            .optional()?;
        Ok(sequence.map(|sequence| self.read(transaction, sequence)).transpose()?)
    }

    /// When the next scheduled message or the end of a lock is due.
    pub(super) fn next_due(
        &self,
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<Option<DateTime<Utc>>> {
        let mut next = None;
        for state in [SCHEDULED, LOCKED] {
            let due: Option<i64> = transaction
                .prepare_cached(
                    "SELECT MIN(due_at) FROM bus_messages
                     WHERE queue = ?1 AND dead = ?2 AND state = ?3",
                )?
                .query_row(params![self.queue, self.dead, state], |row| row.get(0))?;
            next = [next, due].into_iter().flatten().min();
        }
        Ok(next.map(instant))
    }

    pub(super) fn count(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Counts> {
        let mut counts = Counts::default();
        let mut statement = transaction.prepare_cached(
            "SELECT dead, state, COUNT(*) FROM bus_messages WHERE queue = ?1 GROUP BY dead, state",
        )?;
        let mut rows = statement.query([&self.queue])?;
        while let Some(row) = rows.next()? {
            let (dead, state, number): (bool, u8, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            match (dead, state) {
                (true, _) => counts.dead += u64::from(number),
                (false, SCHEDULED) => counts.scheduled = number.into(),
                (false, ACTIVE) => counts.active = number.into(),
                (false, _) => counts.locked = number.into(),
            }
        }
        Ok(counts)
    }

    /// Carries out what became due: locks that ended, schedules that came, lives that are over.
    pub(super) fn settle(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), BusError> {
        for sequence in self.due(transaction, LOCKED, now)? {
            self.give_back(transaction, sequence, now)?;
        }
        for sequence in self.due(transaction, SCHEDULED, now)? {
            self.activate(transaction, sequence)?;
        }
        // Dead letters do not age.
        if !self.dead {
            self.expire(transaction, now)?;
        }
        Ok(())
    }

    fn due(
        &self,
        transaction: &Transaction<'_>,
        state: u8,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<Vec<i64>> {
        transaction
            .prepare_cached(
                "SELECT sequence FROM bus_messages
                 WHERE queue = ?1 AND dead = ?2 AND state = ?3 AND due_at <= ?4
                 ORDER BY due_at, sequence",
            )?
            .query_map(params![self.queue, self.dead, state, micros(now)], |row| row.get(0))?
            .collect()
    }

    /// Appends a scheduled message to the tail, under a new number.
    fn activate(&self, transaction: &Transaction<'_>, sequence: i64) -> rusqlite::Result<()> {
        let tail = self.next_sequence(transaction)?;
        transaction
            .prepare_cached(
                "UPDATE bus_messages SET sequence = ?3, state = ?4, enqueued_at = due_at,
                    due_at = NULL
                 WHERE queue = ?1 AND dead = 0 AND sequence = ?2",
            )?
            .execute(params![self.queue, sequence, tail, ACTIVE])?;
        Ok(())
    }

    /// Unlocks a message; true when it was dead-lettered for having been delivered too often.
    fn give_back(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<bool> {
        let deliveries: u32 = transaction
            .prepare_cached(
                "UPDATE bus_messages SET state = ?4, lock_token = NULL, due_at = NULL
                 WHERE queue = ?1 AND dead = ?2 AND sequence = ?3 RETURNING delivery_count",
            )?
            .query_row(params![self.queue, self.dead, sequence, ACTIVE], |row| row.get(0))?;
        if self.dead || deliveries < self.options.max_delivery {
            return Ok(false);
        }

        let text = format!(
            "Message could not be consumed after {} delivery attempts.",
            self.options.max_delivery
        );
        self.bury(transaction, sequence, "MaxDeliveryCountExceeded", &text, now)?;
        Ok(true)
    }

    fn expire(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        let expired: Vec<i64> = transaction
            .prepare_cached(
                "SELECT sequence FROM bus_messages
                 WHERE queue = ?1 AND dead = 0 AND state = ?2 AND time_to_live IS NOT NULL
                    AND enqueued_at + time_to_live <= ?3
                 ORDER BY sequence",
            )?
            .query_map(params![self.queue, ACTIVE, micros(now)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;

        for sequence in expired {
            if self.options.dead_letter_expired {
                let text = "The message expired and was dead lettered.";
                self.bury(transaction, sequence, "TTLExpiredException", text, now)?;
            } else {
                self.remove(transaction, sequence)?;
            }
        }
        Ok(())
    }

    /// Moves a message to the dead letters.
    fn bury(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        reason: &str,
        description: &str,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        let buried = self.read(transaction, sequence)?;
        let mut properties = buried.properties;
        let text = |it: &str| Property::Text(it.to_owned());
        properties.insert("deadletterreason".to_owned(), text(reason));
        properties.insert("deadlettererrordescription".to_owned(), text(description));

        transaction
            .prepare_cached(
                "UPDATE bus_messages SET dead = 1, properties = ?3, enqueued_at = ?4
                 WHERE queue = ?1 AND dead = 0 AND sequence = ?2",
            )?
            .execute(params![self.queue, sequence, json(&properties)?, micros(now)])?;
        self.dead_lettered.push(DeadLetter {
            queue: self.queue.clone(),
            message_id: buried.message_id,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// Checks that `token` still locks the message.
    fn locked(
        &mut self,
        transaction: &Transaction<'_>,
        sequence: i64,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(), BusError> {
        self.settle(transaction, now)?;
        let locked = transaction
            .prepare_cached(
                "SELECT 1 FROM bus_messages WHERE queue = ?1 AND dead = ?2 AND sequence = ?3
                    AND state = ?4 AND lock_token = ?5",
            )?
            .exists(params![self.queue, self.dead, sequence, LOCKED, token])?;
        if locked { Ok(()) } else { Err(BusError::LockLost(sequence)) }
    }

    fn remove(&self, transaction: &Transaction<'_>, sequence: i64) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(
                "DELETE FROM bus_messages WHERE queue = ?1 AND dead = ?2 AND sequence = ?3",
            )?
            .execute(params![self.queue, self.dead, sequence])?;
        Ok(())
    }

    fn first_ready(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
        transaction
            .prepare_cached(
                "SELECT sequence FROM bus_messages WHERE queue = ?1 AND dead = ?2 AND state = ?3
                 ORDER BY sequence LIMIT 1",
            )?
            .query_row(params![self.queue, self.dead, ACTIVE], |row| row.get(0))
            .optional()
    }

    /// The first ready message whose session is wanted.
    fn first_of(
        &self,
        transaction: &Transaction<'_>,
        sessions: Sessions<'_>,
    ) -> rusqlite::Result<Option<i64>> {
        let mut statement = transaction.prepare_cached(
            "SELECT sequence, session_id FROM bus_messages
             WHERE queue = ?1 AND dead = ?2 AND state = ?3 ORDER BY sequence",
        )?;
        let mut rows = statement.query(params![self.queue, self.dead, ACTIVE])?;
        while let Some(row) = rows.next()? {
            let session: Option<String> = row.get(1)?;
            let session = session.unwrap_or_default();
            let wanted = match sessions {
                Sessions::Any => true,
                Sessions::Except(busy) => !busy.contains(&session),
                Sessions::Only(one) => session == one,
            };
            if wanted {
                return row.get(0).map(Some);
            }
        }
        Ok(None)
    }

    fn read(&self, transaction: &Transaction<'_>, sequence: i64) -> rusqlite::Result<Delivery> {
        transaction
            .prepare_cached(
                "SELECT message_id, body, content_type, session_id, sequence, enqueued_sequence,
                    enqueued_at, time_to_live, delivery_count, lock_token, due_at, said, properties
                 FROM bus_messages WHERE queue = ?1 AND dead = ?2 AND sequence = ?3",
            )?
            .query_row(params![self.queue, self.dead, sequence], |row| self.delivery(row))
    }

    fn delivery(&self, row: &Row<'_>) -> rusqlite::Result<Delivery> {
        let suffix = if self.dead { "/$deadletterqueue" } else { "" };
        Ok(Delivery {
            queue: format!("{}{suffix}", self.queue),
            message_id: row.get(0)?,
            body: row.get(1)?,
            content_type: row.get(2)?,
            session_id: row.get(3)?,
            sequence: row.get(4)?,
            enqueued_sequence: row.get(5)?,
            enqueued_at: instant(row.get(6)?),
            time_to_live: row.get::<_, Option<i64>>(7)?.map(TimeDelta::microseconds),
            delivery_count: row.get(8)?,
            lock_token: row.get::<_, Option<String>>(9)?.unwrap_or_default(),
            locked_until: row.get::<_, Option<i64>>(10)?.map(instant).unwrap_or_default(),
            said: from_json::<Said>(row, 11)?,
            properties: from_json::<BTreeMap<String, Property>>(row, 12)?,
        })
    }

    /// Remembers the id; true when it was remembered already. The body is not compared.
    fn is_duplicate(
        &self,
        transaction: &Transaction<'_>,
        message_id: &str,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<bool> {
        let Some(window) = self.options.duplicates else {
            return Ok(false);
        };
        transaction
            .prepare_cached("DELETE FROM bus_seen WHERE queue = ?1 AND at <= ?2")?
            .execute(params![self.queue, micros(now - window)])?;
        let added = transaction
            .prepare_cached(
                "INSERT INTO bus_seen (queue, message_id, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![self.queue, message_id, micros(now)])?;
        Ok(added == 0)
    }

    fn next_sequence(&self, transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
        transaction
            .prepare_cached(
                "INSERT INTO bus_sequences (queue, sequence, lock) VALUES (?1, 1, 0)
                 ON CONFLICT (queue) DO UPDATE SET sequence = sequence + 1 RETURNING sequence",
            )?
            .query_row([&self.queue], |row| row.get(0))
    }
}

fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|it| rusqlite::Error::ToSqlConversionFailure(it.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}
