//! The tables: which ones an organization's database and the configuration database have, and what stands in them.
//!
//! An entity has a table of its storage name, with a column per attribute; encrypted attributes have columns of cells. The tables
//! that are not an entity's begin with `sealward_`, and no entity may take such a name.
//!
//! Nothing here reads or writes; see [`crate::catalog`] for how a database comes to have these tables.

use crate::{
    audit::record,
    schema::{Schema, column::column_type, entity::Entity},
    store::{Column, ColumnType, Index, Name, Table},
};

/// The organization's own name and id, and nothing else: one row.
pub const ORGANIZATION: &str = "sealward_organization";
/// The key ring, without its keys: one row.
pub const KEY_RING: &str = "sealward_key_ring";
/// The wrapped data keys.
pub const DATA_KEY: &str = "sealward_data_key";
/// Each change of the key, with the time it was made; the quota counts them.
pub const KEY_CHANGE: &str = "sealward_key_change";
/// Each attempt to restore the key since the last that succeeded.
pub const RESTORE_ATTEMPT: &str = "sealward_restore_attempt";
/// How far the last re-encryption came: one row.
pub const REENCRYPTION: &str = "sealward_reencryption";
/// How many cells there are, by column and key version; see [`crate::census`].
pub const CENSUS: &str = "sealward_census";
/// Cells that the last re-encryption could not open.
pub const UNREADABLE_CELL: &str = "sealward_unreadable_cell";
/// Each write of the last 24 hours that had a request id, for as long as a repetition of it may come; see
/// [`crate::record::idempotency`].
pub const REQUEST: &str = "sealward_request";
/// What the organization has customized of its attributes' metadata; see [`crate::metadata::setting`].
pub const ATTRIBUTE_SETTING: &str = "sealward_attribute_setting";
/// Each change of an audited attribute; see [`crate::metadata::changes`].
pub const ATTRIBUTE_CHANGE: &str = "sealward_attribute_change";
/// Every column of the database; see [`crate::catalog`].
pub const CATALOG: &str = "sealward_catalog";
/// Each migration that was made.
pub const MIGRATION: &str = "sealward_migration";

/// Signed heads of the audit trail's chains; see [`crate::audit::sign`].
pub const AUDIT_HEAD: &str = "sealward_audit_head";

/// Configuration database: what this deployment is. One row.
pub const DEPLOYMENT: &str = "sealward_deployment";
/// Configuration database: a check value of each root key that something may be sealed under.
pub const ROOT_KEY: &str = "sealward_root_key";
/// Configuration database: the organizations of this deployment.
pub const ORGANIZATIONS: &str = "sealward_organizations";
/// Configuration database: sealed key texts, by organization and key-check value.
pub const KEY_TEXT: &str = "sealward_key_text";
/// Configuration database: the fingerprints an organization has had here.
pub const FINGERPRINT: &str = "sealward_fingerprint";

/// Configuration database: what was seen last of each organization's database; see [`crate::organization::seen`].
pub const SEEN: &str = "sealward_seen";
/// Configuration database: organizations that were deleted here.
pub const TOMBSTONE: &str = "sealward_tombstone";

/// The key of [`REQUEST`].
pub const REQUEST_KEY: [&str; 2] = ["id", "identity"];

/// The key of [`ATTRIBUTE_CHANGE`]: no two changes are alike in all of it.
pub(crate) const ATTRIBUTE_CHANGE_KEY: [&str; 6] =
    ["time", "table_name", "record_id", "column_name", "operation", "revision"];

/// The indexes of [`ATTRIBUTE_CHANGE`]: for the changes of a record, and for those of an attribute. The key orders all changes.
pub(crate) const ATTRIBUTE_CHANGE_INDEXES: [(&str, &[&str]); 2] = [
    ("sealward_attribute_change_by_record", &["table_name", "record_id", "time"]),
    ("sealward_attribute_change_by_column", &["table_name", "column_name", "time"]),
];

/// The tables a database should have, and which of their columns hold cells.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The tables.
    pub tables: Vec<LaidOut>,
}

/// A table with its cell columns.
#[derive(Clone, Debug)]
pub struct LaidOut {
    /// The table.
    pub table: Table,
    /// Which of its columns hold cells.
    pub cells: Vec<Name>,
}

