//! Authorization: identities are bound to roles per organization, roles contain privileges, and each action requires
//! one privilege.
//!
//! The policy is data. Roles are lists of privileges, and a deployment can define custom roles. This file doesn't know
//! rpcs, which the permission table of the server maps to privileges, or the source of the bindings.

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::Arc,
};

pub use crate::privilege::Privilege;
use crate::{
    audit::entry::AuditAction,
    identity::{Caller, Identity},
    name::OrganizationName,
    schema::entity::Entity,
};

/// The built-in roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// All privileges.
    SystemAdministrator,
    /// Reads and writes records. Can set encrypted attributes, but not read them.
    RecordWriter,
    /// Reads records, except encrypted attributes.
    RecordReader,
    /// Reveals and compares encrypted attributes, and nothing else.
    SecretReader,
    /// Reads the audit trail, the state of keys, organizations and access. Reads no key texts and no records.
    Auditor,
}

impl Role {
    /// All built-in roles.
    pub const ALL: [Role; 5] =
        [Role::SystemAdministrator, Role::RecordWriter, Role::RecordReader, Role::SecretReader, Role::Auditor];

    /// Returns the name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::SystemAdministrator => "system-administrator",
            Role::RecordWriter => "record-writer",
            Role::RecordReader => "record-reader",
            Role::SecretReader => "secret-reader",
            Role::Auditor => "auditor",
        }
    }

    /// Returns the privileges of the role.
    #[must_use]
    pub fn privileges(self) -> &'static [Privilege] {
        match self {
            Role::SystemAdministrator => &Privilege::ALL,
            Role::RecordWriter => &[
                Privilege::ReadRecords,
                Privilege::WriteRecords,
                Privilege::WriteDestinations,
                Privilege::ReadOrganizations,
                Privilege::ReadContract,
            ],
            Role::RecordReader => &[Privilege::ReadRecords, Privilege::ReadOrganizations, Privilege::ReadContract],
            Role::SecretReader => &[Privilege::RevealAttributes, Privilege::CompareAttributes, Privilege::ReadContract],
            Role::Auditor => &[
                Privilege::ReadEncryptionState,
                Privilege::ReadAuditTrail,
                Privilege::ReadOrganizations,
                Privilege::ReadAccess,
                Privilege::ReadContract,
            ],
        }
    }
}

/// The grant of a binding: a name with its privileges. It is a built-in role, a custom role or a single privilege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    name: String,
    privileges: Vec<Privilege>,
}

impl Grant {
    /// Creates a custom role with these privileges and those that they include. All privileges include reading the
    /// contract. Reading the key's text includes reading its state.
    #[must_use]
    pub fn of_privileges(name: impl Into<String>, privileges: impl IntoIterator<Item = Privilege>) -> Self {
        let mut privileges: BTreeSet<Privilege> = privileges.into_iter().collect();
        if privileges.contains(&Privilege::ReadEncryptionKey) {
            privileges.insert(Privilege::ReadEncryptionState);
        }
        privileges.insert(Privilege::ReadContract);
        Grant { name: name.into(), privileges: privileges.into_iter().collect() }
    }

    /// Returns the name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the granted privileges.
    #[must_use]
    pub fn privileges(&self) -> &[Privilege] {
        &self.privileges
    }
}

impl From<Role> for Grant {
    fn from(role: Role) -> Self {
        Grant { name: role.name().to_owned(), privileges: role.privileges().to_vec() }
    }
}

/// A grant of a single privilege.
impl From<Privilege> for Grant {
    fn from(privilege: Privilege) -> Self {
        Grant::of_privileges(privilege.name(), [privilege])
    }
}

/// The scope of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All organizations, including future ones, and actions that belong to no organization, such as creating one.
    All,
    /// The organizations with these names.
    Organizations(BTreeSet<OrganizationName>),
}

impl Scope {
    /// Returns whether the scope contains the organization with this name.
    #[must_use]
    pub fn has(&self, organization: &OrganizationName) -> bool {
        match self {
            Scope::All => true,
            Scope::Organizations(names) => names.contains(organization),
        }
    }
}

