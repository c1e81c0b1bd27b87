//! The catalog: which columns a database has, and which of them hold cells; and how it comes to have those of a newer schema.
//!
//! The catalog is written by migrations alone and belongs to the database, so that a server with another schema never overlooks a
//! column of cells. Migrations only add: a table, a column. What would narrow (dropping or retyping an attribute, switching its
//! encryption off, changing a storage name) is refused before anything is done.

use std::collections::HashMap;

use crate::{
    id::Timestamp,
    layout::{LaidOut, Layout},
    store::{Column, Commit, CommitError, Condition, Reader, Select, Step, Store, Unavailable},
    table::{
        catalog::{CatalogRow, MigrationRow},
        declare::{self, Columns as _, TableRow as _},
    },
};

/// Why a database can't be served under this schema.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The database has a column of cells that the schema doesn't know: it would be overlooked by a key change.
    #[error("the database has sealed cells in {table}.{column}, which the schema doesn't know")]
    UnknownCellColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The database has a column that the schema doesn't know: the attribute was dropped, or its storage name changed.
    #[error(
        "the database has {table}.{column}, which the schema doesn't know: an attribute can't be dropped or stored under another name"
    )]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The schema gives a column another type.
    #[error("{table}.{column} is stored as {stored} and can't become {wanted}")]
    Retyped {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type it has.
        stored: String,
        /// The type the schema wants.
        wanted: &'static str,
    },
    /// The schema switches the encryption of an attribute on or off.
    #[error("the encryption of {table}.{column} can't be switched on or off once it is stored")]
    EncryptionSwitched {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// The commit that gives an empty database this layout. More steps may follow it.
#[must_use]
pub fn first(layout: &Layout, now: Timestamp) -> Commit {
    let mut steps: Vec<Step> = layout.tables.iter().map(|laid_out| Step::CreateTable(laid_out.table.clone())).collect();
    let columns =
        layout.tables.iter().flat_map(|laid_out| laid_out.table.columns.iter().map(move |column| (laid_out, column)));
    let before = steps.len();
    steps.extend(columns.map(|(laid_out, column)| catalog_row(laid_out, column)));
    let added = steps.len() - before;
    steps.push(migration_row(1, added, now));
    Commit::of(steps)
}

/// The commit that brings a database with this catalog to `layout`; `None` if it is there already.
///
/// # Errors
/// The first [`CatalogError`] found.
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
    for laid_out in &layout.tables {
        let table = &laid_out.table;
        let exists = catalog.iter().any(|row| row.table_name == table.name);
        if !exists {
            steps.push(Step::CreateTable(table.clone()));
        }
        for column in &table.columns {
            match stored.get(&(&*table.name, &*column.name)) {
                Some(row) => unchanged(row, column, laid_out)?,
                None => {
                    if exists {
                        let column = Column { nullable: true, ..column.clone() };
                        steps.push(Step::AddColumn { table: table.name.clone(), column });
                    }
                    steps.push(catalog_row(laid_out, column));
                    added += 1;
                }
            }
        }
    }
    known(catalog, layout)?;
    if steps.is_empty() {
        return Ok(None);
    }
    steps.push(migration_row(version.saturating_add(1), added, now));
    Ok(Some(Commit::of(steps)))
}

fn unchanged(row: &CatalogRow, column: &Column, laid_out: &LaidOut) -> Result<(), CatalogError> {
    let (table, name) = (row.table_name.clone(), row.column_name.clone());
    if row.cell != laid_out.cells.contains(&column.name) {
        Err(CatalogError::EncryptionSwitched { table, column: name })
    } else if row.kind != column.kind.name() {
        Err(CatalogError::Retyped { table, column: name, stored: row.kind.clone(), wanted: column.kind.name() })
    } else {
        Ok(())
    }
}

fn known(catalog: &[CatalogRow], layout: &Layout) -> Result<(), CatalogError> {
    let wanted = |row: &&CatalogRow| {
        layout.tables.iter().any(|laid_out| {
            laid_out.table.name == row.table_name
                && laid_out.table.columns.iter().any(|column| column.name == row.column_name)
        })
    };
    match catalog.iter().find(|row| !wanted(row)) {
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

fn catalog_row(laid_out: &LaidOut, column: &Column) -> Step {
    let row = CatalogRow {
        table_name: laid_out.table.name.to_string(),
        column_name: column.name.to_string(),
        kind: column.kind.name().to_owned(),
        cell: laid_out.cells.contains(&column.name),
    };
    row.insert()
}

fn migration_row(version: i64, added: usize, now: Timestamp) -> Step {
    MigrationRow { version, time: now, columns_added: i64::try_from(added).unwrap_or(i64::MAX) }.insert()
}

/// Reads the catalog and the version of the last migration.
///
/// # Errors
/// [`Unavailable`] if the store doesn't answer, or holds no catalog.
pub async fn read(store: &dyn Reader) -> Result<(Vec<CatalogRow>, i64), Unavailable> {
    let order = vec![CatalogRow::table_name().ascending(), CatalogRow::column_name().ascending()];
    let rows = store.select(Select { order, ..CatalogRow::whole().select(Condition::EVERYTHING) }).await?;
    let catalog = rows.into_iter().map(|row| CatalogRow::whole().values(row)).collect::<Result<_, _>>()?;
    let version = MigrationRow::version();
    let order = vec![version.descending()];
    let last = store.select(Select { order, limit: 1, ..version.select(Condition::EVERYTHING) }).await?;
    let last = last.into_iter().next().ok_or(Unavailable("the database has no migration version".into()))?;
    Ok((catalog, version.values(last)?))
}

/// Why a database can't be brought to the tables it should have.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// What it has can't become what it should have.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The migration failed.
    #[error("the migration failed")]
    Commit(#[from] CommitError),
}

/// Adds to a database the tables and columns it lacks; `filling` are the steps that put into new tables what belongs there.
///
/// # Errors
/// See [`MigrateError`]; nothing is changed then.
pub async fn migrate(
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

/// Whether a database has cells that no schema of this server accounts for is the catalog's to say: these are its cell columns, in the
/// order in which a re-encryption visits them.
///
/// # Errors
/// If the store doesn't answer.
pub async fn cell_columns(store: &dyn Reader) -> Result<Vec<(String, String)>, Unavailable> {
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
        Layout { tables: vec![LaidOut { table, cells: cells.iter().map(|&name| name.into()).collect() }] }
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
    fn a_new_attribute_is_a_new_column_in_table_and_catalog() {
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
