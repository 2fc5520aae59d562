//! What the simulated Azure itself remembers, straight from its database: operations it has begun,
//! every state its resources were ever in, messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// The record of a desk.
#[derive(Debug)]
pub(crate) struct Azure(Connection);

impl Azure {
    /// Opens the record in `state` to read it; the desk may be at work.
    pub(crate) fn of(state: &Path) -> Azure {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(state.join("sandbox.sqlite"), flags).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        Azure(connection)
    }

    fn rows<T>(
        &self,
        query: &str,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let mut statement = self.0.prepare(query).unwrap();
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    /// Messages that wait in the queues: id and how often each was delivered.
    pub(crate) fn messages(&self) -> Vec<(String, u32)> {
        let query = "SELECT message_id, delivery_count FROM bus_messages WHERE dead = 0";
        self.rows(query, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Messages that were given up.
    pub(crate) fn dead_letters(&self) -> Vec<(String, u32)> {
        let query = "SELECT message_id, delivery_count FROM bus_messages WHERE dead = 1";
        self.rows(query, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The operations that were begun: whose, and when.
    pub(crate) fn operations(&self) -> Vec<(String, String)> {
        let records = self.rows("SELECT record FROM azure_operation", |row| row.get(0));
        let told = |record: String| {
            let record: Value = serde_json::from_str(&record).unwrap();
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            (text("provider"), text("started"))
        };
        records.into_iter().map(told).collect()
    }

    /// How often each resource of a type came into being.
    pub(crate) fn births(&self, kind: &str) -> BTreeMap<String, u32> {
        let query = "SELECT key, kind, record IS NOT NULL FROM azure_history ORDER BY sequence";
        let history = self.rows(query, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        });
        let (mut births, mut there) = (BTreeMap::new(), BTreeSet::new());
        for (key, of, is_there) in history {
            if !is_there {
                there.remove(&key);
            } else if of == kind && there.insert(key.clone()) {
                *births.entry(key).or_default() += 1;
            }
        }
        births
    }

    /// What the versions of an image became, one change after another: the number, when, and the
    /// record; none of one that is gone.
    pub(crate) fn versions(&self, image: &str) -> Vec<(String, DateTime<Utc>, Option<Value>)> {
        let query = format!(
            "SELECT key, at, record FROM azure_history
             WHERE key LIKE '%/images/{image}/versions/%' ORDER BY sequence"
        );
        let history = self.rows(&query, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        });
        let told = |(key, at, record): (String, i64, Option<String>)| {
            let number = key.rsplit('/').next().unwrap().to_owned();
            let record = record.map(|it| serde_json::from_str(&it).unwrap());
            (number, DateTime::from_timestamp_nanos(at), record)
        };
        history.into_iter().map(told).collect()
    }

    /// The runs of each template, by its key.
    pub(crate) fn runs(&self) -> BTreeMap<String, BTreeSet<String>> {
        let query = "SELECT key, record FROM azure_history WHERE record IS NOT NULL
                     AND kind = 'microsoft.virtualmachineimages/imagetemplates'";
        let history: Vec<(String, String)> = self.rows(query, |row| Ok((row.get(0)?, row.get(1)?)));
        let mut runs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, record) in history {
            let record: Value = serde_json::from_str(&record).unwrap();
            if let Some(run) = record["last_run"]["id"].as_str() {
                runs.entry(key).or_default().insert(run.to_owned());
            }
        }
        runs
    }

    /// The keys of all resources that are there.
    pub(crate) fn resources(&self) -> Vec<String> {
        self.rows("SELECT key FROM azure_resource ORDER BY key", |row| row.get(0))
    }
}
