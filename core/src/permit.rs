//! Permits: what a use case takes as proof that it may run, with the organization, the caller and, for writes of records, the entity.
//!
//! A use case takes all of these from its permit and has no other parameter that names an organization. Nothing here decides what is
//! allowed; see [`Policy`](crate::policy::Policy).

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

/// Proof that the policy allowed a caller to do `A` in an organization that is served. Made only by [`Allowed::enter`] and
/// [`DeploymentPermit::enter`], which find the organization by the name that was allowed. A use case takes it by value.
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
/// A use case takes no other organization than that of the permit:
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
/// It is spent once:
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
/// It can't be cloned:
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
/// The policy makes it:
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
/// No other code can make it:
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

/// Why a caller that is allowed in an organization gets no permit for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// There is no organization of this name.
    #[error("there is no organization {0}")]
    NotFound(OrganizationName),
    /// There is one of this name, and it isn't served now.
    #[error("the organization {0} isn't served now")]
    NotServed(OrganizationName, NotServed),
}

impl<A: Action> Allowed<A> {
    /// The permit for the organization of the name that was allowed.
    ///
    /// # Errors
    /// [`NotEntered`]
    pub fn enter(self, deployment: &Deployment) -> Result<Permit<A>, NotEntered> {
        let (name, caller, of) = self.into_parts();
        Ok(Permit { organization: find(deployment, &name)?, caller, of })
    }
}

impl<A: Action<Of = ()>> DeploymentPermit<A> {
    /// The permit for one organization: what is allowed in all of them is allowed in each.
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
    /// The organization.
    #[must_use]
    pub fn organization(&self) -> &Arc<Organization> {
        &self.organization
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes the organization's lock for what is permitted. It is tried, never waited for.
    ///
    /// # Errors
    /// See [`WorkError`].
    pub async fn begin_work(self, deployment: &Deployment) -> Result<PermittedWork<A>, WorkError> {
        let work = KeyWork::begin(deployment, Arc::clone(&self.organization)).await?;
        Ok(PermittedWork { permit: self, work })
    }

    /// What is recorded of this call, as an action that is one of several of the permit.
    pub(crate) fn attempt_as(&self, action: AuditAction) -> Attempt {
        Attempt { organization: Arc::clone(&self.organization), caller: self.caller.clone(), action }
    }
}

impl<A: Action<Of = ()>> Permit<A> {
    /// The place of a record of this entity in the organization.
    #[must_use]
    pub fn record_of(&self, entity: &Arc<Entity>, id: RecordId) -> RecordPlace {
        RecordPlace::new(&self.organization, entity, id)
    }
}

impl Permit<WriteRecords> {
    /// The entity whose records may be written, as the organization has it now.
    #[must_use]
    pub fn entity(&self) -> Arc<Entity> {
        self.organization.schema().entity(&self.of)
    }

    /// The place of a record of the entity in the organization.
    #[must_use]
    pub fn record(&self, id: RecordId) -> RecordPlace {
        RecordPlace::new(&self.organization, &self.of, id)
    }
}

impl<A: Recorded> Permit<A> {
    /// What is recorded of this call.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt_as(A::AUDIT)
    }
}

/// A caller who does something in an organization, or tries to: what an audit record of it begins with. It permits nothing.
#[derive(Clone)]
pub struct Attempt {
    pub(crate) organization: Arc<Organization>,
    pub(crate) caller: Caller,
    pub(crate) action: AuditAction,
}

/// Exclusive work on the organization of a permit: its lock, and the permission for one use case under it.
#[must_use]
pub struct PermittedWork<A: Action> {
    permit: Permit<A>,
    work: KeyWork,
}

impl<A: Recorded> PermittedWork<A> {
    /// Spends the permission. The lock stays taken as long as the work is there.
    pub(crate) fn spend(self) -> (Attempt, KeyWork) {
        (self.permit.attempt(), self.work)
    }
}
