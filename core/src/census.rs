//! The census: how many cells there are, by column and key version.
//!
//! Each commit that writes, replaces or takes away a cell counts it in the same transaction, by the version that the statement itself put
//! there or found there. It is for show: a full scan alone decides what becomes of a data key.

use std::collections::BTreeMap;

use crate::{
    catalog::cell_columns,
    crypto::cell,
    id::{KeyVersion, RecordId},
    schema::Schema,
    store::{Condition, Datum, Reader, Select, Step, Tally, Unavailable},
    table::{
        catalog::CatalogRow,
        cell::CensusRow,
        declare::{TableRow as _, read},
        record::RecordColumns,
    },
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
        let mut key = self.row(0).into_row();
        key.pop();
        Step::Tally(Tally { table: CensusRow::TABLE.into(), key, counter: CensusRow::cells().name(), by })
    }

    /// The row that says that there are so many of this kind, where there is none.
    pub(crate) fn first(self, cells: i64) -> Step {
        self.row(cells).insert()
    }

    fn row(self, cells: i64) -> CensusRow {
        let CellKind { table, column, version } = self;
        let key_version = version.map_or(0, |version| version.get().into());
        CensusRow { table_name: table, column_name: column, key_version, cells }
    }
}

/// Cells by their kind; kinds of which there are none are left out.
pub type Census = BTreeMap<CellKind, i64>;

/// The census as it was kept.
///
/// # Errors
/// If the store doesn't answer.
pub async fn kept(store: &dyn Reader) -> Result<Census, Unavailable> {
    let found = read(store, CensusRow::whole(), Condition::EVERYTHING).await?;
    let kept = found.into_iter().filter(|row| row.cells != 0).map(|row| {
        let version = u32::try_from(row.key_version).ok().and_then(KeyVersion::new);
        (CellKind { table: row.table_name, column: row.column_name, version }, row.cells)
    });
    Ok(kept.collect())
}

/// How many cells each encrypted attribute has, for the details of an audit record: `cells Mailbox.password 12, Queue.email_password 1`.
/// A column that no attribute of the schema has is named as it is stored.
pub(crate) fn told(census: &Census, schema: &Schema) -> String {
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

/// A walk over every cell, in the order of columns and records: page by page, the last of which may be empty.
pub(crate) struct Walk {
    /// The columns that are left, the present one last.
    columns: Vec<(String, String)>,
    /// The last record of the present column that was seen.
    after: Option<RecordId>,
}

/// Some cells of one column.
pub(crate) struct Page {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) cells: Vec<(RecordId, Vec<u8>)>,
}

impl Walk {
    /// Over these columns.
    pub(crate) fn of(mut columns: Vec<(String, String)>) -> Walk {
        columns.reverse();
        Walk { columns, after: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.columns.is_empty()
    }

    /// The next page.
    pub(crate) async fn next(&mut self, store: &dyn Reader) -> Result<Option<Page>, Unavailable> {
        let Some((table, column)) = self.columns.last().cloned() else { return Ok(None) };
        let condition = Condition::IsNull(column.clone().into()).negated();
        let cells = cells_after(store, &table, &column, self.after, condition, PAGE_CELLS).await?;
        self.after = cells.last().map(|(id, _)| *id);
        if cells.len() < PAGE_CELLS as usize {
            self.columns.pop();
            self.after = None;
        }
        Ok(Some(Page { table, column, cells }))
    }
}

const PAGE_CELLS: u32 = 1_024;

/// Cells of a column that meet a condition, in the order of their records' ids.
pub(crate) async fn cells_after(
    store: &dyn Reader,
    table: &str,
    column: &str,
    after: Option<RecordId>,
    mut condition: Condition,
    limit: u32,
) -> Result<Vec<(RecordId, Vec<u8>)>, Unavailable> {
    if let Some(after) = after {
        condition = RecordColumns::id().exceeds(after).and(condition);
    }
    let select = Select {
        table: table.to_owned().into(),
        columns: vec![RecordColumns::id().name(), column.to_owned().into()],
        rows: condition,
        order: vec![RecordColumns::id().ascending()],
        limit,
    };
    let rows = store.select(select).await?.into_iter();
    let cells = rows.map(|row| match <[Datum; 2]>::try_from(row) {
        Ok([Datum::Uuid(id), Datum::Bytes(cell)]) => Ok((RecordId::from_uuid(id), cell)),
        Ok(_) | Err(_) => Err(Unavailable("malformed value in a column of cells".into())),
    });
    cells.collect()
}

/// The census as a look at every cell finds it.
async fn taken(store: &dyn Reader) -> Result<Census, Unavailable> {
    let mut census = Census::new();
    let mut walk = Walk::of(cell_columns(store).await?);
    while let Some(page) = walk.next(store).await? {
        for (_, cell) in &page.cells {
            *census.entry(CellKind::of(&page.table, &page.column, cell)).or_default() += 1;
        }
    }
    Ok(census)
}

/// The rows of a census, for a database that is about to keep one: none if it keeps one already. Nobody writes to it meanwhile.
pub(crate) async fn first(store: &dyn Reader) -> Result<Vec<Step>, Unavailable> {
    let named = CatalogRow::table_name().is(CensusRow::TABLE.to_owned());
    if store.count(CatalogRow::TABLE.into(), named).await? > 0 {
        return Ok(Vec::new());
    }
    Ok(taken(store).await?.into_iter().map(|(kind, cells)| kind.first(cells)).collect())
}
