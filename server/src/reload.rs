//! Reloads files while the server runs: the server's certificate, client CAs and revocation lists, token issuers and their keys, roles and
//! bindings, and the log level.
//!
//! The files are checked at intervals and at SIGHUP. These are the parts: the configuration, the server's certificate with its key, each
//! source of trust in clients, and the keys of token issuers. Each part is reloaded as a whole, and if it is invalid, its previous version
//! stays in use while the others take effect. At an interval, a change is loaded once two checks in a row find it, so that a half-written
//! file isn't loaded. SIGHUP means that the files are complete, and loads a change at once. The files are read, not watched: a mount that
//! swaps links shows changes only this way. The SPIFFE Workload API sends complete updates, which are also loaded at once.
//!
//! The files of the collector of traces are checked, too, for reports only: each request to the collector reads them again.
//!
//! This module doesn't know connections or calls. They follow the watches that it sends to.

mod collector_files;
mod part;
mod trust_parts;

pub use self::part::Outcome;

use std::{error::Error, io, sync::Arc};

use sealward_core::{policy::Policy, port::Clock};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::MissedTickBehavior,
};

use crate::{
    certificates::{Certificate, Certificates},
    config::{Config, Log, Tls, TokenIssuer},
    error_chain,
    finding::{Finding, Severity},
    identity::{
        jwks::Fetching,
        token::{Bounds, Issuers},
    },
    reload::{
        collector_files::CollectorFiles,
        part::{Ask, Part},
        trust_parts::TrustParts,
    },
    telemetry::samples::Samples,
    transport::tls::{IsoTime, ServerCertificate, TlsContext, Trust},
    workload_api::{APPLIED, REFUSED, Update, Workload},
};

/// The remedy of a certificate of the Workload API that can't be used, unless its problem has another one.
const CHECK_AGENT: &str = "check the agent, and the registration entry of the server";

/// The number of reload requests in the queue. A request that finds it full waits.
const ASKED_MAX: usize = 8;

/// A handle to request reloads.
#[derive(Clone, Debug)]
pub struct Reloader {
    asked: mpsc::Sender<oneshot::Sender<Reloaded>>,
}

/// The result of a requested reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The configuration file: bindings, log level, and the paths of the files of `[tls]`.
    pub configuration: Outcome,
    /// The server's certificate and its key.
    pub certificate: Outcome,
    /// Client CAs and revocation lists.
    pub trust: Outcome,
    /// Token issuers, and their keys in files.
    pub token_issuers: Outcome,
}

/// The parts that a reload replaces.
pub(crate) struct ReloadSenders {
    /// What handshakes are made with.
    pub(crate) tls_context: watch::Sender<Arc<TlsContext>>,
    /// The token issuers that are trusted.
    pub(crate) issuers: watch::Sender<Arc<Issuers>>,
    /// The permissions of identities.
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    /// The settings of the log.
    pub(crate) log: watch::Sender<Log>,
    /// The findings about the files.
    pub(crate) findings: watch::Sender<Arc<[Finding]>>,
    /// The certificates of the settings of the collector of traces.
    pub(crate) collector: watch::Sender<Arc<[Certificate]>>,
}

/// The parts that were read at the start.
pub(crate) struct Read {
    pub(crate) certificate: Arc<ServerCertificate>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) issuers: Arc<Issuers>,
    /// The Workload API that the server uses, if any.
    pub(crate) workload: Option<Workload>,
}

