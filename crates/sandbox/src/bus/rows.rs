//! The tables of the queues, and how their values are written: times, states, JSON.

use chrono::{DateTime, Utc};
use rusqlite::{Row, Transaction};

pub(super) const SCHEDULED: u8 = 0;
pub(super) const ACTIVE: u8 = 1;
pub(super) const LOCKED: u8 = 2;

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

pub(super) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub(super) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(super) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|it| rusqlite::Error::ToSqlConversionFailure(it.into()))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}
