//! What the simulated Azure remembers, in SQLite: resources by lower-case id, operations, what will
//! become due, counters.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Trouble;

/// The version of these tables; a database of another version is refused.
const SCHEMA: &str = "1";

/// One transaction's view of the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'t> {
    transaction: &'t Transaction<'t>,
    /// The instant under which changes of resources are noted, where somebody looks back.
    noting: Option<DateTime<Utc>>,
}

/// A stored resource: its key (lower-case id), its type in lower case, its record as JSON.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) record: String,
}

impl<'t> Records<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> Records<'t> {
        Records { transaction, noting: None }
    }

    /// The same, which also notes what a resource was from `at` on: [`Records::below_as_of`].
    pub(super) fn noting(self, at: DateTime<Utc>) -> Records<'t> {
        Records { noting: Some(at), ..self }
    }

    /// Makes the tables where they are missing.
    pub(super) fn create(&self) -> Result<(), Trouble> {
        self.transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS azure_resource
                (key TEXT PRIMARY KEY, kind TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS azure_resource_kind ON azure_resource (kind, key);
             CREATE TABLE IF NOT EXISTS azure_operation
                (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS azure_due
                (sequence INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, work TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS azure_due_at ON azure_due (at, sequence);
             CREATE TABLE IF NOT EXISTS azure_history
                (sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, at INTEGER NOT NULL,
                 kind TEXT NOT NULL, record TEXT);
             CREATE INDEX IF NOT EXISTS azure_history_key ON azure_history (key, sequence);
             CREATE TABLE IF NOT EXISTS azure_value
                (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
        )?;
        match self.value("schema")?.as_deref() {
            None => self.set_value("schema", SCHEMA),
            Some(SCHEMA) => Ok(()),
            Some(other) => Err(Trouble::Broken(format!(
                "the database holds an Azure of schema {other}, and this goldsmith knows {SCHEMA}"
            ))),
        }
    }

    /// The resource of this id, in any letter case.
    pub(super) fn get<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Trouble> {
        let mut statement =
            self.transaction.prepare_cached("SELECT record FROM azure_resource WHERE key = ?1")?;
        let record: Option<String> =
            statement.query_row([id.to_ascii_lowercase()], |row| row.get(0)).optional()?;
        Ok(record.map(|it| serde_json::from_str(&it)).transpose()?)
    }

    /// Whether there is a resource of this id.
    pub(super) fn exists(&self, id: &str) -> Result<bool, Trouble> {
        let mut statement =
            self.transaction.prepare_cached("SELECT 1 FROM azure_resource WHERE key = ?1")?;
        Ok(statement.exists([id.to_ascii_lowercase()])?)
    }

    /// The type of a resource, in lower case.
    pub(super) fn kind(&self, id: &str) -> Result<Option<String>, Trouble> {
        let mut statement =
            self.transaction.prepare_cached("SELECT kind FROM azure_resource WHERE key = ?1")?;
        Ok(statement.query_row([id.to_ascii_lowercase()], |row| row.get(0)).optional()?)
    }

    /// Stores a resource under its id; `kind` is its type.
    pub(super) fn put<T: Serialize>(
        &self,
        id: &str,
        kind: &str,
        record: &T,
    ) -> Result<(), Trouble> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO azure_resource (key, kind, record) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET kind = ?2, record = ?3",
        )?;
        let record = serde_json::to_string(record)?;
        statement.execute(params![id.to_ascii_lowercase(), kind.to_ascii_lowercase(), record])?;
        self.note(id, kind, Some(&record))
    }

    /// Forgets a resource.
    pub(super) fn remove(&self, id: &str) -> Result<(), Trouble> {
        let mut statement =
            self.transaction.prepare_cached("DELETE FROM azure_resource WHERE key = ?1")?;
        statement.execute([id.to_ascii_lowercase()])?;
        self.note(id, "", None)
    }

    /// Notes what a resource became; nothing of one that is gone.
    fn note(&self, id: &str, kind: &str, record: Option<&str>) -> Result<(), Trouble> {
        let Some(at) = self.noting else { return Ok(()) };
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO azure_history (key, at, kind, record) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let (key, kind) = (id.to_ascii_lowercase(), kind.to_ascii_lowercase());
        statement.execute(params![key, nanos(at), kind, record])?;
        Ok(())
    }

    /// The resources below `id` as they were at `at`, by key; of changes that were noted alone.
    pub(super) fn below_as_of(&self, id: &str, at: DateTime<Utc>) -> Result<Vec<Stored>, Trouble> {
        let id = id.to_ascii_lowercase();
        self.select(
            "SELECT key, kind, record FROM azure_history AS it
             WHERE key > ?1 AND key < ?2 AND record IS NOT NULL AND sequence =
                (SELECT max(sequence) FROM azure_history WHERE key = it.key AND at <= ?3)
             ORDER BY key",
            params![format!("{id}/"), format!("{id}0"), nanos(at)],
        )
    }

    /// The resources below `id`, by key.
    pub(super) fn below(&self, id: &str) -> Result<Vec<Stored>, Trouble> {
        let id = id.to_ascii_lowercase();
        // `0` is the character after `/`.
        self.select(
            "SELECT key, kind, record FROM azure_resource WHERE key > ?1 AND key < ?2 ORDER BY key",
            params![format!("{id}/"), format!("{id}0")],
        )
    }

    /// The resources of one type below `id`, by key.
    pub(super) fn below_of<T: DeserializeOwned>(
        &self,
        id: &str,
        kind: &str,
    ) -> Result<Vec<T>, Trouble> {
        let id = id.to_ascii_lowercase();
        let stored = self.select(
            "SELECT key, kind, record FROM azure_resource
             WHERE kind = ?3 AND key > ?1 AND key < ?2 ORDER BY key",
            params![format!("{id}/"), format!("{id}0"), kind.to_ascii_lowercase()],
        )?;
        stored.iter().map(|it| Ok(serde_json::from_str(&it.record)?)).collect()
    }

    fn select(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Stored>, Trouble> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| {
            Ok(Stored { key: row.get(0)?, kind: row.get(1)?, record: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The operation of this id.
    pub(super) fn operation<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Trouble> {
        let mut statement =
            self.transaction.prepare_cached("SELECT record FROM azure_operation WHERE id = ?1")?;
        let record: Option<String> =
            statement.query_row([id.to_ascii_lowercase()], |row| row.get(0)).optional()?;
        Ok(record.map(|it| serde_json::from_str(&it)).transpose()?)
    }

    /// Stores an operation.
    pub(super) fn put_operation<T: Serialize>(&self, id: &str, record: &T) -> Result<(), Trouble> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO azure_operation (id, record) VALUES (?1, ?2)
             ON CONFLICT (id) DO UPDATE SET record = ?2",
        )?;
        statement.execute(params![id.to_ascii_lowercase(), serde_json::to_string(record)?])?;
        Ok(())
    }

    /// Notes that `work` becomes due at `at`.
    pub(super) fn schedule<T: Serialize>(
        &self,
        at: DateTime<Utc>,
        work: &T,
    ) -> Result<(), Trouble> {
        let mut statement =
            self.transaction.prepare_cached("INSERT INTO azure_due (at, work) VALUES (?1, ?2)")?;
        statement.execute(params![nanos(at), serde_json::to_string(work)?])?;
        Ok(())
    }

    /// Takes the earliest work that is due by `now`, with the instant it became due.
    pub(super) fn take_due<T: DeserializeOwned>(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Option<(DateTime<Utc>, T)>, Trouble> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT sequence, at, work FROM azure_due WHERE at <= ?1 ORDER BY at, sequence LIMIT 1",
        )?;
        let found: Option<(i64, i64, String)> = statement
            .query_row([nanos(now)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((sequence, at, work)) = found else { return Ok(None) };

        let mut statement =
            self.transaction.prepare_cached("DELETE FROM azure_due WHERE sequence = ?1")?;
        statement.execute([sequence])?;
        Ok(Some((DateTime::from_timestamp_nanos(at), serde_json::from_str(&work)?)))
    }

    /// The instant at which the next work becomes due.
    pub(super) fn next_due(&self) -> Result<Option<DateTime<Utc>>, Trouble> {
        let mut statement = self.transaction.prepare_cached("SELECT min(at) FROM azure_due")?;
        let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(at.map(DateTime::from_timestamp_nanos))
    }

    /// The transaction itself, for what else must be part of it.
    pub(super) fn transaction(&self) -> &'t Transaction<'t> {
        self.transaction
    }

    /// A named value.
    pub(super) fn value(&self, name: &str) -> Result<Option<String>, Trouble> {
        let mut statement =
            self.transaction.prepare_cached("SELECT value FROM azure_value WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Sets a named value.
    pub(super) fn set_value(&self, name: &str, value: &str) -> Result<(), Trouble> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO azure_value (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?;
        statement.execute([name, value])?;
        Ok(())
    }

    /// Adds one to a named counter; returns what it is then.
    pub(super) fn count(&self, name: &str) -> Result<u64, Trouble> {
        let value = self.counter(name)? + 1;
        self.set_value(name, &value.to_string())?;
        Ok(value)
    }

    /// A named counter; 0 when it was never counted.
    pub(super) fn counter(&self, name: &str) -> Result<u64, Trouble> {
        Ok(self.value(name)?.and_then(|it| it.parse().ok()).unwrap_or(0))
    }
}

/// Instants are kept as nanoseconds since 1970, which reach from 1677 to 2262.
fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().unwrap_or(i64::MAX)
}
