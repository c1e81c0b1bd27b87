//! The tables of the configuration database.

use uuid::Uuid;

use crate::{
    id::{OrganizationId, Timestamp},
    table::declare::table,
};

table! {
    /// What this deployment is: one row.
    pub(crate) struct DeploymentRow = "sealward_deployment" {
        /// 1.
        slot: i64,
        /// The deployment's id, which is the writer of its audit chains.
        id: Uuid,
        /// When the configuration database was created.
        create_time: Timestamp,
    }
    key [slot]
}

table! {
    /// A root key that something may be sealed under.
    pub struct RootKeyRow = "sealward_root_key" {
        /// Its check value.
        check_value: Vec<u8>,
        /// When it was first used.
        create_time: Timestamp,
    }
    key [check_value]
}

table! {
    /// An organization of this deployment; see [`crate::organization::row`].
    pub struct ListedRow = "sealward_organizations" {
        /// Its name in this deployment.
        name: String,
        /// Its id.
        id: OrganizationId,
        /// How far its creation, import or deletion is.
        state: String,
        /// When it was created.
        create_time: Timestamp,
        /// The root key's MAC of the other columns.
        mac: Option<Vec<u8>>,
    }
    key [name]
}

table! {
    /// A sealed key text.
    pub struct KeyTextRow = "sealward_key_text" {
        /// Whose key it is the text of.
        organization: OrganizationId,
        /// The key-check value of that key.
        key_check_value: Vec<u8>,
        /// The text and its KEK, sealed under a root key.
        sealed: Vec<u8>,
        /// When it was stored.
        create_time: Timestamp,
    }
    key [organization, key_check_value]
}

table! {
    /// The fingerprint of a key that an organization has had here.
    pub(crate) struct FingerprintRow = "sealward_fingerprint" {
        /// The organization.
        organization: OrganizationId,
        /// The fingerprint.
        fingerprint: String,
        /// When the key was last set or restored.
        time: Timestamp,
    }
    key [organization, fingerprint]
}

table! {
    /// The last known state of an organization's database; see [`crate::organization::seen`].
    pub(crate) struct SeenRow = "sealward_seen" {
        /// The organization.
        organization: OrganizationId,
        /// The highest version in the ring; 0 if the ring can't be read.
        key_version: i64,
        /// The length of this deployment's audit chain.
        audit_sequence: i64,
        /// The hash of the chain's last record.
        audit_hash: Vec<u8>,
        /// Since when the database is known to be rolled back.
        rolled_back_time: Option<Timestamp>,
        /// The place of the head that the audit trail lost.
        lost_audit_sequence: Option<i64>,
        /// The hash of the head that the audit trail lost.
        lost_audit_hash: Option<Vec<u8>>,
    }
    key [organization]
}

table! {
    /// An organization that was deleted here.
    pub(crate) struct TombstoneRow = "sealward_tombstone" {
        /// Its id.
        organization: OrganizationId,
        /// The name that it had.
        name: String,
        /// When it was deleted.
        time: Timestamp,
    }
    key [organization]
}
