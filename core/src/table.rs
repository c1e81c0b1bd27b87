//! The tables that aren't an entity's, and the columns that every entity's table begins with.
//!
//! Each table is declared once, as a type of its rows; `declare.rs` has the macro. [`crate::layout`] collects the tables of each database, and reads and
//! writes name columns through the type: a column that doesn't exist doesn't compile.

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
pub use declare::{ColumnValue, Columns, Damage, Declared, TableColumn, TableRow, Whole, read, read_each};
pub use metadata::AttributeSettingRow;
pub use organization::OrganizationRow;
pub use record::RecordColumns;
