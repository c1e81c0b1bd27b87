//! One database in one file: opens, creates and copies it, with one writer and a few readers.
//!
//! This file doesn't know the purpose of the tables.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use sealward_core::store::{
    Cause, ColumnRows, ColumnScan, Commit, CommitError, Condition, Datum, Generation, Lookup, Name, OpenError, Pending,
    Reader, Row, RowSink, Scan, ScanEnd, ScanError, Scanned, Select, Store, Submitted, Unavailable,
};
use uuid::Uuid;

use super::{
    blocking::blocking,
    connection::{Connection, SqliteError},
    file::{creating_path, remove, sync_folder},
    options::SqliteOptions,
    readers::Readers,
    snapshot::Snapshots,
    writer::SqliteWriter,
};
use crate::{
    committer::{self, Committer, Ended, Witness},
    rename::rename_new,
};

/// A database in a file. When it is dropped, it completes queued commits and closes.
#[derive(Debug)]
pub struct SqliteStore {
    // The fields are in this order so that the writer closes last and leaves no write-ahead log.
    pub(super) readers: Readers,
    snapshots: Arc<Snapshots>,
    snapshot_grace: Duration,
    committer: Committer,
}

impl SqliteStore {
    /// Opens the database at `path`. If it doesn't exist, creates it atomically with the content `first`.
    ///
    /// `writer` identifies the audit chain that this process writes. No other process may write it. `witness` receives
    /// the length of the chain.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] if the database can't be created or isn't a database of this service.
    pub async fn open_or_create(
        path: PathBuf,
        writer: Uuid,
        options: SqliteOptions,
        witness: Witness,
        first: impl FnOnce() -> Commit + Send + 'static,
    ) -> Result<Arc<Self>, OpenError> {
        blocking(move || {
            match SqliteStore::open(&path, writer, options, witness.clone()) {
                Err(OpenError::Missing) => {}
                opened => return opened.map(Arc::new),
            }
            SqliteStore::create(&path, writer, options, first())
                .map_err(|error| OpenError::Unavailable(Cause(error.into())))?;
            SqliteStore::open(&path, writer, options, witness).map(Arc::new)
        })
        .await
        .map_err(OpenError::Unavailable)?
    }

    /// Opens an existing database. Blocks.
    pub(super) fn open(path: &Path, writer: Uuid, options: SqliteOptions, witness: Witness) -> Result<Self, OpenError> {
        if !fs::exists(path).map_err(|error| OpenError::Unavailable(Cause(error.into())))? {
            return Err(OpenError::Missing);
        }
        let snapshots = Arc::new(Snapshots::default());
        let backend = SqliteWriter::open(path, options, Arc::clone(&snapshots)).map_err(OpenError::Unavailable)?;
        let committer =
            Committer::start(path.display().to_string(), backend, writer, witness).map_err(OpenError::Unavailable)?;
        Ok(SqliteStore::of(path, options, snapshots, committer))
    }

    pub(super) fn of(path: &Path, options: SqliteOptions, snapshots: Arc<Snapshots>, committer: Committer) -> Self {
        let readers = Readers::new(path, options, Arc::clone(&snapshots));
        SqliteStore { readers, snapshots, snapshot_grace: options.snapshot_grace, committer }
    }

    /// Creates a database with the content `first` under a temporary name, and renames it when it is complete and on
    /// disk. Blocks.
    ///
    /// # Errors
    /// [`CommitError::Refused`] at step 0 if the database exists.
    pub(super) fn create(path: &Path, writer: Uuid, options: SqliteOptions, first: Commit) -> Result<(), CommitError> {
        if fs::exists(path).map_err(unavailable)? {
            return Err(CommitError::Refused { step: 0 });
        }
        let creating = creating_path(path);
        remove(&creating).map_err(unavailable)?;
        // A leftover log of a removed database would be replayed into this one.
        remove(path).map_err(unavailable)?;
        let made = make(&creating, writer, options, first);
        if made.is_err() {
            let _ = remove(&creating);
        }
        made?;
        if !rename_new(&creating, path).map_err(unavailable)? {
            return Err(CommitError::Refused { step: 0 });
        }
        sync_folder(path).map_err(|error| CommitError::Unknown(Cause(error.into())))
    }

