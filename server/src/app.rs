//! The server as a whole: the only module that combines rpcs, stores, root key and listener.

mod credentials;
pub(crate) mod data_folder;
mod deployment;
mod error;
mod observation;
pub(crate) mod postgres;
mod recovery;
mod reloadable;
mod running;
mod service;
mod sockets;
mod stores;

use std::{sync::Arc, time::Instant};

use sealward_core::{
    deployment::Deployment, organization::open::NotOpened, port::Clock, random::Random, schema::Schema,
};
use sealward_store::OnDemand;
use tokio::task::spawn_blocking;

use self::{
    credentials::Credentials,
    deployment::deployment,
    observation::{Observation, observe},
    recovery::recover,
    reloadable::Reloadable,
    service::{Parts, service},
    sockets::{Addresses, Sockets},
    stores::Stores,
};
pub use self::{error::StartError, running::Running};
use crate::{
    audit::{copy::CopyHandle, denials::Denials, maintenance},
    background::{follow::Following, idle, reopen},
    config::{Config, limits::Limits},
    drain::Drain,
    gates::arrival::ArrivalBounds,
    identity::{
        jwks::Fetching,
        token::{Bounds, Issuers},
    },
    ports::{clock::SystemClock, random::SystemRandom},
    reload::{Read, Reloader},
    rpc::{Health, permission::rpc_table, server::ServerFacts},
    schema,
    telemetry::{
        metrics::{Sources, access},
        shed::Shed,
        traces::{SpanOutcomes, Started, Traces, ports::with_spans},
        transactions::Transactions,
    },
    transport::{
        connection_limit::ListenerSlots,
        file_descriptors,
        probe::Readiness,
        serving::{Serving, Shared},
        workers::Workers,
    },
    version::VERSION,
    workload_api::Follower,
};

/// Starts servers.
pub struct App;

impl App {
    /// Starts a server: credentials and sockets, databases, recovery of unfinished work, background tasks, calls.
    ///
    /// # Errors
    /// [`StartError`]; then nothing listens.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        // First all checks that need no database: a start that fails here has written nothing.
        let start_time = SystemClock.now();
        raise_file_descriptors(&config);
        check_clock()?;
        check_metrics_token(&config).await?;
        let credentials = Credentials::load(&config).await?;
        let (drain, shed) = (Drain::new(), Shed::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let span_outcomes = SpanOutcomes::new(Instant::now());
        let sources = (Arc::clone(&clock), Arc::new(SystemRandom) as Arc<dyn Random>);
        let collector = config.traces.as_ref();
        let Started { traces, exporting, certificates: of_collector } =
            Traces::start(collector, &config.limits, sources, span_outcomes.clone(), &shed).await?;
        let fetching = Fetching::new(&config.limits, &config.data_dir, Arc::clone(&clock), shed.clone(), drain.clone());
        let served = schema::read(config.schema.descriptors())?;
        // From here on, connecting clients wait. If an address is in use, the start fails before a database is opened.
        let sockets = Sockets::bind(&config).await?;
        let addresses = sockets.addresses();
        config.log_doubtful_bindings();

        // The stores report to the audit copy, so it is created before them. It starts to copy when they are open.
        let audit_copy = CopyHandle::new(&config, shed.clone());
        let transactions = Transactions::default();
        let stores = Stores::open(&config, credentials.root_key, &audit_copy, &transactions).await?;
        stores.databases.started().await;
        let ports = if traces.are_on() { with_spans(stores.ports) } else { stores.ports };
        let deployment = deployment(ports, &served.schema, &config.limits);
        // Keys of token issuers are stored in the data folder, which this process has locked now.
        let token_bounds = Bounds::new(&config.limits, shed.clone());
        let issuers = Arc::new(Issuers::load(&config.token_issuers, token_bounds.clone(), &fetching, None)?);
        issuers.begin();
        let workload = credentials.follower.as_ref().map(Follower::workload);
        let (reloadable, senders) =
            Reloadable::new(&config, credentials.tls_context, &issuers, &of_collector, workload.clone());
        let recovered = recover(&config, &deployment, stores.deployment_id, &audit_copy, &drain).await?;

        // The organizations are open: background tasks can start, and health is correct before the first health check.
        let readiness = Readiness::default();
        let rpcs = Arc::new(rpc_table(&served));
        let observation = observe(&deployment, &rpcs, traces, &config.limits, (&drain, &shed));
        let arrival = ArrivalBounds::of(&config.limits, &shed);
        let slots = ListenerSlots::new(&config.limits, &shed, sockets.hops.sockets.len());
        let sources = Sources {
            deployment: Arc::clone(&deployment),
            databases: Arc::clone(&stores.databases),
            data_dir: config.data_dir.clone(),
            audit_copy: audit_copy.clone(),
            trust: reloadable.trust(),
            calls: observation.trace.calls().clone(),
            transactions,
            slots: slots.clone(),
            budgets: [Arc::clone(&arrival.requests), Arc::clone(&arrival.answers)],
            shed: shed.clone(),
            refused_handshakes: observation.refused_handshakes.clone(),
            forged: observation.forged.clone(),
            span_outcomes: span_outcomes.clone(),
            limits: config.limits,
        };
        observation.serve_metrics(sockets.metrics, sources, readiness.clone(), &drain);
        maintain_databases(&deployment, &stores.databases, &audit_copy, &config, &drain);
        let health = Health::new(&rpcs, readiness.clone(), drain.clone());
        watch_health(&health, &deployment).await;
        follow_or_retry(&deployment, &stores.databases, (&health, recovered.not_opened), config.limits, &drain);
        let denials = Denials::start(Arc::clone(&deployment), &config.limits, shed.clone(), &drain);

        // Calls can be served from here on.
        let requests = Arc::clone(&arrival.requests);
        let databases = Arc::clone(&stores.databases);
        let (trust, findings) = (reloadable.trust(), reloadable.findings.clone());
        let facts = ServerFacts::new(&config, start_time, databases, trust, findings, span_outcomes);
        let service = service(Parts {
            config: &config,
            served: &served,
            rpcs,
            deployment: &deployment,
            audit_copy,
            denials: &denials,
            arrival,
            health: &health,
            facts,
            observation: &observation,
            reloadable: &reloadable,
            drain: &drain,
            shed: &shed,
        })?;
        let Observation { samples, handshakes, .. } = observation;
        let workers = Workers::start().map_err(StartError::Workers)?;
        let (tls_context, places) = (reloadable.tls_context.clone(), workers.places());
        let connections = sockets.listener.accept(tls_context, handshakes, places, &config.limits, slots, sockets.hops);
        let random = Arc::new(SystemRandom);
        let shared = Shared { requests, readiness, shed: shed.clone() };
        let serving = Serving::new(&config.limits, reloadable.tls_context, random, drain.clone(), shared);
        let serving = tokio::spawn(serve(serving.serve(connections, service), workers, drain.clone()));
        // Last, so that no reload happens during the start.
        if let Some(follower) = credentials.follower {
            drain.spawn(follower.keep_following(drain.clone(), samples.clone()));
        }
        let read = Read { certificate: credentials.certificate, trust: credentials.trust, issuers, workload };
        let reloader = Reloader::start(&config, read, senders, (token_bounds, fetching), (clock, samples.clone()));
        log_serving(&addresses, &served.schema, &deployment);
        Ok(Running {
            addresses,
            deployment,
            databases: stores.databases,
            _folder: stores.folder,
            limits: config.limits,
            has_organizations: recovered.has_organizations,
            drain,
            reloader,
            log: reloadable.log,
            health,
            samples,
            shed,
            denials,
            audit_copy: recovered.audit_copy,
            exporting,
            serving,
        })
    }
}

