//! Databases on demand: opened at their first use, closed when nobody used them for a while or when too many are open.
//!
//! An [`OnDemandStore`] is a database whether it is open or not: a call that finds it closed opens it, and one that comes while it closes
//! waits for that, so that an audit chain never has two writers. What is acknowledged is on disk before it closes, and whoever opens it
//! again believes nothing that was known before. Only a database that no call uses is closed.
//!
//! Nothing here knows whose databases these are, or when to look for idle ones.

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
        Cause, Commit, CommitError, Condition, Name, OpenError, Pending, Reader, Row, ScanError, Scanned, Select,
        Store, Unavailable,
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
use crate::committer::{Ended, Witness};

/// How many databases are open, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct OpenLimits {
    /// How many may be open before those that were not used for the longest time are closed. Those in use are not closed, so that
    /// there are more if more are in use at once.
    pub open_max: usize,
    /// After how long without a use a database is idle.
    pub idle_max: Duration,
}

/// The databases that are open.
#[derive(Debug)]
pub(super) struct OpenDatabases {
    limits: OpenLimits,
    open: Mutex<Vec<Arc<Current>>>,
}

impl OpenDatabases {
    pub(super) fn new(limits: OpenLimits) -> Arc<Self> {
        Arc::new(OpenDatabases { limits, open: Mutex::default() })
    }

    /// Closes the databases that are idle at this time, and those that are too many. Blocks.
    pub(super) fn close_idle(&self, now: Instant) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut closing = Vec::new();
        if let Some(limit) = now.checked_sub(self.limits.idle_max) {
            open.retain(|current| !current.give_up(limit, &mut closing));
        }
        self.trim(&mut open, &mut closing);
        // Closed when nobody waits for the list any more.
        drop(open);
    }

    /// Counts one more. It is in use, or it may be closed at once.
    fn admit(&self, current: Arc<Current>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut closing = Vec::new();
        open.push(current);
        self.trim(&mut open, &mut closing);
        drop(open);
    }

    /// Counts one less.
    fn forget(&self, current: &Arc<Current>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, current));
    }

    /// Takes out those that are too many, and were not used for the longest time.
    fn trim(&self, open: &mut Vec<Arc<Current>>, closing: &mut Vec<Arc<SqliteStore>>) {
        let mut excess = open.len().saturating_sub(self.limits.open_max);
        if excess == 0 {
            return;
        }
        open.sort_by_cached_key(|current| current.last_used());
        open.retain(|current| {
            let closes = excess > 0 && current.give_up(current.last_used(), closing);
            excess -= usize::from(closes);
            !closes
        });
    }
}

/// Finds out the name inside a database that was just opened, if it is that of this organization. Asked at each opening.
pub type Inspect = for<'a> fn(OrganizationId, &'a dyn Reader) -> Pending<'a, Result<OrganizationName, OpenError>>;

/// What a database is opened with.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) path: PathBuf,
    /// The organization that it has to be of.
    pub(super) id: OrganizationId,
    /// The audit chain that this process writes.
    pub(super) writer: Uuid,
    pub(super) options: SqliteOptions,
    pub(super) witness: Witness,
    pub(super) inspect: Inspect,
}

/// A database of which it doesn't show whether it is open.
pub(super) struct OnDemandStore {
    opening: Opening,
    /// The name inside, as whoever serves the organization has seen it. It isn't given another one while it is served.
    name: Arc<Mutex<Option<OrganizationName>>>,
    current: Arc<Current>,
    open: Arc<OpenDatabases>,
    turn: Arc<tokio::sync::Mutex<Turn>>,
}

/// The turn to open or to make a database: one at a time has it.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// When the database that was opened last is closed.
    ended: Option<Ended>,
    /// Whether the log has it that the database can't be opened again.
    reported: bool,
}

impl OnDemandStore {
    /// A database that is closed.
    pub(super) fn new(opening: Opening, open: Arc<OpenDatabases>) -> Self {
        let current = Arc::new(Current::new());
        OnDemandStore { opening, name: Arc::default(), current, open, turn: Arc::default() }
    }

