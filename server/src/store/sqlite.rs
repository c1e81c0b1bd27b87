//! The embedded store: one SQLite file for a database, in WAL mode, with one writer and a few readers.
//!
//! [`SqliteStore`] is one database, [`SqliteDatabases`] the organizations' databases of a [`DataFolder`], each open while it is used. All
//! writes go through the [`Committer`]'s thread, all reads through connections of their own on threads that may block; the runtime never
//! waits for a disk. Long reads and snapshots have bounds, and end where a scrub or the size of the write-ahead log demands it.
//! Nothing here knows what the tables are for.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sealward_core::store::{
    Cause, Commit, CommitError, Condition, Name, OpenError, Pending, Reader, Row, ScanError, Scanned, Select, Store,
    Unavailable,
};
use uuid::Uuid;

use self::{connection::Connection, readers::Readers, snapshot::Snapshots, writer::SqliteWriter};
use crate::{
    committer::{self, Committer, Ended, Witness},
    private_file::rename_new,
};

mod connection;
mod databases;
mod folder;
mod on_demand;
mod prepared;
mod readers;
mod snapshot;
mod stop;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub(crate) use self::{
    connection::FORMAT,
    databases::{Inspect, SqliteDatabases},
    folder::{DataFolder, DataFolderError},
    on_demand::OpenLimits,
    view::SqliteView,
};

/// The bounds of a database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteOptions {
    /// The most quick reads at a time, each on a connection of its own.
    pub(crate) readers_max: usize,
    /// The most scans at a time, each on a connection of its own.
    pub(crate) scans_max: u32,
    /// How long a scan may run.
    pub(crate) scan_time_max: Duration,
    /// How large the write-ahead log may be before snapshots that keep it from being cut are ended.
    pub(crate) log_max_bytes: u64,
    /// How long a snapshot that is in the way of a scrub may go on.
    pub(crate) snapshot_grace: Duration,
    /// How long to wait for somebody else's lock: a backup's, or a shell's.
    pub(crate) busy_timeout: Duration,
}

impl Default for SqliteOptions {
    /// 4 readers: a read by key takes some 10 µs, so that more would only share the processors. As many scans, of which one identity
    /// has no more than half. 5 s, as SQLite's own shell waits. 10 s let an export of 100 MB end that has just begun.
    fn default() -> Self {
        SqliteOptions {
            readers_max: 4,
            scans_max: SCANS_MAX,
            scan_time_max: Duration::from_secs(10),
            log_max_bytes: 256 * 1024 * 1024,
            snapshot_grace: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// The most scans of one database at a time.
pub(crate) const SCANS_MAX: u32 = 4;

/// A database in a file. Dropped, it finishes what was handed over and closes.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    // In this order, so that the writer closes last and leaves no write-ahead log behind.
    readers: Readers,
    snapshots: Arc<Snapshots>,
    snapshot_grace: Duration,
    committer: Committer,
}

impl SqliteStore {
    /// Opens the database at `path`, having made it of `first` if there is none. It appears whole or not at all.
    ///
    /// `writer` names the audit chain that this process writes, and no other may; `witness` hears how far it goes.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] if it can't be made, or isn't a database of ours.
    pub(crate) async fn open_or_create(
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

    /// Opens a database that exists. Blocks.
    fn open(path: &Path, writer: Uuid, options: SqliteOptions, witness: Witness) -> Result<Self, OpenError> {
        if !fs::exists(path).map_err(|error| OpenError::Unavailable(Cause(error.into())))? {
            return Err(OpenError::Missing);
        }
        let snapshots = Arc::new(Snapshots::default());
        let backend = SqliteWriter::open(path, options, Arc::clone(&snapshots)).map_err(OpenError::Unavailable)?;
        let committer =
            Committer::start(path.display().to_string(), backend, writer, witness).map_err(OpenError::Unavailable)?;
        Ok(SqliteStore::of(path, options, snapshots, committer))
    }

    fn of(path: &Path, options: SqliteOptions, snapshots: Arc<Snapshots>, committer: Committer) -> Self {
        let readers = Readers::new(path, options, Arc::clone(&snapshots));
        SqliteStore { readers, snapshots, snapshot_grace: options.snapshot_grace, committer }
    }

    /// Makes a database whose content is `first`: under another name, and renamed when it is whole and on disk. Blocks.
    ///
    /// # Errors
    /// [`CommitError::Refused`] at step 0 if there is one already, as if a step before all others had forbidden it.
    fn create(path: &Path, writer: Uuid, options: SqliteOptions, first: Commit) -> Result<(), CommitError> {
        if fs::exists(path).map_err(unavailable)? {
            return Err(CommitError::Refused { step: 0 });
        }
        let creating = creating_path(path);
        remove(&creating).map_err(unavailable)?;
        // A log that outlived its database would be replayed into this one.
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

    /// Tells when the database is closed, after this was dropped.
    pub(crate) fn ended(&self) -> Ended {
        self.committer.ended()
    }
}

impl Reader for SqliteStore {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(self.readers.read(move |connection| connection.select(&select)))
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(self.readers.read(move |connection| connection.count(&table, &rows)))
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(self.readers.scan(move |connection| connection.scan(&select, bytes_max)))
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(self.readers.scan(move |connection| connection.count(&table, &rows)))
    }
}

impl Store for SqliteStore {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(self.committer.commit(commit))
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        Box::pin(async move { Ok(Arc::new(self.readers.snapshot().await?) as Arc<dyn Reader>) })
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            // The writer waits for whoever reads from the log, and so do all writes: whoever may read for long ends before it asks.
            let _no_snapshot = self.snapshots.none_after(self.snapshot_grace).await?;
            // After the snapshots, which have longer: lists wait for lists only.
            let _no_scan = self.readers.without_scans().await?;
            self.committer.scrub().await
        })
    }
}

/// Copies a database as it is at one moment into a new file of mode 0600, which is whole and on disk then. Others may write to the
/// database meanwhile. Blocks.
///
/// # Errors
/// There is a file of that name, or what the database or the file system reports.
pub(crate) fn copy(from: &Path, to: &Path, options: SqliteOptions) -> Result<(), Cause> {
    let failed = |error: io::Error| Cause(error.into());
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let source = Connection::open_unlogged(from, options)?;
    source.copy_into(to)?;
    drop(source);
    Connection::open_at_rest(to, options)?.check_whole()?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed)
}

fn make(path: &Path, writer: Uuid, options: SqliteOptions, first: Commit) -> Result<(), CommitError> {
    // Made here and not by SQLite, whose files the whole group may read; the logs beside it take its mode.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unavailable)?;
    Connection::create(path, options).map_err(|error| CommitError::Unavailable(error.into()))?;
    let backend = SqliteWriter::open_unlogged(path, options).map_err(CommitError::Unavailable)?;
    committer::commit_alone(backend, writer, first)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(unavailable)
}

/// Removes a database that isn't open, or what is left of one.
fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["-journal", "-wal", "-shm", ""] {
        match fs::remove_file(suffixed(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Puts on disk which files there are beside this one.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotADirectory)?;
    File::open(folder)?.sync_all()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// `organizations/<uuid>.db` is made as `organizations/.<uuid>.creating`.
fn creating_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_stem().unwrap_or_default());
    name.push(CREATING_SUFFIX);
    path.with_file_name(name)
}

const CREATING_SUFFIX: &str = ".creating";

fn unavailable(error: io::Error) -> CommitError {
    CommitError::Unavailable(Cause(error.into()))
}

/// Runs what may block on a thread made for that. It runs to its end even if nobody waits for it any more.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Cause> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Cause(error.into()))
}