fn raise_file_descriptors(config: &Config) {
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

fn check_clock() -> Result<(), StartError> {
    if SystemClock.now().is_plausible_now() { Ok(()) } else { Err(StartError::Clock) }
}

/// Checks that scrapers can present the token. It is read again for each scrape.
async fn check_metrics_token(config: &Config) -> Result<(), StartError> {
    let Some(path) = config.metrics.token.clone() else { return Ok(()) };
    // An aborted read counts as a file that can't be read, at the first scrape.
    let Ok(read) = spawn_blocking(move || access::read_token(&path)).await else { return Ok(()) };
    Ok(read.map(drop)?)
}

/// Starts the tasks that close idle databases, and that record notes and sign and truncate audit trails.
fn maintain_databases(
    deployment: &Arc<Deployment>,
    databases: &Arc<dyn OnDemand>,
    audit_copy: &CopyHandle,
    config: &Config,
    drain: &Drain,
) {
    let limits = config.limits;
    let (deployment, databases) = (Arc::clone(deployment), Arc::clone(databases));
    let closing = idle::keep_closing(Arc::clone(&deployment), Arc::clone(&databases), limits, drain.clone());
    drain.spawn(closing);
    let settings = (config.data_dir.clone(), limits);
    let signing = maintenance::keep_signing(deployment, databases, settings, audit_copy.clone(), drain.clone());
    drain.spawn(signing);
}

/// Reports health from now on.
async fn watch_health(health: &Health, deployment: &Arc<Deployment>) {
    health.check(deployment).await;
    tokio::spawn(health.clone().keep_checking(Arc::clone(deployment)));
}

/// Starts to follow other servers, or to retry organizations that weren't opened.
fn follow_or_retry(
    deployment: &Arc<Deployment>,
    databases: &Arc<dyn OnDemand>,
    (health, not_opened): (&Health, Vec<NotOpened>),
    limits: Limits,
    drain: &Drain,
) {
    let (deployment, drain, health) = (Arc::clone(deployment), drain.clone(), health.clone());
    let spawning = drain.clone();
    match deployment.ports.databases.is_shared() {
        true => {
            let databases = Arc::clone(databases);
            let following = Following { deployment, databases, limits, drain, health, not_opened };
            spawning.spawn(following.keep_following());
        }
        false => drop(spawning.spawn(reopen::keep_trying(deployment, limits, drain, health, not_opened))),
    }
}

/// Serves until the server has stopped. The workers belong to this task, so that they end with the runtime of the server at the latest.
async fn serve(serving: impl Future<Output = ()>, workers: Workers, drain: Drain) {
    serving.await;
    // Tasks may still read requests, whose timers belong to the workers.
    drain.begin();
    drain.tasks_ended().await;
    workers.end().await;
}

fn log_serving(addresses: &Addresses, schema: &Schema, deployment: &Deployment) {
    let entity_names: Vec<&str> = schema.entities().iter().map(|entity| entity.name.as_str()).collect();
    tracing::info!(
        version = VERSION,
        address = %addresses.tls,
        plaintext_address = addresses.plaintext.map(tracing::field::display),
        metrics_address = addresses.metrics.map(tracing::field::display),
        schema = entity_names.join(" "),
        organizations = deployment.organizations().len(),
        "serving"
    );
}
