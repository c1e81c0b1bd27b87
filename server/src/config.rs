//! The configuration of a deployment. A [`Config`] is checked: its users have nothing left to check.
//!
//! It is one TOML file. The parser refuses invalid TOML, with line and column. Unknown settings, values of the wrong type and invalid values
//! are reported all at once. The code that reads a file which the configuration names, or [`crate::check`], finds out whether that file is
//! usable. Each setting is declared once: in `file`, or as a number in [`limits`].

mod check;
mod file;
pub mod limits;
mod origin;
pub mod setting;
mod sift;
pub mod template;

use std::{
    collections::BTreeMap,
    env, fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use http::Uri;
use jsonwebtoken::Algorithm;
use sealward_core::{
    policy::{Binding, Policy},
    text::{code_point, is_invisible},
};
use serde::Deserialize;
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

pub(crate) use self::check::{CREDENTIAL, lower_case_dns};
use self::{file::ConfigFile, limits::Limits};
pub use self::{
    file::sections,
    origin::{NotAnOrigin, Origin},
};
use crate::files::trusted_file::{self, TrustedFileError};

/// Where the server listens by default: on this machine only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

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

/// The file that a configuration was read from, to tell whether it has changed since.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it said.
    pub text: String,
}

/// `[listen]`: addresses as IP:port. Port 0 takes a free one, which the start message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The TLS listener; [`DEFAULT_ADDRESS`] by default.
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or unreadable, or other users can change it.
    #[error("can't read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustedFileError,
    },
    /// It isn't TOML.
    #[error("invalid TOML in the configuration {path}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What, and where.
        source: Box<toml::de::Error>,
    },
    /// Settings are unknown, missing or invalid.
    #[error("{path} has {count}:{faults}", count = count(faults.0.len()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Faults,
    },
}

/// Everything that is wrong with a configuration: names and types first, then values, in the order of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting: `limits.page_size_max`.
    pub setting: String,
    /// What is wrong, and how to fix it.
    pub problem: String,
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it are resolved against its folder, `"credential:NAME"` against
    /// `$CREDENTIALS_DIRECTORY`.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// Checks the text of a configuration file. `path` is what errors name, and relative paths are resolved against its folder.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`], [`ConfigError::Invalid`]
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        match Self::parse_beside(text, path, credentials_folder().as_deref())? {
            (config, Faults(faults)) if faults.is_empty() => Ok(config),
            (_, faults) => Err(ConfigError::Invalid { path: path.to_owned(), faults }),
        }
    }

    /// Reads a configuration file, and returns its faults together with the rest. A setting with a fault has its default, or an empty path.
    /// The caller has to check whether other users can change the file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], [`ConfigError::Malformed`]
    pub(crate) fn load_with_faults(path: &Path) -> Result<(Self, Faults), ConfigError> {
        let text = trusted_file::look_at_text(path, trusted_file::Kind::Configuration)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse_beside(&text, path, credentials_folder().as_deref())
    }

    fn parse_beside(text: &str, path: &Path, credentials: Option<&Path>) -> Result<(Self, Faults), ConfigError> {
        let malformed = |source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) };
        let mut faults = Faults::default();
        let mut table = DeTable::parse(text).map_err(malformed)?;
        sift::sift(text, table.get_mut(), &mut faults);
        let file = ConfigFile::deserialize(toml::de::Deserializer::from(table)).map_err(malformed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        Ok(check::check(file, source, folder, credentials, faults))
    }

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

    /// Bindings that probably match no caller, because their identities contain something invisible. They apply as they are written.
    pub(crate) fn doubtful_bindings(&self) -> impl Iterator<Item = DoubtfulBinding> {
        self.bindings.iter().enumerate().filter_map(|(index, binding)| {
            let hidden = binding.identity.hidden();
            let identity = visible(&binding.identity.to_string());
            let what = hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            (!hidden.is_empty()).then(|| DoubtfulBinding {
                setting: format!("bindings[{index}].identity"),
                problem: format!(
                    "`{identity}` {what}: it matches only callers whose certificate or token has exactly the same text"
                ),
            })
        })
    }

    /// Logs bindings that probably match no caller.
    pub(crate) fn log_doubtful_bindings(&self) {
        for DoubtfulBinding { setting, problem } in self.doubtful_bindings() {
            tracing::warn!(setting, problem, "role binding probably wrong");
        }
    }

    /// What the bindings grant.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::new(self.bindings.clone())
    }
}

