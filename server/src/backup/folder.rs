//! The folder that copies are written into, before it or they get their names.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::names::ORGANIZATIONS;

/// A file or folder, and the system's error about it.
pub(super) type Failed = (PathBuf, io::Error);

/// Creates the folder, and that of the organizations in it, for this user only.
pub(super) fn create(folder: &Path) -> Result<(), Failed> {
    for made in [folder.to_owned(), folder.join(ORGANIZATIONS)] {
        DirBuilder::new().mode(0o700).create(&made).map_err(|source| (made, source))?;
    }
    Ok(())
}

/// Writes the names in the folder, and in that of the organizations, to disk.
pub(super) fn sync_both(folder: &Path) -> Result<(), Failed> {
    sync(&folder.join(ORGANIZATIONS))?;
    sync(folder)
}

/// Writes the names in a folder to disk.
pub(super) fn sync(folder: &Path) -> Result<(), Failed> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(|source| (folder.to_owned(), source))
}

/// The folder that a path is in.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
