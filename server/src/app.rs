//! The server as a whole: the one place where rpcs, stores, root key and listener meet.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sealward_core::{
    configuration::{ConfigurationError, deployment_id, first_configuration, prepare_configuration},
    crypto::root_key::{RootKey, RootKeySet},
    deployment::{Deployment, KeyLimits, Ports},
    filter,
    id::RecordId,
    key::reseal::{Resealed, reseal},
    organization::{
        create::{CreateOrganizationError, create_first},
        open::{inspect, open_all},
        seen::look,
    },
    port::{Clock, OrganizationDatabases},
    random::{self, Random},
    schema::Schema,
    store::{OpenError, Store, Unavailable},
};
use sealward_store::{
    OnDemand, Witness,
    sqlite::{DataFolder, DataFolderError, OpenLimits, SqliteDatabases, SqliteOptions, SqliteStore},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tower::Layer;
use uuid::Uuid;

use crate::{
    audit::{
        copy::{Begun, Copying},
        denials::Denials,
        trails,
    },
    background::{due_keys, idle, reopen},
    bounds::{Bounded, rates::Rates},
    config::{Config, Log, limits::Limits},
    drain::{Drain, Drained},
    error_chain,
    gates::{
        self, Layers, arrival::ArrivalBounds, deadline::Deadlines, http_gate::HttpGateLayer, metadata::MetadataGate,
        trace::TraceLayer,
    },
    identity::{
        jwks::Fetching,
        token::{Bounds, Issuers, TokenKeysError},
    },
    ports::{
        clock::SystemClock,
        fail_points::{OfEnvironment, sync_failure},
        key_derivation::BlockingKeyDerivation,
        random::SystemRandom,
    },
    reload::{InForce, Read, Reloader},
    root_key::{self, RootKeySourceError},
    rpc::{self, Health, dispatcher::Dispatcher, permission::rpc_table},
    schema,
    telemetry::{
        log_queue,
        metrics::{Believed, Counted, Metrics},
        samples::Samples,
        shed::Shed,
    },
    transport::{
        file_descriptors,
        handshake::{self, Handshakes},
        http2::Http2,
        listener::{BindError, Listener},
        tls::{self, ServerCertificate, Terms, Trust},
    },
    version::VERSION,
};

/// How long a server that was cut short may take to sign its audit trails.
const LAST_SIGNING_MAX: Duration = Duration::from_secs(2);

/// Starts servers.
pub struct App;

/// A server that runs.
pub struct Running {
    address: SocketAddr,
    plaintext_address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    deployment: Arc<Deployment>,
    databases: Arc<dyn OnDemand>,
    limits: Limits,
    /// Whether the data folder has databases of organizations, served or not.
    has_organizations: bool,
    drain: Drain,
    reloader: Reloader,
    log: watch::Receiver<Log>,
    health: Health,
    samples: Samples,
    shed: Shed,
    denials: Denials,
    audit_copy: Option<Begun>,
    serving: JoinHandle<()>,
}

/// Why a server doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A root key can't be loaded from its source.
    #[error("can't load the root key of root_key.sources[{index}]")]
    RootKey {
        /// Which source, counted from 0.
        index: usize,
        /// Why.
        source: RootKeySourceError,
    },
    /// The clock shows a time that can't be right.
    #[error("the clock is out of range: set it to a time in the years 1970 to 9999")]
    Clock,
    /// No root key is configured.
    #[error("root_key.sources is empty: add [[root_key.sources]]")]
    NoRootKey,
    /// The keys of a token issuer can't be used.
    #[error(transparent)]
    TokenKeys(#[from] TokenKeysError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The data folder can't be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The folder of the organizations' databases can't be used.
    #[error("the folder of the organizations' databases can't be used")]
    Organizations(#[source] std::io::Error),
    /// The configuration database can't be opened.
    #[error("the configuration database can't be opened")]
    Configuration(#[source] OpenError),
    /// The configuration database can't be used.
    #[error("the configuration database can't be used")]
    Prepare(#[from] ConfigurationError),
    /// A database doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The schema can't be served.
    #[error("the schema can't be served")]
    Schema(#[from] schema::DescriptorError),
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The contract can't be reflected.
    #[error("the contract can't be reflected")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl App {
    /// Starts a server: databases first, then what a former process left unfinished, then the listener.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        raise_descriptors(&config);
        if !SystemClock.now().is_plausible_now() {
            return Err(StartError::Clock);
        }
        let root_key = load_root_keys(&config).await?;
        let certificate = Arc::new(ServerCertificate::load(&config.tls)?);
        let trust = Arc::new(Trust::load(&config.tls)?);
        let terms = Terms::new(config.tls.minimum_version, &certificate, &trust)?;
        let drain = Drain::new();
        let shed = Shed::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let fetching = Fetching::new(&config.limits, &config.data_dir, clock, shed.clone(), drain.clone());
        let served = schema::read(config.schema.descriptors())?;
        let listener = Listener::bind(&config.listen).await?;
        let metrics = match config.listen.metrics_address {
            Some(address) => Some(Metrics::bind(address).await?),
            None => None,
        };

        config.log_doubtful_bindings();
        let copying = Copying::new(&config, shed.clone());
        let (ports, databases, id) = open_ports(&config, root_key, &copying).await?;
        let deployment = Deployment::new(ports, Arc::clone(&served.schema), key_limits(&config.limits));
        let deployment = deployment.with_filter_bounds(filter_bounds(&config.limits));
        let deployment = Arc::new(deployment.with_page_bytes_max(page_bytes_max(&config.limits)));
        let bounds = Bounds::new(&config.limits, shed.clone());
        let issuers = Issuers::load(&config.token_issuers, bounds.clone(), &fetching, None)?;
        issuers.begin();
        let issuers = Arc::new(issuers);
        let (terms_sender, terms) = watch::channel(Arc::new(terms));
        let (issuers_sender, issuers_in_force) = watch::channel(Arc::clone(&issuers));
        let opened = open_all(&deployment).await?;
        let has_organizations = !opened.not_opened.is_empty() || !deployment.organizations().is_empty();
        reopen::log_not_opened(&opened.not_opened);
        let audit_copy = copying.begin(&config, &deployment, id).await;
        log_resealed(reseal(&deployment).await?);
        reopen::take_up(&deployment, config.limits, &drain, deployment.organizations());
        drain.tasks().spawn(due_keys::keep_reporting(Arc::clone(&deployment), drain.clone()));
        let samples = Samples::new(config.limits.refusal_log_lines_per_minute, shed.clone());
        drain.tasks().spawn(samples.clone().keep_reporting(drain.clone()));
        let trace = TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), samples.clone());
        let refused_handshakes = handshake::Refused::default();
        let handshakes = Handshakes::new(refused_handshakes.clone(), samples.clone(), trace.clone());
        let metrics_address = metrics.as_ref().map(Metrics::address);
        if let Some(metrics) = metrics {
            let believed = Believed { terms: terms.clone(), issuers: issuers_in_force.clone() };
            let counted = Counted { shed: shed.clone(), refused_handshakes };
            let scraped = (Arc::clone(&deployment), copying.clone(), counted, believed);
            let serving = metrics.serve(scraped, config.limits, drain.clone());
            drain.tasks().spawn(serving);
        }
        let closing = idle::keep_closing(Arc::clone(&deployment), Arc::clone(&databases), config.limits, drain.clone());
        drain.tasks().spawn(closing);
        let signing = trails::keep_signing(
            Arc::clone(&deployment),
            Arc::clone(&databases),
            config.limits,
            copying.clone(),
            drain.clone(),
        );
        drain.tasks().spawn(signing);

        let rpcs = Arc::new(rpc_table(&served));
        let health = Health::new(&rpcs, drain.clone());
        health.look(&deployment).await;
        tokio::spawn(health.clone().keep_looking(Arc::clone(&deployment)));
        drain.tasks().spawn(reopen::keep_trying(
            Arc::clone(&deployment),
            config.limits,
            drain.clone(),
            health.clone(),
            opened.not_opened,
        ));

        let denials = Denials::start(Arc::clone(&deployment), &config.limits, shed.clone(), &drain);
        let dispatcher = Arc::new(Dispatcher {
            deployment: Arc::clone(&deployment),
            limits: config.limits,
            drain: drain.clone(),
            denials: denials.clone(),
            rates: Rates::new(&config.limits, &shed),
            bounded: Bounded::new(&config.limits, shed.clone()),
            copying,
            shed: shed.clone(),
        });
        let routes = rpc::routes(dispatcher, &served, Arc::clone(&rpcs), health.clone())
            .map_err(|error| StartError::Reflection(Box::new(error)))?;
        let (policy_sender, policy) = watch::channel(Arc::new(config.policy()));
        let (log_sender, log) = watch::channel(config.log);
        let layers = Layers {
            http_gate: HttpGateLayer::new(config.origins.clone(), samples.clone()),
            trace,
            metadata: MetadataGate::new(config.limits.header_list_size_max_bytes, shed.clone()),
            clock: Arc::new(SystemClock),
            deadlines: Deadlines { default: config.limits.deadline_default(), max: config.limits.deadline_max() },
            rpcs,
            terms: terms.clone(),
            issuers: issuers_in_force,
            policy,
            denials: denials.clone(),
            arrival: ArrivalBounds::of(&config.limits, &shed),
        };
        let (address, plaintext_address) = (listener.address(), listener.plaintext_address());
        let connections = listener.accept(terms.clone(), handshakes, &config.limits, &shed);
        let http2 = Http2::new(&config.limits, terms, Arc::new(SystemRandom), drain.clone(), shed.clone());
        let service = gates::stack(layers).layer(routes.prepare());
        let serving = tokio::spawn(http2.serve(connections, service));
        let in_force = InForce { terms: terms_sender, issuers: issuers_sender, policy: policy_sender, log: log_sender };
        let read = Read { certificate, trust, issuers };
        let reloader = Reloader::start(&config, read, in_force, (bounds, fetching), Arc::new(SystemClock));
        tracing::info!(
            version = VERSION,
            %address,
            plaintext_address = plaintext_address.map(tracing::field::display),
            metrics_address = metrics_address.map(tracing::field::display),
            schema = entity_names(&served.schema),
            organizations = deployment.organizations().len(),
            "serving"
        );
        Ok(Running {
            address,
            plaintext_address,
            metrics_address,
            deployment,
            databases,
            limits: config.limits,
            has_organizations,
            drain,
            reloader,
            log,
            health,
            samples,
            shed,
            denials,
            audit_copy,
            serving,
        })
    }
}

impl Running {
    /// Where TLS is taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where plaintext is taken, if it is.
    #[must_use]
    pub fn plaintext_address(&self) -> Option<SocketAddr> {
        self.plaintext_address
    }

    /// Where metrics are scraped, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What is served, for whoever works in the server's own process: a measurement, for instance. No permission is asked for here.
    #[must_use]
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// How the server is told to end.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// How the server is told to look at its files.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// What is to be logged, as of now: the configuration may change while the server runs.
    #[must_use]
    pub fn log(&self) -> watch::Receiver<Log> {
        self.log.clone()
    }

    /// Ends the server at SIGTERM or SIGINT, after the delay that is configured, and at once at the second.
    ///
    /// # Errors
    /// The system lets no signal handler be set.
    pub fn end_on_signals(&self) -> std::io::Result<()> {
        self.drain.on_signals(self.limits.drain_delay())
    }

    /// Counts and reports lines that the log had no room for, where `dropped` says how many there were so far.
    pub fn report_dropped_lines(&self, dropped: impl Fn() -> u64 + Send + 'static) {
        self.drain.tasks().spawn(log_queue::keep_reporting(dropped, self.shed.clone(), self.drain.clone()));
    }

    /// An id as the server would give a new record; for examples.
    #[must_use]
    pub fn new_record_id(&self) -> String {
        let ports = &self.deployment.ports;
        RecordId::new_v7(ports.clock.now(), &*ports.random).to_string()
    }

    /// Creates the first organization of a deployment; does nothing where there are any, served or not.
    ///
    /// # Errors
    /// [`CreateOrganizationError`], but not that it exists.
    pub async fn ensure_organization(&self, name: &str) -> Result<(), CreateOrganizationError> {
        if self.has_organizations {
            return Ok(());
        }
        match create_first(&self.deployment, name).await {
            Ok(_) | Err(CreateOrganizationError::AlreadyExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the server was told to end and has ended.
    pub async fn wait(self) -> Drained {
        let health = self.health;
        let not_serving = async move { health.set(tonic_health::ServingStatus::NotServing).await };
        let serving = async move {
            if let Err(error) = self.serving.await {
                tracing::error!(%error, "serving broke");
            }
        };
        let drained = self.drain.finish(not_serving, serving, self.limits.drain_timeout()).await;
        self.samples.report();
        self.denials.finish().await;
        match drained {
            Drained::Whole => leave_whole_files(&self.deployment, &*self.databases, self.audit_copy).await,
            // What was cut short is taken up at the next start, but what was recorded until here is signed all the same.
            Drained::CutShort => {
                if timeout(LAST_SIGNING_MAX, trails::sign_all(&self.deployment, &*self.databases)).await.is_err() {
                    tracing::warn!("audit trails not signed in time; the next start signs them");
                }
            }
        }
        drained
    }
}

/// Signs the trails and copies the last of them, remembers what the open databases are now, and moves their logs into them: a file is
/// whole by itself when the server has ended.
async fn leave_whole_files(deployment: &Deployment, databases: &dyn OnDemand, audit_copy: Option<Begun>) {
    trails::sign_all(deployment, databases).await;
    if let Some(copy) = audit_copy {
        copy.finish().await;
    }
    for organization in deployment.organizations().into_iter().filter(|organization| databases.is_open(organization.id))
    {
        let left = async {
            look(deployment, &organization).await?;
            organization.store.scrub().await
        };
        if let Err(error) = left.await {
            let (organization, error) = (&organization.name, error_chain::text(&error));
            tracing::warn!(organization, error, "its log is left for the next start to take in");
        }
    }
    if let Err(error) = deployment.ports.configuration.scrub().await {
        tracing::warn!(
            error = error_chain::text(&error),
            "the configuration's log is left for the next start to take in"
        );
    }
}

fn raise_descriptors(config: &Config) {
    let needed = file_descriptors::needed(config);
    if let Some(available) = file_descriptors::raise()
        && available < needed
    {
        tracing::warn!(
            available,
            needed,
            "file descriptors may run out: raise the hard limit (LimitNOFILE=, ulimit -Hn), or lower limits.connections_max or \
             limits.databases_open_max"
        );
    }
}

async fn load_root_keys(config: &Config) -> Result<Arc<dyn RootKey>, StartError> {
    let mut keys = Vec::new();
    for (index, source) in config.root_key_sources.iter().enumerate() {
        keys.push(root_key::load(source).await.map_err(|source| StartError::RootKey { index, source })?);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or(StartError::NoRootKey)?;
    Ok(Arc::new(RootKeySet::new(current, keys.collect())))
}

/// The ports, the databases behind one of them, which are closed when they are idle, and the id of the deployment.
async fn open_ports(
    config: &Config,
    root_key: Arc<dyn RootKey>,
    copying: &Copying,
) -> Result<(Ports, Arc<dyn OnDemand>, Uuid), StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let options = SqliteOptions {
        scan_time_max: config.limits.list_time_max(),
        log_max_bytes: config.limits.write_ahead_log_max_bytes.into(),
        sync_failure,
        ..SqliteOptions::default()
    };
    let folder = Arc::new(DataFolder::open(&config.data_dir)?);
    let now = clock.now();
    let new_id = Uuid::from_bytes(random::bytes(&*random));
    // Opened twice: whose chain of audit records this is stands inside.
    let id = {
        let open = SqliteStore::open_or_create(folder.configuration(), new_id, options, Witness::none(), move || {
            first_configuration(new_id, now)
        });
        let first = open.await.map_err(StartError::Configuration)?;
        let id = deployment_id(&*first).await?;
        let mut ended = first.ended();
        drop(first);
        ended.wait().await;
        id
    };
    let first = move || first_configuration(id, now);
    let open = SqliteStore::open_or_create(folder.configuration(), id, options, copying.witness(None), first);
    let configuration: Arc<dyn Store> = open.await.map_err(StartError::Configuration)?;
    prepare_configuration(&*configuration, &*root_key, now).await?;
    let limits = OpenLimits {
        open_max: usize::try_from(config.limits.databases_open_max).unwrap_or(usize::MAX),
        idle_max: config.limits.database_idle_max(),
    };
    let witnesses = {
        let copying = copying.clone();
        Box::new(move |id| copying.witness(Some(id)))
    };
    let databases =
        SqliteDatabases::new(folder, id, options, limits, witnesses, inspect).map_err(StartError::Organizations)?;
    let databases = Arc::new(databases);
    let ports = Ports {
        configuration,
        databases: Arc::clone(&databases) as Arc<dyn OrganizationDatabases>,
        root_key,
        key_derivation: Arc::new(BlockingKeyDerivation),
        clock,
        random,
        audit_gate: Arc::new(copying.clone()),
        fail_points: Arc::new(OfEnvironment),
    };
    Ok((ports, databases, id))
}

fn entity_names(schema: &Schema) -> String {
    schema.entities().iter().map(|entity| entity.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn key_limits(limits: &Limits) -> KeyLimits {
    KeyLimits {
        changes_per_hour: limits.key_changes_per_hour,
        restores_per_quarter_hour: limits.wrong_key_restores_per_15_minutes,
        comparisons_per_quarter_hour: limits.comparisons_per_15_minutes,
        change_due_days: limits.key_change_due_days,
        reencryption_batch_cells: limits.reencryption_batch_cells,
    }
}

fn filter_bounds(limits: &Limits) -> filter::Bounds {
    let number = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    filter::Bounds {
        length_max_bytes: number(limits.filter_length_max_bytes),
        depth_max: number(limits.filter_depth_max),
        comparisons_max: number(limits.filter_comparisons_max),
    }
}

/// What a message leaves for the records of a page.
pub(crate) fn page_bytes_max(limits: &Limits) -> usize {
    // The token of the next page has 4,500 characters at most, and the total size some bytes.
    const REST: u32 = 8_192;
    usize::try_from(limits.message_size_max_bytes.saturating_sub(REST)).unwrap_or(usize::MAX)
}

fn log_resealed(resealed: Resealed) {
    for organization in resealed.organizations {
        let name = organization.name;
        match organization.texts {
            Ok(0) => {}
            Ok(texts) => {
                tracing::info!(organization = name, texts, "key texts were sealed again under the first root key")
            }
            Err(error) => tracing::warn!(
                organization = name,
                error = error_chain::text(&error),
                "key texts are still sealed under a former root key, which is needed until a start seals them again"
            ),
        }
        for text in organization.unopened {
            tracing::error!(
                organization = name,
                wanted_fingerprint = %text.wanted,
                error = error_chain::text(&text.error),
                "a key text can't be opened by any root key given"
            );
        }
    }
    match resealed.root_keys_retired {
        Ok(0) => {}
        Ok(root_keys) => tracing::info!(
            root_keys,
            "former root keys seal nothing any more: remove them from root_key.sources after 24 hours, when no request id needs them"
        ),
        Err(error) => {
            tracing::warn!(error = error_chain::text(&error), "former root keys are needed until the next start")
        }
    }
}
