//! A look into a database that somebody else may have open: it is read, and never written.
//!
//! Not for a database that this process has open with files of its own beside SQLite's: see the locks of POSIX. Nothing here knows what
//! the tables are for.

use std::{
    fmt, fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealward_core::store::{Cause, Condition, Name, OpenError, Pending, Reader, Row, Select, Unavailable};

use super::{SqliteOptions, connection::Connection, suffixed};

/// A database that is only looked at. Reads block.
pub(crate) struct SqliteView {
    connection: Mutex<Connection>,
}

impl SqliteView {
    /// Opens a database that exists. Blocks.
    ///
    /// A write-ahead log beside it tells that a server has it open, or was killed: then it is read like any reader does, with the locks
    /// of one. Without a log nobody has it open, and nothing is locked or made.
    ///
    /// # Errors
    /// [`OpenError`]
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
        // Reads leave nothing half changed.
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
}

impl fmt::Debug for SqliteView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteView").finish_non_exhaustive()
    }
}
