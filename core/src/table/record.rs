//! The columns that every entity's table begins with. [`crate::layout`] adds those of the entity's attributes.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// The columns of a record that aren't attributes. The table is named after its entity.
    pub struct RecordColumns = "an entity's table" {
        /// The record's id.
        id: RecordId,
        /// Grows with each change.
        revision: i64,
        /// When it was created.
        create_time: Timestamp,
        /// When it was changed last.
        update_time: Timestamp,
        /// Who created it.
        created_by: Option<String>,
        /// Who changed it last.
        modified_by: Option<String>,
    }
    key [id]
}
