//! The embedded store: one SQLite file for a database, in WAL mode, with one writer and a few readers.
//!
//! [`SqliteStore`] is one database, [`SqliteDatabases`] the organizations' databases of a [`DataFolder`], each open while it is used. All
//! writes go through the committer's thread, all reads through connections of their own on threads that may block; the runtime never
//! waits for a disk. Long reads and snapshots have bounds, and end where a scrub or the size of the write-ahead log demands it.
//! Nothing here knows what the tables are for.

mod blocking;
mod connection;
mod databases;
mod file;
mod folder;
mod on_demand;
mod options;
mod prepared;
mod readers;
mod snapshot;
mod stop;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub(crate) use self::{connection::FORMAT, store::copy, view::SqliteView};
pub use self::{
    databases::{SqliteDatabases, Witnesses},
    folder::{DataFolder, DataFolderError},
    on_demand::{Inspect, OpenLimits},
    options::{SCANS_MAX, SqliteOptions},
    store::SqliteStore,
};
