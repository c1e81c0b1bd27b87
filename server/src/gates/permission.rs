//! Checks whether the caller may call this rpc in any organization. The permission in an organization is checked later, when the message is
//! known.
//!
//! The table contains every served rpc. Calls of other rpcs are refused. A layer before has added the row of the rpc to the call's
//! extensions. The dispatcher uses the same requirements.

use std::{collections::HashMap, sync::Arc};

use http::request::Parts;
use sealward_core::{
    audit::AuditAction,
    identity::Caller,
    policy::{Policy, Privilege},
};
use tokio::sync::watch;

use super::{gate::Gate, probe::is_health};
use crate::{
    audit::denials::Denials,
    schema::MethodNeeds,
    status::{PrivilegeRefusal, Refusal},
};

/// The requirements of an rpc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rpc {
    /// Its place among the served rpcs, in the order of their paths. Its counters have the same place.
    pub(crate) place: usize,
    /// The requirement of a call.
    pub(crate) needs: Needs,
    /// Whether it takes or returns a stream, which may last for hours.
    pub(crate) is_stream: bool,
    /// Whether it takes a stream. Other rpcs take one message.
    pub(crate) takes_stream: bool,
    /// Whether the privilege must be granted for all organizations.
    pub(crate) all_organizations: bool,
    /// The audit actions of calls, for each privilege in the order of the requirements. If empty, successful calls aren't recorded.
    audit_actions: Vec<AuditAction>,
    /// The audit action of refused calls, if `audit_actions` is empty.
    refused_as: AuditAction,
}

/// The requirement of an rpc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Only an identity, with or without a role.
    Identity,
    /// One of these privileges. If the list is empty, no caller may call it.
    OneOf(Vec<Privilege>),
}

impl Rpc {
    /// An rpc whose calls aren't recorded.
    pub(crate) fn new(privileges: &[Privilege], is_stream: bool) -> Self {
        Self {
            place: 0,
            needs: Needs::OneOf(privileges.to_vec()),
            is_stream,
            takes_stream: false,
            all_organizations: false,
            audit_actions: Vec::new(),
            refused_as: AuditAction::Call,
        }
    }

    /// An rpc of the contract.
    pub(crate) fn of(method: &MethodNeeds) -> Self {
        let needs = if method.any_identity { Needs::Identity } else { Needs::OneOf(method.privileges.clone()) };
        Self {
            place: 0,
            needs,
            is_stream: method.takes_stream || method.answers_stream,
            takes_stream: method.takes_stream,
            all_organizations: method.all_organizations,
            audit_actions: method.audit_actions.clone(),
            refused_as: method.refused_as,
        }
    }

    /// The same rpc, but it takes a stream.
    pub(crate) fn taking_a_stream(mut self) -> Self {
        self.takes_stream = true;
        self
    }

    /// The privileges, of which a caller needs one. Empty if the rpc needs only an identity.
    pub(crate) fn privileges(&self) -> &[Privilege] {
        match &self.needs {
            Needs::Identity => &[],
            Needs::OneOf(privileges) => privileges,
        }
    }

    /// Whether an identity without any role may call it.
    pub(crate) fn is_for_every_identity(&self) -> bool {
        self.needs == Needs::Identity
    }

    /// Whether the audit trail records successful calls.
    pub(crate) fn records_calls(&self) -> bool {
        !self.audit_actions.is_empty()
    }

    /// The audit action of a call that was refused because this privilege is missing.
    pub(crate) fn refused_as(&self, missing: Privilege) -> AuditAction {
        let needed = self.privileges().iter().position(|privilege| *privilege == missing);
        let action = needed.and_then(|index| self.audit_actions.get(index));
        action.copied().unwrap_or(self.refused_as)
    }
}

/// The served rpcs, by path: `/sealward.mail.v1.MailboxService/GetMailbox`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RpcTable(HashMap<String, Arc<Rpc>>);

impl RpcTable {
    /// A table of these rpcs. Health isn't among them: it is open to all.
    pub(crate) fn new(rpcs: HashMap<String, Rpc>) -> Self {
        let in_order: std::collections::BTreeMap<_, _> = rpcs.into_iter().collect();
        let placed = in_order.into_iter().enumerate();
        Self(placed.map(|(place, (path, rpc))| (path, Arc::new(Rpc { place, ..rpc }))).collect())
    }

    /// Every rpc, by path.
    pub(crate) fn in_order(&self) -> std::collections::BTreeMap<&str, &Rpc> {
        self.0.iter().map(|(path, rpc)| (path.as_str(), &**rpc)).collect()
    }

    /// The rpc with this path.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Rpc>> {
        self.0.get(path)
    }
}

/// The gate.
#[derive(Clone)]
pub(crate) struct PermissionRequired {
    policy: watch::Receiver<Arc<Policy>>,
    denials: Denials,
}

impl PermissionRequired {
    /// The policy is read for each call, so that a change applies from the next call.
    pub(crate) fn new(policy: watch::Receiver<Arc<Policy>>, denials: Denials) -> Self {
        Self { policy, denials }
    }
}

impl Gate for PermissionRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        let path = head.uri.path();
        if is_health(path) {
            return Ok(());
        }
        let caller = head.extensions.get::<Caller>().ok_or(Refusal::IdentityRequired)?;
        let rpc = head.extensions.get::<Arc<Rpc>>().ok_or(Refusal::MethodUnknown)?;
        let policy = Arc::clone(&self.policy.borrow());
        if let Needs::OneOf(privileges) = &rpc.needs {
            let first = *privileges.first().ok_or(Refusal::NotPermitted)?;
            let held = |privilege: &Privilege| policy.check_anywhere(&caller.identity, *privilege).is_ok();
            if !privileges.iter().any(held) {
                self.denials.method(caller, path, first);
                return Err(PrivilegeRefusal::anywhere(&caller.identity, first).into());
            }
        }
        // The whole call uses this policy, even if the policy changes meanwhile.
        head.extensions.insert(policy);
        Ok(())
    }
}
