//! Who may do what: identities are bound to roles, per organization; roles hold privileges; each action needs one privilege.
//!
//! The policy is data: roles are names of privileges, and a deployment can have roles of its own. Nothing here knows rpcs (the server's
//! permission table maps them to privileges) or where bindings come from.

use std::{
    collections::{BTreeSet, HashMap},
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

/// The roles that every deployment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything.
    SystemAdministrator,
    /// Reads and writes records; never sees an encrypted attribute.
    RecordWriter,
    /// Reads records; never sees an encrypted attribute.
    RecordReader,
    /// Reveals encrypted attributes and compares them, and nothing else.
    SecretReader,
    /// Reads the audit trail and the state of the key; sees organizations and who may do what. No text of a key, no records.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] =
        [Role::SystemAdministrator, Role::RecordWriter, Role::RecordReader, Role::SecretReader, Role::Auditor];

    /// The name that configuration uses.
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

    /// The privileges a role holds.
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

/// What a binding grants: a name, and the privileges that go with it. A role, a role of the deployment's own, or one privilege alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    name: String,
    privileges: Vec<Privilege>,
}

impl Grant {
    /// A custom role, with the privileges that others include: each includes reading the contract, and reading the key's text includes
    /// reading its state.
    #[must_use]
    pub fn of_privileges(name: impl Into<String>, privileges: impl IntoIterator<Item = Privilege>) -> Self {
        let mut privileges: BTreeSet<Privilege> = privileges.into_iter().collect();
        if privileges.contains(&Privilege::ReadEncryptionKey) {
            privileges.insert(Privilege::ReadEncryptionState);
        }
        privileges.insert(Privilege::ReadContract);
        Grant { name: name.into(), privileges: privileges.into_iter().collect() }
    }

    /// The name that configuration uses.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The privileges that go with it.
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

/// A privilege granted alone.
impl From<Privilege> for Grant {
    fn from(privilege: Privilege) -> Self {
        Grant::of_privileges(privilege.name(), [privilege])
    }
}

/// Where a binding holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every organization, those to come included, and for what belongs to none (creating one).
    All,
    /// In the organizations of these names.
    Organizations(BTreeSet<OrganizationName>),
}

impl Scope {
    /// Whether it has the organization of this name.
    #[must_use]
    pub fn has(&self, organization: &OrganizationName) -> bool {
        match self {
            Scope::All => true,
            Scope::Organizations(names) => names.contains(organization),
        }
    }
}

/// One grant: this identity has this role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who.
    pub identity: Identity,
    /// What.
    pub role: Grant,
    /// Where.
    pub scope: Scope,
}

/// All grants of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    bindings: Vec<Binding>,
    /// The positions of each identity's bindings, so that the cost of a check doesn't grow with the number of identities.
    by_identity: HashMap<Identity, Vec<usize>>,
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
        let mut by_identity: HashMap<_, Vec<_>> = HashMap::new();
        for (position, binding) in bindings.iter().enumerate() {
            by_identity.entry(binding.identity.clone()).or_default().push(position);
        }
        Policy { bindings, by_identity }
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
    pub fn check<A: Action<Of = ()>>(
        &self,
        caller: &Caller,
        organization: &OrganizationName,
    ) -> Result<Allowed<A>, PrivilegeMissing> {
        self.allow(caller, organization, A::PRIVILEGE, ())
    }

    /// Whether the caller may write records of this entity in the organization of this name.
    ///
    /// # Errors
    /// [`PrivilegeMissing`] if no binding grants the entity's privilege there.
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

    /// Every grant of this identity, in the order of the configuration.
    pub fn bindings_of<'a>(&'a self, identity: &Identity) -> impl Iterator<Item = &'a Binding> + use<'a> {
        let positions = self.by_identity.get(identity).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|position| self.bindings.get(*position))
    }

    /// Every grant that names this organization: those for all organizations don't. Names outlive organizations, so that these count in
    /// the next one of that name too.
    pub fn bindings_naming<'a>(&'a self, organization: &'a OrganizationName) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(
            move |binding| matches!(&binding.scope, Scope::Organizations(names) if names.contains(organization)),
        )
    }

    /// Whether the caller may do `A`, which belongs to no organization: needs a grant for all.
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

    /// Whether the caller holds `privilege` for what belongs to no organization.
    #[must_use]
    pub fn holds_everywhere(&self, identity: &Identity, privilege: Privilege) -> bool {
        self.grants(identity, privilege).any(|scope| *scope == Scope::All)
    }

    /// Whether the caller holds `privilege` in the organization of this name; for lists, which show what one may see.
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

/// Something that needs a privilege. Use cases ask for a [`Permit`](crate::permit::Permit) of their action.
pub trait Action {
    /// The privilege it needs.
    const PRIVILEGE: Privilege;

    /// What else is allowed beside the organization: an entity for writes of records, nothing for any other action.
    type Of: Send + Sync;
}

/// An action of which the audit trail has one kind of record, of a success and of a refusal.
pub trait Recorded: Action {
    /// What it is recorded as.
    const AUDIT: AuditAction;
}

/// Proof that the policy allows this caller to do `A` in the organization of this name, whether there is one or not. Made only by
/// [`Policy`], not cloneable; [`enter`](Self::enter) makes a permit of it.
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

/// Proof that the policy allowed this caller to do `A`, which belongs to no organization. Made only by [`Policy`], not cloneable, spent where
/// it is used.
#[must_use]
pub struct DeploymentPermit<A> {
    caller: Caller,
    action: PhantomData<fn() -> A>,
}

impl<A> DeploymentPermit<A> {
    /// The caller.
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
    /// Give up what a lost key has sealed.
    AbandonEncryptedData => AbandonEncryptedData, recorded as AbandonEncryptedData;
    /// Get or list records.
    ReadRecords => ReadRecords;
    /// Reveal encrypted attributes.
    Reveal => RevealAttributes;
    /// Compare encrypted attributes with a value.
    Compare => CompareAttributes, recorded as CompareAttribute;
    /// See entities and attributes as an organization has them.
    ReadMetadata => ReadContract;
    /// Change the metadata of attributes.
    CustomizeAttributes => CustomizeAttributes, recorded as UpdateAttributeMetadata;
    /// Read what changes of audited attributes recorded.
    ReadAttributeChanges => ReadAttributeChanges;
    /// See an organization.
    ReadOrganization => ReadOrganizations;
    /// Create an organization.
    CreateOrganization => CreateOrganizations;
    /// Export an organization.
    ExportOrganization => ExportOrganizations, recorded as ExportOrganization;
    /// Delete an organization.
    DeleteOrganization => DeleteOrganizations, recorded as DeleteOrganization;
    /// Read and verify the audit trail.
    ReadAuditTrail => ReadAuditTrail;
    /// See who may do what.
    ReadAccess => ReadAccess;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::thing;

    fn caller(identity: Identity) -> Caller {
        Caller { identity: identity.into(), peer: None, call_id: String::new() }
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
