//! The tables of an organization's database that account for its cells.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// How far the last re-encryption came: one row.
    pub(crate) struct ReencryptionRow = "sealward_reencryption" {
        /// 1.
        slot: i64,
        /// The key version that cells get.
        target_version: i64,
        /// The table it is in; empty before the first.
        table_name: Option<String>,
        /// The column it is in; empty before the first.
        column_name: Option<String>,
        /// The last record of that column that is done.
        after_id: Option<RecordId>,
        /// `None` until the cells are counted.
        cells_total: Option<i64>,
        /// How many cells are done.
        cells_done: i64,
        /// When it began.
        start_time: Timestamp,
        /// When it ended.
        end_time: Option<Timestamp>,
    }
    key [slot]
}

table! {
    /// How many cells a column has under one key version; see [`crate::census`].
    pub(crate) struct CensusRow = "sealward_census" {
        /// The table.
        table_name: String,
        /// The column.
        column_name: String,
        /// The version in the cells' headers; 0 where the bytes aren't a cell.
        key_version: i64,
        /// How many there are.
        cells: i64,
    }
    key [table_name, column_name, key_version]
}

table! {
    /// A cell that the last re-encryption could not open; see [`crate::key::unreadable`].
    pub(crate) struct UnreadableCellRow = "sealward_unreadable_cell" {
        /// The table of its entity.
        table_name: String,
        /// The column of its attribute.
        column_name: String,
        /// Its record.
        id: RecordId,
        /// Why it doesn't open.
        reason: String,
        /// The version in its header; `None` if it has none.
        key_version: Option<i64>,
        /// The hash of the cell as it is stored.
        sha256: [u8; 32],
    }
    key [table_name, column_name, id]
}
