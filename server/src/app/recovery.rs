//! Recovers the unfinished work of a former process.

use std::sync::Arc;

use sealward_core::{
    deployment::Deployment,
    key::reseal::{Resealed, reseal},
    organization::open::{NotOpened, open_all},
};
use uuid::Uuid;

use super::error::StartError;
use crate::{
    audit::copy::{CopyHandle, CopyTask},
    background::reopen,
    config::Config,
    drain::Drain,
    error_chain,
};

/// The outcome of the recovery.
pub(super) struct Recovered {
    /// Whether the data folder has databases of organizations, served or not.
    pub(super) has_organizations: bool,
    /// The organizations to retry.
    pub(super) not_opened: Vec<NotOpened>,
    pub(super) audit_copy: Option<CopyTask>,
}

/// Opens the organizations, and continues unfinished work. First the audit copy, whose target must be read before new records are written;
/// then key texts that are sealed under a former root key; then re-encryptions.
pub(super) async fn recover(
    config: &Config,
    deployment: &Arc<Deployment>,
    deployment_id: Uuid,
    audit_copy: &CopyHandle,
    drain: &Drain,
) -> Result<Recovered, StartError> {
    let not_opened = open_all(deployment).await?.not_opened;
    let has_organizations = !not_opened.is_empty() || !deployment.organizations().is_empty();
    reopen::log_not_opened(&not_opened);
    let audit_copy = audit_copy.start(config, deployment, deployment_id).await;
    log_resealed(reseal(deployment).await?);
    reopen::resume(deployment, config.limits, drain, deployment.organizations());
    Ok(Recovered { has_organizations, not_opened, audit_copy })
}

fn log_resealed(resealed: Resealed) {
    for organization in resealed.organizations {
        let name = organization.shown();
        match organization.texts {
            Ok(0) => {}
            Ok(texts) => {
                tracing::info!(organization = name, texts, "key texts re-sealed under the first root key")
            }
            Err(error) => tracing::warn!(
                organization = name,
                error = error_chain::text(&error),
                "key texts not re-sealed: keep the former root key until a start has re-sealed them"
            ),
        }
        for text in organization.unopened {
            tracing::error!(
                organization = name,
                wanted_fingerprint = %text.wanted,
                error = error_chain::text(&text.error),
                "key text not opened by any root key"
            );
        }
    }
    match resealed.root_keys_retired {
        Ok(0) => {}
        Ok(root_keys) => tracing::info!(
            root_keys,
            "former root keys unused: remove them from root_key.sources after 24 hours, when no idempotency key needs them"
        ),
        Err(error) => {
            tracing::warn!(
                error = error_chain::text(&error),
                "former root keys not retired: keep them until the next start"
            )
        }
    }
}
