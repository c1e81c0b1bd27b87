//! The data folder: checks its owner and permissions, and locks it for one server.
//!
//! This file doesn't know the content of the folder, only the names in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A folder that this process has exclusively, as long as the value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // The operating system releases the lock when the file is closed, however this process ends.
    _lock: LockedFile,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// The path exists and isn't a folder.
    #[error("the data folder {} is not a folder", .path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The path is a link to nothing. A folder isn't created elsewhere.
    #[error("the data folder {} is a link to a folder that doesn't exist: create that folder, or remove the link", .path.display())]
    DanglingLink {
        /// The path.
        path: PathBuf,
    },
    /// Other users on this machine could read the databases.
    #[error("the data folder {} is accessible to other users (mode {mode:04o}): use a folder of the server's own, with mode 0700", .path.display())]
    OpenToOthers {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another server uses the folder. Two servers on one folder would overwrite each other's keys.
    #[error("another server is running on the data folder {}", .path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The operating system returned an error.
    #[error("the data folder {} can't be used", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl DataFolder {
    /// Locks the folder, and creates it if it doesn't exist. Blocks, but doesn't wait for a lock: a locked folder is an
    /// error.
    ///
    /// # Errors
    /// See [`DataFolderError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataFolderError> {
        let path = path.as_ref();
        let failed = |source| DataFolderError::Io { path: path.to_owned(), source };
        if fs::symlink_metadata(path).is_ok() && !fs::exists(path).map_err(failed)? {
            return Err(DataFolderError::DanglingLink { path: path.to_owned() });
        }
        make_private(path).map_err(failed)?;
        // SQLite interprets a relative path that begins with `file:` as a URI. An absolute path can't begin with it.
        let path = &fs::canonicalize(path).map_err(failed)?;
        let found = fs::metadata(path).map_err(failed)?;
        if !found.is_dir() {
            return Err(DataFolderError::NotAFolder { path: path.clone() });
        }
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(DataFolderError::OpenToOthers { path: path.clone(), mode });
        }
        match LockedFile::try_lock(&path.join("lock")).map_err(failed)? {
            Some(lock) => Ok(DataFolder { path: path.clone(), _lock: lock }),
            None => Err(DataFolderError::InUse { path: path.clone() }),
        }
    }

    /// Returns the path of the configuration database.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.path.join("configuration.db")
    }

    /// Returns the folder of the organizations' databases.
    #[must_use]
    pub fn organizations(&self) -> PathBuf {
        self.path.join("organizations")
    }
}

/// Creates a folder that only its owner can access, unless it exists.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if fs::exists(path)? { Ok(()) } else { DirBuilder::new().recursive(true).mode(0o700).create(path) }
}

/// A file with an exclusive lock of this process. The operating system releases the lock however the process ends.
///
/// The file is never written to. Only the holder of the lock removes it. A lock on a file that was removed in the
/// meantime is not used, because it would not exclude other processes.
#[derive(Debug)]
pub(super) struct LockedFile {
    file: File,
    path: PathBuf,
}

/// The maximum number of attempts to lock a file that other processes remove. For each attempt, another process had the
/// lock and released it.
const REMOVED_MAX: u32 = 100;

impl LockedFile {
    /// Locks the file with this name, and creates it if it doesn't exist. Returns `None` if another process has the
    /// lock. Blocks, but doesn't wait for the lock.
    pub(super) fn try_lock(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..REMOVED_MAX {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let locked = LockedFile { file, path: path.to_owned() };
            if locked.is_at_its_path()? {
                return Ok(Some(locked));
            }
        }
        Ok(None)
    }

    /// Returns whether the locked file still has its name.
    fn is_at_its_path(&self) -> io::Result<bool> {
        let locked = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the file and releases the lock. Blocks.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // A child that was just forked keeps the lock until it runs its program, even if this process closes the file.
        // Unlocking avoids that. If it fails, closing releases the lock later.
        let _at_the_latest_when_closed = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_released_even_if_a_child_has_the_file_open() {
        let temporary = tempfile::TempDir::new().unwrap();
        let path = temporary.path().join("lock");
        let lock = LockedFile::try_lock(&path).unwrap().unwrap();
        // A child shares the same open file between fork and exec.
        let _inherited = lock.file.try_clone().unwrap();
        assert!(LockedFile::try_lock(&path).unwrap().is_none());
        drop(lock);
        assert!(LockedFile::try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_on_a_removed_file_is_not_taken() {
        let temporary = tempfile::TempDir::new().unwrap();
        let path = temporary.path().join("lock");
        let lock = LockedFile::try_lock(&path).unwrap().unwrap();
        // Another process opens the file before it is removed, and locks it afterwards.
        let late = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        lock.remove().unwrap();
        assert!(!path.exists());
        late.try_lock().unwrap();
        let late = LockedFile { file: late, path: path.clone() };
        assert!(!late.is_at_its_path().unwrap());
        // The lock now is on a new file, which both processes would find.
        let lock = LockedFile::try_lock(&path).unwrap().unwrap();
        assert!(!late.is_at_its_path().unwrap());
        assert!(LockedFile::try_lock(&path).unwrap().is_none());
        drop(lock);
    }
}
