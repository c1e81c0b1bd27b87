//! Where records, keys and trails are kept: the stores that stand behind core's store port.
//!
//! [`sqlite`] is the embedded one: a file per organization, and one for the configuration. `sql` turns the port's values into the SQL
//! text that every store shares, `contract` is the suite that every store passes, and [`crate::committer`] stands before them all.
//!
//! Nothing here knows what a record, a key or a caller is: it sees tables, columns and bytes.

#[cfg(test)]
mod contract;
pub(crate) mod sql;
pub(crate) mod sqlite;
