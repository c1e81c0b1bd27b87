//! Permits: proof for a use case that it may run, with the organization, the caller and, for writes of records, the
//! entity.
//!
//! A use case takes all of these from its permit and has no other parameter for an organization. This file doesn't
//! decide what is allowed; see [`Policy`](crate::policy::Policy).

use std::sync::Arc;

use crate::{
    audit::entry::AuditAction,
    deployment::{Deployment, NotServed},
    id::RecordId,
    identity::Caller,
    name::OrganizationName,
    organization::{
        handle::Organization,
        work::{KeyWork, WorkError},
    },
    policy::{Action, Allowed, DeploymentPermit, Recorded, WriteRecords},
    record::place::RecordPlace,
    schema::entity::Entity,
};

/// Proof that the policy allows a caller to do `A` in a served organization. Only [`Allowed::enter`] and
/// [`DeploymentPermit::enter`] create it. They find the organization by the allowed name. A use case takes it by value.
///
/// ```
/// use std::sync::Arc;
/// use sealward_core::{
///     id::RecordId, mask::ReadMask, organization::Organization, permit::Permit, policy::ReadRecords,
///     record::{RecordError, get::get}, schema::Entity,
/// };
///
/// async fn read(permit: Permit<ReadRecords>, _: &Organization, entity: &Arc<Entity>, id: RecordId) -> Result<(), RecordError> {
///     get(permit, entity, id, &ReadMask::default()).await?;
///     Ok(())
/// }
/// ```
///
/// A use case takes no organization besides that of the permit:
///
/// ```compile_fail,E0061
/// use std::sync::Arc;
/// use sealward_core::{
///     id::RecordId, mask::ReadMask, organization::Organization, permit::Permit, policy::ReadRecords,
///     record::{RecordError, get::get}, schema::Entity,
/// };
///
/// async fn read(permit: Permit<ReadRecords>, other: &Organization, entity: &Arc<Entity>, id: RecordId) -> Result<(), RecordError> {
///     get(permit, other, entity, id, &ReadMask::default()).await?;
///     Ok(())
/// }
/// ```
///
/// A permit can be used only once:
///
/// ```compile_fail,E0382
/// use std::sync::Arc;
/// use sealward_core::{
///     id::RecordId, mask::ReadMask, organization::Organization, permit::Permit, policy::ReadRecords,
///     record::{RecordError, get::get}, schema::Entity,
/// };
///
/// async fn read(permit: Permit<ReadRecords>, _: &Organization, entity: &Arc<Entity>, id: RecordId) -> Result<(), RecordError> {
///     get(permit, entity, id, &ReadMask::default()).await?;
///     get(permit, entity, id, &ReadMask::default()).await?;
///     Ok(())
/// }
/// ```
///
/// A permit can't be cloned:
///
/// ```compile_fail,E0599
/// use std::sync::Arc;
/// use sealward_core::{
///     id::RecordId, mask::ReadMask, organization::Organization, permit::Permit, policy::ReadRecords,
///     record::{RecordError, get::get}, schema::Entity,
/// };
///
/// async fn read(permit: Permit<ReadRecords>, _: &Organization, entity: &Arc<Entity>, id: RecordId) -> Result<(), RecordError> {
///     get(permit.clone(), entity, id, &ReadMask::default()).await?;
///     Ok(())
/// }
/// ```
///
/// The policy creates permits:
///
/// ```
/// use std::sync::Arc;
/// use sealward_core::{
///     deployment::Deployment, identity::Caller, name::OrganizationName, organization::Organization, permit::Permit,
///     policy::{Policy, ReadRecords},
/// };
///
/// fn enter(deployment: &Deployment, policy: &Policy, caller: Caller, name: &OrganizationName) -> Option<Permit<ReadRecords>> {
///     let organization: Arc<Organization> = deployment.organization(name)?;
///     policy.check(&caller, &organization.name).ok()?.enter(deployment).ok()
/// }
/// ```
///
/// No other code can create one:
///
/// ```compile_fail,E0451
/// use std::sync::Arc;
/// use sealward_core::{
///     deployment::Deployment, identity::Caller, name::OrganizationName, organization::Organization, permit::Permit,
///     policy::{Policy, ReadRecords},
/// };
///
/// fn enter(deployment: &Deployment, policy: &Policy, caller: Caller, name: &OrganizationName) -> Option<Permit<ReadRecords>> {
///     let organization: Arc<Organization> = deployment.organization(name)?;
///     Some(Permit { organization, caller, of: () })
/// }
/// ```
#[must_use]
pub struct Permit<A: Action> {
    organization: Arc<Organization>,
    caller: Caller,
    of: A::Of,
}

