//! A snapshot: a connection in a read transaction that began when the snapshot was taken and ends when it is dropped.
//!
//! SQLite keeps the write-ahead log for it, which grows meanwhile. Nothing here knows what is read.

use std::sync::{Arc, Mutex, PoisonError};

use fieldseal_core::{
    port::Pending,
    store::{Condition, Name, Reader, Row, Select, Unavailable},
};

use super::{
    blocking,
    connection::{Connection, SqliteError},
};

/// A database as it was at one moment.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteSnapshot {
    /// Of a connection whose transaction has begun.
    pub(super) fn new(connection: Connection) -> Self {
        SqliteSnapshot { connection: Arc::new(Mutex::new(connection)) }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let connection = Arc::clone(&self.connection);
        // Reads leave nothing half changed.
        let outcome = blocking(move || read(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        outcome.await.map_err(Unavailable)?.map_err(|error| Unavailable(error.into()))
    }
}

impl Reader for SqliteSnapshot {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(self.read(move |connection| connection.select(&select)))
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(self.read(move |connection| connection.count(&table, &rows)))
    }
}
