//! The embedded store: one SQLite file per database, in WAL mode, with one writer and a few readers.
//!
//! [`SqliteStore`] is one database. [`SqliteDatabases`] are the organizations' databases of a [`DataFolder`], each open
//! only while it is used. All writes go through the committer's thread. All reads use separate connections. They run on
//! threads that may block, except lookups of one row whose pages are in memory. Long reads and snapshots are limited. They end when a scrub
//! or the size of the write-ahead log requires it. This module doesn't know the purpose of the tables.

mod blocking;
mod connection;
mod databases;
mod datum;
mod file;
mod folder;
mod inline;
mod on_demand;
mod options;
mod position;
mod prepared;
mod readers;
mod snapshot;
mod stop;
mod store;
mod taker;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use self::{
    connection::FORMAT,
    databases::SqliteDatabases,
    folder::{DataFolder, DataFolderError},
    on_demand::OpenLimits,
    options::{SCANS_MAX, SqliteOptions},
    store::{CopyError, SqliteStore},
};
pub(crate) use self::{store::copy, view::SqliteView};
