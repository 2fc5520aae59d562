//! The sandbox's memory: one SQLite database, in a file or in the process.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// One connection behind one lock. A route does its whole effect inside one [`Database::write`],
/// so that a killed sandbox has done all of it or nothing.
#[derive(Debug)]
pub struct Database(Mutex<Connection>);

impl Database {
    /// Opens or creates the database in `file`; in memory without one.
    ///
    /// # Errors
    /// When the file cannot be opened or is not a database.
    pub fn open(file: Option<&Path>) -> rusqlite::Result<Database> {
        let connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // Else the library, which is compiled with statistics, plans a statement anew whenever a
        // parameter has another value: a third of all the time.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(Database(Mutex::new(connection)))
    }

    /// Runs `work` in one immediate transaction and commits it when `work` succeeds.
    ///
    /// # Errors
    /// What `work` or SQLite says; nothing is changed then.
    pub fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}
