//! The system tables, and the first columns of every entity's table.
//!
//! Each table is declared once, as a type of its rows, with the macro in `declare.rs`. [`crate::layout`] lists the
//! tables of each database. Reads and writes refer to columns through the type, so a wrong column name doesn't compile.

pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod cell;
pub(crate) mod configuration;
pub(crate) mod declare;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod organization;
pub(crate) mod record;

pub use catalog::CatalogRow;
pub use configuration::{KeyTextRow, ListedRow, RootKeyRow};
pub use declare::{AllColumns, ColumnValue, Columns, Damage, Declared, TableColumn, TableRow, read, read_each};
pub use metadata::AttributeSettingRow;
pub use organization::OrganizationRow;
pub use record::RecordColumns;
