//! Records refused calls in the audit trails.
//!
//! The first refusal of a kind is recorded at once, repeats as a count once a minute, with some of their subjects. Each identity has a
//! budget of records ([`tally`]), and refusals beyond it are counted: no caller can flood a trail, or displace the refusals of others. A
//! refusal goes to the deployment's own trail, and also to the organization's trail if the organization exists. The caller doesn't wait for
//! this, so neither the response nor its time discloses whether the organization exists.

mod tally;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sealward_core::{
    audit::{AuditAction, AuditEntry},
    deployment::Deployment,
    identity::Caller,
    name::OrganizationName,
    policy::Privilege,
    store::CommitError,
};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, timeout},
};

use self::tally::{Refused, Repeated, Taken, Tallies};
use crate::{config::limits::Limits, drain::Drain, error_chain, telemetry::shed::Shed};

/// The number of refusals that may wait to be recorded; more are counted. Each takes a commit of about a millisecond.
const WAITING_MAX: usize = 1_024;

/// The interval between records of counts, after which budgets are renewed.
const INTERVAL: Duration = Duration::from_secs(60);

/// The time limit for recording the last counts at shutdown.
const LAST_COUNTS_MAX: Duration = Duration::from_secs(2);

/// Receives refused calls.
#[derive(Clone)]
pub(crate) struct Denials {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// A refusal waits to be recorded.
    woken: Notify,
    /// The trails. `None` in tests of earlier stages.
    deployment: Option<Arc<Deployment>>,
    shed: Shed,
}

struct State {
    tallies: Tallies,
    waiting: VecDeque<Refused>,
}

impl Denials {
    /// Starts recording, until the server drains.
    pub(crate) fn start(deployment: Arc<Deployment>, limits: &Limits, shed: Shed, drain: &Drain) -> Self {
        let denials = Self::new(Some(deployment), limits, shed);
        drain.spawn(denials.clone().run(drain.clone()));
        denials
    }

    fn new(deployment: Option<Arc<Deployment>>, limits: &Limits, shed: Shed) -> Self {
        let tallies = Tallies::new(limits.refusals_recorded_per_minute_per_identity);
        let state = Mutex::new(State { tallies, waiting: VecDeque::new() });
        Denials { shared: Arc::new(Shared { state, woken: Notify::new(), deployment, shed }) }
    }

