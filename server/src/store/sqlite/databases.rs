//! The organizations' databases in a data folder: made, opened, listed and locked by the organization's id.
//!
//! An organization's database is known once, whoever asks for it, and open once at most: two writers would continue one audit chain.
//! It is open while it is used; see [`OnDemandStore`]. Nothing here knows which organizations there ought to be.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use sealward_core::{
    id::OrganizationId,
    port::{OrganizationDatabases, OrganizationLock, PreparedDatabase},
    store::{Cause, Commit, CommitError, OpenError, Pending, Reader, Store, Unavailable},
};
use uuid::Uuid;

use super::{
    CREATING_SUFFIX, DataFolder, SqliteOptions, SqliteStore, blocking,
    folder::{LockedFile, make_private},
    on_demand::{OnDemandStore, OpenDatabases, OpenLimits, Opening},
    prepared::PreparedSqlite,
};
use crate::committer::Witness;

/// Who hears how far the chain in an organization's database goes.
pub(crate) type Witnesses = Box<dyn Fn(OrganizationId) -> Witness + Send + Sync>;

/// Finds out the name inside a database that was just opened, if it is that of this organization. Asked at each opening.
pub(crate) type Inspect = for<'a> fn(OrganizationId, &'a dyn Reader) -> Pending<'a, Result<String, OpenError>>;

/// The organizations' databases of a data folder.
pub(crate) struct SqliteDatabases {
    folder: Arc<DataFolder>,
    writer: Uuid,
    options: SqliteOptions,
    witnesses: Witnesses,
    inspect: Inspect,
    open: Arc<OpenDatabases>,
    databases: Mutex<HashMap<OrganizationId, Arc<OnDemandStore>>>,
}

impl SqliteDatabases {
    /// The databases in `folder`. `writer` names the audit chains that this process writes. Blocks.
    ///
    /// What an earlier process left half made is removed, and so are locks of organizations that have no database.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn new(
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
            // With what follows it: the journal of a file half made.
            let is_half_made =
                name.to_str().is_some_and(|name| name.starts_with('.') && name.contains(CREATING_SUFFIX));
            let is_lock_of_none = path.extension().is_some_and(|extension| extension == LOCK)
                && path.file_stem().and_then(|stem| stem.to_str()?.parse::<OrganizationId>().ok()).is_some()
                && !fs::exists(path.with_extension(DATABASE))?;
            if is_half_made {
                fs::remove_file(path)?;
            } else if is_lock_of_none && let Some(lock) = LockedFile::try_lock(&path)? {
                lock.remove()?;
            }
        }
        let open = OpenDatabases::new(limits);
        Ok(SqliteDatabases { folder, writer, options, witnesses, inspect, open, databases: Mutex::default() })
    }

    /// Closes the databases that are idle at this time, and those that are too many. Blocks.
    pub(crate) fn close_idle(&self, now: Instant) {
        self.open.close_idle(now);
    }

    /// Whether an organization's database is open. One that is not is opened by the next call that needs it.
    pub(crate) fn is_open(&self, id: OrganizationId) -> bool {
        self.database(id).is_open()
    }

    /// Resolves when an organization's database, which was given up, is closed.
    #[cfg(test)]
    pub(crate) async fn closed(&self, id: OrganizationId) {
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
                Opening { path, id, writer: self.writer, options: self.options, witness, inspect: self.inspect },
                Arc::clone(&self.open),
            )
        };
        Arc::clone(databases.entry(id).or_insert_with(|| Arc::new(closed())))
    }
}

impl OrganizationDatabases for SqliteDatabases {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let (path, writer, options) = (self.path(id, DATABASE), self.writer, self.options);
            let turn = self.database(id).turn().await;
            // The turn goes along, so that nobody else has it until the work is done, even if the caller leaves.
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
            // Opened once, so that the caller learns now if it can't be.
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
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move {
            let removed = blocking(move || self.remove()).await.map_err(Unavailable)?;
            removed.map_err(|error| Unavailable(Cause(error.into())))
        })
    }
}

const DATABASE: &str = "db";
const LOCK: &str = "lock";
