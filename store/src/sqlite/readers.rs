//! Reads: a few connections, opened on demand and kept, on threads that may block. A lookup of one row and a short page
//! usually run on the caller's thread: see [`Inline`].
//!
//! Reads have two lanes, which share only the pool of idle connections. Quick reads, whose work the service limits,
//! never wait for scans, whose work a caller determines. A scan stops when its caller leaves or its time is over. After
//! an error, a connection is closed instead of kept. This file doesn't know the content of reads.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealward_core::store::{Cause, Datum, Lookup, Row, RowSink, Scan, ScanEnd, ScanError, Unavailable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    blocking::blocking,
    connection::{Connection, SqliteError},
    inline::Inline,
    options::SqliteOptions,
    snapshot::{Snapshots, SqliteSnapshot},
    stop::{Stop, StopWhenDropped},
};

/// The readers of one database.
#[derive(Debug)]
pub(super) struct Readers {
    /// One permit for each concurrent quick read.
    quick: Arc<Semaphore>,
    /// One permit for each concurrent scan.
    scans: Arc<Semaphore>,
    scans_max: u32,
    scan_time_max: Duration,
    pool: Arc<Pool>,
    inline: Arc<Inline>,
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
            inline: Arc::new(Inline::new(options.readers_max.max(1))),
            snapshots,
        }
    }

    /// Reads the row with this key: on this thread if that is likely to take microseconds, otherwise as
    /// [`read`](Self::read) does.
    pub(super) async fn look_up(&self, lookup: Arc<Lookup>, key: Datum) -> Result<Option<Row>, Unavailable> {
        if let Some(row) = self.inline.read(|connection| connection.look_up(&lookup, &key)) {
            return Ok(row);
        }
        let permit = permit(&self.quick, 1).await?;
        let (pool, inline) = (Arc::clone(&self.pool), Arc::clone(&self.inline));
        let outcome = blocking(move || {
            let mut connection = pool.connection()?;
            let row = inline.timed(|| connection.look_up(&lookup, &key))?;
            if let Some(connection) = inline.offer(connection) {
                pool.idle().push(connection);
            }
            drop(permit);
            Ok(row)
        });
        outcome.await.map_err(Unavailable)?.map_err(|error: SqliteError| Unavailable(error.into()))
    }

    /// Reads on a separate connection. If a caller stops waiting, its permit is released only when the read ends.
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

    /// Reads on a separate connection, limited by the time of a scan and by the caller's wait. The time starts when the
    /// read starts.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, ScanError> {
        self.scan_then(read, Some).await
    }

    /// Like [`scan`](Self::scan). Afterwards, `keep` gets the connection, and may leave it to the pool.
    async fn scan_then<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
        keep: impl FnOnce(Connection) -> Option<Connection> + Send + 'static,
    ) -> Result<T, ScanError> {
        let permit = permit(&self.scans, 1).await?;
        let stop = Stop::at(Instant::now().checked_add(self.scan_time_max));
        let _left = StopWhenDropped(Arc::clone(&stop));
        let pool = Arc::clone(&self.pool);
        let outcome = blocking(move || {
            let outcome = pool.read_until(stop, read, keep);
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

    /// Passes the rows of a scan to a sink: on this thread if that is likely to take microseconds, otherwise as
    /// [`scan`](Self::scan) does.
    pub(super) async fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Result<ScanEnd, ScanError> {
        let is_short = scan.is_short;
        if is_short {
            let read = |connection: &mut Connection| connection.scan_into(&scan, &sink);
            if let Some(end) = self.inline.read_at_most(read) {
                return Ok(end);
            }
            sink.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let (timed, inline) = (Arc::clone(&self.inline), Arc::clone(&self.inline));
        let read = move |connection: &mut Connection| {
            let mut read = || connection.scan_into(&scan, &sink);
            if is_short { timed.timed(read) } else { read() }
        };
        self.scan_then(read, move |connection| if is_short { inline.offer(connection) } else { Some(connection) }).await
    }

    /// Opens a separate connection that reads the current state of the database and no later commits. It doesn't belong
    /// to the pool.
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

    /// Waits until no scan runs. No scan starts until the returned permit is dropped.
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
        keep: impl FnOnce(Connection) -> Option<Connection>,
    ) -> Result<T, SqliteError> {
        let mut connection = self.connection()?;
        connection.stop_when(Some(stop))?;
        let outcome = read(&mut connection);
        // A stopped statement doesn't mean that the connection is faulty.
        let is_sound = outcome.as_ref().err().is_none_or(SqliteError::is_interrupted);
        if is_sound && connection.stop_when(None).is_ok() {
            self.idle().extend(keep(connection));
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
        // No operation under this lock can leave the list inconsistent.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
