//! The catalog: which columns a database has, and which of them hold cells; and how it comes to have those of a newer schema.
//!
//! The catalog is written by migrations alone and belongs to the database, so that a server with another schema never overlooks a
//! column of cells. Migrations only add: a table, a column. What would narrow (dropping or retyping an attribute, switching its
//! encryption off, changing a storage name) is refused before anything is done.

use std::collections::HashMap;

use crate::{
    id::Timestamp,
    layout::{CATALOG, LaidOut, Layout, MIGRATION},
    store::{
        Column, Commit, CommitError, Condition, Datum, Direction, Name, Reader, Row, Select, Step, Store, Unavailable,
        rows,
    },
};

/// One row of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cataloged {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type, as [`crate::store::ColumnType::name`] spells it.
    pub kind: String,
    /// Whether it holds cells.
    pub cell: bool,
}

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
    catalog: &[Cataloged],
    version: i64,
    layout: &Layout,
    now: Timestamp,
) -> Result<Option<Commit>, CatalogError> {
    let stored: HashMap<(&str, &str), &Cataloged> =
        catalog.iter().map(|row| ((row.table.as_str(), row.column.as_str()), row)).collect();
    let mut steps = Vec::new();
    let mut added = 0;
    for laid_out in &layout.tables {
        let table = &laid_out.table;
        let exists = catalog.iter().any(|row| row.table == table.name);
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

fn unchanged(row: &Cataloged, column: &Column, laid_out: &LaidOut) -> Result<(), CatalogError> {
    let (table, name) = (row.table.clone(), row.column.clone());
    if row.cell != laid_out.cells.contains(&column.name) {
        Err(CatalogError::EncryptionSwitched { table, column: name })
    } else if row.kind != column.kind.name() {
        Err(CatalogError::Retyped { table, column: name, stored: row.kind.clone(), wanted: column.kind.name() })
    } else {
        Ok(())
    }
}

fn known(catalog: &[Cataloged], layout: &Layout) -> Result<(), CatalogError> {
    let wanted = |row: &&Cataloged| {
        layout.tables.iter().any(|laid_out| {
            laid_out.table.name == row.table && laid_out.table.columns.iter().any(|column| column.name == row.column)
        })
    };
    match catalog.iter().find(|row| !wanted(row)) {
        None => Ok(()),
        Some(row) => {
            let (table, column) = (row.table.clone(), row.column.clone());
            Err(if row.cell {
                CatalogError::UnknownCellColumn { table, column }
            } else {
                CatalogError::UnknownColumn { table, column }
            })
        }
    }
}

fn catalog_row(laid_out: &LaidOut, column: &Column) -> Step {
    Step::Insert {
        table: CATALOG.into(),
        row: vec![
            ("table_name".into(), Datum::Text(laid_out.table.name.to_string())),
            ("column_name".into(), Datum::Text(column.name.to_string())),
            ("type".into(), Datum::Text(column.kind.name().to_owned())),
            ("cell".into(), Datum::Boolean(laid_out.cells.contains(&column.name))),
        ],
    }
}

fn migration_row(version: i64, added: usize, now: Timestamp) -> Step {
    Step::Insert {
        table: MIGRATION.into(),
        row: vec![
            ("version".into(), Datum::Integer(version)),
            ("time".into(), Datum::Time(now)),
            ("columns_added".into(), Datum::Integer(i64::try_from(added).unwrap_or(i64::MAX))),
        ],
    }
}

/// Reads the catalog and the version of the last migration.
///
/// # Errors
/// [`Unavailable`] if the store doesn't answer, or holds no catalog.
pub async fn read(store: &dyn Reader) -> Result<(Vec<Cataloged>, i64), Unavailable> {
    let rows = store
        .select(Select {
            table: CATALOG.into(),
            columns: ["table_name", "column_name", "type", "cell"].map(Name::from).to_vec(),
            rows: Condition::EVERYTHING,
            order: vec![("table_name".into(), Direction::Ascending), ("column_name".into(), Direction::Ascending)],
            limit: u32::MAX,
        })
        .await?;
    let catalog = rows.into_iter().map(cataloged).collect::<Option<Vec<_>>>();
    let catalog = catalog.ok_or(Unavailable("malformed row in the catalog".into()))?;
    let versions = store
        .select(Select {
            table: MIGRATION.into(),
            columns: vec!["version".into()],
            rows: Condition::EVERYTHING,
            order: vec![("version".into(), Direction::Descending)],
            limit: 1,
        })
        .await?;
    match versions.first().and_then(|row| row.first()) {
        Some(Datum::Integer(version)) => Ok((catalog, *version)),
        Some(_) | None => Err(Unavailable("the database has no migration version".into())),
    }
}

fn cataloged(row: Row) -> Option<Cataloged> {
    match <[Datum; 4]>::try_from(row).ok()? {
        [Datum::Text(table), Datum::Text(column), Datum::Text(kind), Datum::Boolean(cell)] => {
            Some(Cataloged { table, column, kind, cell })
        }
        _ => None,
    }
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
    let condition = Condition::equal("cell", Datum::Boolean(true));
    let mut columns = rows(store, CATALOG, &["table_name", "column_name"], condition)
        .await?
        .into_iter()
        .map(|row| match <[Datum; 2]>::try_from(row) {
            Ok([Datum::Text(table), Datum::Text(column)]) => Ok((table, column)),
            Ok(_) | Err(_) => Err(Unavailable("malformed row in the catalog".into())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    columns.sort();
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ColumnType, Table};

    fn column(name: &'static str, kind: ColumnType) -> Column {
        Column { name: name.into(), kind, nullable: true }
    }

    fn layout(columns: Vec<Column>, cells: &[&'static str]) -> Layout {
        let table = Table { name: "Mailbox".into(), columns, key: vec!["id".into()], indexes: Vec::new() };
        Layout { tables: vec![LaidOut { table, cells: cells.iter().map(|&name| name.into()).collect() }] }
    }

    fn stored(column: &str, kind: ColumnType, cell: bool) -> Cataloged {
        Cataloged { table: "Mailbox".to_owned(), column: column.to_owned(), kind: kind.name().to_owned(), cell }
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
        assert_eq!((&**table, &**migration), (CATALOG, MIGRATION));
        assert!(row.contains(&("cell".into(), Datum::Boolean(true))));
    }

    #[test]
    fn narrowing_schema_change_is_refused() {
        let id = || column("id", ColumnType::Uuid);
        let refused = |rows: &[Cataloged], wanted: Layout| migration(rows, 1, &wanted, NOW).unwrap_err();
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
