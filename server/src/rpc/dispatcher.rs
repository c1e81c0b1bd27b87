//! The dispatcher: what every call passes once its message is decoded, because only there the organization is known.
//!
//! Organization, by name → permission in it → rate → can it be recorded → existence → handler. Permission is decided before existence, so
//! that a caller who may not see an organization gets the same answer whether it is there or not. The permit that comes out has the
//! organization, the caller and what else is allowed: a use case takes them from it.

use std::sync::Arc;

use http::Extensions;
use sealward_core::{
    deployment::Deployment,
    identity::Caller,
    list::{log::ListLogError, page::ListingError},
    name::OrganizationName,
    permit::Permit,
    policy::{Action, Allowed, DeploymentPermit, Policy, Privilege, PrivilegeMissing, WriteRecords},
    schema::Entity,
    violation::{Problem, Violation},
};
use tonic::Status;

use super::name::Named;
use crate::{
    audit::{copy::CopyHandle, denials::Denials},
    bounds::{
        Bounded,
        rates::{Cost, Rates},
    },
    config::limits::Limits,
    drain::Drain,
    gates::permission::Rpc,
    status::{self, PrivilegeRefusal, Refusal},
    telemetry::shed::Shed,
};

/// What a call that needs this privilege costs.
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
        | Privilege::ReadContract => Cost::Call,
    }
}

/// What handlers share.
pub(crate) struct Dispatcher {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) denials: Denials,
    pub(crate) rates: Rates,
    pub(crate) bounded: Bounded,
    pub(crate) copying: CopyHandle,
    pub(crate) shed: Shed,
}

impl Dispatcher {
    /// How large a message may be, in either direction.
    pub(crate) fn message_size_max_bytes(&self) -> usize {
        usize::try_from(self.limits.message_size_max_bytes).unwrap_or(usize::MAX)
    }

    /// How many paths a mask may have.
    pub(crate) fn mask_paths_max(&self) -> usize {
        usize::try_from(self.limits.mask_paths_max).unwrap_or(usize::MAX)
    }

    /// What is wrong with a list of so many elements in this field, of which there may be so many: they are counted before any is looked at.
    pub(crate) fn within(field: &str, elements: usize, limit: u32) -> Result<(), Violation> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if elements > limit { Err(Violation::new(field, Problem::TooMany { limit })) } else { Ok(()) }
    }

    /// The answer to a request whose fields are wrong. What a bound refused is counted.
    pub(crate) fn invalid(&self, violations: Vec<Violation>) -> Status {
        violations.iter().filter_map(status::bound_of_violation).for_each(|bound| self.shed.count(bound));
        status::invalid(violations)
    }

    /// Why a list of what was recorded has no page. What a bound refused is counted.
    pub(crate) fn list_log(&self, error: ListLogError) -> Status {
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

    /// How many records a page gets for what the caller asked: 50 if it asked for none, no more than the limit.
    pub(crate) fn page_size(&self, asked: i32) -> Result<u32, Violation> {
        const DEFAULT: u32 = 50;
        let max = self.limits.page_size_max;
        match u32::try_from(asked) {
            Ok(0) => Ok(DEFAULT.min(max)),
            Ok(size) => Ok(size.min(max)),
            Err(_) => {
                let problem = Problem::OutOfRange { minimum: 0, maximum: max.into() };
                Err(Violation::new("page_size", problem))
            }
        }
    }

    /// Lets a call into the organization that `name` is in. What the call needs, and what it is recorded as, are in the options of its method. A refusal is recorded in any case; see [`Denials`].
    pub(crate) fn enter<A: Action<Of = ()>, T>(
        &self,
        extensions: &Extensions,
        name: &Named<T>,
    ) -> Result<Permit<A>, Status> {
        self.enter_by(extensions, name, A::PRIVILEGE, |policy, caller, organization| policy.check(caller, organization))
    }

    /// As [`enter`](Self::enter), to write records of this entity.
    pub(crate) fn enter_to_write<T>(
        &self,
        extensions: &Extensions,
        name: &Named<T>,
        entity: &Arc<Entity>,
    ) -> Result<Permit<WriteRecords>, Status> {
        self.enter_by(extensions, name, entity.write_privilege, |policy, caller, organization| {
            policy.check_write(caller, organization, entity)
        })
    }

    fn enter_by<A: Action, T>(
        &self,
        extensions: &Extensions,
        name: &Named<T>,
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
        // Before it is looked up whether there is one: a name that is tried costs as much as one that is there.
        self.rates.admit(&caller.identity, Some(organization), cost(A::PRIVILEGE))?;
        self.admit_recorded(rpc)?;
        let permit = allowed.enter(&self.deployment).map_err(status::not_entered)?;
        tracing::Span::current().record("organization", organization.as_str());
        Ok(permit)
    }

    /// Lets in a call that belongs to no organization.
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

    /// Lets in a call that needs only an identity, bound or not.
    pub(crate) fn enter_as_identity(&self, extensions: &Extensions) -> Result<(Caller, Arc<Policy>), Status> {
        let (caller, policy) = self.caller(extensions)?;
        self.rates.admit(&caller.identity, None, Cost::Call)?;
        Ok((caller, policy))
    }

    /// Whether what has to be recorded may be done now.
    fn admit_recorded(&self, rpc: &Rpc) -> Result<(), Status> {
        if rpc.records_calls() {
            self.copying.admit().map_err(status::audit_copy_unavailable)?;
        }
        Ok(())
    }

    /// Who calls, and the policy that the layers already asked.
    pub(crate) fn caller(&self, extensions: &Extensions) -> Result<(Caller, Arc<Policy>), Status> {
        let caller = extensions.get::<Caller>().cloned().ok_or(Refusal::IdentityRequired)?;
        let policy = extensions.get::<Arc<Policy>>().cloned().ok_or(Refusal::IdentityRequired)?;
        Ok((caller, policy))
    }
}

/// What is known of the rpc that is called, whose options must name the privilege that the call is checked for. A handler that checks
/// another one lets no call in.
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