impl Reloader {
    /// Reloads changed files now. `None` if the server stops meanwhile.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(answer).await.ok()?;
        answered.await.ok()
    }

    /// Reloads files at each SIGHUP.
    ///
    /// # Errors
    /// The system doesn't allow a signal handler.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut signals = signal(SignalKind::hangup())?;
        let reloader = self.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("SIGHUP received, reloading");
                if reloader.reload().await.is_none() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Starts checking the files, until the server drains. `config` is the configuration of the start, `read` the parts in use.
    pub(crate) fn start(
        config: &Config,
        read: Read,
        senders: ReloadSenders,
        (bounds, fetching): (Bounds, Fetching),
        (clock, samples): (Arc<dyn Clock>, Samples),
    ) -> Self {
        let (asked, orders) = mpsc::channel(ASKED_MAX);
        let mut interval = tokio::time::interval(config.limits.reload_check_interval());
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain_begun = fetching.drain.begun();
        let Read { certificate, trust, issuers, workload } = read;
        let started = Config::parse_again(&config.source).unwrap_or_else(|_| config.clone());
        let events = workload.clone();
        let files = Files {
            configuration: Part::new("configuration", started.clone(), &samples),
            started,
            certificate: Part::new("server certificate", certificate, &samples),
            trust: TrustParts::new(&config.tls, trust, &samples),
            issuers: Part::new("token issuers", issuers, &samples),
            token_issuers: config.token_issuers.clone(),
            bounds,
            fetching,
            tls: config.tls.clone(),
            collector: CollectorFiles::new(config.traces.clone()),
            is_tls_context_due: false,
            workload,
            senders,
            clock,
            warned: Vec::new(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = drain_begun => {}
                () = files.keep_looking(interval, orders, events) => {}
            }
        });
        Self { asked }
    }
}

/// The files, and the versions in use.
struct Files {
    /// The configuration of the start, whose settings are in use if only a restart applies them.
    started: Config,
    configuration: Part<Config>,
    certificate: Part<Arc<ServerCertificate>>,
    trust: TrustParts,
    issuers: Part<Arc<Issuers>>,
    /// The token issuers, with the sources of their keys.
    token_issuers: Vec<TokenIssuer>,
    bounds: Bounds,
    fetching: Fetching,
    /// The paths of the files of `[tls]`.
    tls: Tls,
    /// The files of `[traces]`, as of the start.
    collector: CollectorFiles,
    /// Whether handshakes don't use the current parts yet.
    is_tls_context_due: bool,
    /// The Workload API, if the server uses it.
    workload: Option<Workload>,
    senders: ReloadSenders,
    clock: Arc<dyn Clock>,
    /// The findings about certificates, lists and keys that were logged last.
    warned: Vec<Finding>,
}

