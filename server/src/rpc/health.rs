//! Health: SERVING means that the configuration database answers and the root key works; NOT_SERVING, that one doesn't or that the server
//! is about to end.
//!
//! Open to everybody, on every listener: it tells nothing else. `List` isn't served: the service of tonic-health doesn't have it yet.

use std::{sync::Arc, time::Duration};

use fieldseal_core::deployment::{Deployment, deployment_id};
use tokio::time::MissedTickBehavior;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::drain::Drain;

/// How often the parts are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// The services whose health is the server's.
const SERVICES: [&str; 4] =
    ["", "fieldseal.v1.DataEncryptionService", "fieldseal.v1.OrganizationService", "fieldseal.v1.SecretAccessService"];

/// The health of the server.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    service: HealthServer<HealthService>,
    services: Arc<Vec<String>>,
}

impl Health {
    /// Health of the generated services and these others; serving nothing until it is looked at.
    pub(crate) fn new(others: impl Iterator<Item = String>) -> Self {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let services = SERVICES.into_iter().map(str::to_owned).chain(others).collect();
        Health { reporter, service, services: Arc::new(services) }
    }

    pub(crate) fn service(self) -> HealthServer<HealthService> {
        self.service
    }

    /// Says the same of every service.
    pub(crate) async fn set(&self, status: ServingStatus) {
        for service in &*self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Looks at the parts, now.
    pub(crate) async fn look(&self, deployment: &Deployment) {
        let status = if works(deployment).await { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.set(status).await;
    }

    /// Looks at the parts again and again, until the end of the server is announced.
    pub(crate) async fn keep_looking(self, deployment: Arc<Deployment>, drain: Drain) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(&deployment).await,
                () = drain.announced() => return self.set(ServingStatus::NotServing).await,
            }
        }
    }
}

async fn works(deployment: &Deployment) -> bool {
    let ports = &deployment.ports;
    ports.root_key.check_value().is_ok() && deployment_id(&*ports.configuration).await.is_ok()
}
