//! The census: how many cells there are, by column and key version.
//!
//! Each commit that writes, replaces or takes away a cell counts it in the same transaction, by the version that the statement itself put
//! there or found there. It is for show: a full scan alone decides what becomes of a data key.

use std::collections::BTreeMap;

use crate::{
    catalog::cell_columns,
    crypto::cell,
    id::{KeyVersion, RecordId},
    layout::{CATALOG, CENSUS},
    store::{Condition, Datum, Direction, Name, Select, Step, Store, Tally, Unavailable, rows},
};

/// Cells of one column under one key version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKind {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The version in the cells' headers; `None` where the bytes are no cell's.
    pub version: Option<KeyVersion>,
}

impl CellKind {
    /// What kind this cell is.
    pub(crate) fn of(table: &str, column: &str, cell: &[u8]) -> CellKind {
        CellKind { table: table.to_owned(), column: column.to_owned(), version: cell::version_of(cell).ok() }
    }

    /// Counts a cell of this kind for each row that the step before touched: one more, or with -1 one less.
    pub(crate) fn counted(self, by: i64) -> Step {
        Step::Tally(Tally { table: CENSUS.into(), key: self.key(), counter: CELLS.into(), by })
    }

    fn key(self) -> Vec<(Name, Datum)> {
        let CellKind { table, column, version } = self;
        vec![
            ("table_name".into(), Datum::Text(table)),
            ("column_name".into(), Datum::Text(column)),
            ("key_version".into(), Datum::Integer(version.map_or(0, |version| version.get().into()))),
        ]
    }
}

const CELLS: &str = "cells";

/// Cells by their kind; kinds of which there are none are left out.
pub type Census = BTreeMap<CellKind, i64>;

/// The census as it was kept.
///
/// # Errors
/// If the store doesn't answer.
pub async fn kept(store: &dyn Store) -> Result<Census, Unavailable> {
    let columns = ["table_name", "column_name", "key_version", CELLS];
    let found = rows(store, CENSUS, &columns, Condition::EVERYTHING).await?;
    let parsed = found.into_iter().map(|row| match <[Datum; 4]>::try_from(row) {
        Ok([Datum::Text(table), Datum::Text(column), Datum::Integer(version), Datum::Integer(cells)]) => {
            let version = u32::try_from(version).ok().and_then(KeyVersion::new);
            Ok((CellKind { table, column, version }, cells))
        }
        Ok(_) | Err(_) => Err(Unavailable("the census holds a row that is none".into())),
    });
    parsed.filter(|row| !matches!(row, Ok((_, 0)))).collect()
}

/// Has `look` see every cell, in the order of columns and records.
///
/// # Errors
/// If the store doesn't answer, or `look` has had enough.
pub(crate) async fn walk(
    store: &dyn Store,
    mut look: impl FnMut(&str, &str, RecordId, &[u8]) -> Result<(), Unavailable>,
) -> Result<(), Unavailable> {
    for (table, column) in cell_columns(store).await? {
        let mut after = None;
        loop {
            let mut condition = Condition::IsNull(column.clone().into()).negated();
            if let Some(after) = after {
                condition = Condition::greater("id", Datum::Uuid(after)).and(condition);
            }
            let page = Select {
                table: table.clone().into(),
                columns: vec!["id".into(), column.clone().into()],
                rows: condition,
                order: vec![("id".into(), Direction::Ascending)],
                limit: PAGE_CELLS,
            };
            let cells = store.select(page).await?;
            for cell in &cells {
                let [Datum::Uuid(id), Datum::Bytes(cell)] = &cell[..] else {
                    return Err(Unavailable("a column of cells holds something that is none".into()));
                };
                after = Some(*id);
                look(&table, &column, RecordId::from_uuid(*id), cell)?;
            }
            if cells.len() < PAGE_CELLS as usize {
                break;
            }
        }
    }
    Ok(())
}

const PAGE_CELLS: u32 = 1_024;

/// The census as a look at every cell finds it.
///
/// # Errors
/// If the store doesn't answer.
pub async fn taken(store: &dyn Store) -> Result<Census, Unavailable> {
    let mut census = Census::new();
    let count = |table: &str, column: &str, _: RecordId, cell: &[u8]| {
        *census.entry(CellKind::of(table, column, cell)).or_default() += 1;
        Ok(())
    };
    walk(store, count).await?;
    Ok(census)
}

/// The rows of a census, for a database that is about to keep one: none if it keeps one already. Nobody writes to it meanwhile.
pub(crate) async fn first(store: &dyn Store) -> Result<Vec<Step>, Unavailable> {
    let named = Condition::equal("table_name", Datum::Text(CENSUS.to_owned()));
    if store.count(CATALOG.into(), named).await? > 0 {
        return Ok(Vec::new());
    }
    let row = |(kind, cells): (CellKind, i64)| {
        let mut row = kind.key();
        row.push((CELLS.into(), Datum::Integer(cells)));
        Step::Insert { table: CENSUS.into(), row }
    };
    Ok(taken(store).await?.into_iter().map(row).collect())
}
