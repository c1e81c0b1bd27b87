//! The tables of the configuration database.

use uuid::Uuid;

use crate::{
    id::{OrganizationId, Timestamp},
    name::OrganizationName,
    table::declare::table,
};

table! {
    /// This deployment. The table has one row.
    pub(crate) struct DeploymentRow = "sealward_deployment" {
        /// Always 1.
        slot: i64,
        /// The id of the deployment, which is the writer of its audit chains.
        id: Uuid,
        /// The creation time of the configuration database.
        create_time: Timestamp,
    }
    key [slot]
}

table! {
    /// A root key that stored values may be sealed under.
    pub struct RootKeyRow = "sealward_root_key" {
        /// The check value of the root key.
        check_value: Vec<u8>,
        /// The time of its first use.
        create_time: Timestamp,
    }
    key [check_value]
}

table! {
    /// An organization of this deployment; see [`crate::organization::row`].
    pub struct ListedRow = "sealward_organizations" {
        /// The name of the organization in this deployment. It is a text, so that an invalid name in one row doesn't make
        /// the other rows unreadable.
        name: String,
        /// The id of the organization.
        id: OrganizationId,
        /// The progress of its creation, import or deletion.
        state: String,
        /// The creation time.
        create_time: Timestamp,
        /// The MAC of the other columns under a key derived from the root key.
        mac: Option<Vec<u8>>,
    }
    key [name]
}

table! {
    /// A sealed key text.
    pub struct KeyTextRow = "sealward_key_text" {
        /// The organization that the key belongs to.
        organization: OrganizationId,
        /// The key-check value of the key.
        key_check_value: Vec<u8>,
        /// The text and its KEK, sealed under a root key.
        sealed: Vec<u8>,
        /// The time when the text was stored.
        create_time: Timestamp,
    }
    key [organization, key_check_value]
}

table! {
    /// The fingerprint of a key that an organization had in this deployment.
    pub(crate) struct FingerprintRow = "sealward_fingerprint" {
        /// The id of the organization.
        organization: OrganizationId,
        /// The fingerprint.
        fingerprint: String,
        /// The time when the key was last set or restored.
        time: Timestamp,
    }
    key [organization, fingerprint]
}

table! {
    /// The last known state of an organization's database; see [`crate::organization::seen`].
    pub(crate) struct SeenRow = "sealward_seen" {
        /// The id of the organization.
        organization: OrganizationId,
        /// The highest key version in the ring; 0 if the ring can't be read.
        key_version: i64,
        /// The length of this deployment's audit chain.
        audit_sequence: i64,
        /// The hash of the chain's last record.
        audit_hash: Vec<u8>,
        /// The time when a rollback of the database was detected.
        rolled_back_time: Option<Timestamp>,
        /// The position of the head that is missing from the audit trail.
        lost_audit_sequence: Option<i64>,
        /// The hash of the head that is missing from the audit trail.
        lost_audit_hash: Option<Vec<u8>>,
    }
    key [organization]
}

table! {
    /// An organization that was deleted in this deployment.
    pub(crate) struct TombstoneRow = "sealward_tombstone" {
        /// The id of the organization.
        organization: OrganizationId,
        /// The last name of the organization.
        name: OrganizationName,
        /// The time of the deletion.
        time: Timestamp,
    }
    key [organization]
}

table! {
    /// An attempt to import a copy of an organization with a text of its key. A right text deletes its attempt.
    pub(crate) struct CopyAttemptRow = "sealward_copy_attempt" {
        /// The UUID of the copied organization, which need not exist in this deployment.
        source: OrganizationId,
        /// A number that is unique among the attempts, so that two concurrent imports can't count as one.
        number: i64,
        /// The time of the attempt.
        time: Timestamp,
    }
    key [source, number]
}