/// Why an allowed caller gets no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// No organization with this name exists.
    #[error("the organization {0} doesn't exist")]
    NotFound(OrganizationName),
    /// The organization exists, but isn't served at present.
    #[error("the organization {0} isn't served at present")]
    NotServed(OrganizationName, NotServed),
}

impl<A: Action> Allowed<A> {
    /// Returns the permit for the organization with the allowed name.
    ///
    /// # Errors
    /// [`NotEntered`]
    pub fn enter(self, deployment: &Deployment) -> Result<Permit<A>, NotEntered> {
        let (name, caller, of) = self.into_parts();
        Ok(Permit { organization: find(deployment, &name)?, caller, of })
    }
}

impl<A: Action<Of = ()>> DeploymentPermit<A> {
    /// Returns the permit for one organization. An action that is allowed in all organizations is allowed in each of
    /// them.
    ///
    /// # Errors
    /// [`NotEntered`]
    pub fn enter(self, deployment: &Deployment, name: &OrganizationName) -> Result<Permit<A>, NotEntered> {
        Ok(Permit { organization: find(deployment, name)?, caller: self.into_caller(), of: () })
    }
}

fn find(deployment: &Deployment, name: &OrganizationName) -> Result<Arc<Organization>, NotEntered> {
    deployment.organization(name).ok_or_else(|| match deployment.not_served(name) {
        Some(why) => NotEntered::NotServed(name.clone(), why),
        None => NotEntered::NotFound(name.clone()),
    })
}

impl<A: Action> Permit<A> {
    /// Returns the organization.
    #[must_use]
    pub fn organization(&self) -> &Arc<Organization> {
        &self.organization
    }

    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes the organization's lock for the permitted action. Never waits for the lock.
    ///
    /// # Errors
    /// See [`WorkError`].
    pub async fn begin_work(self, deployment: &Deployment) -> Result<PermittedWork<A>, WorkError> {
        let work = KeyWork::begin(deployment, Arc::clone(&self.organization)).await?;
        Ok(PermittedWork { permit: self, work })
    }

    /// Returns the attempt for audit records, with one of several actions of the permit.
    pub(crate) fn attempt_as(&self, action: AuditAction) -> Attempt {
        Attempt { organization: Arc::clone(&self.organization), caller: self.caller.clone(), action }
    }
}

impl<A: Action<Of = ()>> Permit<A> {
    /// Returns the location of a record of this entity in the organization.
    #[must_use]
    pub fn record_of(&self, entity: &Arc<Entity>, id: RecordId) -> RecordPlace {
        RecordPlace::new(&self.organization, entity, id)
    }
}

impl Permit<WriteRecords> {
    /// Returns the entity whose records may be written, with the current customizations of the organization.
    #[must_use]
    pub fn entity(&self) -> Arc<Entity> {
        self.organization.schema().entity(&self.of)
    }

    /// Returns the location of a record of the entity in the organization.
    #[must_use]
    pub fn record(&self, id: RecordId) -> RecordPlace {
        RecordPlace::new(&self.organization, &self.of, id)
    }
}

impl<A: Recorded> Permit<A> {
    /// Returns the attempt for audit records.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt_as(A::AUDIT)
    }
}

/// An attempted action of a caller in an organization: the common part of its audit records. It permits nothing.
#[derive(Clone)]
pub struct Attempt {
    pub(crate) organization: Arc<Organization>,
    pub(crate) caller: Caller,
    pub(crate) action: AuditAction,
}

/// Exclusive work on the organization of a permit: its lock, and the permission for one use case.
#[must_use]
pub struct PermittedWork<A: Action> {
    permit: Permit<A>,
    work: KeyWork,
}

impl<A: Recorded> PermittedWork<A> {
    /// Consumes the permission. The lock is held until the work is dropped.
    pub(crate) fn spend(self) -> (Attempt, KeyWork) {
        (self.permit.attempt(), self.work)
    }
}
