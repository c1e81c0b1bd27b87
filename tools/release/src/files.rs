//! Reading folders: always in the order of names, so that nothing depends on a file system.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::command::{Failure, file};

/// The paths of everything in a folder, sorted.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut paths: Vec<PathBuf> =
        entries.map_err(file("read", folder))?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Visits everything in a folder and below it, except folders. Links are visited, and never followed.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    for path in entries(folder)? {
        if fs::symlink_metadata(&path).map_err(file("find", &path))?.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path)?;
        }
    }
    Ok(())
}
