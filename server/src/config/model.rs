//! The configuration of a deployment as a server uses it. A [`Config`] is valid: code that uses it checks nothing again.
//!
//! Nothing here knows how a setting is written in the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use http::Uri;
use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use sealward_core::{
    identity::{Identity, spiffe::SpiffeId},
    policy::{Binding, Policy},
};
use sealward_store::postgres::PostgresAddress;
use tracing::level_filters::LevelFilter;

use super::{environment::Environment, limits::Limits, origin::Origin};

/// The default address of the server, reachable from this machine only.
pub(crate) const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// A deployment's configuration. Relative paths are already resolved against the file's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file as it was read, and the environment.
    pub source: Source,
    /// The folder of `configuration.db` and `organizations/`. Required.
    pub data_dir: PathBuf,
    /// Where the server listens.
    pub listen: Listen,
    /// The programs that can read metrics.
    pub metrics: MetricsAccess,
    /// The web pages that may call; none by default.
    pub pages: Pages,
    /// TLS, and the CAs whose client certificates are accepted.
    pub tls: Tls,
    /// `[[root_key.sources]]`: the sources of the root keys; at least one, without duplicates. The first is the current root key, the
    /// others are former ones.
    pub root_key_sources: Vec<RootKeySource>,
    /// The applications that are served in addition to the platform.
    pub schema: Schema,
    /// All limits.
    pub limits: Limits,
    /// The copy of the audit records outside the databases; none by default.
    pub audit: Option<AuditCopy>,
    /// The collector of traces; none by default.
    pub traces: Option<Traces>,
    /// The PostgreSQL database with all data; by default, the data is in files in `data_dir`.
    pub storage: Option<Storage>,
    /// The issuers whose bearer tokens are accepted; empty by default.
    pub token_issuers: Vec<TokenIssuer>,
    /// The proxies that may name callers; empty by default.
    pub hops: Vec<Arc<Hop>>,
    /// The roles of identities in organizations; empty by default, which permits nothing.
    pub bindings: Vec<Binding>,
    /// The log.
    pub log: Log,
}

impl Config {
    /// The changed settings that only a restart applies. A reload applies all others.
    #[must_use]
    pub fn settings_that_need_a_restart(&self, other: &Self) -> Vec<String> {
        let password_file = |storage: &Storage| storage.password_file.clone();
        let certificate = |storage: &Storage| storage.identity.clone().map(|(certificate, _)| certificate);
        let key = |storage: &Storage| storage.identity.clone().map(|(_, key)| key);
        let owner = |storage: &Storage| storage.owner.clone().map(|owner| owner.role);
        let owner_password = |storage: &Storage| storage.owner.clone().and_then(|owner| owner.password_file);
        let differs = [
            ("data_dir", self.data_dir != other.data_dir),
            ("listen.address", self.listen.address != other.listen.address),
            ("listen.plaintext_address", self.listen.plaintext_address != other.listen.plaintext_address),
            ("listen.proxy_protocol_from", self.listen.proxy_protocol_from != other.listen.proxy_protocol_from),
            ("listen.metrics_address", self.listen.metrics_address != other.listen.metrics_address),
            ("listen.metrics_tls", self.metrics.tls != other.metrics.tls),
            ("listen.metrics_identities", self.metrics.identities != other.metrics.identities),
            ("listen.metrics_token", self.metrics.token != other.metrics.token),
            ("listen.origins", self.pages.origins != other.pages.origins),
            ("listen.own_origin", self.pages.own_origin != other.pages.own_origin),
            ("listen.origins_with_credentials", self.pages.with_credentials != other.pages.with_credentials),
            ("tls.spiffe_workload_api", self.agent(|api| &api.socket) != other.agent(|api| &api.socket)),
            ("tls.spiffe_id", self.agent(|api| &api.spiffe_id) != other.agent(|api| &api.spiffe_id)),
            ("tls.spiffe_agent_uid", self.agent(|api| &api.agent_uid) != other.agent(|api| &api.agent_uid)),
            ("root_key.sources", self.root_key_sources != other.root_key_sources),
            ("schema.mail", self.schema.mail != other.schema.mail),
            ("audit.file", self.audit.as_ref().map(|audit| &audit.to) != other.audit.as_ref().map(|audit| &audit.to)),
            ("audit.on_failure", self.refuses_unless_copied() != other.refuses_unless_copied()),
            ("traces.endpoint", self.collector().0 != other.collector().0),
            ("traces.collector_uid", self.collector_uid() != other.collector_uid()),
            ("traces.headers_file", self.collector().1 != other.collector().1),
            ("traces.ca", self.collector_tls().0 != other.collector_tls().0),
            ("traces.client_certificate", self.collector_tls().1 != other.collector_tls().1),
            ("traces.client_key", self.collector_tls().2 != other.collector_tls().2),
            ("storage.url", self.database(|storage| &storage.address) != other.database(|storage| &storage.address)),
            ("storage.password_file", self.database(password_file) != other.database(password_file)),
            ("storage.ca", self.database(|storage| &storage.ca) != other.database(|storage| &storage.ca)),
            ("storage.client_certificate", self.database(certificate) != other.database(certificate)),
            ("storage.client_key", self.database(key) != other.database(key)),
            ("storage.owner", self.database(owner) != other.database(owner)),
            ("storage.owner_password_file", self.database(owner_password) != other.database(owner_password)),
            ("hops", self.hops != other.hops),
            ("log.format", self.log.format != other.log.format),
        ];
        let names = differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
        names.chain(self.limits.differences(&other.limits).map(|name| format!("limits.{name}"))).collect()
    }

