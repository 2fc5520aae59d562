//! The desk's time as it is written down, so that a restart does not go back.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::database::Database;

/// Where the time is written down.
#[derive(Debug)]
pub(super) struct KeptTime(Arc<Database>);

impl KeptTime {
    /// With the time that is in `database`, or `start` when there is none.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub(super) fn open(
        database: Arc<Database>,
        start: DateTime<Utc>,
    ) -> rusqlite::Result<(KeptTime, DateTime<Utc>)> {
        let time = database.write(|transaction| {
            transaction.execute_batch(
                "CREATE TABLE IF NOT EXISTS desk_time (
                    one INTEGER PRIMARY KEY CHECK (one = 1),
                    nanos INTEGER NOT NULL
                );",
            )?;
            transaction.execute(
                "INSERT INTO desk_time (one, nanos) VALUES (1, ?1) ON CONFLICT DO NOTHING",
                [nanos(start)],
            )?;
            transaction.query_row("SELECT nanos FROM desk_time", [], |row| row.get(0))
        })?;
        Ok((KeptTime(database), DateTime::from_timestamp_nanos(time)))
    }

    /// Writes `time` down. Without this a restart would go back, so a failure is said.
    pub(super) fn write(&self, time: DateTime<Utc>) {
        let kept = self.0.write(|transaction| {
            transaction
                .prepare_cached("UPDATE desk_time SET nanos = ?1 WHERE nanos < ?1")?
                .execute([nanos(time)])
        });
        if let Err(error) = kept {
            let error: rusqlite::Error = error;
            tracing::error!(%error, "The desk's time cannot be written down");
        }
    }
}

/// Years beyond 2262 are cut to it.
fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().unwrap_or(i64::MAX)
}
