//! The tables of an audit trail. Each organization's database and the configuration database have them.

use uuid::Uuid;

use crate::{id::Timestamp, table::declare::table};

table! {
    /// A stored record of a trail. The hash covers all other columns, in this order, but the records and the hop come
    /// before the format. It covers the details from format 2 on, the records from format 3 on, and the hop from format
    /// 4 on.
    pub struct AuditRecord = "sealward_audit" {
        /// The writer of the chain.
        writer: Uuid,
        /// The position in the chain, from 1.
        sequence: i64,
        /// The hash of the previous record; zeros in the first record.
        previous_hash: [u8; 32],
        /// The time of the action.
        time: Timestamp,
        /// The identity of the caller; `None` for the service itself.
        identity: Option<String>,
        /// The address of the caller.
        peer: Option<String>,
        /// The id of the call.
        call_id: Option<String>,
        /// The name of the action.
        action: String,
        /// `done`, or the reason of the error.
        outcome: String,
        /// The resource name of the object of the action.
        subject: String,
        /// See [`AuditEntry::attributes`](crate::audit::AuditEntry::attributes).
        attributes: Option<String>,
        /// See [`AuditEntry::purpose`](crate::audit::AuditEntry::purpose).
        purpose: Option<String>,
        /// See [`AuditEntry::fingerprint`](crate::audit::AuditEntry::fingerprint).
        fingerprint: Option<String>,
        /// See [`AuditEntry::key_version`](crate::audit::AuditEntry::key_version).
        key_version: Option<i64>,
        /// See [`AuditEntry::details`](crate::audit::AuditEntry::details).
        details: Option<String>,
        /// The format, which determines the fields that the hash covers.
        format: i64,
        /// The hash of this record.
        hash: [u8; 32],
        /// See [`AuditEntry::records`](crate::audit::AuditEntry::records).
        records: Option<String>,
        /// The name of the hop that asserted the identity of the caller.
        hop: Option<String>,
    }
    key [writer, sequence]
    index "sealward_audit_by_time" [time, sequence, writer]
}

table! {
    /// A signed head of a chain; see [`crate::audit::sign`].
    pub struct SignedHead = "sealward_audit_head" {
        /// The writer of the chain.
        writer: Uuid,
        /// The position of the record.
        sequence: i64,
        /// The record's hash.
        hash: [u8; 32],
        /// The time of the signature.
        time: Timestamp,
        /// The signing key.
        public_key: [u8; 32],
        /// The signature.
        signature: [u8; 64],
    }
    key [writer, sequence]
}
