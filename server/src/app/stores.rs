//! Opens the configuration database and the organizations' databases, in files or in PostgreSQL.

use std::sync::Arc;

use sealward_core::{
    configuration::{deployment_id, first_configuration, prepare_configuration},
    crypto::root_key::RootKey,
    deployment::Ports,
    id::Timestamp,
    organization::open::inspect,
    port::{Clock, OrganizationDatabases},
    random::{self, Random},
    store::{Store, Unavailable},
};
use sealward_store::{
    Observer, OnDemand, Witness, Witnesses,
    postgres::PostgresDatabases,
    sqlite::{DataFolder, OpenLimits, SqliteDatabases, SqliteOptions, SqliteStore},
};
use uuid::Uuid;

use super::{data_folder, error::StartError, postgres::PostgresError};
use crate::{
    audit::copy::CopyHandle,
    config::{Config, Storage},
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
    /// Keeps other servers out of the data folder.
    pub(super) folder: Arc<DataFolder>,
}

/// The databases of a store.
struct Opened {
    configuration: Arc<dyn Store>,
    organizations: Arc<dyn OrganizationDatabases>,
    on_demand: Arc<dyn OnDemand>,
    deployment_id: Uuid,
}

/// What every store needs.
struct Opening<'a> {
    config: &'a Config,
    root_key: &'a dyn RootKey,
    /// The witness of the configuration's audit chain, and that of the organizations'.
    witness: Witness,
    witnesses: Witnesses,
    now: Timestamp,
    /// A random id, for a deployment that is created.
    new_id: Uuid,
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
        let witness =
            audit_copy.witness(None).observed_by(Arc::clone(&transactions.configuration) as Arc<dyn Observer>);
        let witnesses: Witnesses = {
            let (audit_copy, observer) = (audit_copy.clone(), Arc::clone(&transactions.organizations));
            Box::new(move |id| audit_copy.witness(Some(id)).observed_by(Arc::clone(&observer) as Arc<dyn Observer>))
        };
        // The folder also contains the keys of token issuers, so it is needed with any store.
        let folder = Arc::new(DataFolder::open(&config.data_dir)?);
        let (now, new_id) = (clock.now(), Uuid::from_bytes(random::bytes(&*random)));
        let opening = Opening { config, root_key: &*root_key, witness, witnesses, now, new_id };
        let opened = match &config.storage {
            None => Box::pin(opening.files(Arc::clone(&folder))).await?,
            Some(storage) => Box::pin(opening.postgres(storage, Uuid::from_bytes(random::bytes(&*random)))).await?,
        };
        let Opened { configuration, organizations, on_demand, deployment_id } = opened;
        let ports = Ports {
            configuration,
            databases: organizations,
            root_key,
            key_derivation: Arc::new(BlockingKeyDerivation),
            computation: Arc::new(ComputationThreads),
            clock,
            random,
            audit_gate: Arc::new(audit_copy.clone()),
            key_uses: Arc::new(NotMeasured),
            fail_points: Arc::new(OfEnvironment),
        };
        Ok(Self { ports, databases: on_demand, deployment_id, folder })
    }
}

impl Opening<'_> {
    /// Opens the databases in files.
    async fn files(self, folder: Arc<DataFolder>) -> Result<Opened, StartError> {
        let Opening { config, root_key, witness, witnesses, now, new_id } = self;
        data_folder::is_of_files(&config.data_dir)?;
        let options = SqliteOptions {
            scan_time_max: config.limits.list_time_max(),
            page_time: config.limits.list_page_time(),
            log_max_bytes: config.limits.write_ahead_log_max_bytes.into(),
            sync_failure,
            ..SqliteOptions::default()
        };
        let deployment_id = stored_deployment_id(&folder, new_id, options, now).await?;
        let first = move || first_configuration(deployment_id, now);
        let open = SqliteStore::open_or_create(folder.configuration(), deployment_id, options, witness, first);
        let configuration: Arc<dyn Store> = open.await.map_err(StartError::Configuration)?;
        prepare_configuration(&*configuration, root_key, now).await?;
        let limits = OpenLimits {
            open_max: usize::try_from(config.limits.databases_open_max).unwrap_or(usize::MAX),
            idle_max: config.limits.database_idle_max(),
        };
        let databases = SqliteDatabases::new(folder, deployment_id, options, limits, witnesses, inspect)
            .map_err(StartError::Organizations)?;
        let databases = Arc::new(databases);
        let organizations = Arc::clone(&databases) as Arc<dyn OrganizationDatabases>;
        Ok(Opened { configuration, organizations, on_demand: databases, deployment_id })
    }

    /// Opens the databases in PostgreSQL. `holder` is a random id of this process.
    async fn postgres(self, storage: &Storage, holder: Uuid) -> Result<Opened, StartError> {
        let Opening { config, root_key, witness, witnesses, now, new_id } = self;
        let known = data_folder::deployment_in_postgres(&config.data_dir)?;
        let postgres = super::postgres::open(storage, &config.limits, holder).await?;
        if postgres.is_empty().await.map_err(PostgresError::Open)? {
            data_folder::compare(&config.data_dir, known, None)?;
        }
        let first = || first_configuration(new_id, now);
        let open = postgres.open_configuration(new_id, Witness::none(), first);
        let created = open.await.map_err(StartError::Configuration)?;
        let deployment_id = deployment_id(&*created).await?;
        drop(created);
        data_folder::compare(&config.data_dir, known, Some(deployment_id))?;
        // Again, as the writer of the deployment's audit chain.
        let open = postgres.open_configuration(deployment_id, witness, || first_configuration(deployment_id, now));
        let configuration: Arc<dyn Store> = open.await.map_err(StartError::Configuration)?;
        prepare_configuration(&*configuration, root_key, now).await?;
        data_folder::remember(&config.data_dir, deployment_id)?;
        let databases = PostgresDatabases::new(postgres, deployment_id, witnesses, inspect).await;
        let databases = Arc::new(databases.map_err(|error| StartError::Unavailable(Unavailable(error)))?);
        let organizations = Arc::clone(&databases) as Arc<dyn OrganizationDatabases>;
        Ok(Opened { configuration, organizations, on_demand: databases, deployment_id })
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
