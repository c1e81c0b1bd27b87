//! Storage: the stores that implement core's store port.
//!
//! [`sqlite`] is the embedded store, with one file per organization and one for the configuration. [`postgres`] is the store
//! over a database server. `sql` converts the port's values to SQL text that all stores share. `contract` is the test suite that every store passes. `committer`
//! batches the commits of every store.
//!
//! The server's `app` opens the databases by the name of their store. The rest of the server uses names without a
//! store: [`OnDemand`], [`Witness`], [`view`], [`copy`] and [`engine`].
//!
//! This crate doesn't know records, keys, callers, the wire or the configuration. It sees tables, columns and bytes.

mod committer;
#[cfg(test)]
mod contract;
mod files;
mod on_demand;
pub mod postgres;
mod rename;
mod sql;
pub mod sqlite;

pub use self::{
    committer::{Ended, Observer, Outcome, SyncFailure, Transaction, Witness, Witnesses},
    files::{copy, engine, view},
    on_demand::{FileBytes, Inspect, OnDemand, Others},
    rename::rename_new,
    sqlite::{CopyError, FORMAT, SCANS_MAX},
};
