//! The layout: the tables of an organization's database and of the configuration database.
//!
//! Each entity has a table with its storage name and a column per attribute. Encrypted attributes have columns of
//! cells. System tables are declared in [`crate::table`]. Their names begin with `sealward_`, a prefix that entities may
//! not use.
//!
//! This file doesn't read or write. [`crate::catalog`] creates and migrates the tables.

use crate::{
    schema::{Schema, column::column_type, entity::Entity},
    store::{Column, ColumnType, Name, Table},
    table::{
        audit::{AuditRecord, SignedHead},
        catalog::{CatalogRow, MigrationRow},
        cell::{CensusRow, ReencryptionRow, UnreadableCellRow},
        configuration::{
            CopyAttemptRow, DeploymentRow, FingerprintRow, KeyTextRow, ListedRow, RootKeyRow, SeenRow, TombstoneRow,
        },
        declare::TableRow as _,
        key::{DataKeyRow, KeyChangeRow, KeyRingRow, RestoreAttemptRow},
        metadata::{AttributeChangeRow, AttributeSettingRow},
        organization::{OrganizationRow, RequestRow},
        record::{ComparisonRow, RecordColumns},
    },
};

/// The tables that a database should have, with their columns of cells.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The tables.
    pub tables: Vec<TableLayout>,
}

/// A table with its columns of cells.
#[derive(Clone, Debug)]
pub struct TableLayout {
    /// The table.
    pub table: Table,
    /// The columns that contain cells.
    pub cells: Vec<Name>,
}

/// Returns the layout of an organization's database.
#[must_use]
pub fn organization(schema: &Schema) -> Layout {
    let system = [
        OrganizationRow::table(),
        KeyRingRow::table(),
        DataKeyRow::table(),
        KeyChangeRow::table(),
        RestoreAttemptRow::table(),
        ReencryptionRow::table(),
        CensusRow::table(),
        UnreadableCellRow::table(),
        RequestRow::table(),
        ComparisonRow::table(),
        AttributeSettingRow::table(),
        AttributeChangeRow::table(),
        CatalogRow::table(),
        MigrationRow::table(),
        AuditRecord::table(),
        SignedHead::table(),
    ];
    let system = system.into_iter().map(TableLayout::without_cells);
    Layout { tables: system.chain(schema.entities().iter().map(|entity| of_entity(entity))).collect() }
}

/// Returns the layout of the configuration database.
#[must_use]
pub fn configuration() -> Layout {
    let tables = [
        DeploymentRow::table(),
        RootKeyRow::table(),
        ListedRow::table(),
        KeyTextRow::table(),
        FingerprintRow::table(),
        SeenRow::table(),
        TombstoneRow::table(),
        CopyAttemptRow::table(),
        CatalogRow::table(),
        MigrationRow::table(),
        AuditRecord::table(),
        SignedHead::table(),
    ];
    Layout { tables: tables.into_iter().map(TableLayout::without_cells).collect() }
}

impl TableLayout {
    fn without_cells(table: Table) -> Self {
        TableLayout { table, cells: Vec::new() }
    }
}

/// Returns the table of an entity. [`crate::record::row`] reads its rows in this order.
fn of_entity(entity: &Entity) -> TableLayout {
    let mut table = Table { name: entity.storage_name.clone(), ..RecordColumns::table() };
    let mut cells = Vec::new();
    for attribute in entity.attributes.iter().filter(|attribute| attribute.stored()) {
        let name = attribute.storage_name.clone();
        if attribute.encrypted {
            cells.push(name.clone());
        }
        // Nullable even for a required attribute, because the attribute may be newer than some records.
        table.columns.push(Column {
            name,
            kind: if attribute.encrypted { ColumnType::Bytes } else { column_type(&attribute.kind) },
            nullable: true,
        });
    }
    TableLayout { table, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line per table with its name, key and columns, with `?` after nullable columns. A line per index
    /// follows.
    fn described(layout: &Layout) -> String {
        let column = |column: &Column| {
            format!("{} {}{}", column.name, column.kind.name(), if column.nullable { "?" } else { "" })
        };
        let mut lines = String::new();
        for TableLayout { table, .. } in &layout.tables {
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            lines.push_str(&format!("{} [{}]: {}\n", table.name, table.key.join(", "), columns.join(", ")));
            for index in &table.indexes {
                lines.push_str(&format!("index {} [{}]\n", index.name, index.columns.join(", ")));
            }
        }
        lines
    }

    /// Stored databases have these tables. The only allowed changes are a new line, and a new nullable column at the end
    /// of a line.
    #[test]
    fn stored_tables_never_change() {
        let organization = described(&organization(&Schema::new(Vec::new()).unwrap()));
        let configuration = described(&configuration());
        let described = format!("# organization\n{organization}# configuration\n{configuration}");
        assert_eq!(described, include_str!("layout/tables.txt"));
    }

    #[test]
    fn entity_table_begins_with_the_record_columns() {
        let table_layout = of_entity(&Entity::new("Thing", "things", "thing", Vec::new()));
        let layout = Layout { tables: vec![table_layout] };
        let columns =
            "id uuid, revision integer, create_time time, update_time time, created_by text?, modified_by text?";
        assert_eq!(described(&layout), format!("Thing [id]: {columns}\n"));
    }
}