impl Files {
    async fn keep_looking(
        mut self,
        mut interval: tokio::time::Interval,
        mut orders: mpsc::Receiver<oneshot::Sender<Reloaded>>,
        mut events: Option<Workload>,
    ) {
        self.report();
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    self.look(Ask::Settled).await;
                }
                Some(answer) = orders.recv() => {
                    // The requester may have left.
                    let _left = answer.send(self.look(Ask::Now).await);
                }
                event = next_event(&mut events) => match event {
                    Event::Received => self.look_at_update().await,
                    Event::ConnectionChanged => self.report(),
                }
            }
        }
    }

    /// The configuration comes first, since it has the paths of the other files.
    async fn look(&mut self, ask: Ask) -> Reloaded {
        let version_before = self.tls.minimum_version;
        let configuration = self.look_at_configuration(ask).await;
        let certificate = self.look_at_certificate(ask).await;
        let (trust, is_trust_changed) = self.look_at_trust(ask).await;
        self.is_tls_context_due |=
            certificate == Outcome::Taken || is_trust_changed || self.tls.minimum_version != version_before;
        self.exchange_tls_context();
        let token_issuers = self.look_at_issuers(ask).await;
        self.look_at_collector().await;
        self.report();
        Reloaded { configuration, certificate, trust, token_issuers }
    }

    async fn look_at_configuration(&mut self, ask: Ask) -> Outcome {
        let before = self.configuration.in_force.clone();
        let source = before.source.clone();
        let seen = read(move || Config::load_again(source)).await;
        let outcome = self.configuration.look(seen, ask);
        if outcome == Outcome::Taken {
            self.configuration_taken(&before);
        }
        outcome
    }

    fn configuration_taken(&mut self, before: &Config) {
        let now = &self.configuration.in_force;
        if now.bindings != before.bindings {
            self.senders.policy.send_replace(Arc::new(now.policy()));
            tracing::info!(bindings = now.bindings.len(), "role bindings reloaded");
            now.log_doubtful_bindings();
        }
        if now.log != before.log {
            self.senders.log.send_replace(now.log);
            tracing::info!(level = %now.log.level, "log level reloaded");
        }
        // A server that uses the Workload API, or is to use it, changes its source at a restart.
        let source = self.tls.certificate.clone();
        self.tls = now.tls.clone();
        if source.workload_api().is_some() || self.tls.certificate.workload_api().is_some() {
            self.tls.certificate = source;
        }
        self.token_issuers = now.token_issuers.clone();
        // A setting that has its former value again needs no restart.
        let changed = now.settings_that_need_a_restart(before);
        for setting in now.settings_that_need_a_restart(&self.started) {
            if changed.contains(&setting) {
                tracing::warn!(setting, "changed setting needs a restart");
            }
        }
    }

    /// Applies a message of the Workload API. Its certificate and its bundles don't wait for each other: the certificate expires soon, and a
    /// bundle may lack a CA that was removed. Files aren't read now, because they may be half-written.
    async fn look_at_update(&mut self) {
        let certificate = self.look_at_certificate(Ask::Update).await;
        let is_trust_changed = self.look_at_bundles().await;
        self.is_tls_context_due |= certificate == Outcome::Taken || is_trust_changed;
        self.exchange_tls_context();
        self.report();
        // Last, so that an update that is counted is applied.
        if let Some(workload) = &self.workload {
            let is_refused = matches!(certificate, Outcome::Refused(_)) || self.trust.is_bundle_refused();
            workload.updates.add(if is_refused { REFUSED } else { APPLIED }, 1);
        }
    }

    /// The last valid SVID of the Workload API.
    fn update(&self) -> Option<Arc<Update>> {
        self.workload.as_ref().map(|workload| Arc::clone(&workload.received.borrow().update))
    }

    async fn look_at_certificate(&mut self, ask: Ask) -> Outcome {
        let (tls, current, now) = (self.tls.clone(), Arc::clone(&self.certificate.in_force), self.clock.now());
        let update = self.update();
        let load = move || ServerCertificate::load_in_place_of(&current, &tls, update.as_deref(), now).map(Arc::new);
        let fault = self.workload.as_ref().and_then(|workload| workload.received.borrow().fault.clone());
        self.certificate.remedy = match &fault {
            Some(fault) => fault.remedy.clone().into(),
            None if self.workload.is_some() => CHECK_AGENT.into(),
            None => part::FIX_FILES.into(),
        };
        let seen = match fault {
            Some(fault) => Err(fault.problem),
            None => read(load).await,
        };
        let outcome = self.certificate.look(seen, ask);
        if outcome == Outcome::Taken {
            let certificate = &self.certificate.in_force;
            tracing::info!(
                subject = certificate.subject(),
                names = certificate.names().join(", "),
                not_after = certificate.not_after().map(|time| IsoTime::from(time).to_string()),
                fingerprint = certificate.fingerprint(),
                "server certificate reloaded"
            );
        }
        outcome
    }

    /// Looks at every source of trust. Also returns whether the trust has changed, which may be so although a source was refused.
    async fn look_at_trust(&mut self, ask: Ask) -> (Outcome, bool) {
        let bundles = self.workload.as_ref().map(|workload| Arc::clone(&workload.received.borrow().bundles));
        let read = self.trust.reader(&self.tls, bundles);
        if let Ok(reading) = spawn_blocking(read).await {
            self.trust.look(reading, ask);
        }
        let is_changed = self.trust.apply();
        let outcome = match self.trust.failures() {
            Some(failures) => Outcome::Refused(failures),
            None if is_changed => Outcome::Taken,
            None => Outcome::Unchanged,
        };
        (outcome, is_changed)
    }

    /// Looks at the bundles of the Workload API only. Returns whether the trust has changed.
    async fn look_at_bundles(&mut self) -> bool {
        let Some(workload) = &self.workload else { return false };
        let bundles = Arc::clone(&workload.received.borrow().bundles);
        let read = self.trust.bundle_reader(&self.tls, bundles);
        if let Ok(reading) = spawn_blocking(read).await {
            self.trust.look(reading, Ask::Update);
        }
        self.trust.apply()
    }

    async fn look_at_issuers(&mut self, ask: Ask) -> Outcome {
        let (settings, bounds, fetching) = (self.token_issuers.clone(), self.bounds.clone(), self.fetching.clone());
        let before = Arc::clone(&self.issuers.in_force);
        let load = move || Issuers::load(&settings, bounds, &fetching, Some(&before)).map(Arc::new);
        let outcome = self.issuers.look(read(load).await, ask);
        if outcome == Outcome::Taken {
            let issuers = Arc::clone(&self.issuers.in_force);
            issuers.begin();
            self.senders.issuers.send_replace(issuers);
            tracing::info!("token issuers or their keys reloaded");
        }
        outcome
    }

    /// Looks at the files of the collector of traces, which only reports need.
    async fn look_at_collector(&mut self) {
        let Some(read) = self.collector.reader() else { return };
        if let Ok(seen) = spawn_blocking(read).await {
            self.senders.collector.send_replace(self.collector.look(seen));
        }
    }

    /// Lets handshakes use changed parts. After a failure, the next look tries it again.
    fn exchange_tls_context(&mut self) {
        if !self.is_tls_context_due {
            return;
        }
        match TlsContext::new(self.tls.minimum_version, &self.certificate.in_force, self.trust.in_force()) {
            Ok(tls_context) => {
                self.senders.tls_context.send_replace(Arc::new(tls_context));
                self.is_tls_context_due = false;
            }
            Err(error) => tracing::error!(
                error = error_chain::text(&error),
                "TLS reload failed; the previous certificates and CAs stay in use"
            ),
        }
    }

    /// The certificates in use.
    fn certificates(&self) -> Certificates {
        Certificates {
            server: self.certificate.in_force.certificates(),
            client_cas: self.trust.in_force().client_cas().cloned().collect(),
            token_issuers: self.issuers.in_force.certificates(),
            collector: self.senders.collector.borrow().to_vec(),
        }
    }

    /// Publishes the findings, and logs those about certificates, lists and keys once until they change. They may change with time alone.
    fn report(&mut self) {
        let now = self.clock.now();
        let of_certificate = self.certificate.in_force.findings(now);
        let of_trust = self.trust.in_force().findings(now);
        let of_validity = self.certificates().findings(now);
        let of_credentials = of_certificate.into_iter().chain(of_trust).chain(of_validity);
        let of_credentials: Vec<_> = of_credentials.chain(self.issuers.in_force.findings(now)).collect();
        let of_workload = self.workload.iter().filter_map(Workload::finding);
        for new in of_credentials.iter().filter(|finding| !self.warned.contains(finding)) {
            let Finding { severity, subject: setting, problem, remedy } = new;
            match severity {
                Severity::Error => tracing::error!(setting, "{problem}: {remedy}"),
                Severity::Warning => tracing::warn!(setting, "{problem}: {remedy}"),
            }
        }
        let refused = [self.configuration.refused(), self.certificate.refused(), self.issuers.refused()];
        let refused = refused.into_iter().flatten().chain(self.trust.refused()).chain(self.collector.refused());
        let configuration = &self.configuration.in_force;
        let to_restart = configuration.settings_that_need_a_restart(&self.started).into_iter().map(|setting| {
            Finding::warning(setting, "the changed setting applies only after a restart", "restart the server")
        });
        let findings = refused.chain(of_credentials.iter().cloned()).chain(of_workload);
        let findings: Arc<[Finding]> = findings.chain(configuration.doubtful_bindings()).chain(to_restart).collect();
        self.senders.findings.send_if_modified(|published| {
            let is_new = *published != findings;
            *published = findings;
            is_new
        });
        self.warned = of_credentials;
    }
}

/// What the Workload API has reported.
enum Event {
    /// A message of the agent, valid or not.
    Received,
    /// The agent was lost, or reached again.
    ConnectionChanged,
}

/// Waits for the Workload API, for ever if the server doesn't use it.
async fn next_event(workload: &mut Option<Workload>) -> Event {
    let Some(workload) = workload else { return std::future::pending().await };
    let changed = tokio::select! {
        changed = workload.received.changed() => changed.map(|()| Event::Received),
        changed = workload.connection.changed() => changed.map(|()| Event::ConnectionChanged),
    };
    match changed {
        Ok(event) => event,
        // The server drains.
        Err(_) => std::future::pending().await,
    }
}

/// Reads files on a blocking thread. Errors become text, to be compared and logged.
async fn read<T, E>(load: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
    E: Error + Send + 'static,
{
    match spawn_blocking(load).await {
        Ok(read) => read.map_err(|error| error_chain::text(&error)),
        Err(ended) => Err(ended.to_string()),
    }
}
