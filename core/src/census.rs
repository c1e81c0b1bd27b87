//! The census: the number of cells by column and key version.
//!
//! Each commit that writes, replaces or removes a cell updates the census in the same transaction. It uses the key version
//! that the statement itself wrote or found. The census is only for display: only a full scan decides whether a data key
//! is still needed.

use std::collections::BTreeMap;

use crate::{
    cells::{CellColumn, CellPage, CellWalk, PAGE_CELLS, StoredCell},
    crypto::cell,
    id::KeyVersion,
    schema::Schema,
    store::{Condition, Reader, Step, Tally, Unavailable},
    table::{
        catalog::CatalogRow,
        cell::CensusRow,
        declare::{TableRow as _, read},
    },
};

/// The cells of one column with one key version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKind {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The version in the headers of the cells; `None` if the bytes aren't a cell.
    pub version: Option<KeyVersion>,
}

impl CellKind {
    /// Returns the kind of the cells of this column with this version.
    pub(crate) fn new(CellColumn { table, column }: &CellColumn, version: Option<KeyVersion>) -> CellKind {
        CellKind { table: table.clone(), column: column.clone(), version }
    }

    /// Returns the kind of this cell.
    pub(crate) fn of(table: &str, column: &str, cell: &[u8]) -> CellKind {
        CellKind { table: table.to_owned(), column: column.to_owned(), version: cell::version_of(cell).ok() }
    }

    /// Returns the step that adds `by` to the count of this kind for each row that the previous step changed.
    pub(crate) fn tally(self, by: i64) -> Step {
        let mut key = self.row(0).into_row();
        key.pop();
        Step::Tally(Tally { table: CensusRow::TABLE.into(), key, counter: CensusRow::cells().name(), by })
    }

    /// Returns the step that inserts the first count of this kind.
    pub(crate) fn insert(self, cells: i64) -> Step {
        self.row(cells).insert()
    }

    fn row(self, cells: i64) -> CensusRow {
        let CellKind { table, column, version } = self;
        let key_version = version.map_or(0, |version| version.get().into());
        CensusRow { table_name: table, column_name: column, key_version, cells }
    }
}

/// The number of cells by kind. Kinds without cells are left out.
pub(crate) type Census = BTreeMap<CellKind, i64>;

/// Reads the stored census.
///
/// # Errors
/// If the store is unavailable.
pub(crate) async fn stored(store: &dyn Reader) -> Result<Census, Unavailable> {
    let found = read(store, CensusRow::all_columns(), Condition::EVERYTHING).await?;
    let stored = found.into_iter().filter(|row| row.cells != 0).map(|row| {
        let version = u32::try_from(row.key_version).ok().and_then(KeyVersion::new);
        (CellKind { table: row.table_name, column: row.column_name, version }, row.cells)
    });
    Ok(stored.collect())
}

/// Returns the number of cells of each encrypted attribute, for the details of an audit record:
/// `cells Mailbox.password 12, Queue.email_password 1`. A column that isn't in the schema has its stored name.
pub(crate) fn summary(census: &Census, schema: &Schema) -> String {
    let mut cells: BTreeMap<String, i64> = BTreeMap::new();
    for (kind, count) in census {
        let entity = schema.by_storage_name(&kind.table);
        let attribute = entity.and_then(|entity| Some((entity, entity.stored_in(&kind.column)?.1)));
        let name = match attribute {
            Some((entity, attribute)) => format!("{}.{}", entity.name, attribute.name),
            None => format!("{}.{}", kind.table, kind.column),
        };
        let sum = cells.entry(name).or_default();
        *sum = sum.saturating_add(*count);
    }
    if cells.is_empty() {
        return "cells none".to_owned();
    }
    let cells: Vec<String> = cells.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("cells {}", cells.join(", "))
}

/// Counts all cells.
async fn count(store: &dyn Reader) -> Result<Census, Unavailable> {
    let mut census = Census::new();
    let mut walk = CellWalk::over_all(store).await?;
    while let Some(CellPage { column, cells, .. }) = walk.next(store, PAGE_CELLS).await? {
        for (version, cells) in versions(&cells) {
            *census.entry(CellKind::new(&column, version)).or_default() += cells;
        }
    }
    Ok(census)
}

/// Counts cells by version.
pub(crate) fn versions(cells: &[StoredCell]) -> BTreeMap<Option<KeyVersion>, i64> {
    let mut versions = BTreeMap::new();
    for cell in cells {
        *versions.entry(cell::version_of(&cell.bytes).ok()).or_default() += 1;
    }
    versions
}

/// Returns the steps that insert the first census into a database. Returns no steps if the database already has a
/// census. No other writer may use the database at the same time.
pub(crate) async fn first(store: &dyn Reader) -> Result<Vec<Step>, Unavailable> {
    let columns = CatalogRow::table_name().is(CensusRow::TABLE.to_owned());
    if store.count(CatalogRow::TABLE.into(), columns).await? > 0 {
        return Ok(Vec::new());
    }
    Ok(count(store).await?.into_iter().map(|(kind, cells)| kind.insert(cells)).collect())
}