/// A binding of an identity to a grant in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The identity.
    pub identity: Identity,
    /// The grant.
    pub role: Grant,
    /// The scope.
    pub scope: Scope,
}

/// All bindings of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    bindings: Vec<Binding>,
    /// The indexes of each identity's bindings, so that a check doesn't look at all of them. A call is checked several times, and comparing
    /// a few names costs less than a hash that callers can't predict.
    by_identity: BTreeMap<Identity, Vec<usize>>,
}

/// The caller lacks a privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller lacks the privilege {privilege}")]
pub struct PrivilegeMissing {
    /// The missing privilege.
    pub privilege: Privilege,
}

impl Policy {
    /// Creates a policy with these bindings.
    #[must_use]
    pub fn new(bindings: Vec<Binding>) -> Self {
        let mut by_identity: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (position, binding) in bindings.iter().enumerate() {
            by_identity.entry(binding.identity.clone()).or_default().push(position);
        }
        Policy { bindings, by_identity }
    }

    /// Checks whether the caller has `privilege` in any organization. Used before a message is read.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants it.
    pub fn check_anywhere(&self, identity: &Identity, privilege: Privilege) -> Result<(), PrivilegeMissing> {
        self.grants(identity, privilege).next().map(|_| ()).ok_or(PrivilegeMissing { privilege })
    }

    /// Checks whether the caller may do `A` in the organization with this name, whether it exists or not. Permission is
    /// checked before existence.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants it in that organization.
    pub fn check<A: Action<Of = ()>>(
        &self,
        caller: &Caller,
        organization: &OrganizationName,
    ) -> Result<Allowed<A>, PrivilegeMissing> {
        self.allow(caller, organization, A::PRIVILEGE, ())
    }

    /// Checks whether the caller may write records of this entity in the organization with this name.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants the entity's privilege in that organization.
    pub fn check_write(
        &self,
        caller: &Caller,
        organization: &OrganizationName,
        entity: &Arc<Entity>,
    ) -> Result<Allowed<WriteRecords>, PrivilegeMissing> {
        self.allow(caller, organization, entity.write_privilege, Arc::clone(entity))
    }

    fn allow<A: Action>(
        &self,
        caller: &Caller,
        organization: &OrganizationName,
        privilege: Privilege,
        of: A::Of,
    ) -> Result<Allowed<A>, PrivilegeMissing> {
        if self.holds(&caller.identity, privilege, organization) {
            Ok(Allowed { organization: organization.clone(), caller: caller.clone(), of })
        } else {
            Err(PrivilegeMissing { privilege })
        }
    }

    /// Returns all bindings in the order of the configuration.
    #[must_use]
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Returns the bindings of this identity in the order of the configuration.
    pub fn bindings_of<'a>(&'a self, identity: &Identity) -> impl Iterator<Item = &'a Binding> + use<'a> {
        let positions = self.by_identity.get(identity).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|position| self.bindings.get(*position))
    }

    /// Returns the bindings that name this organization, without those for all organizations. A binding outlives the
    /// organization, and applies to a later organization with the same name too.
    pub fn bindings_naming<'a>(&'a self, organization: &'a OrganizationName) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(
            move |binding| matches!(&binding.scope, Scope::Organizations(names) if names.contains(organization)),
        )
    }

    /// Checks whether the caller may do `A`, which belongs to no organization. This requires a binding for all
    /// organizations.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding with the scope *all* grants it.
    pub fn check_deployment<A: Action<Of = ()>>(
        &self,
        caller: &Caller,
    ) -> Result<DeploymentPermit<A>, PrivilegeMissing> {
        if self.holds_everywhere(&caller.identity, A::PRIVILEGE) {
            Ok(DeploymentPermit { caller: caller.clone(), action: PhantomData })
        } else {
            Err(PrivilegeMissing { privilege: A::PRIVILEGE })
        }
    }

    /// Returns whether the caller has `privilege` for actions that belong to no organization.
    #[must_use]
    pub fn holds_everywhere(&self, identity: &Identity, privilege: Privilege) -> bool {
        self.grants(identity, privilege).any(|scope| *scope == Scope::All)
    }

    /// Returns whether the caller has `privilege` in the organization with this name. Used by lists, which show only
    /// visible entries.
    #[must_use]
    pub fn holds(&self, identity: &Identity, privilege: Privilege, organization: &OrganizationName) -> bool {
        self.grants(identity, privilege).any(|scope| scope.has(organization))
    }

    fn grants<'a>(&'a self, identity: &Identity, privilege: Privilege) -> impl Iterator<Item = &'a Scope> + use<'a> {
        self.bindings_of(identity)
            .filter(move |binding| binding.role.privileges().contains(&privilege))
            .map(|binding| &binding.scope)
    }
}

