//! The tables of an organization's database about its cells: re-encryption, cell counts and unreadable cells.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// The progress of the last re-encryption. The table has one row.
    pub(crate) struct ReencryptionRow = "sealward_reencryption" {
        /// Always 1.
        slot: i64,
        /// The key version to re-encrypt the cells with.
        target_version: i64,
        /// The current table; empty before the first.
        table_name: Option<String>,
        /// The current column; empty before the first.
        column_name: Option<String>,
        /// The last completed record of the current column. Only earlier versions store it.
        after_id: Option<RecordId>,
        /// The number of all cells; `None` until they are counted.
        cells_total: Option<i64>,
        /// The number of completed cells.
        cells_done: i64,
        /// The start time.
        start_time: Timestamp,
        /// The end time.
        end_time: Option<Timestamp>,
        /// The number of the last completed row of the current column.
        after_row: Option<i64>,
    }
    key [slot]
}

table! {
    /// The number of cells in a column with one key version; see [`crate::census`].
    pub(crate) struct CensusRow = "sealward_census" {
        /// The name of the table.
        table_name: String,
        /// The name of the column.
        column_name: String,
        /// The version in the headers of the cells; 0 if the bytes aren't a cell.
        key_version: i64,
        /// The number of cells.
        cells: i64,
    }
    key [table_name, column_name, key_version]
}

table! {
    /// A cell that the last re-encryption couldn't open; see [`crate::key::unreadable`].
    pub(crate) struct UnreadableCellRow = "sealward_unreadable_cell" {
        /// The table of the entity.
        table_name: String,
        /// The column of the attribute.
        column_name: String,
        /// The id of the record.
        id: RecordId,
        /// Why the cell can't be opened.
        reason: String,
        /// The key version in the header; `None` if the header is malformed.
        key_version: Option<i64>,
        /// The hash of the stored cell.
        sha256: [u8; 32],
    }
    key [table_name, column_name, id]
}
