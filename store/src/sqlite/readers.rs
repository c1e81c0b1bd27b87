//! Reads: a few connections, opened when they are needed and kept, on threads that may block.
//!
//! Reads come in two lanes that share nothing but the connections at rest. Quick reads, whose work the service bounds, never wait for
//! scans, whose work a caller chooses. A scan stops when its caller leaves and when its time is over. A reader that met an error is closed
//! and not kept. Nothing here knows what is read.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealward_core::store::{Cause, ScanError, Unavailable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    blocking::blocking,
    connection::{Connection, SqliteError},
    options::SqliteOptions,
    snapshot::{Snapshots, SqliteSnapshot},
    stop::{Stop, StopWhenDropped},
};

/// The readers of one database.
#[derive(Debug)]
pub(super) struct Readers {
    /// A permit for each quick read that may run.
    quick: Arc<Semaphore>,
    /// A permit for each scan that may run.
    scans: Arc<Semaphore>,
    scans_max: u32,
    scan_time_max: Duration,
    pool: Arc<Pool>,
    snapshots: Arc<Snapshots>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    options: SqliteOptions,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, options: SqliteOptions, snapshots: Arc<Snapshots>) -> Self {
        let pool = Pool { path: path.to_owned(), options, idle: Mutex::new(Vec::new()) };
        let scans_max = options.scans_max.max(1);
        Readers {
            quick: Arc::new(Semaphore::new(options.readers_max.max(1))),
            scans: Arc::new(Semaphore::new(usize::try_from(scans_max).unwrap_or(usize::MAX))),
            scans_max,
            scan_time_max: options.scan_time_max,
            pool: Arc::new(pool),
            snapshots,
        }
    }

    /// Reads on a connection of its own. A caller that stops waiting frees its place only when the read has ended.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permit = permit(&self.quick, 1).await?;
        let pool = Arc::clone(&self.pool);
        let outcome = blocking(move || {
            let outcome = pool.read(read);
            drop(permit);
            outcome
        });
        outcome.await.map_err(Unavailable)?.map_err(|error| Unavailable(error.into()))
    }

    /// Reads on a connection of its own for as long as a scan may take, and as the caller waits. The time counts from when it runs.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, ScanError> {
        let permit = permit(&self.scans, 1).await?;
        let stop = Stop::at(Instant::now().checked_add(self.scan_time_max));
        let _left = StopWhenDropped(Arc::clone(&stop));
        let pool = Arc::clone(&self.pool);
        let outcome = blocking(move || {
            let outcome = pool.read_until(stop, read);
            drop(permit);
            outcome
        });
        outcome.await.map_err(Unavailable)?.map_err(|error| {
            if error.is_interrupted() {
                let limit_ms = u64::try_from(self.scan_time_max.as_millis()).unwrap_or(u64::MAX);
                ScanError::TooLong { limit_ms }
            } else {
                ScanError::Unavailable(Unavailable(error.into()))
            }
        })
    }

    /// A connection of its own that sees the database as it is now, and nothing later. It isn't one of the pool's, nor counted there.
    pub(super) async fn snapshot(&self) -> Result<SqliteSnapshot, Unavailable> {
        let pool = Arc::clone(&self.pool);
        let may_begin = self.snapshots.may_begin().await;
        let snapshots = Arc::clone(&self.snapshots);
        let begun = blocking(move || {
            let connection = Connection::open_reader(&pool.path, pool.options)?;
            connection.begin_snapshot()?;
            let snapshot = snapshots.hold(connection);
            drop(may_begin);
            snapshot
        });
        begun.await.map_err(Unavailable)?.map_err(|error: SqliteError| Unavailable(error.into()))
    }

    /// Waits until no scan runs. None begins before what this answers with is dropped.
    pub(super) async fn without_scans(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        permit(&self.scans, self.scans_max).await
    }
}

async fn permit(of: &Arc<Semaphore>, count: u32) -> Result<OwnedSemaphorePermit, Unavailable> {
    Arc::clone(of).acquire_many_owned(count).await.map_err(|error| Unavailable(Cause(error.into())))
}

impl Pool {
    fn read<T>(&self, read: impl FnOnce(&mut Connection) -> Result<T, SqliteError>) -> Result<T, SqliteError> {
        let mut connection = self.connection()?;
        let answer = read(&mut connection)?;
        self.idle().push(connection);
        Ok(answer)
    }

    fn read_until<T>(
        &self,
        stop: Arc<Stop>,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let mut connection = self.connection()?;
        connection.stop_when(Some(stop))?;
        let outcome = read(&mut connection);
        // That a statement was stopped is no fault of the connection's.
        let is_sound = outcome.as_ref().err().is_none_or(SqliteError::is_interrupted);
        if is_sound && connection.stop_when(None).is_ok() {
            self.idle().push(connection);
        }
        outcome
    }

    fn connection(&self) -> Result<Connection, SqliteError> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Connection::open_reader(&self.path, self.options),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing under this lock can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
