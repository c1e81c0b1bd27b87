//! The dispatcher: every call passes it after its message is decoded, because only then the organization is known.
//!
//! The order of its checks: organization name, permission in the organization, rate, audit copy, existence. Permission is checked before
//! existence, so that a caller without permission gets the same answer for existing and missing organizations. The resulting permit
//! contains the organization and the caller, for the use case.

use std::sync::Arc;

use http::Extensions;
use sealward_core::{
    deployment::Deployment,
    identity::Caller,
    list::{log::ListLogError, page::ListingError},
    name::OrganizationName,
    organization::{Organization, open::look_for},
    permit::Permit,
    policy::{Action, Allowed, DeploymentPermit, Policy, Privilege, PrivilegeMissing, WriteRecords},
    schema::Entity,
    store::Unavailable,
    violation::{Problem, Violation},
};
use tonic::Status;

use super::{codec::CodecBounds, name::ParsedName};
use crate::{
    audit::{copy::CopyHandle, denials::Denials},
    bounds::{
        Bounded,
        rates::{Cost, Rates},
    },
    call,
    config::limits::Limits,
    drain::Drain,
    gates::permission::Rpc,
    status::{self, PrivilegeRefusal, Refusal},
    telemetry::{shed::Shed, traces::current},
};

/// The cost of a call that needs this privilege.
fn cost(privilege: Privilege) -> Cost {
    match privilege {
        Privilege::RevealAttributes | Privilege::CompareAttributes => Cost::Reveal,
        Privilege::ReadEncryptionState
        | Privilege::ReadEncryptionKey
        | Privilege::ChangeEncryptionKey
        | Privilege::RestoreEncryptionKey
        | Privilege::AbandonEncryptedData
        | Privilege::ReadRecords
        | Privilege::WriteRecords
        | Privilege::WriteDestinations
        | Privilege::CustomizeAttributes
        | Privilege::ReadAttributeChanges
        | Privilege::ReadOrganizations
        | Privilege::CreateOrganizations
        | Privilege::ExportOrganizations
        | Privilege::DeleteOrganizations
        | Privilege::ReadAuditTrail
        | Privilege::ReadAccess
        | Privilege::ReadContract
        | Privilege::ReadServerStatus => Cost::Call,
    }
}

/// The state that handlers share.
pub(crate) struct Dispatcher {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) denials: Denials,
    pub(crate) rates: Rates,
    pub(crate) bounded: Bounded,
    pub(crate) audit_copy: CopyHandle,
    pub(crate) shed: Shed,
}

impl Dispatcher {
    /// The maximum size of a message, in either direction.
    pub(crate) fn message_size_max_bytes(&self) -> usize {
        usize::try_from(self.limits.message_size_max_bytes).unwrap_or(usize::MAX)
    }

    /// The maximum number of paths in a mask.
    pub(crate) fn mask_paths_max(&self) -> usize {
        usize::try_from(self.limits.mask_paths_max).unwrap_or(usize::MAX)
    }

    /// The maximum numbers of elements in requests for records.
    pub(crate) fn codec_bounds(&self) -> CodecBounds {
        let batch_items_max = usize::try_from(self.limits.batch_items_max).unwrap_or(usize::MAX);
        CodecBounds { mask_paths_max: self.mask_paths_max(), batch_items_max }
    }