    /// Records nothing; for tests of earlier stages.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self::new(None, &Limits::default(), Shed::default())
    }

    /// Counts a call of a method for which its caller lacks the privilege in every organization.
    pub(crate) fn method(&self, caller: &Caller, path: &str, missing: Privilege) {
        self.refuse(caller, AuditAction::Call, None, path.to_owned(), missing);
    }

    /// Counts a call for which its caller lacks a privilege in the organization of this name, whether there is one or not.
    pub(crate) fn in_organization(
        &self,
        caller: &Caller,
        action: AuditAction,
        name: &OrganizationName,
        missing: Privilege,
    ) {
        self.refuse(caller, action, Some(name), name.resource_name(), missing);
    }

    /// Counts a call for which its caller lacks a privilege for the whole deployment.
    pub(crate) fn in_deployment(&self, caller: &Caller, action: AuditAction, missing: Privilege) {
        self.refuse(caller, action, None, "organizations".to_owned(), missing);
    }

    /// Counts a call that was refused because of a quota. `organization` exists, and `subject` is a resource in it.
    pub(crate) fn over_quota(
        &self,
        caller: &Caller,
        action: AuditAction,
        outcome: &'static str,
        organization: &OrganizationName,
        subject: String,
    ) {
        self.count(Refused {
            caller: caller.clone(),
            action,
            outcome,
            subject,
            organization: Some(organization.clone()),
            details: "over the quota".to_owned(),
        });
    }

    fn refuse(
        &self,
        caller: &Caller,
        action: AuditAction,
        organization: Option<&OrganizationName>,
        subject: String,
        missing: Privilege,
    ) {
        let exists = |name: &&OrganizationName| {
            self.shared.deployment.as_ref().is_some_and(|known| known.organization(name).is_some())
        };
        self.count(Refused {
            caller: caller.clone(),
            action,
            outcome: "PRIVILEGE_MISSING",
            subject,
            organization: organization.filter(exists).cloned(),
            details: format!("lacks {missing}"),
        });
    }

    fn count(&self, refused: Refused) {
        let mut state = self.shared.state();
        match state.tallies.take(refused) {
            Taken::Record(refused) if state.waiting.len() < WAITING_MAX => {
                state.waiting.push_back(*refused);
                drop(state);
                self.shared.woken.notify_one();
            }
            Taken::Record(refused) => state.tallies.count(*refused),
            Taken::Counted => {}
            Taken::OverBudget => self.shared.shed.count("refusals_recorded_per_minute_per_identity"),
        }
    }

    async fn run(self, drain: Drain) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !drain.has_begun() {
            tokio::select! {
                () = self.shared.woken.notified() => self.record_waiting().await,
                _ = ticks.tick() => self.record_counts().await,
                () = drain.begun() => {}
            }
        }
        self.record_waiting().await;
    }

    /// Records the remaining refusals when no call runs any more. It takes a bounded time; refusals that are left then are lost.
    pub(crate) async fn finish(&self) {
        let recorded = async {
            self.record_waiting().await;
            self.record_counts().await;
        };
        if timeout(LAST_COUNTS_MAX, recorded).await.is_err() {
            tracing::warn!("refused calls lost: the database did not respond in time");
        }
    }

    async fn record_waiting(&self) {
        loop {
            // The guard must not be held across the commit.
            let next = self.shared.state().waiting.pop_front();
            let Some(mut refused) = next else { return };
            if let Err(error) = self.record_one(&mut refused).await {
                tracing::warn!(error = error_chain::text(&error), "refused call not recorded; retrying");
                self.shared.state().tallies.count(refused);
            }
        }
    }

    async fn record_one(&self, refused: &mut Refused) -> Result<(), CommitError> {
        let entry = self.shared.entry(refused, true, &refused.subject, &refused.details);
        if let Some(name) = &refused.organization {
            self.shared.record(Some(name), entry.clone()).await?;
            // This record is written, even if the other one fails.
            refused.organization = None;
        }
        self.shared.record(None, entry).await
    }

    async fn record_counts(&self) {
        let counted = self.shared.state().tallies.take_all();
        let mut not_recorded = 0_u64;
        for repeated in counted {
            let Repeated { organization, last, is_of_one_identity, .. } = &repeated;
            let entry = self.shared.entry(last, *is_of_one_identity, &repeated.subject(), &repeated.details());
            if let Err(error) = self.shared.record(organization.as_ref(), entry).await {
                if not_recorded == 0 {
                    tracing::warn!(error = error_chain::text(&error), "refused calls not recorded; retrying");
                }
                not_recorded += 1;
                self.shared.state().tallies.put_back(repeated);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, refused: &Refused, has_caller: bool, subject: &str, details: &str) -> Option<AuditEntry> {
        let now = self.deployment.as_ref()?.now();
        Some(AuditEntry {
            caller: has_caller.then(|| refused.caller.clone()),
            outcome: refused.outcome,
            details: Some(details.to_owned()),
            ..AuditEntry::done(now, refused.action, subject)
        })
    }

    /// Records in the trail of the organization with this name, or in the deployment's own. A deleted organization has no trail.
    async fn record(
        &self,
        organization: Option<&OrganizationName>,
        entry: Option<AuditEntry>,
    ) -> Result<(), CommitError> {
        let (Some(deployment), Some(entry)) = (&self.deployment, entry) else { return Ok(()) };
        match organization {
            None => deployment.record(entry).await,
            Some(name) => match deployment.organization(name) {
                Some(organization) => organization.record(entry).await,
                None => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use sealward_core::identity::Identity;

    use super::*;

    #[test]
    fn refusals_beyond_the_budget_are_counted_by_the_bound() {
        let shed = Shed::default();
        let limits = Limits { refusals_recorded_per_minute_per_identity: 2, ..Limits::default() };
        let denials = Denials::new(None, &limits, shed.clone());
        let identity = Identity::CommonName("a".to_owned()).into();
        let caller = Caller { identity, peer: None, hop: None, call_id: Arc::default() };
        for name in ["a", "b", "a", "c"] {
            denials.in_organization(
                &caller,
                AuditAction::RetrieveKey,
                &name.parse().unwrap(),
                Privilege::ReadEncryptionKey,
            );
        }
        assert_eq!(shed.refused_by("refusals_recorded_per_minute_per_identity"), 1);
        assert_eq!(denials.shared.state().waiting.len(), 2);
    }
}
