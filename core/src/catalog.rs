//! The catalog lists the columns of a database and marks the columns of cells. This file also migrates a database to a
//! newer schema.
//!
//! Only migrations write the catalog. It is stored in the database, so that a server with another schema never overlooks
//! a column of cells. Migrations only add tables and columns. A narrowing change is refused before anything is changed:
//! dropping or retyping an attribute, disabling its encryption, or changing a storage name.

use std::collections::HashMap;

use crate::{
    id::Timestamp,
    layout::{Layout, TableLayout},
    store::{Column, Commit, CommitError, Condition, Reader, Select, Step, Store, Unavailable},
    table::{
        catalog::{CatalogRow, MigrationRow},
        declare::{self, Columns as _, TableRow as _},
    },
};

/// Why a database can't be served under this schema.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The database has a column of cells that isn't in the schema. A key change would overlook it.
    #[error("the database has cells in {table}.{column}, which isn't in the schema: add the attribute to the schema")]
    UnknownCellColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The database has a column that isn't in the schema: the attribute was removed, or its storage name was changed.
    #[error(
        "the database has the column {table}.{column}, which isn't in the schema: restore the attribute and its storage name"
    )]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The type of a column differs in the schema.
    #[error("the type of {table}.{column} can't change from {stored} to {wanted}: restore the type in the schema")]
    Retyped {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The stored type.
        stored: String,
        /// The type in the schema.
        wanted: &'static str,
    },
    /// The schema enables or disables the encryption of a stored attribute.
    #[error("the encryption of {table}.{column} can't be enabled or disabled: restore it in the schema")]
    EncryptionSwitched {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// Returns the commit that creates this layout in an empty database. More steps may be added.
#[must_use]
pub(crate) fn first(layout: &Layout, now: Timestamp) -> Commit {
    let mut steps: Vec<Step> =
        layout.tables.iter().map(|table_layout| Step::CreateTable(table_layout.table.clone())).collect();
    let columns = layout
        .tables
        .iter()
        .flat_map(|table_layout| table_layout.table.columns.iter().map(move |column| (table_layout, column)));
    let before = steps.len();
    steps.extend(columns.map(|(table_layout, column)| catalog_row(table_layout, column)));
    let added = steps.len() - before;
    steps.push(migration_row(1, added, now));
    Commit::of(steps)
}

/// Returns the commit that migrates a database with this catalog to `layout`; `None` if it already has that layout.
///
/// # Errors
/// See [`CatalogError`]. Only the first error is returned.
pub fn migration(
    catalog: &[CatalogRow],
    version: i64,
    layout: &Layout,
    now: Timestamp,
) -> Result<Option<Commit>, CatalogError> {
    let stored: HashMap<(&str, &str), &CatalogRow> =
        catalog.iter().map(|row| ((row.table_name.as_str(), row.column_name.as_str()), row)).collect();
    let mut steps = Vec::new();
    let mut added = 0;
    for table_layout in &layout.tables {
        let table = &table_layout.table;
        let exists = catalog.iter().any(|row| row.table_name == table.name);
        if !exists {
            steps.push(Step::CreateTable(table.clone()));
        }
        for column in &table.columns {
            match stored.get(&(&*table.name, &*column.name)) {
                Some(row) => check_unchanged(row, column, table_layout)?,
                None => {
                    if exists {
                        let column = Column { nullable: true, ..column.clone() };
                        steps.push(Step::AddColumn { table: table.name.clone(), column });
                    }
                    steps.push(catalog_row(table_layout, column));
                    added += 1;
                }
            }
        }
    }
    check_all_known(catalog, layout)?;
    if steps.is_empty() {
        return Ok(None);
    }
    steps.push(migration_row(version.saturating_add(1), added, now));
    Ok(Some(Commit::of(steps)))
}

fn check_unchanged(row: &CatalogRow, column: &Column, table_layout: &TableLayout) -> Result<(), CatalogError> {
    let (table, name) = (row.table_name.clone(), row.column_name.clone());
    if row.cell != table_layout.cells.contains(&column.name) {
        Err(CatalogError::EncryptionSwitched { table, column: name })
    } else if row.kind != column.kind.name() {
        Err(CatalogError::Retyped { table, column: name, stored: row.kind.clone(), wanted: column.kind.name() })
    } else {
        Ok(())
    }
}

fn check_all_known(catalog: &[CatalogRow], layout: &Layout) -> Result<(), CatalogError> {
    let is_known = |row: &&CatalogRow| {
        layout.tables.iter().any(|table_layout| {
            table_layout.table.name == row.table_name
                && table_layout.table.columns.iter().any(|column| column.name == row.column_name)
        })
    };
    match catalog.iter().find(|row| !is_known(row)) {
        None => Ok(()),
        Some(row) => {
            let (table, column) = (row.table_name.clone(), row.column_name.clone());
            Err(if row.cell {
                CatalogError::UnknownCellColumn { table, column }
            } else {
                CatalogError::UnknownColumn { table, column }
            })
        }
    }
}

fn catalog_row(table_layout: &TableLayout, column: &Column) -> Step {
    let row = CatalogRow {
        table_name: table_layout.table.name.to_string(),
        column_name: column.name.to_string(),
        kind: column.kind.name().to_owned(),
        cell: table_layout.cells.contains(&column.name),
    };
    row.insert()
}

fn migration_row(version: i64, added: usize, now: Timestamp) -> Step {
    MigrationRow { version, time: now, columns_added: i64::try_from(added).unwrap_or(i64::MAX) }.insert()
}

/// Reads the catalog and the version of the last migration.
///
/// # Errors
/// If the store is unavailable or has no catalog.
pub async fn read(store: &dyn Reader) -> Result<(Vec<CatalogRow>, i64), Unavailable> {
    let order = vec![CatalogRow::table_name().ascending(), CatalogRow::column_name().ascending()];
    let rows = store.select(Select { order, ..CatalogRow::all_columns().select(Condition::EVERYTHING) }).await?;
    let catalog = rows.into_iter().map(|row| CatalogRow::all_columns().values(row)).collect::<Result<_, _>>()?;
    let version = MigrationRow::version();
    let order = vec![version.descending()];
    let last = store.select(Select { order, limit: 1, ..version.select(Condition::EVERYTHING) }).await?;
    let last = last.into_iter().next().ok_or(Unavailable("the database has no migration version".into()))?;
    Ok((catalog, version.values(last)?))
}

/// Why a database can't be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The change of the layout isn't allowed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The commit of the migration failed.
    #[error("the migration failed")]
    Commit(#[from] CommitError),
}

/// Adds missing tables and columns to a database. The steps in `filling` fill the new tables in the same commit.
///
/// # Errors
/// See [`MigrateError`]. Nothing is changed then.
pub(crate) async fn migrate(
    store: &dyn Store,
    layout: &Layout,
    filling: Vec<Step>,
    now: Timestamp,
) -> Result<(), MigrateError> {
    let (catalog, version) = read(store).await?;
    match migration(&catalog, version, layout, now)? {
        Some(mut commit) => {
            commit.steps.extend(filling);
            Ok(store.commit(commit).await?)
        }
        None => Ok(()),
    }
}

/// Returns whether the database has this layout, so that [`migrate`] has nothing to do.
///
/// # Errors
/// If it has a layout that can't be migrated to this one, or if the store is unavailable.
pub(crate) async fn is_current(store: &dyn Reader, layout: &Layout, now: Timestamp) -> Result<bool, MigrateError> {
    let (catalog, version) = read(store).await?;
    Ok(migration(&catalog, version, layout, now)?.is_none())
}

/// Returns the columns of cells according to the catalog, including those that aren't in the schema. They are in the
/// order of a re-encryption.
///
/// # Errors
/// If the store is unavailable.
pub(crate) async fn cell_columns(store: &dyn Reader) -> Result<Vec<(String, String)>, Unavailable> {
    let columns = (CatalogRow::table_name(), CatalogRow::column_name());
    let mut columns = declare::read(store, columns, CatalogRow::cell().is(true)).await?;
    columns.sort();
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ColumnType, Datum, Table};

    fn column(name: &'static str, kind: ColumnType) -> Column {
        Column { name: name.into(), kind, nullable: true }
    }

    fn layout(columns: Vec<Column>, cells: &[&'static str]) -> Layout {
        let table = Table { name: "Mailbox".into(), columns, key: vec!["id".into()], indexes: Vec::new() };
        Layout { tables: vec![TableLayout { table, cells: cells.iter().map(|&name| name.into()).collect() }] }
    }

    fn stored(column: &str, kind: ColumnType, cell: bool) -> CatalogRow {
        let (table_name, column_name) = ("Mailbox".to_owned(), column.to_owned());
        CatalogRow { table_name, column_name, kind: kind.name().to_owned(), cell }
    }

    const NOW: Timestamp = Timestamp::from_unix_micros(0);

    #[test]
    fn database_that_matches_the_schema_is_unchanged() {
        let wanted = layout(vec![column("id", ColumnType::Uuid)], &[]);
        assert!(migration(&[stored("id", ColumnType::Uuid, false)], 1, &wanted, NOW).unwrap().is_none());
    }

    #[test]
    fn new_attribute_adds_a_column_to_table_and_catalog() {
        let wanted = layout(vec![column("id", ColumnType::Uuid), column("password", ColumnType::Bytes)], &["password"]);
        let commit = migration(&[stored("id", ColumnType::Uuid, false)], 1, &wanted, NOW).unwrap().unwrap();
        let [Step::AddColumn { .. }, Step::Insert { table, row }, Step::Insert { table: migration, .. }] =
            &commit.steps[..]
        else {
            panic!("{commit:?}")
        };
        assert_eq!((&**table, &**migration), (CatalogRow::TABLE, MigrationRow::TABLE));
        assert!(row.contains(&("cell".into(), Datum::Boolean(true))));
    }

    #[test]
    fn narrowing_schema_change_is_refused() {
        let id = || column("id", ColumnType::Uuid);
        let refused = |rows: &[CatalogRow], wanted: Layout| migration(rows, 1, &wanted, NOW).unwrap_err();
        let base = stored("id", ColumnType::Uuid, false);
        assert!(matches!(
            refused(&[base.clone(), stored("password", ColumnType::Bytes, true)], layout(vec![id()], &[])),
            CatalogError::UnknownCellColumn { .. }
        ));
        assert!(matches!(
            refused(&[base.clone(), stored("note", ColumnType::Text, false)], layout(vec![id()], &[])),
            CatalogError::UnknownColumn { .. }
        ));
        assert!(matches!(
            refused(&[stored("id", ColumnType::Text, false)], layout(vec![id()], &[])),
            CatalogError::Retyped { .. }
        ));
        let clear = layout(vec![id(), column("password", ColumnType::Bytes)], &[]);
        assert!(matches!(
            refused(&[base, stored("password", ColumnType::Bytes, true)], clear),
            CatalogError::EncryptionSwitched { .. }
        ));
    }
}
