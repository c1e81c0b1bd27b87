//! The tables of an organization's database for the organization itself and for request ids.

use crate::{
    id::{OrganizationId, RecordId, RequestId, Timestamp},
    name::OrganizationName,
    table::declare::table,
};

table! {
    /// The organization that the database belongs to. The table has one row.
    pub struct OrganizationRow = "sealward_organization" {
        /// The id of the organization.
        id: OrganizationId,
        /// The name of the organization in the deployment that serves the database.
        name: OrganizationName,
        /// The creation time.
        create_time: Timestamp,
    }
    key [id]
}

table! {
    /// A write with a request id in the last 24 hours; see [`crate::record::idempotency`].
    pub(crate) struct RequestRow = "sealward_request" {
        /// The request id from the caller.
        id: RequestId,
        /// The identity of the caller.
        identity: String,
        /// The id of the written record; of a batch, that of the first one.
        record_id: RecordId,
        /// The MAC of the request under a key derived from the root key.
        mac: Vec<u8>,
        /// The time of the write.
        time: Timestamp,
        /// The attributes that the write cleared although the request didn't ask for it, separated by commas; of a batch,
        /// those of each record, separated by semicolons.
        cleared: Option<String>,
        /// The ids of the records of a batch, 16 bytes each, in the order of the request.
        records: Option<Vec<u8>>,
    }
    key [id, identity]
    index "sealward_request_by_time" [time]
}
