//! Who may do what: identities are bound to roles, per organization; roles hold privileges; each action needs one privilege.
//!
//! The policy is a value. Nothing here knows rpcs (the server's permission table maps them to privileges) or where bindings come from.

use std::{collections::BTreeSet, fmt, marker::PhantomData, str::FromStr};

use crate::identity::Identity;

/// What an action needs. The three key privileges keep the names the original gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// Ask whether encryption is active, watch a re-encryption, retrieve the key.
    ReadEncryptionKey,
    /// Change the key.
    ChangeEncryptionKey,
    /// Restore the key.
    RestoreEncryptionKey,
    /// Give up what a lost key has sealed.
    AbandonEncryptedData,
    /// Get and list records.
    ReadRecords,
    /// Create, update and delete records.
    WriteRecords,
    /// Reveal encrypted attributes.
    RevealAttributes,
    /// See organizations.
    ReadOrganizations,
    /// Create organizations.
    CreateOrganizations,
    /// Export organizations.
    ExportOrganizations,
    /// Delete organizations.
    DeleteOrganizations,
    /// Read the contract itself: server reflection.
    ReadContract,
}

impl Privilege {
    /// Every privilege.
    pub const ALL: [Privilege; 12] = [
        Privilege::ReadEncryptionKey,
        Privilege::ChangeEncryptionKey,
        Privilege::RestoreEncryptionKey,
        Privilege::AbandonEncryptedData,
        Privilege::ReadRecords,
        Privilege::WriteRecords,
        Privilege::RevealAttributes,
        Privilege::ReadOrganizations,
        Privilege::CreateOrganizations,
        Privilege::ExportOrganizations,
        Privilege::DeleteOrganizations,
        Privilege::ReadContract,
    ];

    /// The name that configuration, errors and the audit trail use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Privilege::ReadEncryptionKey => "prvReadSqlEncryptionKey",
            Privilege::ChangeEncryptionKey => "prvChangeSqlEncryptionKey",
            Privilege::RestoreEncryptionKey => "prvRestoreSqlEncryptionKey",
            Privilege::AbandonEncryptedData => "prvAbandonEncryptedData",
            Privilege::ReadRecords => "prvReadRecords",
            Privilege::WriteRecords => "prvWriteRecords",
            Privilege::RevealAttributes => "prvRevealAttributes",
            Privilege::ReadOrganizations => "prvReadOrganizations",
            Privilege::CreateOrganizations => "prvCreateOrganizations",
            Privilege::ExportOrganizations => "prvExportOrganizations",
            Privilege::DeleteOrganizations => "prvDeleteOrganizations",
            Privilege::ReadContract => "prvReadContract",
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a binding grants: a role, or one of the key privileges by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything.
    SystemAdministrator,
    /// Reads and writes records; never sees an encrypted attribute.
    RecordWriter,
    /// Reads records; never sees an encrypted attribute.
    RecordReader,
    /// Reveals encrypted attributes, and nothing else.
    MailConnector,
    /// Sees organizations; reads the audit trail, once there is a call for it. No state of the key, no records.
    Auditor,
    /// One of the original's key privileges, granted alone.
    Key(KeyPrivilege),
}

/// The privileges that can be granted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPrivilege {
    /// `prvReadSqlEncryptionKey`
    Read,
    /// `prvChangeSqlEncryptionKey`
    Change,
    /// `prvRestoreSqlEncryptionKey`
    Restore,
}

impl Role {
    /// Every role, and every privilege that can stand in a role's place.
    pub const ALL: [Role; 8] = [
        Role::SystemAdministrator,
        Role::RecordWriter,
        Role::RecordReader,
        Role::MailConnector,
        Role::Auditor,
        Role::Key(KeyPrivilege::Read),
        Role::Key(KeyPrivilege::Change),
        Role::Key(KeyPrivilege::Restore),
    ];

    /// The name that configuration uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::SystemAdministrator => "system-administrator",
            Role::RecordWriter => "record-writer",
            Role::RecordReader => "record-reader",
            Role::MailConnector => "mail-connector",
            Role::Auditor => "auditor",
            Role::Key(KeyPrivilege::Read) => Privilege::ReadEncryptionKey.name(),
            Role::Key(KeyPrivilege::Change) => Privilege::ChangeEncryptionKey.name(),
            Role::Key(KeyPrivilege::Restore) => Privilege::RestoreEncryptionKey.name(),
        }
    }

    /// The privileges a role holds.
    #[must_use]
    pub fn privileges(self) -> &'static [Privilege] {
        match self {
            Role::SystemAdministrator => &Privilege::ALL,
            Role::RecordWriter => &[
                Privilege::ReadRecords,
                Privilege::WriteRecords,
                Privilege::ReadOrganizations,
                Privilege::ReadContract,
            ],
            Role::RecordReader => &[Privilege::ReadRecords, Privilege::ReadOrganizations, Privilege::ReadContract],
            Role::MailConnector => &[Privilege::RevealAttributes, Privilege::ReadContract],
            Role::Auditor => &[Privilege::ReadOrganizations, Privilege::ReadContract],
            Role::Key(KeyPrivilege::Read) => &[Privilege::ReadEncryptionKey, Privilege::ReadContract],
            Role::Key(KeyPrivilege::Change) => &[Privilege::ChangeEncryptionKey, Privilege::ReadContract],
            Role::Key(KeyPrivilege::Restore) => &[Privilege::RestoreEncryptionKey, Privilege::ReadContract],
        }
    }
}

/// A text that names no role.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role")]
pub struct RoleNameError(String);

impl FromStr for Role {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| RoleNameError(text.to_owned()))
    }
}

/// Where a binding holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every organization, those to come included, and for what belongs to none (creating one).
    All,
    /// In the organizations of these names.
    Organizations(BTreeSet<String>),
}