    /// A setting of the Workload API; `None` if it isn't used.
    fn agent<T>(&self, setting: impl FnOnce(&WorkloadApi) -> &T) -> Option<&T> {
        self.tls.certificate.workload_api().map(setting)
    }

    /// A setting of the PostgreSQL database; `None` if there is none.
    fn database<'a, T>(&'a self, setting: impl FnOnce(&'a Storage) -> T) -> Option<T> {
        self.storage.as_ref().map(setting)
    }

    /// The address of the collector of traces, and the file of headers for it.
    fn collector(&self) -> (Option<String>, Option<&PathBuf>) {
        let traces = self.traces.as_ref();
        (traces.map(|traces| traces.collector.to_string()), traces.and_then(|traces| traces.headers_file.as_ref()))
    }

    /// The user of a collector on a Unix socket.
    fn collector_uid(&self) -> Option<u32> {
        match self.traces.as_ref()?.collector {
            CollectorAddress::UnixSocket { uid, .. } => uid,
            CollectorAddress::Tls(_) | CollectorAddress::Loopback(_) => None,
        }
    }

    /// The files of TLS to the collector of traces: CAs, certificate and key.
    fn collector_tls(&self) -> (Option<&PathBuf>, Option<&PathBuf>, Option<&PathBuf>) {
        let Some(Traces { collector: CollectorAddress::Tls(tls), .. }) = &self.traces else {
            return (None, None, None);
        };
        let (certificate, key) = tls.identity.as_ref().map(|(certificate, key)| (certificate, key)).unzip();
        (tls.ca.as_ref(), certificate, key)
    }

    fn refuses_unless_copied(&self) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.on_failure == OnFailure::Refuse)
    }

    /// Whether audit records go to stdout, which then contains nothing else.
    #[must_use]
    pub fn is_audit_on_stdout(&self) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.to == CopyTo::Stdout)
    }

    /// The policy of the bindings.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::new(self.bindings.clone())
    }
}

/// The file that a configuration was read from, to detect later changes, and the settings in the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The path of the file.
    pub path: PathBuf,
    /// The content of the file.
    pub text: String,
    /// The settings that replace those of the file. They are those of the start: the environment of a process doesn't change.
    pub environment: Environment,
}

/// Without the text, which is too long for a log.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// `[listen]`: addresses as IP:port. Port 0 selects a free port, which the server prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The TLS listener; 127.0.0.1:7443 by default.
    pub address: SocketAddr,
    /// A listener without TLS, for probes; none by default. It serves health checks, and refuses all other calls with HTTPS_REQUIRED.
    pub plaintext_address: Option<SocketAddr>,
    /// The networks of load balancers whose connections begin with a header of the PROXY protocol; empty by default.
    pub proxy_protocol_from: Vec<IpNet>,
    /// The listener for metrics; none by default.
    pub metrics_address: Option<SocketAddr>,
}

