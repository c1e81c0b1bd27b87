//! Opens the configuration database and the folder of the organizations' databases. No other module of the server names a store.

use std::sync::Arc;

use sealward_core::{
    configuration::{deployment_id, first_configuration, prepare_configuration},
    crypto::root_key::RootKey,
    deployment::Ports,
    id::Timestamp,
    organization::open::inspect,
    port::{Clock, OrganizationDatabases},
    random::{self, Random},
    store::Store,
};
use sealward_store::{
    Observer, OnDemand, Witness,
    sqlite::{DataFolder, OpenLimits, SqliteDatabases, SqliteOptions, SqliteStore},
};
use uuid::Uuid;

use super::error::StartError;
use crate::{
    audit::copy::CopyHandle,
    config::Config,
    ports::{
        clock::SystemClock,
        computation::ComputationThreads,
        fail_points::{OfEnvironment, sync_failure},
        key_derivation::BlockingKeyDerivation,
        random::SystemRandom,
    },
    telemetry::{traces::ports::NotMeasured, transactions::Transactions},
};

/// The opened stores of a deployment.
pub(super) struct Stores {
    /// The ports of core: the stores, and the other dependencies.
    pub(super) ports: Ports,
    /// The organizations' databases, which are closed when idle.
    pub(super) databases: Arc<dyn OnDemand>,
    pub(super) deployment_id: Uuid,
}

impl Stores {
    /// Opens the stores, and creates those that are missing.
    pub(super) async fn open(
        config: &Config,
        root_key: Arc<dyn RootKey>,
        audit_copy: &CopyHandle,
        transactions: &Transactions,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let options = SqliteOptions {
            scan_time_max: config.limits.list_time_max(),
            page_time: config.limits.list_page_time(),
            log_max_bytes: config.limits.write_ahead_log_max_bytes.into(),
            sync_failure,
            ..SqliteOptions::default()
        };
        let folder = Arc::new(DataFolder::open(&config.data_dir)?);
        let now = clock.now();
        let new_id = Uuid::from_bytes(random::bytes(&*random));
        let deployment_id = stored_deployment_id(&folder, new_id, options, now).await?;
        let first = move || first_configuration(deployment_id, now);
        let witness =
            audit_copy.witness(None).observed_by(Arc::clone(&transactions.configuration) as Arc<dyn Observer>);
        let open = SqliteStore::open_or_create(folder.configuration(), deployment_id, options, witness, first);
        let configuration: Arc<dyn Store> = open.await.map_err(StartError::Configuration)?;
        prepare_configuration(&*configuration, &*root_key, now).await?;
        let limits = OpenLimits {
            open_max: usize::try_from(config.limits.databases_open_max).unwrap_or(usize::MAX),
            idle_max: config.limits.database_idle_max(),
        };
        let witnesses = {
            let (audit_copy, observer) = (audit_copy.clone(), Arc::clone(&transactions.organizations));
            Box::new(move |id| audit_copy.witness(Some(id)).observed_by(Arc::clone(&observer) as Arc<dyn Observer>))
        };
        let databases = SqliteDatabases::new(folder, deployment_id, options, limits, witnesses, inspect)
            .map_err(StartError::Organizations)?;
        let databases = Arc::new(databases);
        let ports = Ports {
            configuration,
            databases: Arc::clone(&databases) as Arc<dyn OrganizationDatabases>,
            root_key,
            key_derivation: Arc::new(BlockingKeyDerivation),
            computation: Arc::new(ComputationThreads),
            clock,
            random,
            audit_gate: Arc::new(audit_copy.clone()),
            key_uses: Arc::new(NotMeasured),
            fail_points: Arc::new(OfEnvironment),
        };
        Ok(Self { ports, databases, deployment_id })
    }
}

/// The id of the deployment, from its configuration database. It identifies the chain of audit records that this process continues, so the
/// database is opened once to read it, and then again to write.
async fn stored_deployment_id(
    folder: &DataFolder,
    new_id: Uuid,
    options: SqliteOptions,
    now: Timestamp,
) -> Result<Uuid, StartError> {
    let first = move || first_configuration(new_id, now);
    let open = SqliteStore::open_or_create(folder.configuration(), new_id, options, Witness::none(), first);
    let configuration = open.await.map_err(StartError::Configuration)?;
    let id = deployment_id(&*configuration).await?;
    let mut ended = configuration.ended();
    drop(configuration);
    ended.wait().await;
    Ok(id)
}
