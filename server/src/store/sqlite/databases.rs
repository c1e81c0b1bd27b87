//! The organizations' databases in a data folder: made, opened, listed and locked by the organization's id.
//!
//! An organization's database is open once at most, whoever asks for it: two writers would continue one audit chain. One that was let
//! go is opened again only after it is closed. Nothing here knows which organizations there ought to be.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use fieldseal_core::{
    id::OrganizationId,
    port::{OrganizationDatabases, OrganizationLock, Pending},
    store::{Cause, Commit, CommitError, OpenError, Store, Unavailable},
};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{
    CREATING_SUFFIX, DataFolder, SqliteOptions, SqliteStore, blocking,
    folder::{make_private, open_lock},
};
use crate::committer::Ended;

/// The organizations' databases of a data folder. Whoever opens one holds it; here it is known for as long as somebody does.
#[derive(Debug)]
pub(crate) struct SqliteDatabases {
    folder: Arc<DataFolder>,
    writer: Uuid,
    options: SqliteOptions,
    slots: Mutex<HashMap<OrganizationId, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// The place of one organization. Held while its database is made or opened.
#[derive(Debug, Default)]
struct Slot {
    open: Weak<SqliteStore>,
    /// When the database that was opened last is closed.
    ended: Option<Ended>,
}

impl SqliteDatabases {
    /// The databases in `folder`. `writer` names the audit chains that this process writes. Blocks.
    ///
    /// What an earlier process left half made is removed.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn new(folder: Arc<DataFolder>, writer: Uuid, options: SqliteOptions) -> io::Result<Self> {
        let organizations = folder.organizations();
        make_private(&organizations)?;
        for entry in fs::read_dir(&organizations)? {
            let entry = entry?;
            let name = entry.file_name();
            // With what follows it: the journal of a file half made.
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.contains(CREATING_SUFFIX)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(SqliteDatabases { folder, writer, options, slots: Mutex::default() })
    }

    /// Waits until an organization's database is closed, which it is soon after everybody has let it go.
    #[cfg(test)]
    pub(crate) async fn closed(&self, id: OrganizationId) {
        let ended = self.slot(id).await.ended.clone();
        if let Some(mut ended) = ended {
            ended.wait().await;
        }
    }

    fn path(&self, id: OrganizationId, extension: &str) -> PathBuf {
        self.folder.organizations().join(format!("{id}.{extension}"))
    }

    async fn slot(&self, id: OrganizationId) -> OwnedMutexGuard<Slot> {
        let slot = Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default());
        slot.lock_owned().await
    }
}

impl OrganizationDatabases for SqliteDatabases {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let (path, writer, options) = (self.path(id, DATABASE), self.writer, self.options);
            let slot = self.slot(id).await;
            // The slot goes along, so that it stays taken until the work is done, even if the caller leaves.
            blocking(move || {
                let _slot = slot;
                SqliteStore::create(&path, writer, options, first)
            })
            .await
            .map_err(CommitError::Unknown)?
        })
    }

    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>> {
        Box::pin(async move {
            let mut slot = self.slot(id).await;
            if let Some(store) = slot.open.upgrade() {
                return Ok(store as Arc<dyn Store>);
            }
            if let Some(ended) = &mut slot.ended {
                ended.wait().await;
            }
            let (path, writer, options) = (self.path(id, DATABASE), self.writer, self.options);
            blocking(move || {
                let store = Arc::new(SqliteStore::open(&path, writer, options)?);
                slot.open = Arc::downgrade(&store);
                slot.ended = Some(store.ended());
                Ok(store as Arc<dyn Store>)
            })
            .await
            .map_err(OpenError::Unavailable)?
        })
    }

    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>> {
        let folder = self.folder.organizations();
        Box::pin(async move {
            let listed = blocking(move || -> io::Result<Vec<OrganizationId>> {
                let mut ids = Vec::new();
                for entry in fs::read_dir(folder)? {
                    let name = entry?.file_name();
                    let stem = name.to_str().and_then(|name| name.strip_suffix(".db"));
                    ids.extend(stem.and_then(|stem| stem.parse::<OrganizationId>().ok()));
                }
                ids.sort();
                Ok(ids)
            });
            listed.await.map_err(Unavailable)?.map_err(|error| Unavailable(Cause(error.into())))
        })
    }

    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>> {
        let path = self.path(id, LOCK);
        Box::pin(async move {
            let locked = blocking(move || {
                let file = open_lock(&path)?;
                match file.try_lock() {
                    Ok(()) => Ok(Some(Box::new(FileLock { _file: file }) as Box<dyn OrganizationLock>)),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(error),
                }
            });
            locked.await.map_err(Unavailable)?.map_err(|error: io::Error| Unavailable(Cause(error.into())))
        })
    }
}

/// A lock that the operating system gives back when the file is closed, however this process ends.
struct FileLock {
    _file: File,
}

impl OrganizationLock for FileLock {}

const DATABASE: &str = "db";
const LOCK: &str = "lock";
