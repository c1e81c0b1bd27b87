//! Operations on the embedded store's files beside a running server: views and copies.

use std::path::Path;

use sealward_core::store::{OpenError, Reader};

use crate::sqlite::{self, CopyError, SqliteOptions, SqliteView};

/// Opens the database in a file read-only. A server may have it open at the same time and isn't disturbed. Opening and
/// reading block.
///
/// # Errors
/// See [`OpenError`].
pub fn view(path: &Path) -> Result<Box<dyn Reader>, OpenError> {
    Ok(Box::new(SqliteView::open(path, SqliteOptions::default())?))
}

/// Copies a consistent state of the database in a file to a new file of mode 0600. The copy is complete and on disk
/// when this returns. A server may write to the database at the same time. Blocks.
///
/// # Errors
/// See [`CopyError`].
pub fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
    sqlite::copy(from, to, SqliteOptions::default())
}

/// Returns the name of the database and its version, for people.
#[must_use]
pub fn engine() -> String {
    format!("SQLite {}", rusqlite::version())
}
