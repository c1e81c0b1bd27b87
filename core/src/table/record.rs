//! The first columns of every entity's table. [`crate::layout`] adds the columns of the entity's attributes.

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
