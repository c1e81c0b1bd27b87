//! Privileges: what an action needs. Roles, and who holds them where, are the policy's matter.

use std::{fmt, str::FromStr};

/// What an action needs. The three privileges for the key's text keep the names that Dynamics 365 gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// Read the state of the key, its history and the unreadable cells, watch a re-encryption and verify cells: everything about the key
    /// except its text.
    ReadEncryptionState,
    /// Retrieve the text of the key. A grant of it includes [`Privilege::ReadEncryptionState`], as in Dynamics 365.
    ReadEncryptionKey,
    /// Change the key.
    ChangeEncryptionKey,
    /// Restore the key.
    RestoreEncryptionKey,
    /// Give up what a lost key has sealed.
    AbandonEncryptedData,
    /// Get and list records.
    ReadRecords,
    /// Create, update and delete records, but those of entities that name a privilege of their own.
    WriteRecords,
    /// Create, update and delete records of entities that name this privilege, because they say where passwords are sent.
    WriteDestinations,
    /// Reveal encrypted attributes.
    RevealAttributes,
    /// Compare encrypted attributes with a value.
    CompareAttributes,
    /// Change the metadata of attributes: names for people, lengths, auditing, indexes.
    CustomizeAttributes,
    /// Read what changes of audited attributes recorded.
    ReadAttributeChanges,
    /// See organizations.
    ReadOrganizations,
    /// Create organizations.
    CreateOrganizations,
    /// Export organizations.
    ExportOrganizations,
    /// Delete organizations.
    DeleteOrganizations,
    /// Read and verify the audit trail.
    ReadAuditTrail,
    /// See who may do what.
    ReadAccess,
    /// Read the contract itself, by server reflection, and the metadata of entities and attributes.
    ReadContract,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Privilege; 19] = [
        Privilege::ReadEncryptionState,
        Privilege::ReadEncryptionKey,
        Privilege::ChangeEncryptionKey,
        Privilege::RestoreEncryptionKey,
        Privilege::AbandonEncryptedData,
        Privilege::ReadRecords,
        Privilege::WriteRecords,
        Privilege::WriteDestinations,
        Privilege::RevealAttributes,
        Privilege::CompareAttributes,
        Privilege::CustomizeAttributes,
        Privilege::ReadAttributeChanges,
        Privilege::ReadOrganizations,
        Privilege::CreateOrganizations,
        Privilege::ExportOrganizations,
        Privilege::DeleteOrganizations,
        Privilege::ReadAuditTrail,
        Privilege::ReadAccess,
        Privilege::ReadContract,
    ];

    /// The name that configuration, errors and the audit trail use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Privilege::ReadEncryptionState => "prvReadEncryptionState",
            Privilege::ReadEncryptionKey => "prvReadSqlEncryptionKey",
            Privilege::ChangeEncryptionKey => "prvChangeSqlEncryptionKey",
            Privilege::RestoreEncryptionKey => "prvRestoreSqlEncryptionKey",
            Privilege::AbandonEncryptedData => "prvAbandonEncryptedData",
            Privilege::ReadRecords => "prvReadRecords",
            Privilege::WriteRecords => "prvWriteRecords",
            Privilege::WriteDestinations => "prvWriteDestinations",
            Privilege::RevealAttributes => "prvRevealAttributes",
            Privilege::CompareAttributes => "prvCompareAttributes",
            Privilege::CustomizeAttributes => "prvCustomizeAttributes",
            Privilege::ReadAttributeChanges => "prvReadRecordAuditHistory",
            Privilege::ReadOrganizations => "prvReadOrganizations",
            Privilege::CreateOrganizations => "prvCreateOrganizations",
            Privilege::ExportOrganizations => "prvExportOrganizations",
            Privilege::DeleteOrganizations => "prvDeleteOrganizations",
            Privilege::ReadAuditTrail => "prvReadAuditTrail",
            Privilege::ReadAccess => "prvReadAccess",
            Privilege::ReadContract => "prvReadContract",
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that isn't the name of a privilege.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown privilege `{0}`")]
pub struct PrivilegeNameError(String);

impl FromStr for Privilege {
    type Err = PrivilegeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Privilege::ALL.into_iter().find(|privilege| privilege.name() == text);
        found.ok_or_else(|| PrivilegeNameError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_privilege_is_parsed_from_its_name() {
        for privilege in Privilege::ALL {
            assert_eq!(privilege.name().parse::<Privilege>().unwrap(), privilege);
        }
    }
}
