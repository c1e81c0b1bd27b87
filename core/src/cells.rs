//! The walk over all stored cells: column by column of the database's own catalog, in the order of the row numbers.
//!
//! Everything that visits cells uses it: re-encryption, its final scan, verification and the first census. A row that is
//! created during a walk may be left out, and so may every row of a table that is rebuilt meanwhile. So a walk alone
//! never proves that no other cell exists.

use crate::{
    catalog::cell_columns,
    crypto::cell,
    id::{KeyVersion, RecordId},
    store::{ColumnRow, ColumnScan, Reader, RowNumber, Unavailable},
    table::record::RecordColumns,
};

/// A column of cells.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellColumn {
    /// The table.
    pub(crate) table: String,
    /// The column.
    pub(crate) column: String,
}

/// A cell at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredCell {
    /// The number of the record's row.
    pub(crate) row: RowNumber,
    /// The record.
    pub(crate) record: RecordId,
    /// The bytes, which may be no cell.
    pub(crate) bytes: Vec<u8>,
}

/// A walk in progress.
#[derive(Debug)]
pub(crate) struct CellWalk {
    /// The remaining columns in reverse order. The current column is the last.
    columns: Vec<CellColumn>,
    /// The last row of the current column that was read.
    after: Option<RowNumber>,
    /// The header of the cells to leave out.
    except_header: Option<Vec<u8>>,
}

/// Cells of one column that follow each other.
#[derive(Debug)]
pub(crate) struct CellPage {
    /// The column.
    pub(crate) column: CellColumn,
    /// The cells; none if the column has no further cell.
    pub(crate) cells: Vec<StoredCell>,
    /// Whether there are as many as were allowed.
    pub(crate) is_full: bool,
    /// Whether the column has no cells after these.
    pub(crate) is_last: bool,
}

impl CellWalk {
    /// Begins a walk over all cells.
    pub(crate) async fn over_all(store: &dyn Reader) -> Result<CellWalk, Unavailable> {
        CellWalk::begin(store, None).await
    }

    /// Begins a walk over the cells of other versions than this one.
    pub(crate) async fn over_others(store: &dyn Reader, version: KeyVersion) -> Result<CellWalk, Unavailable> {
        CellWalk::begin(store, Some(cell::header(version).to_vec())).await
    }

    /// Begins a walk over the cells of other formats than the one that this version writes.
    pub(crate) async fn over_other_formats(store: &dyn Reader) -> Result<CellWalk, Unavailable> {
        CellWalk::begin(store, Some(vec![cell::FORMAT])).await
    }

    async fn begin(store: &dyn Reader, except_header: Option<Vec<u8>>) -> Result<CellWalk, Unavailable> {
        let mut columns: Vec<_> =
            cell_columns(store).await?.into_iter().map(|(table, column)| CellColumn { table, column }).collect();
        columns.sort_unstable();
        columns.reverse();
        Ok(CellWalk { columns, after: None, except_header })
    }

    /// Leaves out everything up to this row of this column. Everything before the column is left out too.
    pub(crate) fn skip_to(&mut self, column: &CellColumn, after: Option<RowNumber>) {
        self.columns.retain(|other| other >= column);
        self.after = after.filter(|_| self.columns.last() == Some(column));
    }

    /// Returns the columns that are left.
    pub(crate) fn columns(&self) -> &[CellColumn] {
        &self.columns
    }

    /// Returns whether all cells were read.
    pub(crate) fn is_over(&self) -> bool {
        self.columns.is_empty()
    }

    /// Reads the next cells, at most `limit`. Returns `None` at the end.
    pub(crate) async fn next(&mut self, store: &dyn Reader, limit: u32) -> Result<Option<CellPage>, Unavailable> {
        let Some(column) = self.columns.last().cloned() else { return Ok(None) };
        let scan = ColumnScan {
            table: column.table.clone().into(),
            key: RecordColumns::id().name(),
            column: column.column.clone().into(),
            after: self.after,
            except_header: self.except_header.clone(),
            limit,
            bytes_max: PAGE_BYTES_MAX,
        };
        let found = store.scan_column(scan).await?;
        self.after = found.rows.last().map(|row| row.number);
        let is_full = u32::try_from(found.rows.len()).is_ok_and(|rows| rows >= limit);
        let is_last = !found.is_cut || self.after.is_none();
        if is_last {
            self.columns.pop();
            self.after = None;
        }
        let stored = |ColumnRow { number, key, value }| StoredCell {
            row: number,
            record: RecordId::from_uuid(key),
            bytes: value,
        };
        Ok(Some(CellPage { column, cells: found.rows.into_iter().map(stored).collect(), is_full, is_last }))
    }
}

/// The maximum total size of the cells in a page. A single larger cell is a page.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The maximum number of cells in a page of a walk that only reads: enough that a thread's wake-up costs nothing, and few
/// enough that a page takes some milliseconds.
pub(crate) const PAGE_CELLS: u32 = 4_096;
