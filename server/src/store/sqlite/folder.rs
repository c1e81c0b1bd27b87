//! The data folder: whose it is, and that one server has it.
//!
//! Nothing here knows what is kept in it but the names.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A folder that this process has to itself, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    // The operating system gives the lock back when the file is closed, however this process ends.
    _lock: File,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// There is something else under this name.
    #[error("the data folder {} is not a folder", .path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Others on this machine could read the databases.
    #[error("the data folder {} is open to others (mode {mode:04o}): make it the server's alone, with `chmod 700`", .path.display())]
    OpenToOthers {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Two servers on one folder would overwrite each other's keys.
    #[error("another server is running on the data folder {}", .path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("the data folder {} can't be used", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl DataFolder {
    /// Takes the folder, having made it if there is none. Blocks, but not for others: a folder that is taken is an error.
    ///
    /// # Errors
    /// See [`DataFolderError`].
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, DataFolderError> {
        let path = path.as_ref();
        let failed = |source| DataFolderError::Io { path: path.to_owned(), source };
        make_private(path).map_err(failed)?;
        // SQLite takes a relative path that begins with `file:` for an address; an absolute one can't.
        let path = &fs::canonicalize(path).map_err(failed)?;
        let found = fs::metadata(path).map_err(failed)?;
        if !found.is_dir() {
            return Err(DataFolderError::NotAFolder { path: path.clone() });
        }
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(DataFolderError::OpenToOthers { path: path.clone(), mode });
        }
        let lock = open_lock(&path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataFolder { path: path.clone(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse { path: path.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The configuration database.
    #[must_use]
    pub(crate) fn configuration(&self) -> PathBuf {
        self.path.join("configuration.db")
    }

    /// The folder of the organizations' databases.
    #[must_use]
    pub(crate) fn organizations(&self) -> PathBuf {
        self.path.join("organizations")
    }
}

/// Makes a folder for the owner alone, if there is nothing of that name.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if fs::exists(path)? { Ok(()) } else { DirBuilder::new().recursive(true).mode(0o700).create(path) }
}

/// Opens a file that is there to be locked; it is never written to, and never removed, since a lock on a removed file keeps nobody out.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
