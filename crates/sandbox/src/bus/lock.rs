//! Locks: a received message is its receiver's until it is completed, given back, or time is up.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction, params};

use super::message::Delivery;
use super::rows::{ACTIVE, LOCKED, micros};
use super::shelf::Shelf;
use super::{Abandoned, BusError, Sessions};
use crate::guid;

impl Shelf {
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
        if locked { Ok(()) } else { Err(BusError::LockLost(sequence.to_string())) }
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
}
