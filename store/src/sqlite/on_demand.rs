//! Databases on demand: opened at their first use, and closed when they are idle or when too many are open.
//!
//! An [`OnDemandStore`] is a database that may be open or closed. A call opens it if it is closed. A call during a
//! close waits for its end, so that an audit chain never has two writers. Acknowledged commits are on disk before a
//! database is closed. State in memory is discarded at a close and read again at the next open. Only a database that no
//! call uses is closed.
//!
//! This file doesn't know the owners of the databases, or when to check for idle ones.

use std::{
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sealward_core::{
    id::OrganizationId,
    name::OrganizationName,
    store::{
        Cause, ColumnRows, ColumnScan, Commit, CommitError, Condition, Datum, Generation, Lookup, Name, OpenError,
        Pending, Reader, Row, RowSink, Scan, ScanEnd, ScanError, Scanned, Select, Store, Submitted, Unavailable,
    },
};
use tokio::{runtime::Handle, sync::OwnedMutexGuard};
use uuid::Uuid;

use super::{
    blocking::blocking,
    file::{remove, sync_folder},
    options::SqliteOptions,
    store::SqliteStore,
    view::SqliteView,
};
use crate::{
    committer::{Ended, Witness},
    on_demand::Inspect,
};

/// Limits on open databases.
#[derive(Clone, Copy, Debug)]
pub struct OpenLimits {
    /// The maximum number of open databases. Above it, the least recently used databases are closed. Databases in use
    /// are never closed, so more may be open if more are in use at once.
    pub open_max: usize,
    /// The time without use after which a database is idle.
    pub idle_max: Duration,
}

/// The databases that are open.
#[derive(Debug)]
pub(super) struct OpenDatabases {
    limits: OpenLimits,
    open: Mutex<Vec<Arc<OpenStore>>>,
}

impl OpenDatabases {
    pub(super) fn new(limits: OpenLimits) -> Arc<Self> {
        Arc::new(OpenDatabases { limits, open: Mutex::default() })
    }

    /// Returns the number of open databases.
    pub(super) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Closes databases that are idle at this time, and those above the maximum number. Blocks.
    pub(super) fn close_idle(&self, now: Instant) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut closing = Vec::new();
        if let Some(limit) = now.checked_sub(self.limits.idle_max) {
            open.retain(|current| !current.close_if_unused(limit, &mut closing));
        }
        self.trim(&mut open, &mut closing);
        // Release the lock first: dropping `closing` closes the databases.
        drop(open);
    }

    /// Adds an open database. The caller must be using it, otherwise it may be closed at once.
    fn admit(&self, current: Arc<OpenStore>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut closing = Vec::new();
        open.push(current);
        self.trim(&mut open, &mut closing);
        drop(open);
    }

    /// Removes a database from the list.
    fn forget(&self, current: &Arc<OpenStore>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, current));
    }

    /// Moves the least recently used databases above the maximum number to `closing`.
    fn trim(&self, open: &mut Vec<Arc<OpenStore>>, closing: &mut Vec<Arc<SqliteStore>>) {
        let mut excess = open.len().saturating_sub(self.limits.open_max);
        if excess == 0 {
            return;
        }
        open.sort_by_cached_key(|current| current.last_used());
        open.retain(|current| {
            let closes = excess > 0 && current.close_if_unused(current.last_used(), closing);
            excess -= usize::from(closes);
            !closes
        });
    }
}

/// The parameters for opening a database.
#[derive(Clone)]
pub(super) struct OpenParameters {
    pub(super) path: PathBuf,
    /// The organization that the database must belong to.
    pub(super) id: OrganizationId,
    /// The writer id of the audit chain that this process writes.
    pub(super) writer: Uuid,
    pub(super) options: SqliteOptions,
    pub(super) witness: Witness,
    pub(super) inspect: Inspect,
}