    /// Returns a future that resolves when the database is closed after this value is dropped.
    pub fn ended(&self) -> Ended {
        self.committer.ended()
    }
}

impl Reader for SqliteStore {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(self.readers.read(move |connection| connection.select(&select)))
    }

    fn look_up(&self, lookup: &Arc<Lookup>, key: Datum) -> Pending<'_, Result<Option<Row>, Unavailable>> {
        Box::pin(self.readers.look_up(Arc::clone(lookup), key))
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(self.readers.read(move |connection| connection.count(&table, &rows)))
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(self.readers.scan(move |connection| connection.scan(&select, bytes_max)))
    }

    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        Box::pin(self.readers.scan_into(scan, sink))
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(self.readers.scan(move |connection| connection.count(&table, &rows)))
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        Box::pin(self.readers.read(move |connection| connection.scan_column(&scan)))
    }
}

impl Store for SqliteStore {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(self.committer.commit(commit))
    }

    fn submit(&self, commit: Commit) -> Pending<'_, Submitted> {
        Box::pin(self.committer.submit(commit))
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        Box::pin(async move { Ok(Arc::new(self.readers.snapshot().await?) as Arc<dyn Reader>) })
    }

    fn generation(&self) -> Option<Generation> {
        self.committer.generation()
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            // The writer waits for readers of the log, and blocks all writes meanwhile. Therefore long reads end first.
            let _no_snapshot = self.snapshots.end_all_after(self.snapshot_grace).await?;
            // Scans end after the snapshots, which take longer. Until then, lists wait only for other lists.
            let _no_scan = self.readers.without_scans().await?;
            self.committer.scrub().await
        })
    }
}

/// Why a database wasn't copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database can't be read, or is damaged.
    #[error("the database can't be read")]
    Source(#[source] Cause),
    /// The new file exists, or can't be written, for example because its disk is full.
    #[error("the copy can't be written")]
    Target(#[source] Cause),
}

/// Copies a consistent state of a database to a new file of mode 0600. The copy is complete and on disk when this
/// returns. Other processes may write to the database at the same time. Blocks.
///
/// # Errors
/// See [`CopyError`].
pub(crate) fn copy(from: &Path, to: &Path, options: SqliteOptions) -> Result<(), CopyError> {
    let target = |error: io::Error| CopyError::Target(Cause(error.into()));
    let copied = |error: SqliteError| match error.is_of_writing() {
        true => CopyError::Target(error.into()),
        false => CopyError::Source(error.into()),
    };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(target)?;
    let source = Connection::open_unlogged(from, options).map_err(|error| CopyError::Source(error.into()))?;
    source.copy_into(to).map_err(copied)?;
    drop(source);
    let copy = Connection::open_at_rest(to, options).map_err(|error| CopyError::Target(error.into()))?;
    copy.check_whole().map_err(copied)?;
    File::open(to).and_then(|file| file.sync_all()).map_err(target)
}

pub(super) fn make(path: &Path, writer: Uuid, options: SqliteOptions, first: Commit) -> Result<(), CommitError> {
    // Created here instead of by SQLite, which would make it readable for the group. The log files get the same mode.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unavailable)?;
    Connection::create(path, options).map_err(|error| CommitError::Unavailable(error.into()))?;
    let backend = SqliteWriter::open_unlogged(path, options).map_err(CommitError::Unavailable)?;
    committer::commit_alone(backend, writer, first)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(unavailable)
}

fn unavailable(error: io::Error) -> CommitError {
    CommitError::Unavailable(Cause(error.into()))
}
