//! The first columns of every entity's table, to which [`crate::layout`] adds those of the entity's attributes; and the
//! comparisons of encrypted attributes.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// The columns of a record that aren't attributes. The name of the table is the storage name of the entity.
    pub struct RecordColumns = "an entity's table" {
        /// The id of the record.
        id: RecordId,
        /// The revision, which increases with each change.
        revision: i64,
        /// The creation time.
        create_time: Timestamp,
        /// The time of the last change.
        update_time: Timestamp,
        /// The identity that created the record.
        created_by: Option<String>,
        /// The identity that changed the record last.
        modified_by: Option<String>,
    }
    key [id]
}

table! {
    /// A comparison of an encrypted attribute of a record. The limit of comparisons counts these rows.
    pub(crate) struct ComparisonRow = "sealward_comparison" {
        /// The storage name of the entity.
        table_name: String,
        /// The id of the record.
        record_id: RecordId,
        /// The storage name of the attribute.
        column_name: String,
        /// The number of the comparison, below the limit. A later comparison takes the place of one that no longer counts.
        place: i64,
        /// The time of the comparison.
        time: Timestamp,
    }
    key [table_name, record_id, column_name, place]
    index "sealward_comparison_by_time" [time]
}
