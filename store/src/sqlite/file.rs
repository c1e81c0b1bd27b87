//! The files of a database: their names and their removal.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Removes a database that isn't open, or its remaining files.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["-journal", "-wal", "-shm", ""] {
        match fs::remove_file(suffixed(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Syncs the folder of a file, so that created and removed names are on disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotADirectory)?;
    File::open(folder)?.sync_all()
}

pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Returns the temporary name of a new database: `organizations/<uuid>.db` is created as
/// `organizations/.<uuid>.creating`.
pub(super) fn creating_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_stem().unwrap_or_default());
    name.push(CREATING_SUFFIX);
    path.with_file_name(name)
}

pub(super) const CREATING_SUFFIX: &str = ".creating";