    /// Refuses a field with more than `limit` elements, before any of them is checked.
    pub(crate) fn within(field: &str, elements: usize, limit: u32) -> Result<(), Violation> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if elements > limit { Err(Violation::new(field, Problem::TooMany { limit })) } else { Ok(()) }
    }

    /// The status of a request with invalid fields. Refusals by a bound are counted.
    pub(crate) fn invalid(&self, violations: Vec<Violation>) -> Status {
        violations.iter().filter_map(status::bound_of_violation).for_each(|bound| self.shed.count(bound));
        status::invalid(violations)
    }

    /// The status of an error of an audit list. Refusals by a bound are counted.
    pub(crate) fn audit_list_error(&self, error: ListLogError) -> Status {
        match error {
            ListLogError::Filter(error) => self.invalid(vec![Violation::new("filter", Problem::Filter(error))]),
            ListLogError::Listing(error) => {
                if let ListingError::TooLong { .. } = error {
                    self.shed.count("list_time_max_ms");
                }
                status::listing(error)
            }
        }
    }

    /// The number of records of a page for the requested size: 50 by default, at most the limit.
    pub(crate) fn page_size(&self, requested: i32) -> Result<u32, Violation> {
        const DEFAULT: u32 = 50;
        let max = self.limits.page_size_max;
        match u32::try_from(requested) {
            Ok(0) => Ok(DEFAULT.min(max)),
            Ok(size) => Ok(size.min(max)),
            Err(_) => {
                let problem = Problem::OutOfRange { minimum: 0, maximum: max.into() };
                Err(Violation::new("page_size", problem))
            }
        }
    }

    /// Admits a call to the organization of `name`. The options of the method declare the privilege and the audit action. Refusals are
    /// always recorded; see [`Denials`].
    pub(crate) async fn enter<A: Action<Of = ()>, T>(
        &self,
        extensions: &Extensions,
        name: &ParsedName<T>,
    ) -> Result<Permit<A>, Status> {
        self.enter_by(extensions, name, A::PRIVILEGE, |policy, caller, organization| policy.check(caller, organization))
            .await
    }

    /// Like [`enter`](Self::enter), for writing records of this entity.
    pub(crate) async fn enter_to_write<T>(
        &self,
        extensions: &Extensions,
        name: &ParsedName<T>,
        entity: &Arc<Entity>,
    ) -> Result<Permit<WriteRecords>, Status> {
        self.enter_by(extensions, name, entity.write_privilege, |policy, caller, organization| {
            policy.check_write(caller, organization, entity)
        })
        .await
    }

    async fn enter_by<A: Action, T>(
        &self,
        extensions: &Extensions,
        name: &ParsedName<T>,
        privilege: Privilege,
        check: impl FnOnce(&Policy, &Caller, &OrganizationName) -> Result<Allowed<A>, PrivilegeMissing>,
    ) -> Result<Permit<A>, Status> {
        let (caller, policy) = self.caller(extensions)?;
        let rpc = rpc(extensions, privilege)?;
        let organization = name.organization.as_ref().map_err(|violation| status::invalid(vec![violation.clone()]))?;
        let allowed = match check(&policy, &caller, organization) {
            Ok(allowed) => allowed,
            Err(missing) => {
                self.denials.in_organization(&caller, rpc.refused_as(privilege), organization, missing.privilege);
                return Err(PrivilegeRefusal::within(&caller.identity, missing.privilege, organization).into());
            }
        };
        // Before the lookup, so that a guessed name costs as much as an existing one.
        self.rates.admit(&caller.identity, Some(organization), cost(A::PRIVILEGE))?;
        self.admit_recorded(rpc)?;
        self.look_for(organization).await?;
        let permit = allowed.enter(&self.deployment).map_err(status::not_entered)?;
        call::enter_organization(organization);
        current::enter_organization(organization.as_str());
        Ok(permit)
    }

    /// Opens an organization that isn't served, if another server has just created it. Only for callers with permission.
    pub(crate) async fn look_for(&self, name: &OrganizationName) -> Result<(), Status> {
        let deployment = &self.deployment;
        let is_known = || deployment.organization(name).is_some() || deployment.not_served(name).is_some();
        if !deployment.ports.databases.is_shared() || is_known() {
            return Ok(());
        }
        // The future is large, and rarely needed.
        let opened = Box::pin(look_for(deployment, name)).await;
        opened.map(drop).map_err(|Unavailable(cause)| status::unavailable(cause))
    }

    /// Reads the customizations of an organization's schema again, if another server may have changed them. Returns whether it has.
    pub(crate) async fn refresh_schema(&self, organization: &Organization) -> Result<bool, Status> {
        if !self.deployment.ports.databases.is_shared() {
            return Ok(false);
        }
        let refreshed = organization.refresh_schema(&self.deployment).await;
        refreshed.map_err(|Unavailable(cause)| status::unavailable(cause))
    }

    /// Admits a call that belongs to no organization.
    pub(crate) fn enter_deployment<A: Action<Of = ()>>(
        &self,
        extensions: &Extensions,
    ) -> Result<DeploymentPermit<A>, Status> {
        let (caller, policy) = self.caller(extensions)?;
        let rpc = rpc(extensions, A::PRIVILEGE)?;
        match policy.check_deployment(&caller) {
            Ok(permit) => {
                self.rates.admit(&caller.identity, None, cost(A::PRIVILEGE))?;
                self.admit_recorded(rpc)?;
                Ok(permit)
            }
            Err(missing) => {
                self.denials.in_deployment(&caller, rpc.refused_as(missing.privilege), missing.privilege);
                Err(PrivilegeRefusal::everywhere(&caller.identity, missing.privilege).into())
            }
        }
    }

    /// Admits a call that needs only an identity, bound or not.
    pub(crate) fn enter_as_identity(&self, extensions: &Extensions) -> Result<(Caller, Arc<Policy>), Status> {
        let (caller, policy) = self.caller(extensions)?;
        self.rates.admit(&caller.identity, None, Cost::Call)?;
        Ok((caller, policy))
    }

    /// Whether calls that must be recorded are allowed now.
    fn admit_recorded(&self, rpc: &Rpc) -> Result<(), Status> {
        if rpc.records_calls() {
            self.audit_copy.admit().map_err(status::audit_copy_unavailable)?;
        }
        Ok(())
    }

    /// The caller, and the policy that the layers already used.
    pub(crate) fn caller(&self, extensions: &Extensions) -> Result<(Caller, Arc<Policy>), Status> {
        let caller = extensions.get::<Caller>().cloned().ok_or(Refusal::IdentityRequired)?;
        let policy = extensions.get::<Arc<Policy>>().cloned().ok_or(Refusal::IdentityRequired)?;
        Ok((caller, policy))
    }
}

/// The called rpc. Its options must name the privilege that is checked: a handler that checks another privilege admits no call.
fn rpc(extensions: &Extensions, privilege: Privilege) -> Result<&Rpc, Refusal> {
    let rpc = extensions.get::<Arc<Rpc>>().filter(|rpc| rpc.privileges().contains(&privilege));
    rpc.map(|rpc| &**rpc).ok_or(Refusal::NotPermitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_checked_only_for_a_privilege_of_its_method() {
        let mut extensions = Extensions::new();
        assert!(rpc(&extensions, Privilege::ReadRecords).is_err());
        extensions.insert(Arc::new(Rpc::new(&[Privilege::ReadRecords], false)));
        assert!(rpc(&extensions, Privilege::ReadRecords).is_ok());
        assert!(rpc(&extensions, Privilege::WriteRecords).is_err());
    }
}