/// A database that is opened on demand.
pub(super) struct OnDemandStore {
    opening: OpenParameters,
    /// The name inside the database when it was first opened. It must not change while the organization is served.
    name: Arc<Mutex<Option<OrganizationName>>>,
    current: Arc<OpenStore>,
    open: Arc<OpenDatabases>,
    turn: Arc<tokio::sync::Mutex<Turn>>,
}

/// The exclusive right to open or create a database.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Resolves when the last opened database is closed.
    ended: Option<Ended>,
    /// Whether the log already contains the failure to reopen the database.
    reported: bool,
}

impl OnDemandStore {
    /// Creates a closed database.
    pub(super) fn new(opening: OpenParameters, open: Arc<OpenDatabases>) -> Self {
        let current = Arc::new(OpenStore::new());
        OnDemandStore { opening, name: Arc::default(), current, open, turn: Arc::default() }
    }

    /// Forgets the name inside the database unless it is open. The caller checks the name after the next open.
    pub(super) fn forget_name(&self) {
        if !self.is_open() {
            *self.name.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Waits for the turn. Only its holder may open the database.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<Turn> {
        Arc::clone(&self.turn).lock_owned().await
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_open()
    }

    /// Returns the generation of the committed content without using the database; `None` if it is closed.
    pub(super) fn generation_unused(&self) -> Option<Generation> {
        self.current.store.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.generation()
    }

    /// Waits until the last opened database is closed.
    #[cfg(test)]
    pub(super) async fn closed(&self) {
        let ended = self.turn().await.ended.clone();
        if let Some(mut ended) = ended {
            ended.wait().await;
        }
    }

    /// Closes the database when no call uses it, and removes its files. A later call finds no database.
    pub(super) async fn remove(&self) -> Result<(), Cause> {
        let mut turn = self.turn().await;
        self.open.forget(&self.current);
        drop(self.current.take());
        if let Some(mut ended) = turn.ended.take() {
            ended.wait().await;
        }
        let path = self.opening.path.clone();
        // The work holds the turn, so that no other call opens the database during its removal.
        let removed = blocking(move || {
            let removed = remove(&path).and_then(|()| sync_folder(&path));
            drop(turn);
            removed
        });
        removed.await?.map_err(|error| Cause(error.into()))
    }

    /// Returns the database, and opens it if it is closed. It stays open as long as the caller holds it.
    pub(super) async fn get(&self) -> Result<Arc<SqliteStore>, OpenError> {
        if let Some(store) = self.current.get() {
            return Ok(store);
        }
        let mut turn = self.turn().await;
        if let Some(store) = self.current.get() {
            return Ok(store);
        }
        if let Some(ended) = &mut turn.ended {
            ended.wait().await;
        }
        let (opening, name) = (self.opening.clone(), Arc::clone(&self.name));
        let (current, open) = (Arc::clone(&self.current), Arc::clone(&self.open));
        // The work holds the turn until the open database is registered, even if the caller stops waiting.
        blocking(move || {
            let path = opening.path.clone();
            let opened = opening.open(&name).map(Arc::new);
            match &opened {
                Ok(store) => {
                    turn.ended = Some(store.ended());
                    turn.reported = false;
                    current.set(Arc::clone(store));
                    open.admit(current);
                }
                // The caller that opens a database for the first time reports a failure itself.
                Err(error) => {
                    if turn.ended.is_some() && !mem::replace(&mut turn.reported, true) {
                        tracing::error!(
                            database = %path.display(),
                            error = error as &dyn std::error::Error,
                            "idle database not reopened; each call retries"
                        );
                    }
                }
            }
            opened
        })
        .await
        .map_err(OpenError::Unavailable)?
    }
}

impl OpenParameters {
    /// Opens the database. Fails if it belongs to another organization or its name has changed. Blocks.
    fn open(self, name: &Mutex<Option<OrganizationName>>) -> Result<SqliteStore, OpenError> {
        let view = SqliteView::open(&self.path, self.options)?;
        // A view reads synchronously on this thread.
        let inside = Handle::current().block_on((self.inspect)(self.id, &view))?;
        drop(view);
        {
            let mut name = name.lock().unwrap_or_else(PoisonError::into_inner);
            if *name.get_or_insert_with(|| inside.clone()) != inside {
                return Err(OpenError::WrongOrganization);
            }
        }
        SqliteStore::open(&self.path, self.writer, self.options, self.witness)
    }
}

impl Reader for OnDemandStore {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.select(select).await })
    }

    fn look_up(&self, lookup: &Arc<Lookup>, key: Datum) -> Pending<'_, Result<Option<Row>, Unavailable>> {
        let lookup = Arc::clone(lookup);
        Box::pin(async move { self.get().await.map_err(unavailable)?.look_up(&lookup, key).await })
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.count(table, rows).await })
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan(select, bytes_max).await })
    }

    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan_into(scan, sink).await })
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan_count(table, rows).await })
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan_column(scan).await })
    }
}

