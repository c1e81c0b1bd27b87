//! The tables of audit trails, which an organization's database and the configuration database have.

use uuid::Uuid;

use crate::{id::Timestamp, table::declare::table};

table! {
    /// One record of a trail, as it is stored. Its hash covers every other column, in this order, except that format 1 had no details.
    pub struct AuditRecord = "sealward_audit" {
        /// Whose chain it is in.
        writer: Uuid,
        /// Its place there, from 1.
        sequence: i64,
        /// The hash of the record before it; zeros in the first.
        previous_hash: [u8; 32],
        /// When.
        time: Timestamp,
        /// Who; `None` for the service itself.
        identity: Option<String>,
        /// From where.
        peer: Option<String>,
        /// In which call.
        call_id: Option<String>,
        /// What.
        action: String,
        /// `done`, or why not.
        outcome: String,
        /// To what.
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
        /// Which fields the hash covers.
        format: i64,
        /// Its hash.
        hash: [u8; 32],
    }
    key [writer, sequence]
    index "sealward_audit_by_time" [time, sequence, writer]
}

table! {
    /// A signed head of a chain; see [`crate::audit::sign`].
    pub struct SignedHead = "sealward_audit_head" {
        /// Whose chain.
        writer: Uuid,
        /// The place of the record.
        sequence: i64,
        /// The record's hash.
        hash: [u8; 32],
        /// When it was signed.
        time: Timestamp,
        /// By whom.
        public_key: [u8; 32],
        /// The signature.
        signature: [u8; 64],
    }
    key [writer, sequence]
}
