//! A read-only view of a database that another process may have open.
//!
//! Not for a database whose file this process also has open without SQLite: closing that file would release all POSIX
//! locks of the process on it. This file doesn't know the purpose of the tables.

use std::{
    fmt, fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealward_core::store::{
    Cause, ColumnRows, ColumnScan, Condition, Name, OpenError, Pending, Reader, Row, Select, Unavailable,
};

use super::{connection::Connection, file::suffixed, options::SqliteOptions};

/// A database opened read-only. Reads block.
pub(crate) struct SqliteView {
    connection: Mutex<Connection>,
}

impl SqliteView {
    /// Opens an existing database. Blocks.
    ///
    /// A write-ahead log beside it shows that a server has it open or was killed. The view then reads with locks, like
    /// any other reader. Without a log, no process has it open, and the view takes no lock and creates no file.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let exists = |path: &Path| fs::exists(path).map_err(|error| OpenError::Unavailable(Cause(error.into())));
        if !exists(path)? {
            return Err(OpenError::Missing);
        }
        let opened = if exists(&suffixed(path, "-wal"))? {
            Connection::open_reader(path, options)
        } else {
            Connection::open_at_rest(path, options)
        };
        let connection = opened.map_err(|error| OpenError::Unavailable(error.into()))?;
        Ok(SqliteView { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Reads can't leave the connection inconsistent.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for SqliteView {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(async move { self.connection().select(&select).map_err(|error| Unavailable(error.into())) })
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.connection().count(&table, &rows).map_err(|error| Unavailable(error.into())) })
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        Box::pin(async move { self.connection().scan_column(&scan).map_err(|error| Unavailable(error.into())) })
    }
}

impl fmt::Debug for SqliteView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteView").finish_non_exhaustive()
    }
}