/// What an organization's database has.
#[must_use]
pub fn organization(schema: &Schema) -> Layout {
    let system = [
        table(ORGANIZATION, &["id"], &[("id", Uuid), ("name", Text), ("create_time", Time)]),
        table(
            KEY_RING,
            &["slot"],
            &[
                ("slot", Integer),
                ("format", Integer),
                ("organization", Uuid),
                ("revision", Bytes),
                ("kdf_iterations", Integer),
                ("salt", Bytes),
                ("key_check_value", Bytes),
                ("reencryption_state", Text),
                ("reencryption_target", IntegerOrNull),
                ("key_change_time", Time),
                ("mac", Bytes),
            ],
        ),
        table(DATA_KEY, &["version"], &[("version", Integer), ("wrapped", Bytes)]),
        table(KEY_CHANGE, &["key_version"], &[("key_version", Integer), ("time", Time), ("fingerprint", Text)]),
        table(RESTORE_ATTEMPT, &["id"], &[("id", Uuid), ("time", Time)]),
        table(
            REENCRYPTION,
            &["slot"],
            &[
                ("slot", Integer),
                ("target_version", Integer),
                ("table_name", TextOrNull),
                ("column_name", TextOrNull),
                ("after_id", UuidOrNull),
                ("cells_total", IntegerOrNull),
                ("cells_done", Integer),
                ("start_time", Time),
                ("end_time", TimeOrNull),
            ],
        ),
        table(
            CENSUS,
            &["table_name", "column_name", "key_version"],
            &[("table_name", Text), ("column_name", Text), ("key_version", Integer), ("cells", Integer)],
        ),
        table(
            UNREADABLE_CELL,
            &["table_name", "column_name", "id"],
            &[
                ("table_name", Text),
                ("column_name", Text),
                ("id", Uuid),
                ("reason", Text),
                ("key_version", IntegerOrNull),
                ("sha256", Bytes),
            ],
        ),
        indexed(
            table(
                REQUEST,
                &REQUEST_KEY,
                &[
                    ("id", Uuid),
                    ("identity", Text),
                    ("record_id", Uuid),
                    ("mac", Bytes),
                    ("time", Time),
                    ("cleared", TextOrNull),
                ],
            ),
            "sealward_request_by_time",
            &["time"],
        ),
        indexed(
            table(
                ATTRIBUTE_SETTING,
                &["table_name", "column_name"],
                &[
                    ("table_name", Text),
                    ("column_name", Text),
                    ("display_name", TextOrNull),
                    ("max_length", IntegerOrNull),
                    ("longest", IntegerOrNull),
                    ("required", Boolean),
                    ("audited", Boolean),
                    ("indexed", Boolean),
                    ("revision", Integer),
                ],
            ),
            "sealward_attribute_setting_by_revision",
            &["revision"],
        ),
        attribute_changes(),
        table(
            CATALOG,
            &["table_name", "column_name"],
            &[("table_name", Text), ("column_name", Text), ("type", Text), ("cell", Boolean)],
        ),
        table(MIGRATION, &["version"], &[("version", Integer), ("time", Time), ("columns_added", Integer)]),
        LaidOut { table: record::table(), cells: Vec::new() },
        audit_head(),
    ];
    Layout { tables: system.into_iter().chain(schema.entities().iter().map(|entity| of_entity(entity))).collect() }
}

/// What the configuration database has.
#[must_use]
pub fn configuration() -> Layout {
    Layout {
        tables: vec![
            table(DEPLOYMENT, &["slot"], &[("slot", Integer), ("id", Uuid), ("create_time", Time)]),
            table(ROOT_KEY, &["check_value"], &[("check_value", Bytes), ("create_time", Time)]),
            table(
                ORGANIZATIONS,
                &["name"],
                &[("name", Text), ("id", Uuid), ("state", Text), ("create_time", Time), ("mac", BytesOrNull)],
            ),
            table(
                KEY_TEXT,
                &["organization", "key_check_value"],
                &[("organization", Uuid), ("key_check_value", Bytes), ("sealed", Bytes), ("create_time", Time)],
            ),
            table(
                FINGERPRINT,
                &["organization", "fingerprint"],
                &[("organization", Uuid), ("fingerprint", Text), ("time", Time)],
            ),
            table(
                SEEN,
                &["organization"],
                &[
                    ("organization", Uuid),
                    ("key_version", Integer),
                    ("audit_sequence", Integer),
                    ("audit_hash", Bytes),
                    ("rolled_back_time", TimeOrNull),
                    ("lost_audit_sequence", IntegerOrNull),
                    ("lost_audit_hash", BytesOrNull),
                ],
            ),
            table(TOMBSTONE, &["organization"], &[("organization", Uuid), ("name", Text), ("time", Time)]),
            table(
                CATALOG,
                &["table_name", "column_name"],
                &[("table_name", Text), ("column_name", Text), ("type", Text), ("cell", Boolean)],
            ),
            table(MIGRATION, &["version"], &[("version", Integer), ("time", Time), ("columns_added", Integer)]),
            LaidOut { table: record::table(), cells: Vec::new() },
            audit_head(),
        ],
    }
}