/// An action that requires a privilege. A use case takes a [`Permit`](crate::permit::Permit) for its action.
pub trait Action {
    /// The required privilege.
    const PRIVILEGE: Privilege;

    /// The additional object of the permission: an entity for writes of records, and `()` for other actions.
    type Of: Send + Sync;
}

/// An action with one kind of audit record, for success and refusal.
pub trait Recorded: Action {
    /// The action in audit records.
    const AUDIT: AuditAction;
}

/// Proof that the policy allows this caller to do `A` in the organization with this name, whether it exists or not.
/// Only [`Policy`] creates it, and it can't be cloned. [`enter`](Self::enter) converts it to a permit.
#[must_use]
pub struct Allowed<A: Action> {
    organization: OrganizationName,
    caller: Caller,
    of: A::Of,
}

impl<A: Action> Allowed<A> {
    pub(crate) fn into_parts(self) -> (OrganizationName, Caller, A::Of) {
        (self.organization, self.caller, self.of)
    }
}

/// Proof that the policy allows this caller to do `A`, which belongs to no organization. Only [`Policy`] creates it,
/// and it can't be cloned. A use case consumes it.
#[must_use]
pub struct DeploymentPermit<A> {
    caller: Caller,
    action: PhantomData<fn() -> A>,
}

impl<A> DeploymentPermit<A> {
    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn into_caller(self) -> Caller {
        self.caller
    }
}

/// Create, update or delete records of one entity; see [`Policy::check_write`].
pub enum WriteRecords {}

impl Action for WriteRecords {
    const PRIVILEGE: Privilege = Privilege::WriteRecords;

    type Of = Arc<Entity>;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $privilege:ident $(, recorded as $audit:ident)?;)+) => {$(
        $(#[$doc])*
        pub enum $name {}
        impl Action for $name {
            const PRIVILEGE: Privilege = Privilege::$privilege;

            type Of = ();
        }
        $(
            impl Recorded for $name {
                const AUDIT: AuditAction = AuditAction::$audit;
            }
        )?
    )+};
}

