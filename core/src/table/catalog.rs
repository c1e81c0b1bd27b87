//! The tables that describe a database. Each organization's database and the configuration database have them.

use crate::{id::Timestamp, table::declare::table};

table! {
    /// A column of the database; see [`crate::catalog`].
    pub struct CatalogRow = "sealward_catalog" {
        /// The name of the table.
        table_name: String,
        /// The name of the column.
        column_name: String,
        /// The type, as in [`ColumnType::name`](crate::store::ColumnType::name).
        kind: String as "type",
        /// Whether the column contains cells.
        cell: bool,
    }
    key [table_name, column_name]
}

table! {
    /// A completed migration.
    pub(crate) struct MigrationRow = "sealward_migration" {
        /// The number of the migration, from 1.
        version: i64,
        /// The time of the migration.
        time: Timestamp,
        /// The number of columns that it added.
        columns_added: i64,
    }
    key [version]
}
