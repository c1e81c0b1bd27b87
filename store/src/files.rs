//! What is done with the embedded store's files beside a server: looks and copies.

use std::path::Path;

use sealward_core::store::{Cause, OpenError, Reader};

use crate::sqlite::{self, FORMAT, SqliteOptions, SqliteView};

/// Opens the database in a file to look at it. A server may have it open meanwhile, and goes on undisturbed. Blocks, and so do its reads.
///
/// # Errors
/// [`OpenError`]
pub fn view(path: &Path) -> Result<Box<dyn Reader>, OpenError> {
    Ok(Box::new(SqliteView::open(path, SqliteOptions::default())?))
}

/// Copies the database in a file, as it is at one moment, into a new file of mode 0600, which is whole and on disk then. A server may
/// write to it meanwhile. Blocks.
///
/// # Errors
/// There is a file of that name, or what the database or the file system reports.
pub fn copy(from: &Path, to: &Path) -> Result<(), Cause> {
    sqlite::copy(from, to, SqliteOptions::default())
}

/// The format of the databases and the library that reads them, for people.
#[must_use]
pub fn details() -> String {
    format!("format {FORMAT}, SQLite {}", rusqlite::version())
}
