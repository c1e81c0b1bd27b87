//! A database that is invisible until it is complete: created under a temporary name, and renamed when it is published.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sealward_core::{
    port::PreparedDatabase,
    store::{Cause, Commit, CommitError, OpenError, Pending, Store, Unavailable},
};
use uuid::Uuid;

use super::{
    blocking::blocking,
    file::{creating_path, remove, sync_folder},
    options::SqliteOptions,
    store::{SqliteStore, make},
};
use crate::{committer::Witness, rename::rename_new};

/// A database that is being created.
pub(super) struct PreparedSqlite {
    store: Arc<SqliteStore>,
    /// The temporary path.
    creating: PathBuf,
    /// The final path.
    path: PathBuf,
}

impl PreparedSqlite {
    /// Creates a database with the content `first`. Removes the remains of an earlier attempt. Blocks.
    pub(super) fn begin(
        path: PathBuf,
        writer: Uuid,
        options: SqliteOptions,
        first: Commit,
    ) -> Result<PreparedSqlite, CommitError> {
        let creating = creating_path(&path);
        let failed = |error: std::io::Error| CommitError::Unavailable(Cause(error.into()));
        remove(&creating).map_err(failed)?;
        let made = make(&creating, writer, options, first)
            .and_then(|()| SqliteStore::open(&creating, writer, options, Witness::none()).map_err(unavailable));
        match made {
            Ok(store) => Ok(PreparedSqlite { store: Arc::new(store), creating, path }),
            Err(error) => {
                let _left = remove(&creating);
                Err(error)
            }
        }
    }

    /// Closes the database. Returns its temporary and its final path.
    async fn close(self) -> (PathBuf, PathBuf) {
        let mut ended = self.store.ended();
        drop(self.store);
        ended.wait().await;
        (self.creating, self.path)
    }
}

fn unavailable(error: OpenError) -> CommitError {
    CommitError::Unavailable(Cause(error.into()))
}

impl PreparedDatabase for PreparedSqlite {
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn publish(self: Box<Self>) -> Pending<'static, Result<(), CommitError>> {
        Box::pin(async move {
            // The log must be empty, because it isn't renamed with the database.
            let scrubbed = self.store.scrub().await;
            let (creating, path) = self.close().await;
            let published = blocking(move || {
                let published = scrubbed
                    .map_err(|Unavailable(cause)| CommitError::Unavailable(cause))
                    .and_then(|()| rename(&creating, &path));
                if !matches!(published, Ok(()) | Err(CommitError::Unknown(_))) {
                    let _left = remove(&creating);
                }
                published
            });
            published.await.map_err(CommitError::Unknown)?
        })
    }

    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>> {
        Box::pin(async move {
            let (creating, _) = self.close().await;
            let removed = blocking(move || remove(&creating)).await.map_err(Unavailable)?;
            removed.map_err(|error| Unavailable(Cause(error.into())))
        })
    }
}

fn rename(creating: &Path, path: &Path) -> Result<(), CommitError> {
    let failed = |error: std::io::Error| CommitError::Unavailable(Cause(error.into()));
    if !rename_new(creating, path).map_err(failed)? {
        return Err(CommitError::Refused { step: 0 });
    }
    sync_folder(path).map_err(|error| CommitError::Unknown(Cause(error.into())))
}
