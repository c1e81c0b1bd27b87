//! The tables of an organization's database for its key ring and its key history.

use uuid::Uuid;

use crate::{
    id::{OrganizationId, Timestamp},
    table::declare::table,
};

table! {
    /// The key ring, without its data keys. The table has one row. See [`RingRow`](crate::crypto::ring::stored::RingRow)
    /// for the meaning of the values.
    pub(crate) struct KeyRingRow = "sealward_key_ring" {
        /// Always 1.
        slot: i64,
        /// The format of the ring.
        format: i64,
        /// The organization that the ring belongs to.
        organization: OrganizationId,
        /// A random value that each write of the ring replaces.
        revision: Vec<u8>,
        /// The number of iterations of the key derivation.
        kdf_iterations: i64,
        /// The salt of the key derivation.
        salt: Vec<u8>,
        /// The key-check value.
        key_check_value: Vec<u8>,
        /// The state of the re-encryption.
        reencryption_state: String,
        /// The key version to re-encrypt the cells with.
        reencryption_target: Option<i64>,
        /// The time when the key was last set.
        key_change_time: Timestamp,
        /// The MAC under the ring key.
        mac: Vec<u8>,
    }
    key [slot]
}

table! {
    /// A data key.
    pub(crate) struct DataKeyRow = "sealward_data_key" {
        /// The key version.
        version: i64,
        /// The data key, wrapped under the KEK.
        wrapped: Vec<u8>,
    }
    key [version]
}

table! {
    /// A change of the key. The quota counts these rows.
    pub(crate) struct KeyChangeRow = "sealward_key_change" {
        /// The version of the data key that the change added.
        key_version: i64,
        /// The time of the change.
        time: Timestamp,
        /// The fingerprint of the new key.
        fingerprint: String,
    }
    key [key_version]
}

table! {
    /// An attempt to restore the key since the last successful one.
    pub(crate) struct RestoreAttemptRow = "sealward_restore_attempt" {
        /// A random id.
        id: Uuid,
        /// The time of the attempt.
        time: Timestamp,
    }
    key [id]
}
