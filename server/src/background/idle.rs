//! Idle organizations: closes their databases, and removes their keys from memory. The next call reopens the database and reloads the keys.
//!
//! [`OnDemand::close_idle`] decides which databases are idle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::deployment::Deployment;
use sealward_store::OnDemand;
use tokio::time::MissedTickBehavior;

use crate::{config::limits::Limits, drain::Drain};

/// The longest interval between searches for idle organizations.
const INTERVAL_MAX: Duration = Duration::from_secs(30);

/// Closes idle organizations periodically, until the server drains.
pub(crate) async fn keep_closing(
    deployment: Arc<Deployment>,
    databases: Arc<dyn OnDemand>,
    limits: Limits,
    drain: Drain,
) {
    let mut ticks = tokio::time::interval(limits.database_idle_max().min(INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => close_idle(&deployment, &databases, Instant::now()).await,
            () = drain.begun() => return,
        }
    }
}

/// Closes the idle databases, and removes the keys of every organization whose database is closed.
async fn close_idle(deployment: &Deployment, databases: &Arc<dyn OnDemand>, now: Instant) {
    let closing = Arc::clone(databases);
    // Closing waits for the disk.
    if tokio::task::spawn_blocking(move || closing.close_idle(now)).await.is_err() {
        tracing::error!("idle databases not closed");
    }
    for organization in deployment.organizations() {
        // At worst, an organization that is just being opened loads its keys again.
        if !databases.is_open(organization.id) {
            organization.forget_keys();
        }
    }
}
