//! The stored progress of a re-encryption.

use crate::{
    cells::CellColumn,
    id::{KeyVersion, RecordId, Timestamp},
    store::{Condition, Reader, RowNumber, Step, Unavailable},
    table::{
        cell::ReencryptionRow,
        declare::{TableRow as _, read},
    },
};

/// The stored progress of the last re-encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) target: KeyVersion,
    /// The current column; empty before the first.
    pub(super) column: CellColumn,
    /// The last completed row of the current column.
    pub(super) after: Option<RowNumber>,
    /// The last completed record of the current column, as stored by versions that walked in the order of the ids. The
    /// column then begins again; the completed cells are left out by their headers.
    pub(super) after_id: Option<RecordId>,
    /// The number of all cells; `None` until they are counted.
    pub(crate) cells_total: Option<u64>,
    pub(crate) cells_done: u64,
    pub(crate) start_time: Timestamp,
    pub(crate) end_time: Option<Timestamp>,
}

impl Cursor {
    pub(crate) fn first(target: KeyVersion, now: Timestamp) -> Cursor {
        Cursor {
            target,
            column: CellColumn::default(),
            after: None,
            after_id: None,
            cells_total: None,
            cells_done: 0,
            start_time: now,
            end_time: None,
        }
    }

    pub(crate) async fn read(store: &dyn Reader) -> Result<Option<Cursor>, Unavailable> {
        let Some(row) = read(store, ReencryptionRow::all_columns(), Condition::EVERYTHING).await?.into_iter().next()
        else {
            return Ok(None);
        };
        let target = u32::try_from(row.target_version).ok().and_then(KeyVersion::new);
        Ok(Some(Cursor {
            target: target.ok_or_else(|| ReencryptionRow::target_version().damaged())?,
            column: CellColumn {
                table: row.table_name.unwrap_or_default(),
                column: row.column_name.unwrap_or_default(),
            },
            after: row.after_row.map(RowNumber),
            after_id: row.after_id,
            cells_total: row.cells_total.and_then(|total| u64::try_from(total).ok()),
            cells_done: u64::try_from(row.cells_done).unwrap_or(0),
            start_time: row.start_time,
            end_time: row.end_time,
        }))
    }

    fn row(&self) -> ReencryptionRow {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        ReencryptionRow {
            slot: 1,
            target_version: self.target.get().into(),
            table_name: Some(self.column.table.clone()),
            column_name: Some(self.column.column.clone()),
            after_id: self.after_id,
            cells_total: self.cells_total.map(count),
            cells_done: count(self.cells_done),
            start_time: self.start_time,
            end_time: self.end_time,
            after_row: self.after.map(|row| row.0),
        }
    }

    /// Returns the step that requires that the stored progress is unchanged. Together with the revision of the ring, it
    /// distinguishes this walk from any other, including that of a restored copy.
    pub(super) fn require(&self) -> Step {
        let row = self.row();
        ReencryptionRow::require(Condition::All(vec![
            ReencryptionRow::target_version().is(row.target_version),
            ReencryptionRow::table_name().is(row.table_name),
            ReencryptionRow::column_name().is(row.column_name),
            ReencryptionRow::after_id().is(row.after_id),
            ReencryptionRow::after_row().is(row.after_row),
            ReencryptionRow::cells_total().is(row.cells_total),
            ReencryptionRow::cells_done().is(row.cells_done),
        ]))
    }

    /// Returns the steps that move the progress from here to `there`.
    pub(super) fn moved(&self, there: &Cursor) -> Vec<Step> {
        std::iter::once(self.require()).chain(there.replace()).collect()
    }

    /// Returns the steps that replace the stored progress with this one.
    pub(crate) fn replace(&self) -> [Step; 2] {
        [ReencryptionRow::delete(Condition::EVERYTHING), self.row().insert()]
    }
}
