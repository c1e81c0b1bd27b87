//! Privileges: the permissions that actions need. Roles and bindings belong to the policy.

use std::{fmt, str::FromStr};

/// A privilege that an action needs. The three privileges for the key text have their names from Dynamics 365.
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
    /// Abandon data that a lost key has sealed.
    AbandonEncryptedData,
    /// Get and list records.
    ReadRecords,
    /// Create, update and delete records, except those of entities with a separate privilege.
    WriteRecords,
    /// Create, update and delete records of entities that require this privilege, because they determine the
    /// destinations of passwords.
    WriteDestinations,
    /// Reveal encrypted attributes.
    RevealAttributes,
    /// Compare encrypted attributes with a value.
    CompareAttributes,
    /// Change the metadata of attributes: names for people, lengths, auditing, indexes.
    CustomizeAttributes,
    /// Read the recorded changes of audited attributes.
    ReadAttributeChanges,
    /// Get and list organizations.
    ReadOrganizations,
    /// Create organizations.
    CreateOrganizations,
    /// Export organizations.
    ExportOrganizations,
    /// Delete organizations.
    DeleteOrganizations,
    /// Read and verify the audit trail.
    ReadAuditTrail,
    /// Read roles and bindings.
    ReadAccess,
    /// Read the contract by server reflection, and the metadata of entities and attributes.
    ReadContract,
    /// Read the state of the server: certificates, stores, problems.
    ReadServerStatus,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Privilege; 20] = [
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
        Privilege::ReadServerStatus,
    ];

    /// Returns the name that configuration, errors and the audit trail use.
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
            Privilege::ReadServerStatus => "prvReadServerStatus",
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text isn't the name of a privilege.
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
