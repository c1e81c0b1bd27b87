//! Idle organizations: their databases are closed, and their keys leave memory. The next call opens and loads what it needs.
//!
//! Nothing here decides what is idle; see [`OnDemand::close_idle`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::deployment::Deployment;
use sealward_store::OnDemand;
use tokio::time::MissedTickBehavior;

use crate::{config::limits::Limits, drain::Drain};

/// How often idle organizations are looked for, at the least often.
const INTERVAL_MAX: Duration = Duration::from_secs(30);

/// Looks for idle organizations again and again, until the server drains.
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

/// Closes what is idle at this time, and forgets the keys of every organization whose database is closed.
async fn close_idle(deployment: &Deployment, databases: &Arc<dyn OnDemand>, now: Instant) {
    let closing = Arc::clone(databases);
    // Closing waits for the disk.
    if tokio::task::spawn_blocking(move || closing.close_idle(now)).await.is_err() {
        tracing::error!("idle databases not closed");
    }
    for organization in deployment.organizations() {
        // One that opens just now loads its keys again, at worst.
        if !databases.is_open(organization.id) {
            organization.forget_keys();
        }
    }
}