/// One grant: this identity has this role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who.
    pub identity: Identity,
    /// What.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// All grants of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    bindings: Vec<Binding>,
}

/// The caller lacks a privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller lacks the privilege {privilege}")]
pub struct PrivilegeMissing {
    /// The one that is missing.
    pub privilege: Privilege,
}

impl Policy {
    /// A policy of these grants and no others.
    #[must_use]
    pub fn new(bindings: Vec<Binding>) -> Self {
        Policy { bindings }
    }

    /// Whether the caller holds `privilege` anywhere at all: asked before a message is read.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants it in any organization.
    pub fn check_anywhere(&self, identity: &Identity, privilege: Privilege) -> Result<(), PrivilegeMissing> {
        self.grants(identity, privilege).next().map(|_| ()).ok_or(PrivilegeMissing { privilege })
    }

    /// Whether the caller may do `A` in the organization of this name. It need not exist: permission is decided before existence.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants it there.
    pub fn check<A: Action>(&self, identity: &Identity, organization: &str) -> Result<Permit<A>, PrivilegeMissing> {
        if self.holds(identity, A::PRIVILEGE, organization) {
            Ok(Permit { action: PhantomData })
        } else {
            Err(PrivilegeMissing { privilege: A::PRIVILEGE })
        }
    }

    /// Whether the caller may do `A`, which belongs to no organization: needs a grant for all.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding with the scope *all* grants it.
    pub fn check_deployment<A: Action>(&self, identity: &Identity) -> Result<Permit<A>, PrivilegeMissing> {
        match self.grants(identity, A::PRIVILEGE).find(|scope| **scope == Scope::All) {
            Some(_) => Ok(Permit { action: PhantomData }),
            None => Err(PrivilegeMissing { privilege: A::PRIVILEGE }),
        }
    }

    /// Whether the caller holds `privilege` in the organization of this name; for lists, which show what one may see.
    #[must_use]
    pub fn holds(&self, identity: &Identity, privilege: Privilege, organization: &str) -> bool {
        self.grants(identity, privilege).any(|scope| match scope {
            Scope::All => true,
            Scope::Organizations(names) => names.contains(organization),
        })
    }

    fn grants<'a>(&'a self, identity: &'a Identity, privilege: Privilege) -> impl Iterator<Item = &'a Scope> {
        self.bindings
            .iter()
            .filter(move |binding| binding.identity == *identity && binding.role.privileges().contains(&privilege))
            .map(|binding| &binding.scope)
    }
}

/// Something that needs a privilege. Use cases ask for a [`Permit`] of their action.
pub trait Action {
    /// The privilege it needs.
    const PRIVILEGE: Privilege;
}

/// Proof that the policy allowed this caller to do `A`. Made only by [`Policy`], not cloneable, spent where it is used.
#[must_use]
pub struct Permit<A> {
    action: PhantomData<fn() -> A>,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $privilege:ident;)+) => {$(
        $(#[$doc])*
        pub enum $name {}
        impl Action for $name {
            const PRIVILEGE: Privilege = Privilege::$privilege;
        }
    )+};
}

actions! {
    /// Ask how an organization's encryption stands: its status, its history, its unreadable cells.
    ReadKeyStatus => ReadEncryptionKey;
    /// Retrieve the key text.
    RetrieveKey => ReadEncryptionKey;
    /// Change the key.
    ChangeKey => ChangeEncryptionKey;
    /// Restore the key.
    RestoreKey => RestoreEncryptionKey;
    /// Give up what a lost key has sealed.
    AbandonEncryptedData => AbandonEncryptedData;
    /// Get or list records.
    ReadRecords => ReadRecords;
    /// Create, update or delete records.
    WriteRecords => WriteRecords;
    /// Reveal encrypted attributes.
    Reveal => RevealAttributes;
    /// See an organization.
    ReadOrganization => ReadOrganizations;
    /// Create an organization.
    CreateOrganization => CreateOrganizations;
    /// Export an organization.
    ExportOrganization => ExportOrganizations;
    /// Delete an organization.
    DeleteOrganization => DeleteOrganizations;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Identity {
        Identity::CommonName("ada".to_owned())
    }

    fn policy(role: Role, scope: Scope) -> Policy {
        Policy::new(vec![Binding { identity: ada(), role, scope }])
    }

    fn only(name: &str) -> Scope {
        Scope::Organizations(BTreeSet::from([name.to_owned()]))
    }

    #[test]
    fn a_grant_holds_in_its_organization_and_nowhere_else() {
        let policy = policy(Role::RecordReader, only("contoso"));
        assert!(policy.check::<ReadRecords>(&ada(), "contoso").is_ok());
        assert!(policy.check::<ReadRecords>(&ada(), "fabrikam").is_err());
        assert!(policy.check::<WriteRecords>(&ada(), "contoso").is_err());
        assert!(policy.check_anywhere(&ada(), Privilege::ReadRecords).is_ok());
    }

    #[test]
    fn an_identity_of_another_kind_is_another_identity() {
        let policy = policy(Role::SystemAdministrator, Scope::All);
        let dns = Identity::Dns("ada".to_owned());
        assert!(policy.check::<RetrieveKey>(&dns, "contoso").is_err());
    }

    #[test]
    fn what_belongs_to_no_organization_needs_a_grant_for_all() {
        let everywhere = policy(Role::SystemAdministrator, Scope::All);
        let here = policy(Role::SystemAdministrator, only("contoso"));
        assert!(everywhere.check_deployment::<CreateOrganization>(&ada()).is_ok());
        assert!(here.check_deployment::<CreateOrganization>(&ada()).is_err());
    }

    #[test]
    fn every_role_reads_back_from_its_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
        }
    }
}