fn attribute_changes() -> LaidOut {
    let changes = table(
        ATTRIBUTE_CHANGE,
        &ATTRIBUTE_CHANGE_KEY,
        &[
            ("time", Time),
            ("identity", Text),
            ("call_id", Text),
            ("table_name", Text),
            ("record_id", Uuid),
            ("column_name", Text),
            ("operation", Integer),
            ("revision", Integer),
            ("old_value", TextOrNull),
            ("new_value", TextOrNull),
        ],
    );
    ATTRIBUTE_CHANGE_INDEXES.iter().fold(changes, |laid_out, (name, columns)| indexed(laid_out, name, columns))
}

fn audit_head() -> LaidOut {
    table(
        AUDIT_HEAD,
        &["writer", "sequence"],
        &[
            ("writer", Uuid),
            ("sequence", Integer),
            ("hash", Bytes),
            ("time", Time),
            ("public_key", Bytes),
            ("signature", Bytes),
        ],
    )
}

fn of_entity(entity: &Entity) -> LaidOut {
    let mut laid_out = table(
        "",
        &["id"],
        &[
            ("id", Uuid),
            ("revision", Integer),
            ("create_time", Time),
            ("update_time", Time),
            ("created_by", TextOrNull),
            ("modified_by", TextOrNull),
        ],
    );
    laid_out.table.name = entity.storage_name.clone().into();
    for attribute in entity.attributes.iter().filter(|attribute| attribute.stored()) {
        let name = Name::from(attribute.storage_name.clone());
        if attribute.encrypted {
            laid_out.cells.push(name.clone());
        }
        // Nullable even where the attribute is required: the attribute may have come later than some of the records.
        laid_out.table.columns.push(Column {
            name,
            kind: if attribute.encrypted { ColumnType::Bytes } else { column_type(&attribute.kind) },
            nullable: true,
        });
    }
    laid_out
}

/// A column's type in the tables written out above.
#[derive(Clone, Copy)]
enum Written {
    Boolean,
    Integer,
    IntegerOrNull,
    Text,
    TextOrNull,
    Bytes,
    BytesOrNull,
    Uuid,
    UuidOrNull,
    Time,
    TimeOrNull,
}
use Written::{
    Boolean, Bytes, BytesOrNull, Integer, IntegerOrNull, Text, TextOrNull, Time, TimeOrNull, Uuid, UuidOrNull,
};

fn table(name: &'static str, key: &[&'static str], columns: &[(&'static str, Written)]) -> LaidOut {
    let column = |&(name, written): &(&'static str, Written)| {
        let (kind, nullable) = match written {
            Boolean => (ColumnType::Boolean, false),
            Integer => (ColumnType::Integer, false),
            IntegerOrNull => (ColumnType::Integer, true),
            Text => (ColumnType::Text, false),
            TextOrNull => (ColumnType::Text, true),
            Bytes => (ColumnType::Bytes, false),
            BytesOrNull => (ColumnType::Bytes, true),
            Uuid => (ColumnType::Uuid, false),
            UuidOrNull => (ColumnType::Uuid, true),
            Time => (ColumnType::Time, false),
            TimeOrNull => (ColumnType::Time, true),
        };
        Column { name: name.into(), kind, nullable }
    };
    LaidOut {
        table: Table {
            name: name.into(),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|&name| name.into()).collect(),
            indexes: Vec::new(),
        },
        cells: Vec::new(),
    }
}

/// The table with an index of these columns.
fn indexed(mut laid_out: LaidOut, name: &'static str, columns: &[&'static str]) -> LaidOut {
    let columns = columns.iter().map(|&column| column.into()).collect();
    laid_out.table.indexes.push(Index { name: name.into(), columns });
    laid_out
}
