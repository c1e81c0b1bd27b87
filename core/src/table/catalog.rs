//! The tables that describe a database, which an organization's database and the configuration database have.

use crate::{id::Timestamp, table::declare::table};

table! {
    /// A column of the database; see [`crate::catalog`].
    pub struct CatalogRow = "sealward_catalog" {
        /// The table.
        table_name: String,
        /// The column.
        column_name: String,
        /// Its type, as [`ColumnType::name`](crate::store::ColumnType::name) spells it.
        kind: String as "type",
        /// Whether it holds cells.
        cell: bool,
    }
    key [table_name, column_name]
}

table! {
    /// A migration that was made.
    pub(crate) struct MigrationRow = "sealward_migration" {
        /// Its number, from 1.
        version: i64,
        /// When it was made.
        time: Timestamp,
        /// How many columns it added.
        columns_added: i64,
    }
    key [version]
}
