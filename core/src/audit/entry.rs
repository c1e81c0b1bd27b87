//! Entries of the audit trail: who did what, from where, when, to what and with which outcome.
//!
//! An entry has no secret and no value of an encrypted attribute. Nothing here knows a chain or a store.

use std::str::FromStr;

use crate::{id::Timestamp, identity::Caller};

/// What was done or tried.
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
    /// A database found without its configuration was registered.
    RegisterOrganization,
    /// The key text was retrieved.
    RetrieveKey,
    /// The key was changed.
    ChangeKey,
    /// The key was restored.
    RestoreKey,
    /// What a lost key had sealed was given up, and a new key set.
    AbandonEncryptedData,
    /// Every cell was sealed again under the new data key, and the old data keys were destroyed.
    CompleteReencryption,
    /// Every cell was opened, to see whether it does.
    VerifyCells,
    /// Data keys that were kept for unreadable cells were destroyed, because none of those is left.
    DestroyDataKeys,
    /// The organization's key texts were sealed again under the first root key.
    ResealKeyTexts,
    /// Encrypted attributes were revealed.
    RevealAttributes,
    /// The key that signs heads of this chain from now on; the details have it.
    UseSigningKey,
    /// Records at the old end were removed, as the details say.
    CutAuditTrail,
    /// The trail was to be read.
    ReadAuditTrail,
    /// The trail was verified.
    VerifyAuditTrail,
    /// An encrypted attribute was compared with a value.
    CompareAttribute,
    /// Encrypted attributes of a record were set, cleared or deleted; the details say which.
    WriteEncryptedAttributes,
    /// The metadata of an attribute was changed; the details say what.
    UpdateAttributeMetadata,
    /// A call was refused because its caller may not make it, and is recorded as nothing else; the subject is the rpc or the organization.
    Call,
    /// An action of an application, by the word that is stored.
    Application(&'static str),
}

impl AuditAction {
    /// Every action of the platform.
    pub const ALL: [AuditAction; 22] = [
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

    /// The word that is stored.
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

/// A text that isn't the name of an audit action of the platform.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` isn't an audit action")]
pub struct AuditActionNameError(String);

impl FromStr for AuditAction {
    type Err = AuditActionNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = AuditAction::ALL.into_iter().find(|action| action.name() == text);
        found.ok_or_else(|| AuditActionNameError(text.to_owned()))
    }
}

/// How it ended.
pub const OUTCOME_DONE: &str = "done";

/// One record, before it is chained. `None` where a field doesn't apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// Who; `None` for the service itself.
    pub caller: Option<Caller>,
    /// What.
    pub action: AuditAction,
    /// `done`, or the reason of the error that was answered.
    pub outcome: &'static str,
    /// The resource it was done to: a record's or an organization's name.
    pub subject: String,
    /// The attributes revealed, compared or written, joined by commas.
    pub attributes: Option<String>,
    /// What the caller said it was for.
    pub purpose: Option<String>,
    /// The fingerprint of the key that is current after it.
    pub fingerprint: Option<String>,
    /// The key version that is current after it.
    pub key_version: Option<u32>,
    /// What else there is to say; what, depends on the action.
    pub details: Option<String>,
}

impl AuditEntry {
    /// What the service did by itself, with nothing more to say of it.
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
        }
    }
}
