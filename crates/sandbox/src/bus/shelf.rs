//! One queue, or its dead letters, as rows. Every function is one synchronous effect inside a
//! transaction that somebody else commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Row, Transaction, params};

use super::conditions::Conditions;
use super::message::{DeadLetter, Delivery, Message, Property, Said};
use super::options::QueueOptions;
use super::rows::{ACTIVE, SCHEDULED, from_json, instant, json, micros};
use super::{BusError, Counts};
use crate::guid;

/// A queue or its dead letters.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub(super) queue: String,
    pub(super) dead: bool,
    pub(super) options: QueueOptions,
    pub(super) conditions: Arc<Conditions>,
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

    pub(super) fn remove(
        &self,
        transaction: &Transaction<'_>,
        sequence: i64,
    ) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(
                "DELETE FROM bus_messages WHERE queue = ?1 AND dead = ?2 AND sequence = ?3",
            )?
            .execute(params![self.queue, self.dead, sequence])?;
        Ok(())
    }

    pub(super) fn read(
        &self,
        transaction: &Transaction<'_>,
        sequence: i64,
    ) -> rusqlite::Result<Delivery> {
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

    pub(super) fn next_sequence(&self, transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
        transaction
            .prepare_cached(
                "INSERT INTO bus_sequences (queue, sequence, lock) VALUES (?1, 1, 0)
                 ON CONFLICT (queue) DO UPDATE SET sequence = sequence + 1 RETURNING sequence",
            )?
            .query_row([&self.queue], |row| row.get(0))
    }
}
