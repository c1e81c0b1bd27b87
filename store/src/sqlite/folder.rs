//! The data folder: whose it is, and that one server has it.
//!
//! Nothing here knows what is kept in it but the names.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A folder that this process has to itself, for as long as the value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // The operating system gives the lock back when the file is closed, however this process ends.
    _lock: LockedFile,
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
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataFolderError> {
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
        match LockedFile::try_lock(&path.join("lock")).map_err(failed)? {
            Some(lock) => Ok(DataFolder { path: path.clone(), _lock: lock }),
            None => Err(DataFolderError::InUse { path: path.clone() }),
        }
    }

    /// The configuration database.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.path.join("configuration.db")
    }

    /// The folder of the organizations' databases.
    #[must_use]
    pub fn organizations(&self) -> PathBuf {
        self.path.join("organizations")
    }
}

/// Makes a folder for the owner alone, if there is nothing of that name.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if fs::exists(path)? { Ok(()) } else { DirBuilder::new().recursive(true).mode(0o700).create(path) }
}

/// A file that this process has locked, alone of all. The operating system gives the lock back however the process ends.
///
/// The file is never written to. It is removed only by whoever has the lock, and a lock on a file that was removed meanwhile isn't taken,
/// since that would keep nobody out.
#[derive(Debug)]
pub(super) struct LockedFile {
    file: File,
    path: PathBuf,
}

/// How often the lock of a file is tried whose file was removed under it. Each time, another process has had the lock and is done with it.
const REMOVED_MAX: u32 = 100;

impl LockedFile {
    /// Locks the file of this name, made if there is none. `None` if somebody else has it. Blocks, but for no lock.
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

    /// Whether the file that is locked is the one that others would find.
    fn is_at_its_path(&self) -> io::Result<bool> {
        let locked = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the file, and gives the lock back. Blocks.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing alone leaves the lock with a child that was just forked, until it runs its program. If this fails, closing does it then.
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
        // What a child has between fork and exec: the same open file.
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
        // Somebody else has opened the file before it is removed, and locks it afterwards.
        let late = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        lock.remove().unwrap();
        assert!(!path.exists());
        late.try_lock().unwrap();
        let late = LockedFile { file: late, path: path.clone() };
        assert!(!late.is_at_its_path().unwrap());
        // What is locked now is another file, which both would find.
        let lock = LockedFile::try_lock(&path).unwrap().unwrap();
        assert!(!late.is_at_its_path().unwrap());
        assert!(LockedFile::try_lock(&path).unwrap().is_none());
        drop(lock);
    }
}