/// The programs that can read metrics: every program that reaches the address, unless identities or a token are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsAccess {
    /// Whether the listener uses TLS; false by default.
    pub tls: bool,
    /// The identities that can read metrics with their client certificate.
    pub identities: Vec<Identity>,
    /// The file with the token that can read metrics.
    pub token: Option<PathBuf>,
}

/// The web pages that may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The origins of other sites; empty by default.
    pub origins: Vec<Origin>,
    /// The server's own origin; none by default.
    pub own_origin: Option<Origin>,
    /// Whether browsers may send the user's client certificate and cookies from `origins`.
    pub with_credentials: bool,
}

/// `[tls]`: PEM files, or the Workload API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The source of the server's certificate and its key.
    pub certificate: CertificateSource,
    /// The CAs whose client certificates are accepted. Required without `[[trust_domains]]`.
    pub client_ca: Option<PathBuf>,
    /// Certificate revocation lists of these CAs; none by default. If it is set, a client is refused unless every CA in its certificate
    /// path has a list. An expired list is still used, and the log warns.
    pub client_crl: Option<PathBuf>,
    /// The oldest accepted version; 1.3 by default.
    pub minimum_version: TlsVersion,
    /// `[[trust_domains]]`: the CAs of each SPIFFE trust domain, by its name. Empty by default: `client_ca` applies to every trust domain.
    pub trust_domains: BTreeMap<String, Bundle>,
}

/// The source of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files.
    Files {
        /// The server's certificate, followed by the intermediate certificates.
        certificate: PathBuf,
        /// The certificate's private key, unencrypted.
        key: PathBuf,
    },
    /// The SPIFFE Workload API.
    WorkloadApi(WorkloadApi),
}

impl CertificateSource {
    /// The Workload API, if it is the source.
    #[must_use]
    pub fn workload_api(&self) -> Option<&WorkloadApi> {
        match self {
            Self::Files { .. } => None,
            Self::WorkloadApi(api) => Some(api),
        }
    }
}

/// The SPIFFE Workload API: a Unix socket of an agent on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadApi {
    /// The absolute path of the socket.
    pub socket: PathBuf,
    /// The id of the SVID that the server uses; the first SVID by default.
    pub spiffe_id: Option<SpiffeId>,
    /// The user of the agent; root or the server's own user by default.
    pub agent_uid: Option<u32>,
}

/// The source of the CAs of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// A PEM file.
    File(PathBuf),
    /// The Workload API of [`CertificateSource::WorkloadApi`].
    WorkloadApi,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), for clients that don't support TLS 1.3.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// The source of a root key. The module `root_key` loads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKeySource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A secret that a container platform mounts: its group, or all users in the container, can read it.
    MountedSecret(PathBuf),
    /// A credential that systemd loads into the folder `$CREDENTIALS_DIRECTORY`.
    Credential {
        /// Its name in the unit.
        name: String,
        /// The file that systemd created for it.
        path: PathBuf,
    },
}

impl fmt::Display for RootKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::MountedSecret(path) => write!(f, "mounted secret {}", path.display()),
            Self::Credential { name, .. } => write!(f, "credential {name}"),
        }
    }
}

/// `[schema]`: the applications that are served in addition to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Whether the mail application is served; true by default.
    pub mail: bool,
}

impl Schema {
    /// The encoded descriptor set of the served contract.
    #[must_use]
    pub fn descriptors(self) -> &'static [u8] {
        if self.mail { sealward::FILE_DESCRIPTOR_SET } else { sealward::PLATFORM_DESCRIPTOR_SET }
    }
}

/// `[[token_issuers]]`: an issuer whose bearer tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// The issuer as in the tokens' `iss`: without `#`, and unique.
    pub issuer: String,
    /// The audience that tokens must name in `aud`.
    pub audience: String,
    /// The allowed signature algorithms; at least one.
    pub algorithms: Vec<Algorithm>,
    /// The source of the public keys.
    pub keys: TokenKeys,
}

/// The source of an issuer's public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKeys {
    /// A file.
    File(PathBuf),
    /// A web address.
    Url {
        /// `https://…`
        url: Uri,
        /// The CAs for its certificate. Default: the CAs of the system.
        ca: Option<PathBuf>,
    },
}

