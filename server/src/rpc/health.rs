//! Health. SERVING means that the configuration database responds, and that this server's root keys are those of the deployment.
//! NOT_SERVING means that one of these isn't true, or that a shutdown was announced.
//!
//! The service `organizations` is NOT_SERVING while a listed organization isn't served. It is separate, so that one unreadable database
//! doesn't remove the server from a balancer.
//!
//! It is available without an identity on every listener, because it discloses nothing else. `List` is UNIMPLEMENTED, because tonic-health
//! doesn't have it yet.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sealward_core::{configuration::has_listed_root_keys, deployment::Deployment};
use tokio::time::MissedTickBehavior;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{drain::Drain, gates::permission::RpcTable, transport::probe::Readiness};

/// The interval between checks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether every organization is served.
const ORGANIZATIONS: &str = "organizations";

/// The health of the server.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    service: HealthServer<HealthService>,
    services: Arc<BTreeSet<String>>,
    /// The same, for probes that don't speak gRPC.
    readiness: Readiness,
    drain: Drain,
}

impl Health {
    /// The health of the services with these rpcs: NOT_SERVING until the first check, and once a shutdown is announced.
    pub(crate) fn new(rpcs: &RpcTable, readiness: Readiness, drain: Drain) -> Self {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        Health { reporter, service, services: Arc::new(services(rpcs)), readiness, drain }
    }

    pub(crate) fn service(self) -> HealthServer<HealthService> {
        self.service
    }

    /// Sets the status of every service.
    pub(crate) async fn set(&self, status: ServingStatus) {
        self.readiness.set(status == ServingStatus::Serving);
        for service in &*self.services {
            self.reporter.set_service_status(service, status).await;
        }
        if status == ServingStatus::NotServing {
            self.reporter.set_service_status(ORGANIZATIONS, status).await;
        }
    }

    /// Checks the health now.
    pub(crate) async fn check(&self, deployment: &Deployment) {
        let works = works(deployment).await && !self.drain.is_announced();
        self.set(status(works)).await;
        self.reporter.set_service_status(ORGANIZATIONS, status(works && deployment.not_served_count() == 0)).await;
    }

    /// Checks the health periodically, until a shutdown is announced.
    pub(crate) async fn keep_checking(self, deployment: Arc<Deployment>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.check(&deployment).await,
                () = self.drain.announced() => return self.set(ServingStatus::NotServing).await,
            }
        }
    }
}

/// The names that have the health of the server: the empty name, and the services of the contract.
fn services(rpcs: &RpcTable) -> BTreeSet<String> {
    let paths = rpcs.in_order();
    let names = paths.keys().filter_map(|path| path.split('/').nth(1));
    std::iter::once("").chain(names).map(str::to_owned).collect()
}

fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

async fn works(deployment: &Deployment) -> bool {
    let ports = &deployment.ports;
    has_listed_root_keys(&*ports.configuration, &*ports.root_key).await.is_ok_and(|has_them| has_them)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{reference::rows_of_operations, rpc::permission::rpc_table, schema};

    #[test]
    fn operations_reference_lists_every_name_that_health_knows() {
        let rpcs = rpc_table(&schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap());
        let mut known = services(&rpcs);
        assert!(known.remove(""));
        known.insert(ORGANIZATIONS.to_owned());
        let rows = rows_of_operations("Health");
        let listed: BTreeSet<String> = rows.iter().map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
        assert_eq!(listed, known);
    }
}
