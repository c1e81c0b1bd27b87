//! May the caller call this rpc at all? In which organizations is asked later, when the message is known.
//!
//! The table names every rpc that is served. A call of any other rpc is never passed on. The row of the call's rpc goes along with the call, so
//! that the dispatcher decides by the same needs.

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

/// One rpc, as the layers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rpc {
    /// What calling it needs.
    pub(crate) needs: Needs,
    /// Whether it takes, or answers with, a stream, which may go on for hours.
    pub(crate) is_stream: bool,
    /// Whether it takes any number of messages. All others take one.
    pub(crate) takes_stream: bool,
    /// Whether a privilege for single organizations isn't enough.
    pub(crate) all_organizations: bool,
    /// What calls are recorded as, for each privilege in the order of the needs. Empty: successful calls aren't recorded.
    audit_actions: Vec<AuditAction>,
    /// What refusals are recorded as where `audit_actions` has nothing.
    refused_as: AuditAction,
}

/// What a caller needs to call an rpc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Only an identity, bound to a role or not.
    Identity,
    /// One of these privileges. None: no caller may call it.
    OneOf(Vec<Privilege>),
}

impl Rpc {
    /// An rpc whose calls aren't recorded.
    pub(crate) fn new(privileges: &[Privilege], is_stream: bool) -> Self {
        Self {
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
            needs,
            is_stream: method.takes_stream || method.answers_stream,
            takes_stream: method.takes_stream,
            all_organizations: method.all_organizations,
            audit_actions: method.audit_actions.clone(),
            refused_as: method.refused_as,
        }
    }

    /// The same, taking a stream.
    pub(crate) fn taking_a_stream(mut self) -> Self {
        self.takes_stream = true;
        self
    }

    /// The privileges of which it needs one. Empty for an rpc that needs only an identity.
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

    /// What the audit trail records a call as that was refused because this privilege is missing.
    pub(crate) fn refused_as(&self, missing: Privilege) -> AuditAction {
        let needed = self.privileges().iter().position(|privilege| *privilege == missing);
        let action = needed.and_then(|index| self.audit_actions.get(index));
        action.copied().unwrap_or(self.refused_as)
    }
}

/// Every rpc that is served, by path: `/sealward.mail.v1.MailboxService/GetMailbox`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RpcTable(HashMap<String, Arc<Rpc>>);

impl RpcTable {
    /// A table of these rpcs. Health isn't among them: it is open to all.
    pub(crate) fn new(rpcs: HashMap<String, Rpc>) -> Self {
        Self(rpcs.into_iter().map(|(path, rpc)| (path, Arc::new(rpc))).collect())
    }

    /// Every rpc, by path.
    pub(crate) fn in_order(&self) -> std::collections::BTreeMap<&str, &Rpc> {
        self.0.iter().map(|(path, rpc)| (path.as_str(), &**rpc)).collect()
    }

    /// What is known of the rpc of this path.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Rpc>> {
        self.0.get(path)
    }
}

/// The gate.
#[derive(Clone)]
pub(crate) struct PermissionRequired {
    rpcs: Arc<RpcTable>,
    policy: watch::Receiver<Arc<Policy>>,
    denials: Denials,
}

impl PermissionRequired {
    /// The policy is looked up at each call, so that a change of it counts from the next call on.
    pub(crate) fn new(rpcs: Arc<RpcTable>, policy: watch::Receiver<Arc<Policy>>, denials: Denials) -> Self {
        Self { rpcs, policy, denials }
    }
}

impl Gate for PermissionRequired {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        let path = head.uri.path();
        if is_health(path) {
            return Ok(());
        }
        let caller = head.extensions.get::<Caller>().ok_or(Refusal::IdentityRequired)?;
        let rpc = self.rpcs.get(path).ok_or(Refusal::MethodUnknown)?;
        let policy = Arc::clone(&self.policy.borrow());
        if let Needs::OneOf(privileges) = &rpc.needs {
            let first = *privileges.first().ok_or(Refusal::NotPermitted)?;
            let held = |privilege: &Privilege| policy.check_anywhere(&caller.identity, *privilege).is_ok();
            if !privileges.iter().any(held) {
                self.denials.method(caller, path, first);
                return Err(PrivilegeRefusal::anywhere(&caller.identity, first).into());
            }
        }
        // The one policy by which the whole call is decided, so that a change in between can't split it.
        head.extensions.insert(policy);
        head.extensions.insert(Arc::clone(rpc));
        Ok(())
    }
}
