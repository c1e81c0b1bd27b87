//! Where records, keys and trails are kept: the stores that stand behind core's store port.
//!
//! [`sqlite`] is the embedded one: a file per organization, and one for the configuration. `sql` turns the port's values into the SQL
//! text that every store shares, `contract` is the suite that every store passes, and `committer` stands before them all.
//!
//! The server's `app` opens the databases, and names the store for that. What else the server needs has no store in its name: see
//! [`OnDemand`], [`Witness`], [`view`], [`copy`] and [`details`].
//!
//! Nothing here knows what a record, a key or a caller is: it sees tables, columns and bytes. It knows no wire and no configuration.

mod committer;
#[cfg(test)]
mod contract;
mod files;
mod on_demand;
mod rename;
mod sql;
pub mod sqlite;

pub use self::{
    committer::{Ended, SyncFailure, Witness},
    files::{copy, details, view},
    on_demand::OnDemand,
    rename::rename_new,
    sqlite::SCANS_MAX,
};
