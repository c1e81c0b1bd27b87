//! The tables of an organization's database that say which organization it is, and which requests were made.

use crate::{
    id::{OrganizationId, RecordId, RequestId, Timestamp},
    table::declare::table,
};

table! {
    /// The organization that the database belongs to: one row.
    pub struct OrganizationRow = "sealward_organization" {
        /// Its id.
        id: OrganizationId,
        /// Its name in the deployment that serves the database.
        name: String,
        /// When it was created.
        create_time: Timestamp,
    }
    key [id]
}

table! {
    /// A write of the last 24 hours that had a request id; see [`crate::record::idempotency`].
    pub(crate) struct RequestRow = "sealward_request" {
        /// The id that the caller drew.
        id: RequestId,
        /// The caller.
        identity: String,
        /// The record that the write was about.
        record_id: RecordId,
        /// The root key's MAC of the request.
        mac: Vec<u8>,
        /// When the write was made.
        time: Timestamp,
        /// The attributes that the write cleared without a request to do so, joined by commas.
        cleared: Option<String>,
    }
    key [id, identity]
    index "sealward_request_by_time" [time]
}
