//! Maintenance of audit trails in the background: at intervals, it records the notes of commands, signs the heads, and removes records and
//! changes of audited attributes that are older than the retention.
//!
//! It doesn't open an idle database: what the database was when it was last used is signed by then.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use sealward_core::{
    audit::{
        retention::{cut_deployment, cut_organization},
        sign::{SignError, sign_deployment, sign_organization},
    },
    deployment::Deployment,
    id::Timestamp,
    metadata::changes::forget,
    name::OrganizationName,
    organization::{Organization, seen::check_rollback},
};
use sealward_store::OnDemand;
use tokio::time::MissedTickBehavior;

use super::{copy::CopyHandle, notes};
use crate::{config::limits::Limits, drain::Drain, error_chain};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// Records notes, signs and prunes, until the server drains.
pub(crate) async fn keep_signing(
    deployment: Arc<Deployment>,
    databases: Arc<dyn OnDemand>,
    (data_dir, limits): (PathBuf, Limits),
    copying: CopyHandle,
    drain: Drain,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(limits.audit_signature_interval_seconds.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.begun() => return,
        }
        notes::record(&deployment, &data_dir).await;
        sign_all(&deployment, &*databases).await;
        let days = i64::from(limits.audit_retention_days);
        if days > 0 && databases.maintains().await {
            let before = deployment.now().unix_micros().saturating_sub(days.saturating_mul(MICROS_A_DAY));
            cut_all(&deployment, &*databases, &copying, Timestamp::from_unix_micros(before)).await;
        }
    }
}

/// Signs the heads of open trails that have grown, and saves them in the configuration database.
pub(crate) async fn sign_all(deployment: &Deployment, databases: &dyn OnDemand) {
    for organization in deployment.organizations() {
        if databases.is_open(organization.id) && organization.is_trail_unsigned() {
            log_failure(Some(&organization.name), sign_and_remember(deployment, &organization).await);
        }
    }
    log_failure(None, sign_deployment(deployment).await);
}

async fn sign_and_remember(deployment: &Deployment, organization: &Organization) -> Result<(), SignError> {
    sign_organization(deployment, organization).await?;
    check_rollback(deployment, organization).await?;
    Ok(())
}

/// A trail that isn't fully copied is left for a later round.
async fn cut_all(deployment: &Deployment, databases: &dyn OnDemand, copying: &CopyHandle, before: Timestamp) {
    for organization in deployment.organizations() {
        if databases.is_open(organization.id) {
            if !copying.is_behind(Some(organization.id)) {
                let cut = cut_organization(deployment, &organization, before).await;
                log_failure(Some(&organization.name), cut.map(|records| log_cut(Some(&organization.name), records)));
            }
            let forgotten = forget(&organization, before).await;
            log_failure(
                Some(&organization.name),
                forgotten.map(|changes| log_forgotten(Some(&organization.name), changes)),
            );
        }
    }
    if !copying.is_behind(None) {
        log_failure(None, cut_deployment(deployment, before).await.map(|records| log_cut(None, records)));
    }
}

fn log_cut(organization: Option<&OrganizationName>, records: u64) {
    if records > 0 {
        tracing::info!(organization = shown(organization), records, "expired audit records removed");
    }
}

fn log_forgotten(organization: Option<&OrganizationName>, changes: u64) {
    if changes > 0 {
        tracing::info!(organization = shown(organization), changes, "expired attribute changes removed");
    }
}

fn log_failure<E: Error>(organization: Option<&OrganizationName>, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        let error = error_chain::text(&error);
        let organization = shown(organization);
        tracing::warn!(organization, error, "audit trail not signed or pruned; the next round retries");
    }
}

/// How the log names an organization; the deployment's own trail has no name.
fn shown(organization: Option<&OrganizationName>) -> &str {
    organization.map_or("", OrganizationName::as_str)
}
