//! Entries of the audit trail: the caller, the action, its time, its object and its outcome.
//!
//! An entry contains no secret and no value of an encrypted attribute. This file doesn't know about chains or stores.

use std::str::FromStr;

use crate::{id::Timestamp, identity::Caller};

/// An action that was done or attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// An organization was created.
    CreateOrganization,
    /// An organization was exported.
    ExportOrganization,
    /// An organization was imported.
    ImportOrganization,
    /// An organization was deleted.
    DeleteOrganization,
    /// A database that was missing from the configuration database was registered.
    RegisterOrganization,
    /// The key text was retrieved.
    RetrieveKey,
    /// The key was changed.
    ChangeKey,
    /// The key was restored.
    RestoreKey,
    /// The data sealed under a lost key was abandoned, and a new key was set.
    AbandonEncryptedData,
    /// All cells were sealed under the new data key, and the old data keys were destroyed.
    CompleteReencryption,
    /// All cells were opened to verify them.
    VerifyCells,
    /// The data keys kept for unreadable cells were destroyed, because no unreadable cell is left.
    DestroyDataKeys,
    /// The key texts of the organization were sealed again under the first root key.
    ResealKeyTexts,
    /// A backup of the deployment was taken.
    BackUp,
    /// The deployment's databases were replaced with those of a backup.
    RestoreBackup,
    /// Encrypted attributes were revealed.
    RevealAttributes,
    /// A new key signs the heads of this chain. The details contain the public key.
    UseSigningKey,
    /// The oldest records were removed. The details contain the position of the last removed one.
    CutAuditTrail,
    /// The trail was read.
    ReadAuditTrail,
    /// The trail was verified.
    VerifyAuditTrail,
    /// An encrypted attribute was compared with a value.
    CompareAttribute,
    /// Encrypted attributes of a record were set, cleared or deleted, as listed in the details.
    WriteEncryptedAttributes,
    /// The metadata of an attribute was changed, as listed in the details.
    UpdateAttributeMetadata,
    /// A call was refused because the caller lacks a privilege, and no other action fits. The subject is the rpc or the
    /// organization.
    Call,
    /// An action of an application, by its stored name.
    Application(&'static str),
}

impl AuditAction {
    /// All actions of the platform.
    pub const ALL: [AuditAction; 24] = [
        AuditAction::CreateOrganization,
        AuditAction::ExportOrganization,
        AuditAction::ImportOrganization,
        AuditAction::DeleteOrganization,
        AuditAction::RegisterOrganization,
        AuditAction::RetrieveKey,
        AuditAction::ChangeKey,
        AuditAction::RestoreKey,
        AuditAction::AbandonEncryptedData,
        AuditAction::CompleteReencryption,
        AuditAction::VerifyCells,
        AuditAction::DestroyDataKeys,
        AuditAction::ResealKeyTexts,
        AuditAction::BackUp,
        AuditAction::RestoreBackup,
        AuditAction::RevealAttributes,
        AuditAction::UseSigningKey,
        AuditAction::CutAuditTrail,
        AuditAction::ReadAuditTrail,
        AuditAction::VerifyAuditTrail,
        AuditAction::CompareAttribute,
        AuditAction::WriteEncryptedAttributes,
        AuditAction::UpdateAttributeMetadata,
        AuditAction::Call,
    ];

    /// Returns the stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AuditAction::CreateOrganization => "create-organization",
            AuditAction::ExportOrganization => "export-organization",
            AuditAction::ImportOrganization => "import-organization",
            AuditAction::DeleteOrganization => "delete-organization",
            AuditAction::RegisterOrganization => "register-organization",
            AuditAction::RetrieveKey => "retrieve-key",
            AuditAction::ChangeKey => "change-key",
            AuditAction::RestoreKey => "restore-key",
            AuditAction::AbandonEncryptedData => "abandon-encrypted-data",
            AuditAction::CompleteReencryption => "complete-reencryption",
            AuditAction::VerifyCells => "verify-cells",
            AuditAction::DestroyDataKeys => "destroy-data-keys",
            AuditAction::ResealKeyTexts => "reseal-key-texts",
            AuditAction::BackUp => "back-up",
            AuditAction::RestoreBackup => "restore-backup",
            AuditAction::RevealAttributes => "reveal-attributes",
            AuditAction::UseSigningKey => "use-signing-key",
            AuditAction::CutAuditTrail => "cut-audit-trail",
            AuditAction::ReadAuditTrail => "read-audit-trail",
            AuditAction::VerifyAuditTrail => "verify-audit-trail",
            AuditAction::CompareAttribute => "compare-attribute",
            AuditAction::WriteEncryptedAttributes => "write-encrypted-attributes",
            AuditAction::UpdateAttributeMetadata => "update-attribute-metadata",
            AuditAction::Call => "call",
            AuditAction::Application(name) => name,
        }
    }
}

/// The text isn't the name of an audit action of the platform.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown audit action `{0}`")]
pub struct AuditActionNameError(String);

impl FromStr for AuditAction {
    type Err = AuditActionNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = AuditAction::ALL.into_iter().find(|action| action.name() == text);
        found.ok_or_else(|| AuditActionNameError(text.to_owned()))
    }
}

/// The outcome of a completed action.
pub const OUTCOME_DONE: &str = "done";

/// An audit record before it is chained. Fields that don't apply are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The time of the action.
    pub time: Timestamp,
    /// The caller; `None` for the service itself.
    pub caller: Option<Caller>,
    /// The action.
    pub action: AuditAction,
    /// `done`, or the reason of the returned error.
    pub outcome: &'static str,
    /// The resource name of the object of the action: a record or an organization.
    pub subject: String,
    /// The revealed, compared or written attributes, separated by commas.
    pub attributes: Option<String>,
    /// The purpose that the caller stated.
    pub purpose: Option<String>,
    /// The fingerprint of the current key after the action.
    pub fingerprint: Option<String>,
    /// The current key version after the action.
    pub key_version: Option<u32>,
    /// Additional details, which depend on the action.
    pub details: Option<String>,
    /// The ids of the records, separated by commas, if the subject is a collection.
    pub records: Option<String>,
}

impl AuditEntry {
    /// Returns the entry of a completed action of the service itself, without details.
    pub fn done(time: Timestamp, action: AuditAction, subject: impl Into<String>) -> Self {
        AuditEntry {
            time,
            caller: None,
            action,
            outcome: OUTCOME_DONE,
            subject: subject.into(),
            attributes: None,
            purpose: None,
            fingerprint: None,
            key_version: None,
            details: None,
            records: None,
        }
    }
}
