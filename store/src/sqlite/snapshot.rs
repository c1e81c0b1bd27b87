//! Snapshots. Each is a connection in a read transaction that begins when the snapshot is taken and ends when it is
//! dropped.
//!
//! Meanwhile SQLite keeps the write-ahead log for it, and the log grows. Therefore the store can end a snapshot: when
//! the log has reached its maximum size, and when a scrub must remove deleted data from the files. This file doesn't
//! know the content of reads.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use sealward_core::store::{
    Cause, ColumnRows, ColumnScan, Condition, Name, Pending, Reader, Row, ScanError, Scanned, Select, SnapshotEnded,
    Unavailable,
};
use tokio::{
    sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
    time::timeout,
};

use super::{
    blocking::blocking,
    connection::{Connection, SqliteError},
    stop::Stop,
};

/// The snapshots of one database.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    held: Mutex<Vec<Weak<SnapshotState>>>,
    /// Notified when a snapshot is dropped.
    dropped: Notify,
    /// Read-locked to begin a snapshot; write-locked to prevent new ones.
    gate: Arc<RwLock<()>>,
}

impl Snapshots {
    /// Waits until a snapshot may begin.
    pub(super) async fn may_begin(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.gate).read_owned().await
    }

    /// Creates a snapshot from a connection whose transaction has begun.
    pub(super) fn hold(self: &Arc<Self>, mut connection: Connection) -> Result<SqliteSnapshot, SqliteError> {
        let stop = Stop::at(None);
        connection.stop_when(Some(Arc::clone(&stop)))?;
        let held = Arc::new(SnapshotState {
            connection: Mutex::new(Some(connection)),
            stop,
            ended: OnceLock::new(),
            of: Arc::clone(self),
        });
        let mut all = self.list();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&held));
        Ok(SqliteSnapshot { held })
    }

    /// Waits up to `grace` for the current snapshots to end, and then ends them. No snapshot begins until the returned
    /// guard is dropped.
    pub(super) async fn end_all_after(
        self: &Arc<Self>,
        grace: Duration,
    ) -> Result<OwnedRwLockWriteGuard<()>, Unavailable> {
        let none = Arc::clone(&self.gate).write_owned().await;
        let _all_dropped = timeout(grace, self.wait_until_none()).await;
        let all = Arc::clone(self);
        blocking(move || all.end(SnapshotEnded::BlocksScrub)).await.map_err(Unavailable)?;
        Ok(none)
    }

    async fn wait_until_none(&self) {
        loop {
            let mut dropped = std::pin::pin!(self.dropped.notified());
            dropped.as_mut().enable();
            if !self.list().iter().any(|held| held.strong_count() > 0) {
                return;
            }
            dropped.await;
        }
    }

    /// Ends all snapshots, and returns their number. Stops reads in progress and waits for them.
    pub(super) fn end(&self, why: SnapshotEnded) -> usize {
        let all = std::mem::take(&mut *self.list());
        let all: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        for held in &all {
            held.ended.get_or_init(|| why);
            held.stop.request();
        }
        all.iter().filter_map(|held| held.connection().take()).count()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<SnapshotState>>> {
        // No operation under this lock can leave the list inconsistent.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a snapshot.
#[derive(Debug)]
struct SnapshotState {
    /// `None` after the snapshot was ended.
    connection: Mutex<Option<Connection>>,
    stop: Arc<Stop>,
    /// The reason for the end, set before reads are stopped.
    ended: OnceLock<SnapshotEnded>,
    of: Arc<Snapshots>,
}

impl SnapshotState {
    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        // Reads can't leave the connection inconsistent.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SnapshotState {
    fn drop(&mut self) {
        // Closes the connection before the notification.
        drop(self.connection().take());
        self.of.dropped.notify_waiters();
    }
}

/// The state of a database at one moment.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    held: Arc<SnapshotState>,
}

impl SqliteSnapshot {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let held = Arc::clone(&self.held);
        let outcome = blocking(move || {
            let mut connection = held.connection();
            match (connection.as_mut().map(read), held.ended.get()) {
                (Some(Ok(answer)), _) => Ok(answer),
                (Some(Err(_)) | None, Some(why)) => Err(Cause((*why).into())),
                (Some(Err(error)), None) => Err(Cause::from(error)),
                (None, None) => Err("the snapshot is closed".into()),
            }
        });
        outcome.await.map_err(Unavailable)?.map_err(Unavailable)
    }
}

impl Reader for SqliteSnapshot {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(self.read(move |connection| connection.select(&select)))
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(self.read(move |connection| connection.count(&table, &rows)))
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(async move { Ok(self.read(move |connection| connection.scan(&select, bytes_max)).await?) })
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        Box::pin(self.read(move |connection| connection.scan_column(&scan)))
    }
}