/// `[[hops]]`: a proxy that may name the callers of the calls that it forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its name, unique.
    pub name: Arc<str>,
    /// How it connects.
    pub entrance: HopEntrance,
    /// The URIs by which its headers name it.
    pub by: BTreeSet<String>,
    /// Whether every header must name it.
    pub must_be_named: bool,
    /// The identities that it may assert.
    pub asserts: Assertable,
}

impl Hop {
    /// The identity of its certificate, if it connects with one.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.entrance {
            HopEntrance::Certificate(identity) => Some(identity),
            HopEntrance::UnixSocket { .. } => None,
        }
    }
}

/// How a hop connects, which proves that it is the hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HopEntrance {
    /// To a Unix socket, from a process of this user.
    UnixSocket {
        /// The path of the socket.
        path: PathBuf,
        /// The id of the user.
        peer_uid: u32,
    },
    /// To the TLS listener, with a client certificate of this identity.
    Certificate(Identity),
}

/// Kinds of identities, restricted by their issuers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assertable {
    /// SPIFFE ids of these trust domains.
    pub trust_domains: BTreeSet<String>,
    /// DNS names in certificates.
    pub dns_names: bool,
    /// Common names in certificates.
    pub common_names: bool,
    /// Subjects of tokens of these issuers.
    pub issuers: BTreeSet<String>,
    /// The identities of all hops, which are never callers.
    pub hops: Arc<BTreeSet<Identity>>,
}

/// `[audit]`: a copy of the audit trails outside the databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCopy {
    /// Its target.
    pub to: CopyTo,
    /// The behavior while it can't be written; [`OnFailure::Report`] by default.
    pub on_failure: OnFailure,
}

/// The target of the copy of the audit trails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyTo {
    /// Stdout, which then contains nothing else.
    Stdout,
    /// The end of a file, which is created if it is missing.
    File(PathBuf),
}

/// The behavior while the copy of the audit trails can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Calls are answered, and the failure is reported.
    Report,
    /// Calls that need an audit record are refused.
    Refuse,
}

/// `[traces]`: the collector of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where the collector is.
    pub collector: CollectorAddress,
    /// The file with the headers of each request to it; none by default.
    pub headers_file: Option<PathBuf>,
}

/// Where a collector receives OTLP over gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectorAddress {
    /// Over TLS.
    Tls(CollectorTls),
    /// On this machine, without TLS.
    Loopback(SocketAddr),
    /// On a Unix socket.
    UnixSocket {
        /// The path of the socket.
        path: PathBuf,
        /// The user id of the collector. Default: root, or the server's own user.
        uid: Option<u32>,
    },
}

impl fmt::Display for CollectorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(CollectorTls { host, port, .. }) if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls(CollectorTls { host, port, .. }) => write!(f, "https://{host}:{port}"),
            Self::Loopback(address) => write!(f, "http://{address}"),
            Self::UnixSocket { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The address of a collector, and the TLS to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorTls {
    /// The name or IP address, which its certificate contains.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The CAs for its certificate. Default: the CAs of the system.
    pub ca: Option<PathBuf>,
    /// The certificate and the private key of this server for the collector; none by default.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// `[storage]`: the PostgreSQL database with all data of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where it is, and the role that the server connects as.
    pub address: PostgresAddress,
    /// The file with the role's password; none by default.
    pub password_file: Option<PathBuf>,
    /// The CAs for the server's certificate. Default: the CAs of the system.
    pub ca: Option<PathBuf>,
    /// The certificate and the private key of this server for PostgreSQL; none by default.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The role that owns the tables. Without it, the server doesn't migrate.
    pub owner: Option<StorageOwner>,
}

/// The role that owns the tables of the PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageOwner {
    /// Its name.
    pub role: String,
    /// The file with its password; none by default.
    pub password_file: Option<PathBuf>,
}

/// `[log]`: the log on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// `off`, `error`, `warn`, `info` (default), `debug` or `trace`, for Sealward's own events. Libraries never log below `warn`, because
    /// their details can contain a caller's data.
    pub level: LevelFilter,
    /// The format.
    pub format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one line of text per event. The default.
    Text,
    /// For programs: one JSON object per line and event.
    Json,
}
