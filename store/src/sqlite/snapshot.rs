//! Snapshots: each is a connection in a read transaction that began when the snapshot was taken and ends when it is dropped.
//!
//! SQLite keeps the write-ahead log for it, which grows meanwhile. So a snapshot can be ended by the store: when the log is as large as
//! it may be, and when what was deleted is to disappear from the files. Nothing here knows what is read.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use sealward_core::store::{
    Cause, Condition, Name, Pending, Reader, Row, ScanError, Scanned, Select, SnapshotEnded, Unavailable,
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
    held: Mutex<Vec<Weak<Held>>>,
    /// Told when one is dropped.
    dropped: Notify,
    /// Whoever begins one reads it; whoever wants none writes it.
    gate: Arc<RwLock<()>>,
}

impl Snapshots {
    /// Waits until a snapshot may begin.
    pub(super) async fn may_begin(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.gate).read_owned().await
    }

    /// A snapshot of this connection, whose transaction has begun.
    pub(super) fn hold(self: &Arc<Self>, mut connection: Connection) -> Result<SqliteSnapshot, SqliteError> {
        let stop = Stop::at(None);
        connection.stop_when(Some(Arc::clone(&stop)))?;
        let held = Arc::new(Held {
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

    /// Gives the snapshots that there are this long to end, and then ends them. None begins before what this answers with is dropped.
    pub(super) async fn none_after(
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

    /// Ends all snapshots, and tells how many. A read that runs is stopped, and waited for.
    pub(super) fn end(&self, why: SnapshotEnded) -> usize {
        let all = std::mem::take(&mut *self.list());
        let all: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        for held in &all {
            held.ended.get_or_init(|| why);
            held.stop.tell();
        }
        all.iter().filter_map(|held| held.connection().take()).count()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<Held>>> {
        // Nothing under this lock can leave the list half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a snapshot holds.
#[derive(Debug)]
struct Held {
    /// `None` once the snapshot was ended.
    connection: Mutex<Option<Connection>>,
    stop: Arc<Stop>,
    /// Why it was ended; set before it is stopped.
    ended: OnceLock<SnapshotEnded>,
    of: Arc<Snapshots>,
}

impl Held {
    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        // Reads leave nothing half changed.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before anybody hears of it.
        drop(self.connection().take());
        self.of.dropped.notify_waiters();
    }
}

/// A database as it was at one moment.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    held: Arc<Held>,
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
}
