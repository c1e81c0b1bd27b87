//! Health: SERVING means that the configuration database answers and the root key works; NOT_SERVING, that one doesn't or that the server
//! is about to end.
//!
//! The service `organizations` is NOT_SERVING while any organization that is listed can't be served. It is apart from the others, so that
//! one unreadable database doesn't take the server out of a balancer.
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

/// Whether every organization is served.
const ORGANIZATIONS: &str = "organizations";

/// The health of the server.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    service: HealthServer<HealthService>,
    services: Arc<Vec<String>>,
    drain: Drain,
}

impl Health {
    /// Health of the generated services and these others; serving nothing until it is looked at, nor once the end of the server is announced.
    pub(crate) fn new(others: impl Iterator<Item = String>, drain: Drain) -> Self {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let services = SERVICES.into_iter().map(str::to_owned).chain(others).collect();
        Health { reporter, service, services: Arc::new(services), drain }
    }

    pub(crate) fn service(self) -> HealthServer<HealthService> {
        self.service
    }

    /// Says the same of every service.
    pub(crate) async fn set(&self, status: ServingStatus) {
        for service in &*self.services {
            self.reporter.set_service_status(service, status).await;
        }
        if status == ServingStatus::NotServing {
            self.reporter.set_service_status(ORGANIZATIONS, status).await;
        }
    }

    /// Looks at the parts, now.
    pub(crate) async fn look(&self, deployment: &Deployment) {
        let works = works(deployment).await && !self.drain.is_announced();
        self.set(status(works)).await;
        self.reporter.set_service_status(ORGANIZATIONS, status(works && deployment.not_served_count() == 0)).await;
    }

    /// Looks at the parts again and again, until the end of the server is announced.
    pub(crate) async fn keep_looking(self, deployment: Arc<Deployment>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(&deployment).await,
                () = self.drain.announced() => return self.set(ServingStatus::NotServing).await,
            }
        }
    }
}

fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

async fn works(deployment: &Deployment) -> bool {
    let ports = &deployment.ports;
    ports.root_key.check_value().is_ok() && deployment_id(&*ports.configuration).await.is_ok()
}
