//! The tables of an organization's database about its attributes: customized metadata, and changes of audited attributes.

use crate::{
    id::{RecordId, Timestamp},
    table::declare::table,
};

table! {
    /// The organization's customization of an attribute's metadata; see [`crate::metadata::setting`].
    pub struct AttributeSettingRow = "sealward_attribute_setting" {
        /// The entity's storage name.
        table_name: String,
        /// The attribute's storage name.
        column_name: String,
        /// The display name; `None` for that of the schema.
        display_name: Option<String>,
        /// The maximum length; `None` for that of the schema.
        max_length: Option<i64>,
        /// The greatest maximum length that was ever set; `None` if that is the one of the schema.
        longest: Option<i64>,
        /// Whether the organization requires a value, in addition to the schema.
        required: bool,
        /// Whether changes of the attribute are recorded.
        audited: bool,
        /// Whether the attribute has an index.
        indexed: bool,
        /// The revision, which increases with each change of metadata in the organization.
        revision: i64,
    }
    key [table_name, column_name]
    index "sealward_attribute_setting_by_revision" [revision]
}

table! {
    /// A change of an audited attribute; see [`crate::metadata::changes`]. The key is unique and orders all changes.
    pub(crate) struct AttributeChangeRow = "sealward_attribute_change" {
        /// The time of the change.
        time: Timestamp,
        /// The identity of the caller.
        identity: String,
        /// The id of the call.
        call_id: String,
        /// The entity's storage name.
        table_name: String,
        /// The id of the record.
        record_id: RecordId,
        /// The attribute's storage name.
        column_name: String,
        /// The number of the kind of operation.
        operation: i64,
        /// The revision of the record after the change; the last revision of a deleted record.
        revision: i64,
        /// The value before the change.
        old_value: Option<String>,
        /// The value after the change.
        new_value: Option<String>,
    }
    key [time, table_name, record_id, column_name, operation, revision]
    index "sealward_attribute_change_by_record" [table_name, record_id, time]
    index "sealward_attribute_change_by_column" [table_name, column_name, time]
}
