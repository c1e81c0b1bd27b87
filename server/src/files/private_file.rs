//! Creates and replaces files atomically, with restricted permissions.
//!
//! This module doesn't know their content.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sealward_core::random::{self, Random};
use sealward_store::rename_new;

use crate::ports::random::SystemRandom;

/// Only the owner reads and writes: for keys.
pub(crate) const PRIVATE: u32 = 0o600;
/// All users may read: for certificates and configuration.
pub(crate) const PUBLIC: u32 = 0o644;

const PRIVATE_FOLDER: u32 = 0o700;

/// Writes a file unless it exists, and returns whether it did. The file gets its name when it is complete and on disk.
///
/// # Errors
/// An error of the file system.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let temporary = temporary_name(path);
    let created = write(&temporary, content, mode).and_then(|()| rename_new(&temporary, path));
    if !matches!(created, Ok(true)) {
        // It may not exist.
        let _removed = fs::remove_file(&temporary);
    }
    let created = created?;
    sync_folder_of(path)?;
    Ok(created)
}

/// Writes a file, and replaces an existing one. The file gets its name when it is complete and on disk.
///
/// # Errors
/// An error of the file system.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_name(path);
    let renamed = write(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // It may not exist.
        let _removed = fs::remove_file(&temporary);
    }
    renamed?;
    sync_folder_of(path)
}

/// Creates a folder and its missing parents, with mode 0700. An existing folder stays as it is.
///
/// # Errors
/// An error of the file system.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A name in the same folder, so that both are on one file system. It is random, so that two processes never share it.
fn temporary_name(path: &Path) -> PathBuf {
    let suffix = u64::from_be_bytes(random::bytes(&SystemRandom as &dyn Random));
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix:016x}.new"));
    PathBuf::from(name)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(create(&path, b"first", PRIVATE).unwrap());
        assert!(!create(&path, b"second", PRIVATE).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn private_file_has_mode_600_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        create(&inner.join("key"), b"content", PRIVATE).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(inner.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }
}