    /// Forgets which name is inside, unless the database is open: whoever opens it next looks at that himself.
    pub(super) fn forget_name(&self) {
        if !self.is_open() {
            *self.name.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Waits for the turn. Whoever has it is the only one to open the database.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<Turn> {
        Arc::clone(&self.turn).lock_owned().await
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_open()
    }

    /// Resolves when the database that was opened last is closed.
    #[cfg(test)]
    pub(super) async fn closed(&self) {
        let ended = self.turn().await.ended.clone();
        if let Some(mut ended) = ended {
            ended.wait().await;
        }
    }

    /// Closes the database, once no call uses it any more, and removes its files. A call that comes later finds none.
    pub(super) async fn remove(&self) -> Result<(), Cause> {
        let mut turn = self.turn().await;
        self.open.forget(&self.current);
        drop(self.current.take());
        if let Some(mut ended) = turn.ended.take() {
            ended.wait().await;
        }
        let path = self.opening.path.clone();
        // The turn goes along: nobody opens what is being removed.
        let removed = blocking(move || {
            let removed = remove(&path).and_then(|()| sync_folder(&path));
            drop(turn);
            removed
        });
        removed.await?.map_err(|error| Cause(error.into()))
    }

    /// The database, opened if it is not. It stays open as long as this is held.
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
        // The turn goes along: what is opened is known before anybody else can open it, even if this caller leaves.
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
                // Who opens a database for the first time says himself that it can't be opened.
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

impl Opening {
    /// Opens the database, unless it is another organization's inside, or has another name there than before. Blocks.
    fn open(self, name: &Mutex<Option<OrganizationName>>) -> Result<SqliteStore, OpenError> {
        let view = SqliteView::open(&self.path, self.options)?;
        // A view answers at once, on this thread.
        let inside = Handle::current().block_on((self.inspect)(self.id, &view))?;
        drop(view);
        {
            let mut name = name.lock().unwrap_or_else(PoisonError::into_inner);
            if *name.get_or_insert_with(|| inside.clone()) != inside {
                return Err(OpenError::OtherInside);
            }
        }
        SqliteStore::open(&self.path, self.writer, self.options, self.witness)
    }
}

impl Reader for OnDemandStore {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.select(select).await })
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.count(table, rows).await })
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan(select, bytes_max).await })
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scan_count(table, rows).await })
    }
}

impl Store for OnDemandStore {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let store = self.get().await.map_err(|error| CommitError::Unavailable(cause(error)))?;
            store.commit(commit).await
        })
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        Box::pin(async move {
            let store = self.get().await.map_err(unavailable)?;
            let snapshot = store.snapshot().await?;
            Ok(Arc::new(InUse { snapshot, _store: store }) as Arc<dyn Reader>)
        })
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.get().await.map_err(unavailable)?.scrub().await })
    }
}

/// A snapshot, and the database it is of, which is in use for as long.
struct InUse {
    snapshot: Arc<dyn Reader>,
    _store: Arc<SqliteStore>,
}

impl Reader for InUse {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        self.snapshot.select(select)
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        self.snapshot.count(table, rows)
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        self.snapshot.scan(select, bytes_max)
    }
}

fn unavailable(error: OpenError) -> Unavailable {
    Unavailable(cause(error))
}

fn cause(error: OpenError) -> Cause {
    Cause(error.into())
}

/// What is open of a database, and when it was used.
#[derive(Debug)]
struct Current {
    /// Cloned for each use, under the lock: as long as this is the only one, nobody uses the database.
    store: RwLock<Option<Arc<SqliteStore>>>,
    since: Instant,
    /// When the last use began, in nanoseconds after `since`.
    last_used_ns: AtomicU64,
}

impl Current {
    fn new() -> Self {
        Current { store: RwLock::new(None), since: Instant::now(), last_used_ns: AtomicU64::new(0) }
    }

    /// The database, to be used; `None` if it is closed.
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

    /// Gives the database up to be closed, if nobody uses it and no use began after `limit`: whether it did.
    fn give_up(&self, limit: Instant, closing: &mut Vec<Arc<SqliteStore>>) -> bool {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let unused = self.last_used() <= limit && store.as_ref().is_some_and(|store| Arc::strong_count(store) == 1);
        if unused {
            closing.extend(store.take());
        }
        unused
    }
}
