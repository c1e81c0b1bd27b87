//! Reopens listed organizations that couldn't be opened: retries at intervals, until they are served or the server drains.
//!
//! So a database that was restored with the wrong owner, or a disk that is mounted late, needs no restart. Each error is logged once, until
//! it changes or the retry succeeds.

use std::{collections::BTreeMap, sync::Arc};

use sealward_core::{
    deployment::Deployment,
    id::OrganizationId,
    organization::{
        Keys, Organization,
        open::{NotOpened, Opened, open_again},
    },
};
use tokio::time::MissedTickBehavior;

use crate::{background::reencryption, config::limits::Limits, drain::Drain, error_chain, rpc::Health};

/// Resumes the background work of opened organizations, and logs the state of their keys.
pub(crate) fn resume(
    deployment: &Arc<Deployment>,
    limits: Limits,
    drain: &Drain,
    organizations: Vec<Arc<Organization>>,
) {
    for organization in organizations {
        log_keys(&organization);
        reencryption::retire_healed(deployment, drain, &organization);
        reencryption::resume(deployment, limits, drain, organization);
    }
}

/// Logs why organizations aren't served.
pub(crate) fn log_not_opened<'a>(not_opened: impl IntoIterator<Item = &'a NotOpened>) {
    for organization in not_opened {
        let error = error_chain::text(&organization.error);
        tracing::error!(organization = organization.shown(), error, "organization not served");
    }
}

/// Retries the organizations that couldn't be opened.
pub(crate) async fn keep_trying(
    deployment: Arc<Deployment>,
    limits: Limits,
    drain: Drain,
    health: Health,
    mut not_opened: Vec<NotOpened>,
) {
    let mut ticks = tokio::time::interval(limits.organization_retry_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, just after the attempt at the start.
    ticks.tick().await;
    while !not_opened.is_empty() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.begun() => return,
        }
        let Opened { organizations, not_opened: still } = match open_again(&deployment, &not_opened).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(error = error_chain::text(&error), "organizations not reopened; retrying");
                continue;
            }
        };
        for organization in &organizations {
            tracing::info!(organization = organization.name.as_str(), "organization served again");
        }
        if !organizations.is_empty() && !drain.has_begun() {
            health.check(&deployment).await;
        }
        resume(&deployment, limits, &drain, organizations);
        let known: BTreeMap<OrganizationId, String> =
            not_opened.iter().map(|before| (before.id, error_chain::text(&before.error))).collect();
        log_not_opened(still.iter().filter(|now| known.get(&now.id) != Some(&error_chain::text(&now.error))));
        not_opened = still;
    }
}

fn log_keys(organization: &Organization) {
    match organization.keys() {
        Some(Keys::Active(ring)) => {
            tracing::info!(organization = organization.name.as_str(), fingerprint = %ring.fingerprint(), "data encryption active");
        }
        Some(Keys::Inactive(stored)) => tracing::warn!(
            organization = organization.name.as_str(),
            wanted_fingerprint = %stored.fingerprint(),
            "data encryption inactive: restore the key with this fingerprint"
        ),
        Some(Keys::Damaged) => {
            tracing::error!(organization = organization.name.as_str(), "key ring missing or damaged")
        }
        Some(Keys::Inaccessible(obstacle, _)) => tracing::error!(
            organization = organization.name.as_str(),
            error = error_chain::text(&obstacle),
            "encryption key not usable by this server"
        ),
        None => {}
    }
}
