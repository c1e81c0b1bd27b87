//! The organizations' databases in a data folder: creates, opens, lists and locks them by the organization's id.
//!
//! Each database has one entry, and is open at most once: two writers would extend the same audit chain. It is open
//! only while it is used; see [`OnDemandStore`]. This file doesn't know which organizations should exist.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use sealward_core::{
    id::OrganizationId,
    port::{OrganizationDatabases, OrganizationLock, PreparedDatabase},
    store::{Cause, Commit, CommitError, Generation, OpenError, Pending, Store, Unavailable},
};
use uuid::Uuid;

use super::{
    blocking::blocking,
    file::{CREATING_SUFFIX, suffixed},
    folder::{DataFolder, LockedFile, make_private},
    on_demand::{OnDemandStore, OpenDatabases, OpenLimits, OpenParameters},
    options::SqliteOptions,
    prepared::PreparedSqlite,
    store::SqliteStore,
};
use crate::{
    committer::Witnesses,
    files::engine,
    on_demand::{FileBytes, Inspect, OnDemand, Others},
};

/// The organizations' databases of a data folder.
pub struct SqliteDatabases {
    folder: Arc<DataFolder>,
    writer: Uuid,
    options: SqliteOptions,
    witnesses: Witnesses,
    inspect: Inspect,
    open: Arc<OpenDatabases>,
    databases: Mutex<HashMap<OrganizationId, Arc<OnDemandStore>>>,
}

impl SqliteDatabases {
    /// Opens the databases in `folder`. `writer` identifies the audit chains that this process writes. Blocks.
    ///
    /// Removes incomplete databases of an earlier process, and locks of organizations that have no database.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn new(
        folder: Arc<DataFolder>,
        writer: Uuid,
        options: SqliteOptions,
        limits: OpenLimits,
        witnesses: Witnesses,
        inspect: Inspect,
    ) -> io::Result<Self> {
        let organizations = folder.organizations();
        make_private(&organizations)?;
        for entry in fs::read_dir(&organizations)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            // Includes files with a suffix, such as the journal of an incomplete database.
            let is_incomplete =
                name.to_str().is_some_and(|name| name.starts_with('.') && name.contains(CREATING_SUFFIX));
            let is_stale_lock = path.extension().is_some_and(|extension| extension == LOCK)
                && path.file_stem().and_then(|stem| stem.to_str()?.parse::<OrganizationId>().ok()).is_some()
                && !fs::exists(path.with_extension(DATABASE))?;
            if is_incomplete {
                fs::remove_file(path)?;
            } else if is_stale_lock && let Some(lock) = LockedFile::try_lock(&path)? {
                lock.remove()?;
            }
        }
        let open = OpenDatabases::new(limits);
        Ok(SqliteDatabases { folder, writer, options, witnesses, inspect, open, databases: Mutex::default() })
    }

    /// Waits until an organization's database is closed after it was released.
    #[cfg(test)]
    pub(super) async fn closed(&self, id: OrganizationId) {
        self.database(id).closed().await;
    }

    fn path(&self, id: OrganizationId, extension: &str) -> PathBuf {
        self.folder.organizations().join(format!("{id}.{extension}"))
    }

    pub(super) fn database(&self, id: OrganizationId) -> Arc<OnDemandStore> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || {
            let (path, witness) = (self.path(id, DATABASE), (self.witnesses)(id));
            OnDemandStore::new(
                OpenParameters { path, id, writer: self.writer, options: self.options, witness, inspect: self.inspect },
                Arc::clone(&self.open),
            )
        };
        Arc::clone(databases.entry(id).or_insert_with(|| Arc::new(closed())))
    }
}

impl OnDemand for SqliteDatabases {
    fn engine(&self) -> String {
        engine()
    }

    fn is_open(&self, id: OrganizationId) -> bool {
        self.database(id).is_open()
    }

    fn open_count(&self) -> usize {
        self.open.count()
    }

    fn generation(&self, id: OrganizationId) -> Option<Generation> {
        self.database(id).generation_unused()
    }

    fn file_bytes(&self, id: Option<OrganizationId>) -> Option<FileBytes> {
        let path = id.map_or_else(|| self.folder.configuration(), |id| self.path(id, DATABASE));
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        Some(FileBytes { database: bytes(&path), log: bytes(&suffixed(&path, "-wal")) })
    }

    fn close_idle(&self, now: Instant) {
        self.open.close_idle(now);
    }

    fn started(&self) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn others(&self) -> Pending<'_, Result<Option<Others>, Cause>> {
        // The lock of the folder keeps them out.
        Box::pin(std::future::ready(Ok(None)))
    }

    fn maintains(&self) -> Pending<'_, bool> {
        Box::pin(std::future::ready(true))
    }

    fn release(&self) -> Pending<'_, ()> {
        // The locks of files end with the process.
        Box::pin(std::future::ready(()))
    }
}

impl OrganizationDatabases for SqliteDatabases {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let (path, writer, options) = (self.path(id, DATABASE), self.writer, self.options);
            let turn = self.database(id).turn().await;
            // The work holds the turn, so that no other call gets it before the work is done, even if the caller stops
            // waiting.
            blocking(move || {
                let _turn = turn;
                SqliteStore::create(&path, writer, options, first)
            })
            .await
            .map_err(CommitError::Unknown)?
        })
    }

    fn prepare(
        &self,
        id: OrganizationId,
        first: Commit,
    ) -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>> {
        let (path, writer, options) = (self.path(id, DATABASE), self.writer, self.options);
        Box::pin(async move {
            let begun = blocking(move || PreparedSqlite::begin(path, writer, options, first));
            let prepared = begun.await.map_err(CommitError::Unavailable)??;
            Ok(Box::new(prepared) as Box<dyn PreparedDatabase>)
        })
    }

    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>> {
        Box::pin(async move {
            let database = self.database(id);
            database.forget_name();
            // Opens it once, so that the caller gets any error now.
            drop(database.get().await?);
            Ok(database as Arc<dyn Store>)
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

    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.database(id).remove().await.map_err(Unavailable)?;
            self.databases.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            Ok(())
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>> {
        let path = self.path(id, LOCK);
        Box::pin(async move {
            let locked = blocking(move || LockedFile::try_lock(&path)).await.map_err(Unavailable)?;
            let lock = locked.map_err(|error| Unavailable(Cause(error.into())))?;
            Ok(lock.map(|lock| Box::new(lock) as Box<dyn OrganizationLock>))
        })
    }
}

impl OrganizationLock for LockedFile {
    fn is_lost(&self) -> bool {
        false
    }

    fn hand_over(self: Box<Self>) -> Pending<'static, ()> {
        // The next start continues.
        drop(self);
        Box::pin(std::future::ready(()))
    }

    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move {
            let removed = blocking(move || self.remove()).await.map_err(Unavailable)?;
            removed.map_err(|error| Unavailable(Cause(error.into())))
        })
    }
}

const DATABASE: &str = "db";
const LOCK: &str = "lock";