actions! {
    /// Read the state of an organization's encryption: its status, its history, its unreadable cells.
    ReadKeyStatus => ReadEncryptionState;
    /// Retrieve the key text.
    RetrieveKey => ReadEncryptionKey, recorded as RetrieveKey;
    /// Change the key.
    ChangeKey => ChangeEncryptionKey, recorded as ChangeKey;
    /// Restore the key.
    RestoreKey => RestoreEncryptionKey, recorded as RestoreKey;
    /// Abandon data that a lost key sealed.
    AbandonEncryptedData => AbandonEncryptedData, recorded as AbandonEncryptedData;
    /// Get or list records.
    ReadRecords => ReadRecords;
    /// Reveal encrypted attributes.
    Reveal => RevealAttributes;
    /// Compare encrypted attributes with a value.
    Compare => CompareAttributes, recorded as CompareAttribute;
    /// Read entities and attributes with the customizations of an organization.
    ReadMetadata => ReadContract;
    /// Change the metadata of attributes.
    CustomizeAttributes => CustomizeAttributes, recorded as UpdateAttributeMetadata;
    /// Read the recorded changes of audited attributes.
    ReadAttributeChanges => ReadAttributeChanges;
    /// Read an organization.
    ReadOrganization => ReadOrganizations;
    /// Create an organization.
    CreateOrganization => CreateOrganizations;
    /// Export an organization.
    ExportOrganization => ExportOrganizations, recorded as ExportOrganization;
    /// Delete an organization.
    DeleteOrganization => DeleteOrganizations, recorded as DeleteOrganization;
    /// Read and verify the audit trail.
    ReadAuditTrail => ReadAuditTrail;
    /// Read the bindings and privileges.
    ReadAccess => ReadAccess;
    /// Read the state of the server.
    ReadServerStatus => ReadServerStatus;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::thing;

    fn caller(identity: Identity) -> Caller {
        Caller { identity: identity.into(), peer: None, hop: None, call_id: Arc::default() }
    }

    fn ada() -> Identity {
        Identity::CommonName("ada".to_owned())
    }

    fn policy(role: Role, scope: Scope) -> Policy {
        Policy::new(vec![Binding { identity: ada(), role: role.into(), scope }])
    }

    fn only(name: &str) -> Scope {
        Scope::Organizations(BTreeSet::from([named(name)]))
    }

    fn named(name: &str) -> OrganizationName {
        name.parse().unwrap()
    }

    #[test]
    fn grant_applies_only_in_its_organization() {
        let policy = policy(Role::RecordReader, only("contoso"));
        assert!(policy.check::<ReadRecords>(&caller(ada()), &named("contoso")).is_ok());
        assert!(policy.check::<ReadRecords>(&caller(ada()), &named("fabrikam")).is_err());
        assert!(policy.check_write(&caller(ada()), &named("contoso"), &thing().into()).is_err());
        assert!(policy.check_anywhere(&ada(), Privilege::ReadRecords).is_ok());
    }

    #[test]
    fn identities_of_different_kinds_never_match() {
        let policy = policy(Role::SystemAdministrator, Scope::All);
        let dns = Identity::Dns("ada".to_owned());
        assert!(policy.check::<RetrieveKey>(&caller(dns), &named("contoso")).is_err());
    }

    #[test]
    fn action_without_an_organization_needs_a_grant_for_all() {
        let everywhere = policy(Role::SystemAdministrator, Scope::All);
        let here = policy(Role::SystemAdministrator, only("contoso"));
        assert!(everywhere.check_deployment::<CreateOrganization>(&caller(ada())).is_ok());
        assert!(here.check_deployment::<CreateOrganization>(&caller(ada())).is_err());
    }

    #[test]
    fn bindings_of_an_identity_are_found_among_others_in_their_order() {
        let eve = Identity::CommonName("eve".to_owned());
        let binding =
            |identity: &Identity, role: Role, scope| Binding { identity: identity.clone(), role: role.into(), scope };
        let policy = Policy::new(vec![
            binding(&ada(), Role::RecordReader, only("contoso")),
            binding(&eve, Role::SystemAdministrator, Scope::All),
            binding(&ada(), Role::Auditor, only("fabrikam")),
        ]);
        let roles = |identity: &Identity| {
            policy.bindings_of(identity).map(|binding| binding.role.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(roles(&ada()), ["record-reader", "auditor"]);
        assert_eq!(roles(&eve), ["system-administrator"]);
        assert_eq!(roles(&Identity::Dns("ada".to_owned())), [""; 0]);
    }

    #[test]
    fn single_privilege_includes_only_the_privileges_it_names() {
        let privileges = |privilege: Privilege| Grant::from(privilege).privileges().to_vec();
        assert_eq!(
            privileges(Privilege::ReadEncryptionKey),
            [Privilege::ReadEncryptionState, Privilege::ReadEncryptionKey, Privilege::ReadContract]
        );
        assert_eq!(
            privileges(Privilege::ReadEncryptionState),
            [Privilege::ReadEncryptionState, Privilege::ReadContract]
        );
        assert_eq!(
            privileges(Privilege::ChangeEncryptionKey),
            [Privilege::ChangeEncryptionKey, Privilege::ReadContract]
        );
    }

    #[test]
    fn only_administrators_and_auditors_read_the_state_of_the_key() {
        let holders =
            |privilege| Role::ALL.into_iter().filter(|role| role.privileges().contains(&privilege)).collect::<Vec<_>>();
        assert_eq!(holders(Privilege::ReadEncryptionState), [Role::SystemAdministrator, Role::Auditor]);
        assert_eq!(holders(Privilege::ReadEncryptionKey), [Role::SystemAdministrator]);
    }
}
