//! The tables of an organization's database about its attributes: customized metadata, and changes of audited attributes.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// What the organization has customized of an attribute's metadata; see [`crate::metadata::setting`].
    pub struct AttributeSettingRow = "sealward_attribute_setting" {
        /// The entity's storage name.
        table_name: String,
        /// The attribute's storage name.
        column_name: String,
        /// `None` as in the schema.
        display_name: Option<String>,
        /// `None` as in the schema.
        max_length: Option<i64>,
        /// The greatest length that it ever was; `None` if that is what the schema has.
        longest: Option<i64>,
        /// Whether a record must have a value, beside what the schema demands.
        required: bool,
        /// Whether each change is recorded.
        audited: bool,
        /// Whether it has an index.
        indexed: bool,
        /// Grows with each change of metadata in the organization.
        revision: i64,
    }
    key [table_name, column_name]
    index "sealward_attribute_setting_by_revision" [revision]
}

table! {
    /// A change of an audited attribute; see [`crate::metadata::changes`]. No two changes have the same key, which orders all changes.
    pub(crate) struct AttributeChangeRow = "sealward_attribute_change" {
        /// When.
        time: Timestamp,
        /// Who.
        identity: String,
        /// In which call.
        call_id: String,
        /// The entity's storage name.
        table_name: String,
        /// The record.
        record_id: RecordId,
        /// The attribute's storage name.
        column_name: String,
        /// The number of the operation.
        operation: i64,
        /// The revision that it made; the last one that a deleted record had.
        revision: i64,
        /// What it was.
        old_value: Option<String>,
        /// What it became.
        new_value: Option<String>,
    }
    key [time, table_name, record_id, column_name, operation, revision]
    index "sealward_attribute_change_by_record" [table_name, record_id, time]
    index "sealward_attribute_change_by_column" [table_name, column_name, time]
}
