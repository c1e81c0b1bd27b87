//! The layout: which tables an organization's database and the configuration database have.
//!
//! An entity has a table of its storage name, with a column per attribute; encrypted attributes have columns of cells. The tables
//! that are not an entity's are declared in [`crate::table`]. Their names begin with `sealward_`, and no entity may have such a name.
//!
//! Nothing here reads or writes; see [`crate::catalog`] for how a database comes to have these tables.

use crate::{
    schema::{Schema, column::column_type, entity::Entity},
    store::{Column, ColumnType, Name, Table},
    table::{
        audit::{AuditRecord, SignedHead},
        catalog::{CatalogRow, MigrationRow},
        cell::{CensusRow, ReencryptionRow, UnreadableCellRow},
        configuration::{DeploymentRow, FingerprintRow, KeyTextRow, ListedRow, RootKeyRow, SeenRow, TombstoneRow},
        declare::TableRow as _,
        key::{DataKeyRow, KeyChangeRow, KeyRingRow, RestoreAttemptRow},
        metadata::{AttributeChangeRow, AttributeSettingRow},
        organization::{OrganizationRow, RequestRow},
        record::RecordColumns,
    },
};

/// The tables a database should have, and which of their columns hold cells.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The tables.
    pub tables: Vec<LaidOut>,
}

/// A table with its cell columns.
#[derive(Clone, Debug)]
pub struct LaidOut {
    /// The table.
    pub table: Table,
    /// Which of its columns hold cells.
    pub cells: Vec<Name>,
}

/// What an organization's database has.
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
        AttributeSettingRow::table(),
        AttributeChangeRow::table(),
        CatalogRow::table(),
        MigrationRow::table(),
        AuditRecord::table(),
        SignedHead::table(),
    ];
    let system = system.into_iter().map(LaidOut::without_cells);
    Layout { tables: system.chain(schema.entities().iter().map(|entity| of_entity(entity))).collect() }
}

/// What the configuration database has.
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
        CatalogRow::table(),
        MigrationRow::table(),
        AuditRecord::table(),
        SignedHead::table(),
    ];
    Layout { tables: tables.into_iter().map(LaidOut::without_cells).collect() }
}

impl LaidOut {
    fn without_cells(table: Table) -> Self {
        LaidOut { table, cells: Vec::new() }
    }
}

/// The table of an entity. [`crate::record::row`] reads its rows, in this order.
fn of_entity(entity: &Entity) -> LaidOut {
    let mut table = Table { name: entity.storage_name.clone().into(), ..RecordColumns::table() };
    let mut cells = Vec::new();
    for attribute in entity.attributes.iter().filter(|attribute| attribute.stored()) {
        let name = Name::from(attribute.storage_name.clone());
        if attribute.encrypted {
            cells.push(name.clone());
        }
        // Nullable even where the attribute is required: the attribute may have come later than some of the records.
        table.columns.push(Column {
            name,
            kind: if attribute.encrypted { ColumnType::Bytes } else { column_type(&attribute.kind) },
            nullable: true,
        });
    }
    LaidOut { table, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line per table: its name, its key and its columns, `?` after those that may be null. Then a line per index.
    fn described(layout: &Layout) -> String {
        let column = |column: &Column| {
            format!("{} {}{}", column.name, column.kind.name(), if column.nullable { "?" } else { "" })
        };
        let mut lines = String::new();
        for LaidOut { table, .. } in &layout.tables {
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            lines.push_str(&format!("{} [{}]: {}\n", table.name, table.key.join(", "), columns.join(", ")));
            for index in &table.indexes {
                lines.push_str(&format!("index {} [{}]\n", index.name, index.columns.join(", ")));
            }
        }
        lines
    }

    /// Databases have these tables: a line may be added, and a column that may be null at a line's end. Nothing else ever changes.
    #[test]
    fn stored_tables_never_change() {
        let organization = described(&organization(&Schema::new(Vec::new()).unwrap()));
        let configuration = described(&configuration());
        let described = format!("# organization\n{organization}# configuration\n{configuration}");
        assert_eq!(described, include_str!("layout/tables.txt"));
    }

    #[test]
    fn the_table_of_an_entity_begins_with_the_columns_of_every_record() {
        let laid_out = of_entity(&Entity::new("Thing", "things", "thing", Vec::new()));
        let layout = Layout { tables: vec![laid_out] };
        let columns =
            "id uuid, revision integer, create_time time, update_time time, created_by text?, modified_by text?";
        assert_eq!(described(&layout), format!("Thing [id]: {columns}\n"));
    }
}