impl Store for OnDemandStore {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let store = self.get().await.map_err(|error| CommitError::Unavailable(cause(error)))?;
            store.commit(commit).await
        })
    }

    fn submit(&self, commit: Commit) -> Pending<'_, Submitted> {
        Box::pin(async move {
            let store = match self.get().await {
                Ok(store) => store,
                Err(error) => return Submitted::new(async { Err(CommitError::Unavailable(cause(error))) }),
            };
            let submitted = store.submit(commit).await;
            // The database stays in use until the outcome is known.
            Submitted::new(async move {
                let outcome = submitted.outcome().await;
                drop(store);
                outcome
            })
        })
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        Box::pin(async move {
            let store = self.get().await.map_err(unavailable)?;
            let snapshot = store.snapshot().await?;
            Ok(Arc::new(SnapshotInUse { snapshot, _store: store }) as Arc<dyn Reader>)
        })
    }

    fn generation(&self) -> Option<Generation> {
        // Counts as a use, which keeps the database open.
        self.current.get()?.generation()
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scrub().await })
    }
}

/// A snapshot that keeps its database in use.
struct SnapshotInUse {
    snapshot: Arc<dyn Reader>,
    _store: Arc<SqliteStore>,
}

impl Reader for SnapshotInUse {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        self.snapshot.select(select)
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        self.snapshot.count(table, rows)
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        self.snapshot.scan(select, bytes_max)
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        self.snapshot.scan_column(scan)
    }
}

fn unavailable(error: OpenError) -> Unavailable {
    Unavailable(cause(error))
}

fn cause(error: OpenError) -> Cause {
    Cause(error.into())
}

/// An open database and the time of its last use.
#[derive(Debug)]
struct OpenStore {
    /// Cloned for each use under the lock. No call uses the database while this is the only reference.
    store: RwLock<Option<Arc<SqliteStore>>>,
    since: Instant,
    /// The start of the last use, in nanoseconds after `since`.
    last_used_ns: AtomicU64,
}

impl OpenStore {
    fn new() -> Self {
        OpenStore { store: RwLock::new(None), since: Instant::now(), last_used_ns: AtomicU64::new(0) }
    }

    /// Returns the database for use; `None` if it is closed.
    fn get(&self) -> Option<Arc<SqliteStore>> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        self.touch();
        store.clone()
    }

    fn set(&self, store: Arc<SqliteStore>) {
        self.touch();
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    fn take(&self) -> Option<Arc<SqliteStore>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_open(&self) -> bool {
        self.store.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn touch(&self) {
        let age_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last_used_ns.store(age_ns, Ordering::Relaxed);
    }

    fn last_used(&self) -> Instant {
        self.since + Duration::from_nanos(self.last_used_ns.load(Ordering::Relaxed))
    }

    /// Moves the database to `closing` if no call uses it and the last use began before or at `limit`. Returns whether
    /// it did.
    fn close_if_unused(&self, limit: Instant, closing: &mut Vec<Arc<SqliteStore>>) -> bool {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let unused = self.last_used() <= limit && store.as_ref().is_some_and(|store| Arc::strong_count(store) == 1);
        if unused {
            closing.extend(store.take());
        }
        unused
    }
}
