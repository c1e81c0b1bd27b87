//! The tables of an organization's database that hold its key ring and the history of its key.

use uuid::Uuid;

use crate::{
    id::{OrganizationId, Timestamp},
    table::declare::table,
};

table! {
    /// The key ring, without its data keys: one row. [`RingRow`](crate::crypto::ring::stored::RingRow) says what the values mean.
    pub(crate) struct KeyRingRow = "sealward_key_ring" {
        /// 1.
        slot: i64,
        /// The format of the ring.
        format: i64,
        /// The organization whose ring it is.
        organization: OrganizationId,
        /// Which write of the ring this is.
        revision: Vec<u8>,
        /// How often the key derivation repeats.
        kdf_iterations: i64,
        /// The salt of the key derivation.
        salt: Vec<u8>,
        /// The key-check value.
        key_check_value: Vec<u8>,
        /// The state of the re-encryption.
        reencryption_state: String,
        /// The key version that the re-encryption gives to cells.
        reencryption_target: Option<i64>,
        /// When the key was last set.
        key_change_time: Timestamp,
        /// The ring key's MAC.
        mac: Vec<u8>,
    }
    key [slot]
}

table! {
    /// A data key.
    pub(crate) struct DataKeyRow = "sealward_data_key" {
        /// Its version.
        version: i64,
        /// The data key, wrapped under the KEK.
        wrapped: Vec<u8>,
    }
    key [version]
}

table! {
    /// A change of the key; the quota counts them.
    pub(crate) struct KeyChangeRow = "sealward_key_change" {
        /// The version of the data key that came with it.
        key_version: i64,
        /// When it was made.
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
        /// When it was made.
        time: Timestamp,
    }
    key [id]
}
