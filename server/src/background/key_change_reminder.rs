//! Reports keys that are due for a change in the log, at the start and then once a day.

use std::{sync::Arc, time::Duration};

use sealward_core::{
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    key::status::change_due_time,
    organization::Organization,
};

use crate::drain::Drain;

const INTERVAL: Duration = Duration::from_secs(86_400);

/// When an organization's key is due for a change, as far as known in memory. `None` if it has no readable key.
pub(crate) fn due_time(deployment: &Deployment, organization: &Organization) -> Option<(KeyVersion, Timestamp)> {
    let (version, change_time) = organization.key_facts()?.set?;
    Some((version, change_due_time(deployment, version, change_time)))
}

/// Reports keys whose change is due, until the server drains.
pub(crate) async fn keep_reporting(deployment: Arc<Deployment>, drain: Drain) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => report(&deployment),
            () = drain.begun() => return,
        }
    }
}

fn report(deployment: &Deployment) {
    for organization in deployment.organizations() {
        let Some((version, due)) = due_time(deployment, &organization) else { continue };
        if due > deployment.now() {
            continue;
        }
        let organization = organization.name.as_str();
        if version == KeyVersion::FIRST {
            tracing::warn!(organization, "generated encryption key in use: change it, and keep the new one safe");
        } else {
            let due_for_days = deployment.now().unix_micros().saturating_sub(due.unix_micros()) / 86_400_000_000;
            tracing::warn!(organization, due_for_days, "encryption key older than key_change_due_days: change it");
        }
    }
}
