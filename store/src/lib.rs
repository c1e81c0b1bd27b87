//! Where records, keys and trails are kept: the stores that stand behind core's store port.
//!
//! [`sqlite`] is the embedded one: a file per organization, and one for the configuration. `sql` turns the port's values into the SQL
//! text that every store shares, `contract` is the suite that every store passes, and `committer` stands before them all.
//!
//! The server's `app` opens the databases, and names the store for that. What else the server needs has no store in its name: see
//! [`OnDemand`], [`Witness`], [`view`], [`copy`] and [`details`].
//!
//! Nothing here knows what a record, a key or a caller is: it sees tables, columns and bytes. It knows no wire and no configuration.

use std::{path::Path, time::Instant};

use sealward_core::{
    id::OrganizationId,
    store::{Cause, OpenError, Reader},
};

use self::sqlite::{FORMAT, SqliteOptions, SqliteView};

mod committer;
#[cfg(test)]
mod contract;
mod rename;
mod sql;
pub mod sqlite;

pub use self::{
    committer::{Ended, SyncFailure, Witness},
    rename::rename_new,
};

/// The organizations' databases, each of which is open while it is used. A call that finds one closed opens it.
pub trait OnDemand: Send + Sync {
    /// Whether an organization's database is open.
    fn is_open(&self, id: OrganizationId) -> bool;

    /// Closes the databases that are idle at this time, and those that are too many. Blocks.
    fn close_idle(&self, now: Instant);
}

/// The most scans of one database at a time.
pub const SCANS_MAX: u32 = 4;

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
