//! Follows the other servers that use the same databases: serves the organizations that they create, stops serving those that they delete,
//! and continues the work that they have left unfinished.
//!
//! A server that is gone loses the locks of organizations when they expire. Whichever server sees that first continues.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::{
    deployment::Deployment,
    id::OrganizationId,
    organization::open::{NotOpened, follow},
};
use sealward_store::{OnDemand, Others};
use tokio::time::MissedTickBehavior;

use super::{reencryption, reopen};
use crate::{config::limits::Limits, drain::Drain, error_chain, rpc::Health};

/// The interval between looks. A name that is found out by a call isn't delayed by it.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a server knows of the others.
pub(crate) struct Following {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) databases: Arc<dyn OnDemand>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) health: Health,
    /// The organizations to retry.
    pub(crate) not_opened: Vec<NotOpened>,
}

impl Following {
    /// Follows, until the server drains.
    pub(crate) async fn keep_following(mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut retried, mut is_failing) = (None, Instant::now(), false);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.drain.begun() => return,
            }
            let outcome = match self.databases.others().await {
                Ok(None) => return,
                Ok(Some(others)) => {
                    let is_due =
                        !self.not_opened.is_empty() && retried.elapsed() >= self.limits.organization_retry_interval();
                    if is_due {
                        retried = Instant::now();
                    }
                    let is_changed = seen != Some(others.configuration_commits);
                    let followed = match is_due || is_changed || !others.abandoned.is_empty() {
                        true => self.follow(&others).await,
                        false => Ok(()),
                    };
                    followed.map(|()| seen = Some(others.configuration_commits))
                }
                Err(error) => Err(error_chain::text(&error)),
            };
            match outcome {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(error, "other servers not followed; retrying");
                }
                Err(_) => {}
            }
        }
    }

    async fn follow(&mut self, others: &Others) -> Result<(), String> {
        let opened = follow(&self.deployment, &others.abandoned).await.map_err(|error| error_chain::text(&error))?;
        if !opened.organizations.is_empty() && !self.drain.has_begun() {
            self.health.check(&self.deployment).await;
        }
        reopen::resume(&self.deployment, self.limits, &self.drain, opened.organizations);
        let known: BTreeMap<OrganizationId, String> =
            self.not_opened.iter().map(|before| (before.id, error_chain::text(&before.error))).collect();
        let is_new = |now: &&NotOpened| known.get(&now.id) != Some(&error_chain::text(&now.error));
        reopen::log_not_opened(opened.not_opened.iter().filter(is_new));
        self.not_opened = opened.not_opened;
        for organization in self.deployment.organizations() {
            if others.abandoned.contains(&organization.id) {
                reencryption::take_over(&self.deployment, self.limits, &self.drain, organization);
            }
        }
        Ok(())
    }
}