/// A binding that probably matches no caller.
pub(crate) struct DoubtfulBinding {
    /// Where it is.
    pub(crate) setting: String,
    /// Which characters make it doubtful.
    pub(crate) problem: String,
}

/// A text with the numbers of characters that can't be seen in place of them.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            shown.push_str(&format!("<{}>", code_point(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Without the text, which would fill a log.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.setting, fault.problem))
    }
}

/// Where systemd puts the credentials that a unit loads, if it runs this process.
pub(crate) fn credentials_folder() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    trusted_file::read_text(path, trusted_file::Kind::Configuration)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn count(faults: usize) -> String {
    if faults == 1 { "one invalid setting".to_owned() } else { format!("{faults} invalid settings") }
}

#[cfg(test)]
mod tests {
    use sealward_core::{
        identity::Identity,
        policy::{Grant, Privilege, Role, Scope},
    };

    use super::*;

    const SMALLEST: &str = r#"
        data_dir = "data"
        [tls]
        certificate = "tls/server.pem"
        key = "tls/server.key"
        client_ca = "/etc/ca.pem"
        [[root_key.sources]]
        type = "file"
        path = "root.key"
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/srv/sealward.toml"))
    }

    fn faults(text: &str) -> Vec<String> {
        match parse(text) {
            Err(ConfigError::Invalid { faults, .. }) => faults.0.into_iter().map(|fault| fault.setting).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let config = parse(SMALLEST).unwrap();
        assert_eq!(config.listen, Listen { address: DEFAULT_ADDRESS, plaintext_address: None, metrics_address: None });
        assert_eq!(config.tls.minimum_version, TlsVersion::V1_3);
        assert_eq!(config.schema, Schema { mail: true });
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.limits.key_changes_per_hour, 5);
        assert_eq!(config.audit, None);
        assert!(config.bindings.is_empty());
        assert_eq!(config.log, Log { level: LevelFilter::INFO, format: LogFormat::Text });
    }

    #[test]
    fn credentials_are_resolved_in_the_folder_that_systemd_names() {
        let text = SMALLEST.replace("tls/server.key", "credential:server.key")
            + "\n[[root_key.sources]]\ntype = \"credential\"\nname = \"old.key\"";
        let parse = |text: &str, folder| Config::parse_beside(text, Path::new("/srv/sealward.toml"), folder);
        let (config, faults) = parse(&text, Some(Path::new("/run/credentials/sealward.service"))).unwrap();
        assert_eq!(faults, Faults::default());
        assert_eq!(config.tls.key, Path::new("/run/credentials/sealward.service/server.key"));
        let path = "/run/credentials/sealward.service/old.key".into();
        assert_eq!(config.root_key_sources[1], RootKeySource::Credential { name: "old.key".to_owned(), path });
        assert_eq!(config.tls.certificate, Path::new("/srv/tls/server.pem"));

        let faults = |text: &str, folder| parse(text, folder).unwrap().1.to_string();
        let without = faults(&text, None);
        for setting in ["tls.key", "root_key.sources[1].name"] {
            assert!(without.contains(&format!("{setting}: systemd loaded no credentials")), "{without}");
        }
        assert!(without.contains("LoadCredential=server.key:"), "{without}");
        for name in ["", "..", "a/b", "/etc/passwd"] {
            let text = SMALLEST.replace("tls/server.key", &format!("credential:{name}"));
            let text = faults(&text, Some(Path::new("/run/credentials/x")));
            assert!(text.contains(&format!("tls.key: `{name}` is not the name of a credential")), "{name}: {text}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_folder_of_the_file() {
        let config = parse(SMALLEST).unwrap();
        assert_eq!(config.data_dir, Path::new("/srv/data"));
        assert_eq!(config.tls.key, Path::new("/srv/tls/server.key"));
        assert_eq!(config.tls.client_ca, Path::new("/etc/ca.pem"));
        assert_eq!(config.root_key_sources, [RootKeySource::File("/srv/root.key".into())]);
    }

    #[test]
    fn root_key_source_has_a_known_type_and_what_that_type_needs() {
        let sources = |settings: &str| format!("{SMALLEST}[[root_key.sources]]\n{settings}");
        let mounted = parse(&sources("type = \"mounted-secret\"\npath = \"/run/secrets/former.key\"")).unwrap();
        let [file, secret] = &mounted.root_key_sources[..] else { panic!("{:?}", mounted.root_key_sources) };
        assert_eq!(*file, RootKeySource::File("/srv/root.key".into()));
        assert_eq!(*secret, RootKeySource::MountedSecret("/run/secrets/former.key".into()));

        for (settings, setting) in [
            ("path = \"a\"", "[1].type"),
            ("type = \"kms\"", "[1].type"),
            ("type = \"file\"", "[1].path"),
            ("type = \"file\"\npath = \"\"", "[1].path"),
            ("type = \"file\"\npath = \"credential:root.key\"", "[1].path"),
            ("type = \"file\"\npath = \"a\"\nname = \"a\"", "[1].name"),
            ("type = \"mounted-secret\"\nname = \"a\"", "[1].name"),
            ("type = \"credential\"", "[1].name"),
            ("type = \"file\"\npath = \"./root.key\"", "[1]"),
        ] {
            let found = faults(&sources(settings));
            assert!(found.contains(&format!("root_key.sources{setting}")), "{settings}: {found:?}");
        }
        let (without, _) = SMALLEST.split_once("[[root_key.sources]]").unwrap();
        assert_eq!(faults(without), ["root_key.sources"]);
    }

    #[test]
    fn audit_records_go_to_a_file_or_to_stdout_and_whoever_refuses_has_one() {
        let audit = |text: &str| parse(&format!("{SMALLEST}[audit]\n{text}")).unwrap().audit;
        let copy = |to, on_failure| Some(AuditCopy { to, on_failure });
        let file = || CopyTo::File("/srv/log/audit.jsonl".into());
        assert_eq!(audit(r#"file = "log/audit.jsonl""#), copy(file(), OnFailure::Report));
        assert_eq!(audit("file = \"log/audit.jsonl\"\non_failure = \"refuse\""), copy(file(), OnFailure::Refuse));
        assert_eq!(audit(r#"file = "-""#), copy(CopyTo::Stdout, OnFailure::Report));
        assert_eq!(audit(r#"on_failure = "report""#), None);
        assert_eq!(faults(&format!("{SMALLEST}[audit]\non_failure = \"refuse\"")), ["audit.on_failure"]);
    }

    #[test]
    fn bindings_become_a_policy() {
        let text = format!(
            "{SMALLEST}
            [[bindings]]
            identity = \"dns:Mail.Example\"
            role = \"secret-reader\"
            organizations = [\"contoso\", \"fabrikam\"]
            [[bindings]]
            identity = \"cn:admin\"
            role = \"system-administrator\"
            organizations = [\"*\"]"
        );
        let bindings = parse(&text).unwrap().bindings;
        assert_eq!(
            bindings,
            [
                Binding {
                    identity: Identity::Dns("mail.example".to_owned()),
                    role: Role::SecretReader.into(),
                    scope: Scope::Organizations(["contoso".to_owned(), "fabrikam".to_owned()].into()),
                },
                Binding {
                    identity: Identity::CommonName("admin".to_owned()),
                    role: Role::SystemAdministrator.into(),
                    scope: Scope::All
                },
            ]
        );
    }

    #[test]
    fn a_binding_names_a_role_one_of_the_deployment_or_a_privilege() {
        let binding = |role| format!("\n[[bindings]]\nidentity = \"cn:a\"\nrole = \"{role}\"\norganizations = [\"*\"]");
        let roles =
            "\n[[roles]]\nname = \"operator\"\nprivileges = [\"prvReadOrganizations\", \"prvReadEncryptionState\"]";
        let text = [SMALLEST, roles, &binding("operator"), &binding("prvWriteRecords"), &binding("auditor")].concat();
        let granted: Vec<_> = parse(&text).unwrap().bindings.into_iter().map(|binding| binding.role).collect();
        let operator = Grant::of_privileges("operator", [Privilege::ReadOrganizations, Privilege::ReadEncryptionState]);
        assert_eq!(granted, [operator, Privilege::WriteRecords.into(), Role::Auditor.into()]);

        let role = |name: &str, privileges: &str| {
            faults(&format!("{SMALLEST}\n[[roles]]\nname = \"{name}\"\nprivileges = [{privileges}]"))
        };
        assert_eq!(role("auditor", "\"prvReadRecords\""), ["roles[0].name"]);
        assert_eq!(role("Operator", "\"prvReadRecords\""), ["roles[0].name"]);
        assert_eq!(role("operator", ""), ["roles[0].privileges"]);
        assert_eq!(role("operator", "\"prvReadRecord\""), ["roles[0].privileges"]);
        assert_eq!(faults(&[SMALLEST, roles, roles].concat()), ["roles[1].name"]);
    }

    #[test]
    fn an_issuer_says_whose_tokens_for_whom_signed_how_and_where_its_keys_are() {
        let issuer = |change: fn(String) -> String| {
            let text = "\n[[token_issuers]]\nissuer = \"https://idp/\"\naudience = \"sealward\"\nalgorithms = [\"ES256\"]\njwks = \"keys.json\"";
            format!("{SMALLEST}{}", change(text.to_owned()))
        };
        let parsed = parse(&issuer(|text| text)).unwrap().token_issuers;
        assert_eq!(parsed[0].keys, TokenKeys::File("/srv/keys.json".into()));
        assert_eq!(parsed[0].algorithms, [Algorithm::ES256]);
        let url =
            parse(&issuer(|text| text.replace("jwks = \"keys.json\"", "jwks_url = \"https://idp/keys\""))).unwrap();
        assert!(matches!(url.token_issuers[0].keys, TokenKeys::Url { ca: None, .. }));
        type Change = fn(String) -> String;
        let wrong: [(Change, &str); 8] = [
            (|text| text.replace("https://idp/", "a#b"), "issuer"),
            (|text| text.replace("sealward", ""), "audience"),
            (|text| text.replace("ES256", "HS256"), "algorithms"),
            (|text| text.replace("\"ES256\"", ""), "algorithms"),
            (|text| text.replace("jwks = \"keys.json\"", ""), "jwks"),
            (|text| text + "\njwks_url = \"https://idp/keys\"", "jwks"),
            (|text| text.replace("jwks = \"keys.json\"", "jwks_url = \"http://idp/keys\""), "jwks_url"),
            (|text| text + "\njwks_ca = \"ca.pem\"", "jwks_ca"),
        ];
        for (change, setting) in wrong {
            assert_eq!(faults(&issuer(change)), [format!("token_issuers[0].{setting}")]);
        }
        let twice = |text: String| text.clone() + &text;
        assert_eq!(faults(&issuer(twice)), ["token_issuers[1].issuer"]);
    }

    #[test]
    fn a_trust_domain_has_a_name_and_a_bundle() {
        let domain = |name: &str| format!("{SMALLEST}\n[[trust_domains]]\nname = \"{name}\"\nca = \"bundle.pem\"");
        let parsed = parse(&domain("example.org")).unwrap().tls.trust_domains;
        assert_eq!(parsed, [("example.org".to_owned(), "/srv/bundle.pem".into())].into());
        assert_eq!(faults(&domain("spiffe://example.org")), ["trust_domains[0].name"]);
        assert_eq!(
            faults(&(domain("a") + "\n[[trust_domains]]\nname = \"a\"")),
            ["trust_domains[1].name", "trust_domains[1].ca"]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let text = r#"
            [listen]
            address = "localhost"
            plaintext_address = "127.0.0.1"
            origins = ["https://console.example.org/"]
            [tls]
            key = "server.key"
            client_ca = ""
            minimum_version = "1.1"
            [[root_key.sources]]
            type = "vault"
            [limits]
            connections_max = 0
            page_size_max = 1001
            deadline_default_ms = 99999999999
            [[bindings]]
            identity = "admin"
            role = "root"
            organizations = []
            [[bindings]]
            identity = "cn:admin"
            role = "auditor"
            organizations = ["*", "contoso"]
            [audit]
            file = ""
            on_failure = "wait"
            [log]
            level = "loud"
            format = "xml"
            colour = true
        "#;
        assert_eq!(
            faults(text),
            [
                "log.colour",
                "data_dir",
                "listen.address",
                "listen.plaintext_address",
                "listen.origins[0]",
                "tls.certificate",
                "tls.client_ca",
                "tls.minimum_version",
                "root_key.sources[0].type",
                "limits.connections_max",
                "limits.deadline_default_ms",
                "limits.page_size_max",
                "audit.file",
                "audit.on_failure",
                "bindings[0].identity",
                "bindings[0].role",
                "bindings[0].organizations",
                "bindings[1].organizations",
                "log.level",
                "log.format",
            ]
        );
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        let error = parse(&format!(
            "{SMALLEST}[limits]\nconnections_max = 0\n[[bindings]]\nidentity = \"cn:a\"\nrole = \"root\"\norganizations = [\"*\"]"
        ));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("/srv/sealward.toml has 2 invalid settings:"), "{text}");
        assert!(text.contains("limits.connections_max: 0 is not within 1 to 100000 connections"), "{text}");
        assert!(text.contains("bindings[0].role: unknown role `root`: use system-administrator, "), "{text}");
    }

    #[test]
    fn a_setting_that_nobody_knows_is_refused_with_its_line() {
        for text in ["[limits]\nkey_changes = 3", "[tsl]", "[listen]\nspeed = 9"] {
            let error = parse(&format!("{}{text}", SMALLEST.trim_start())).unwrap_err();
            assert!(matches!(error, ConfigError::Invalid { .. }), "{error:?}");
            assert!(error.to_string().contains(": line "), "{error}");
        }
        let error = parse("data_dir = ").unwrap_err();
        let ConfigError::Malformed { source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains("line 1"), "{source}");
    }

    #[test]
    fn what_only_a_start_can_change_is_told_from_what_is_exchanged() {
        let before = parse(SMALLEST).unwrap();
        let exchanged = SMALLEST.replace("server.pem", "other.pem") + "[log]\nlevel = \"debug\"";
        assert_eq!(parse(&exchanged).unwrap().differences_for_a_start(&before), [""; 0]);

        let mut after = parse(SMALLEST).unwrap();
        after.data_dir = "elsewhere".into();
        after.listen = Listen {
            address: ([127, 0, 0, 1], 1).into(),
            plaintext_address: Some(DEFAULT_ADDRESS),
            metrics_address: Some(([127, 0, 0, 1], 2).into()),
        };
        after.origins = vec!["https://console.example.org".parse().unwrap()];
        after.root_key_sources = vec![RootKeySource::MountedSecret("root.key".into())];
        after.schema = Schema { mail: false };
        after.log.format = LogFormat::Json;
        after.limits.page_size_max = 7;
        after.audit = Some(AuditCopy { to: CopyTo::Stdout, on_failure: OnFailure::Refuse });
        let told = after.differences_for_a_start(&before);
        assert!(told.iter().any(|name| name == "limits.page_size_max"));
        let is_at_start = |setting: &&setting::Setting| setting.takes_effect == setting::TakesEffect::AtStart;
        for section in sections().into_iter().filter(|section| section.name != "limits") {
            for setting in section.settings.iter().filter(is_at_start) {
                let name = if section.is_repeated() {
                    section.name.to_owned()
                } else {
                    [section.name, setting.name].join(".")
                };
                assert!(told.iter().any(|told| told == name.trim_start_matches('.')), "{name}");
            }
        }
    }

    #[test]
    fn the_mail_application_can_be_left_out() {
        let config = parse(&format!("{SMALLEST}[schema]\nmail = false")).unwrap();
        assert_eq!(config.schema.descriptors(), sealward::PLATFORM_DESCRIPTOR_SET);
        assert_eq!(parse(SMALLEST).unwrap().schema.descriptors(), sealward::FILE_DESCRIPTOR_SET);
        assert_eq!(faults(&format!("{SMALLEST}[schema]\nmail = 0")), ["schema.mail"]);
    }

    #[test]
    fn both_ends_of_a_range_are_within_it() {
        for limit in limits::LIMITS.iter().filter(|limit| !limit.name.starts_with("deadline")) {
            // A set of keys is used for as long as until the next fetch at least.
            let beside = match limit.name {
                "jwks_age_max_seconds" => "jwks_fetch_interval_seconds = 10\n",
                _ => "",
            };
            for value in [limit.minimum, limit.maximum] {
                assert!(
                    parse(&format!("{SMALLEST}[limits]\n{beside}{} = {value}", limit.name)).is_ok(),
                    "{} = {value}",
                    limit.name
                );
            }
            for value in [i64::from(limit.minimum) - 1, i64::from(limit.maximum) + 1] {
                assert_eq!(
                    faults(&format!("{SMALLEST}[limits]\n{beside}{} = {value}", limit.name)),
                    [format!("limits.{}", limit.name)]
                );
            }
        }
    }
}
