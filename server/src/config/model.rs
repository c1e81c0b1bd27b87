//! The configuration of a deployment as a server uses it. A [`Config`] is checked: its users have nothing left to check.
//!
//! Nothing here knows how a setting is written in the file.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use http::Uri;
use jsonwebtoken::Algorithm;
use sealward_core::policy::{Binding, Policy};
use tracing::level_filters::LevelFilter;

use super::{limits::Limits, origin::Origin};

/// Where the server listens by default: on this machine only.
pub(crate) const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// A deployment's configuration. Paths are as they are to be used: relative ones were resolved against the file's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file as it was read.
    pub source: Source,
    /// The folder of `configuration.db` and `organizations/`. Required.
    pub data_dir: PathBuf,
    /// Where the server listens.
    pub listen: Listen,
    /// Pages of which origins may call; none by default.
    pub origins: Vec<Origin>,
    /// How TLS is spoken, and whose client certificates are believed.
    pub tls: Tls,
    /// `[[root_key.sources]]`: where the deployment's own keys come from; at least one, none twice. The first is the current root key, the
    /// others are former ones.
    pub root_key_sources: Vec<RootKeySource>,
    /// What is served in addition to the platform.
    pub schema: Schema,
    /// Every bound.
    pub limits: Limits,
    /// Where audit records go beside the databases; nowhere by default.
    pub audit: Option<AuditCopy>,
    /// Whose bearer tokens are believed; none by default.
    pub token_issuers: Vec<TokenIssuer>,
    /// Who has which role where; none by default, so that nobody may do anything.
    pub bindings: Vec<Binding>,
    /// What is logged.
    pub log: Log,
}

impl Config {
    /// The settings that differ from another configuration's and that only a restart applies. A reload applies all others.
    #[must_use]
    pub fn differences_for_a_start(&self, other: &Self) -> Vec<String> {
        let differs = [
            ("data_dir", self.data_dir != other.data_dir),
            ("listen.address", self.listen.address != other.listen.address),
            ("listen.plaintext_address", self.listen.plaintext_address != other.listen.plaintext_address),
            ("listen.metrics_address", self.listen.metrics_address != other.listen.metrics_address),
            ("listen.origins", self.origins != other.origins),
            ("root_key.sources", self.root_key_sources != other.root_key_sources),
            ("schema.mail", self.schema.mail != other.schema.mail),
            ("audit.file", self.audit.as_ref().map(|audit| &audit.to) != other.audit.as_ref().map(|audit| &audit.to)),
            ("audit.on_failure", self.refuses_unless_copied() != other.refuses_unless_copied()),
            ("log.format", self.log.format != other.log.format),
        ];
        let names = differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
        names.chain(self.limits.differences(&other.limits).map(|name| format!("limits.{name}"))).collect()
    }

    fn refuses_unless_copied(&self) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.on_failure == OnFailure::Refuse)
    }

    /// Whether audit records go to stdout, which has nothing else then.
    #[must_use]
    pub fn is_audit_on_stdout(&self) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.to == CopyTo::Stdout)
    }

    /// What the bindings grant.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::new(self.bindings.clone())
    }
}

/// The file that a configuration was read from, to tell whether it has changed since.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it said.
    pub text: String,
}

/// Without the text, which would fill a log.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// `[listen]`: addresses as IP:port. Port 0 takes a free one, which the start message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The TLS listener; 127.0.0.1:7443 by default.
    pub address: SocketAddr,
    /// A listener without TLS, for probes; none by default. It answers health, and every other call with HTTPS_REQUIRED.
    pub plaintext_address: Option<SocketAddr>,
    /// Where metrics are scraped, without TLS; none by default.
    pub metrics_address: Option<SocketAddr>,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate, followed by those between it and its CA. Required.
    pub certificate: PathBuf,
    /// The private key of the certificate, unencrypted. Required.
    pub key: PathBuf,
    /// The CAs whose client certificates are believed. Required.
    pub client_ca: PathBuf,
    /// Certificate revocation lists of those CAs; none by default. With it, every CA that issued one of a client's certificates needs a
    /// list, or the client is refused. A list past its time goes on being used, and the log warns.
    pub client_crl: Option<PathBuf>,
    /// The oldest version spoken; 1.3 by default.
    pub minimum_version: TlsVersion,
    /// `[[trust_domains]]`: which CAs speak for which trust domain of SPIFFE; by name. None by default: `client_ca` speaks for all.
    pub trust_domains: BTreeMap<String, PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), for clients that can't do better.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Where a root key comes from. The module `root_key` loads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKeySource {
    /// A file that only its owner may read.
    File(PathBuf),
    /// A secret that a container platform mounts: its group, or all users in the container, may read it.
    MountedSecret(PathBuf),
    /// A credential that systemd loads into the folder `$CREDENTIALS_DIRECTORY`.
    Credential {
        /// Its name in the unit.
        name: String,
        /// The file that systemd made of it.
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

/// `[schema]`: what is served in addition to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Whether the mail application is served; it is by default.
    pub mail: bool,
}

impl Schema {
    /// The encoded descriptor set of the contract that is served.
    #[must_use]
    pub fn descriptors(self) -> &'static [u8] {
        if self.mail { sealward::FILE_DESCRIPTOR_SET } else { sealward::PLATFORM_DESCRIPTOR_SET }
    }
}

/// `[[token_issuers]]`: whose bearer tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// What tokens name in `iss`; without `#`, no two alike.
    pub issuer: String,
    /// What tokens must name in `aud`.
    pub audience: String,
    /// How tokens may be signed; at least one.
    pub algorithms: Vec<Algorithm>,
    /// Where the public keys are.
    pub keys: TokenKeys,
}

/// Where the public keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKeys {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url {
        /// `https://…`
        url: Uri,
        /// The CAs of the server there; the system's where there is none.
        ca: Option<PathBuf>,
    },
}

/// `[audit]`: a copy of the audit trails beside the databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCopy {
    /// Where it goes.
    pub to: CopyTo,
    /// What happens while it can't be written; [`OnFailure::Report`] by default.
    pub on_failure: OnFailure,
}

/// Where the copy of the audit trails goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyTo {
    /// To stdout, which has nothing else then.
    Stdout,
    /// To the end of a file, which is made if there is none.
    File(PathBuf),
}

/// What happens while the copy of the audit trails can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Calls are answered, and it is reported.
    Report,
    /// Calls that have to be recorded are refused.
    Refuse,
}

/// `[log]`: what goes to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// `off`, `error`, `warn`, `info` (default), `debug` or `trace`; for Sealward's own events. Those of the libraries under it never
    /// go below `warn`, since what they say in detail may hold what a caller sent.
    pub level: LevelFilter,
    /// How it is written.
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: a line of text for each event. The default.
    Text,
    /// For programs: a JSON object in a line for each event.
    Json,
}
