//! What becomes due in a queue: locks end, schedules come, lives are over, and what was delivered too
//! often or lived too long goes to the dead letters.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::BusError;
use super::message::{DeadLetter, Property};
use super::rows::{ACTIVE, LOCKED, SCHEDULED, instant, json, micros};
use super::shelf::Shelf;

/// Times are kept in microseconds.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

impl Shelf {
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
            let due = due.map(instant).map(|due| match state {
                LOCKED => self.conditions.end_of_lock(due - self.options.lock, self.options.lock),
                _ => due,
            });
            next = [next, due].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// Carries out what became due: locks that ended, schedules that came, lives that are over.
    pub(super) fn settle(
        &mut self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), BusError> {
        // A lock that ends later than this was taken or renewed after the last loss of all locks.
        let lost = self.conditions.locks_lost_by(now).map(|it| it + self.options.lock - MOMENT);
        for sequence in self.due(transaction, LOCKED, lost.map_or(now, |it| it.max(now)))? {
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
    pub(super) fn give_back(
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
}
