//! Reads: a few connections, opened when they are needed and kept, on threads that may block.
//!
//! A reader that met an error is closed and not kept. Nothing here knows what is read.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fieldseal_core::store::{Cause, Unavailable};
use tokio::sync::Semaphore;

use super::{
    SqliteOptions, blocking,
    connection::{Connection, SqliteError},
    snapshot::SqliteSnapshot,
};

/// The readers of one database.
#[derive(Debug)]
pub(super) struct Readers {
    /// A permit for each read that may run.
    permits: Arc<Semaphore>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    options: SqliteOptions,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, options: SqliteOptions) -> Self {
        let pool = Pool { path: path.to_owned(), options, idle: Mutex::new(Vec::new()) };
        Readers { permits: Arc::new(Semaphore::new(options.readers_max.max(1))), pool: Arc::new(pool) }
    }

    /// Reads on a connection of its own. A caller that stops waiting frees its place only when the read has ended.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|error| Unavailable(Cause(error.into())))?;
        let pool = Arc::clone(&self.pool);
        let outcome = blocking(move || {
            let outcome = pool.read(read);
            drop(permit);
            outcome
        });
        outcome.await.map_err(Unavailable)?.map_err(|error| Unavailable(error.into()))
    }

    /// A connection of its own that sees the database as it is now, and nothing later. It isn't one of the pool's, nor counted there.
    pub(super) async fn snapshot(&self) -> Result<SqliteSnapshot, Unavailable> {
        let pool = Arc::clone(&self.pool);
        let begun = blocking(move || {
            let connection = Connection::open_reader(&pool.path, pool.options)?;
            connection.begin_snapshot()?;
            Ok(SqliteSnapshot::new(connection))
        });
        begun.await.map_err(Unavailable)?.map_err(|error: SqliteError| Unavailable(error.into()))
    }
}

impl Pool {
    fn read<T>(&self, read: impl FnOnce(&mut Connection) -> Result<T, SqliteError>) -> Result<T, SqliteError> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open_reader(&self.path, self.options)?,
        };
        let answer = read(&mut connection)?;
        self.idle().push(connection);
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing under this lock can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
