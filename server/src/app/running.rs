//! A running server: its addresses and handles, and its shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sealward_core::{
    deployment::Deployment,
    id::RecordId,
    name::OrganizationName,
    organization::{
        create::{CreateOrganizationError, create_first},
        seen::check_rollback,
    },
};
use sealward_store::{OnDemand, sqlite::DataFolder};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::sockets::Addresses;
use crate::{
    audit::{copy::CopyTask, denials::Denials, maintenance},
    config::{Log, limits::Limits},
    drain::{Drain, Drained},
    error_chain,
    reload::Reloader,
    rpc::Health,
    telemetry::{log_queue, samples::Samples, shed::Shed, traces::Exporting},
};

/// A running server.
pub struct Running {
    pub(super) addresses: Addresses,
    pub(super) deployment: Arc<Deployment>,
    pub(super) databases: Arc<dyn OnDemand>,
    /// Keeps other servers out of the data folder.
    pub(super) _folder: Arc<DataFolder>,
    pub(super) limits: Limits,
    /// Whether the data folder has databases of organizations, served or not.
    pub(super) has_organizations: bool,
    pub(super) drain: Drain,
    pub(super) reloader: Reloader,
    pub(super) log: watch::Receiver<Log>,
    pub(super) health: Health,
    pub(super) samples: Samples,
    pub(super) shed: Shed,
    pub(super) denials: Denials,
    pub(super) audit_copy: Option<CopyTask>,
    pub(super) exporting: Exporting,
    pub(super) serving: JoinHandle<()>,
}

impl Running {
    /// The address of the TLS listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses.tls
    }

    /// The address of the plaintext listener, if there is one.
    #[must_use]
    pub fn plaintext_address(&self) -> Option<SocketAddr> {
        self.addresses.plaintext
    }

    /// The address of metrics, if they are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.addresses.metrics
    }

    /// The served deployment, for code in the server's process, such as a measurement. It checks no permission.
    #[must_use]
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// The handle to stop the server.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Reloads the configuration and the files that it names.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// The settings of the log. A reload may change them.
    #[must_use]
    pub fn log(&self) -> watch::Receiver<Log> {
        self.log.clone()
    }

    /// Stops the server at SIGTERM or SIGINT after the configured delay, and at a second signal immediately.
    ///
    /// # Errors
    /// The system doesn't allow a signal handler.
    pub fn end_on_signals(&self) -> std::io::Result<()> {
        self.drain.on_signals(self.limits.drain_delay())
    }

    /// Counts and reports dropped log lines. `dropped` returns their number so far.
    pub fn report_dropped_lines(&self, dropped: impl Fn() -> u64 + Send + 'static) {
        self.drain.spawn(log_queue::keep_reporting(dropped, self.shed.clone(), self.drain.clone()));
    }

    /// An id for a new record, for examples.
    #[must_use]
    pub fn new_record_id(&self) -> String {
        let ports = &self.deployment.ports;
        RecordId::new_v7(ports.clock.now(), &*ports.random).to_string()
    }

    /// Creates the first organization of a deployment. Does nothing if the deployment has an organization, served or not.
    ///
    /// # Errors
    /// [`CreateOrganizationError`], except that it already exists.
    pub async fn ensure_organization(&self, name: &OrganizationName) -> Result<(), CreateOrganizationError> {
        if self.has_organizations {
            return Ok(());
        }
        match create_first(&self.deployment, name).await {
            Ok(_) | Err(CreateOrganizationError::AlreadyExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the server has stopped.
    pub async fn wait(self) -> Drained {
        let health = self.health;
        let not_serving = async move { health.set(tonic_health::ServingStatus::NotServing).await };
        let serving = async move {
            if let Err(error) = self.serving.await {
                tracing::error!(%error, "serving failed");
            }
        };
        let drained = self.drain.finish(not_serving, serving, self.limits.drain_timeout()).await;
        self.samples.report();
        self.denials.finish().await;
        match drained {
            Drained::Whole => close_databases(&self.deployment, &*self.databases, self.audit_copy).await,
            // The next start resumes the unfinished work, but the audit records so far are signed now.
            Drained::CutShort => {
                if timeout(LAST_SIGNING_MAX, maintenance::sign_all(&self.deployment, &*self.databases)).await.is_err() {
                    tracing::warn!("audit trails not signed at shutdown; the next start signs them");
                }
            }
        }
        // After the last write.
        if timeout(RELEASE_MAX, self.databases.release()).await.is_err() {
            tracing::debug!("databases not released");
        }
        // Last: nothing else waits for the collector.
        self.exporting.finish().await;
        drained
    }
}

/// The maximum time to release the databases for another server. Otherwise, it waits some seconds longer.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// The maximum time for signing the audit trails after a shutdown that was cut short.
const LAST_SIGNING_MAX: Duration = Duration::from_secs(2);

/// Signs the audit trails, finishes the audit copy, records the state of the open databases, and checkpoints them, so that each file is
/// complete when the server has stopped.
async fn close_databases(deployment: &Deployment, databases: &dyn OnDemand, audit_copy: Option<CopyTask>) {
    maintenance::sign_all(deployment, databases).await;
    if let Some(copy) = audit_copy {
        copy.finish().await;
    }
    for organization in deployment.organizations().into_iter().filter(|organization| databases.is_open(organization.id))
    {
        let closed = async {
            check_rollback(deployment, &organization).await?;
            organization.store.scrub().await
        };
        if let Err(error) = closed.await {
            let (organization, error) = (organization.name.as_str(), error_chain::text(&error));
            tracing::warn!(organization, error, "database not checkpointed at shutdown; the next start checkpoints it");
        }
    }
    if let Err(error) = deployment.ports.configuration.scrub().await {
        tracing::warn!(
            error = error_chain::text(&error),
            "configuration database not checkpointed at shutdown; the next start checkpoints it"
        );
    }
}
