//! From the file as written to a configuration, and to everything that is wrong with it: nothing, if it needs no more checking.
//!
//! Touches no file and no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Component, Path, PathBuf},
};

use http::{Uri, uri::Scheme};
use jsonwebtoken::Algorithm;
use sealward_core::{
    identity::{Identity, spiffe::is_trust_domain},
    policy::{Binding, Grant, Privilege, Role, Scope},
};
use tracing::level_filters::LevelFilter;

use super::{
    AuditCopy, Config, CopyTo, DEFAULT_ADDRESS, Fault, Faults, Listen, Log, LogFormat, NotAnOrigin, OnFailure, Origin,
    RootKey, RootKeySource, Schema, Source, Tls, TlsVersion, TokenIssuer, TokenKeys,
    file::{
        AuditSection, BindingSection, ConfigFile, ListenSection, LogSection, RoleSection, RootKeySection, TlsSection,
        TokenIssuerSection, TrustDomainSection,
    },
};

/// What a path begins with if systemd loads it: what follows is the credential's name.
pub(crate) const CREDENTIAL: &str = "credential:";

/// In a binding's `organizations`: all of them.
const ALL_ORGANIZATIONS: &str = "*";

/// In `audit.file`: stdout.
const STDOUT: &str = "-";

/// How tokens can be signed: with private keys only, since whoever can verify an HMAC can make one.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::EdDSA,
];

/// `folder` is where relative paths start, `credentials` where systemd put what it loaded, and `faults` what was found before.
pub(super) fn check(
    file: ConfigFile,
    source: Source,
    folder: &Path,
    credentials: Option<&Path>,
    faults: Faults,
) -> (Config, Faults) {
    let mut check = Check { folder, credentials, faults };
    let data_dir = check.path("data_dir", file.data_dir);
    let (listen, origins) = check.listen(file.listen);
    let config = Config {
        source,
        data_dir,
        listen,
        origins,
        tls: check.tls(file.tls, file.trust_domains),
        root_key: check.root_key(file.root_key),
        schema: Schema { mail: file.schema.mail.unwrap_or(true) },
        limits: file.limits.check(&mut check.faults),
        audit: check.audit(file.audit),
        token_issuers: check.token_issuers(file.token_issuers),
        bindings: check.bindings(file.roles, file.bindings),
        log: check.log(file.log),
    };
    (config, check.faults)
}

impl Faults {
    /// Notes one more.
    pub(super) fn add(&mut self, setting: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault { setting: setting.into(), problem: problem.into() });
    }
}

/// Every method notes what is wrong, and answers then with a default or an empty path.
struct Check<'a> {
    folder: &'a Path,
    credentials: Option<&'a Path>,
    faults: Faults,
}

impl Check<'_> {
    fn listen(&mut self, section: ListenSection) -> (Listen, Vec<Origin>) {
        let address = section.address.and_then(|text| self.address("listen.address", &text)).unwrap_or(DEFAULT_ADDRESS);
        let plaintext_address =
            section.plaintext_address.and_then(|text| self.address("listen.plaintext_address", &text));
        let metrics_address = section.metrics_address.and_then(|text| self.address("listen.metrics_address", &text));
        for (setting, other) in
            [("listen.plaintext_address", plaintext_address), ("listen.metrics_address", metrics_address)]
        {
            if other == Some(address) && address.port() != 0 {
                self.faults.add(setting, format!("{address} is listen.address already; take another port"));
            }
        }
        if let Some(address) = metrics_address
            && plaintext_address == metrics_address
            && address.port() != 0
        {
            let problem = format!("{address} is listen.plaintext_address already; take another port");
            self.faults.add("listen.metrics_address", problem);
        }
        let origins = self.origins(&section.origins);
        (Listen { address, plaintext_address, metrics_address }, origins)
    }

    fn origins(&mut self, texts: &[String]) -> Vec<Origin> {
        let parsed = texts.iter().enumerate().filter_map(|(index, text)| match text.parse() {
            Ok(origin) => Some(origin),
            Err(error) => {
                let error: NotAnOrigin = error;
                self.faults.add(format!("listen.origins[{index}]"), error.to_string());
                None
            }
        });
        parsed.collect()
    }

    fn address(&mut self, setting: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.faults.add(setting, format!("`{text}` is no IP:port, such as {DEFAULT_ADDRESS} or [::]:7443"));
        }
        address
    }

    fn tls(&mut self, section: TlsSection, trust_domains: Vec<TrustDomainSection>) -> Tls {
        Tls {
            certificate: self.path("tls.certificate", section.certificate),
            key: self.path("tls.key", section.key),
            client_ca: self.path("tls.client_ca", section.client_ca),
            client_crl: section.client_crl.map(|file| self.path("tls.client_crl", Some(file))),
            minimum_version: self.tls_version(section.minimum_version.as_deref()),
            trust_domains: self.trust_domains(trust_domains),
        }
    }

    fn trust_domains(&mut self, sections: Vec<TrustDomainSection>) -> BTreeMap<String, PathBuf> {
        let mut domains = BTreeMap::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = |name: &str| format!("trust_domains[{index}].{name}");
            let name = section.name.unwrap_or_default();
            if !is_trust_domain(&name) {
                let problem = format!("`{name}` is no trust domain; write example.org, not spiffe://example.org");
                self.faults.add(setting("name"), problem);
            } else if domains.contains_key(&name) {
                self.faults.add(setting("name"), format!("`{name}` is there already; one file can have several CAs"));
            }
            let ca = self.path(&setting("ca"), section.ca);
            domains.insert(name, ca);
        }
        domains
    }

    fn token_issuers(&mut self, sections: Vec<TokenIssuerSection>) -> Vec<TokenIssuer> {
        let mut issuers: Vec<TokenIssuer> = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = |name: &str| format!("token_issuers[{index}].{name}");
            let issuer = self.filled(setting("issuer"), section.issuer);
            if issuer.contains('#') {
                self.faults.add(setting("issuer"), "has a `#`, which separates issuer and subject in bindings");
            } else if issuers.iter().any(|other| other.issuer == issuer) {
                self.faults.add(setting("issuer"), format!("`{issuer}` is there already"));
            }
            let audience = self.filled(setting("audience"), section.audience);
            let algorithms = self.algorithms(setting("algorithms"), &section.algorithms);
            let keys = match (section.jwks, section.jwks_url) {
                (Some(file), None) => {
                    if section.jwks_ca.is_some() {
                        self.faults.add(setting("jwks_ca"), "is for jwks_url");
                    }
                    TokenKeys::File(self.path(&setting("jwks"), Some(file)))
                }
                (None, Some(url)) => {
                    let url = self.https_url(setting("jwks_url"), &url);
                    let ca = section.jwks_ca.map(|file| self.path(&setting("jwks_ca"), Some(file)));
                    TokenKeys::Url { url, ca }
                }
                (None, None) | (Some(_), Some(_)) => {
                    self.faults
                        .add(setting("jwks"), "say where the issuer's keys are: in jwks or at jwks_url, one of them");
                    TokenKeys::File(PathBuf::new())
                }
            };
            issuers.push(TokenIssuer { issuer, audience, algorithms, keys });
        }
        issuers
    }

    fn algorithms(&mut self, setting: String, names: &[String]) -> Vec<Algorithm> {
        if names.is_empty() {
            self.faults.add(setting, "is missing or empty; name how the issuer signs, such as [\"ES256\"]");
            return Vec::new();
        }
        let known = |name: &String| ALGORITHMS.into_iter().find(|algorithm| format!("{algorithm:?}") == *name);
        if let Some(other) = names.iter().find(|name| known(name).is_none()) {
            let all = ALGORITHMS.map(|algorithm| format!("{algorithm:?}")).join(", ");
            self.faults.add(setting, format!("`{other}` is no algorithm to sign tokens with here; there are: {all}"));
        }
        names.iter().filter_map(known).collect()
    }

    fn https_url(&mut self, setting: String, text: &str) -> Uri {
        match text.parse::<Uri>() {
            Ok(url) if url.scheme() == Some(&Scheme::HTTPS) && url.host().is_some() => url,
            Ok(_) | Err(_) => {
                self.faults.add(setting, format!("`{text}` is no address that begins with https://"));
                Uri::default()
            }
        }
    }

    fn filled(&mut self, setting: String, text: Option<String>) -> String {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            self.faults.add(setting, "is missing or empty");
        }
        text
    }

    fn roles(&mut self, sections: Vec<RoleSection>) -> BTreeMap<String, Grant> {
        let mut roles = BTreeMap::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = |name: &str| format!("roles[{index}].{name}");
            let name = section.name.unwrap_or_default();
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_plain) {
                self.faults
                    .add(setting("name"), format!("`{name}` isn't made of lower-case letters, digits and hyphens"));
            } else if Role::ALL.into_iter().any(|role| role.name() == name) || roles.contains_key(&name) {
                self.faults.add(setting("name"), format!("there is a role `{name}` already"));
            }
            let mut privileges = Vec::new();
            for text in &section.privileges {
                match text.parse::<Privilege>() {
                    Ok(privilege) => privileges.push(privilege),
                    Err(error) => {
                        let all = Privilege::ALL.map(Privilege::name).join(", ");
                        self.faults.add(setting("privileges"), format!("{error}; there are: {all}"));
                    }
                }
            }
            if section.privileges.is_empty() {
                self.faults.add(setting("privileges"), "is missing or empty; name at least one");
            }
            roles.insert(name.clone(), Grant::of_privileges(name, privileges));
        }
        roles
    }

    fn tls_version(&mut self, text: Option<&str>) -> TlsVersion {
        match text {
            None | Some("1.3") => TlsVersion::V1_3,
            Some("1.2") => TlsVersion::V1_2,
            Some(other) => {
                self.faults.add("tls.minimum_version", format!("`{other}` is neither \"1.3\" nor \"1.2\""));
                TlsVersion::V1_3
            }
        }
    }

    fn root_key(&mut self, section: RootKeySection) -> RootKey {
        if section.files.is_empty() {
            self.faults.add("root_key.files", "is missing or empty; name at least one file of 32 random bytes");
        }
        let files: Vec<_> = section.files.into_iter().map(|file| self.path("root_key.files", Some(file))).collect();
        if files.iter().collect::<BTreeSet<_>>().len() < files.len() {
            self.faults.add("root_key.files", "names a file twice");
        }
        let source = match section.source.as_deref() {
            None | Some("file") => RootKeySource::File,
            Some("mounted-secret") => RootKeySource::MountedSecret,
            Some(other) => {
                self.faults.add("root_key.source", format!("`{other}` is neither \"file\" nor \"mounted-secret\""));
                RootKeySource::File
            }
        };
        RootKey { files, source }
    }

    fn audit(&mut self, section: AuditSection) -> Option<AuditCopy> {
        let to = section.file.map(|file| match file.to_str() {
            Some(STDOUT) => CopyTo::Stdout,
            Some(_) | None => self.copy_to(file),
        });
        let on_failure = match section.on_failure.as_deref() {
            None | Some("report") => OnFailure::Report,
            Some("refuse") => OnFailure::Refuse,
            Some(other) => {
                self.faults.add("audit.on_failure", format!("`{other}` is neither \"report\" nor \"refuse\""));
                OnFailure::Report
            }
        };
        if to.is_none() && on_failure == OnFailure::Refuse {
            self.faults.add("audit.on_failure", "is for a copy: say in audit.file where it goes");
        }
        Some(AuditCopy { to: to?, on_failure })
    }

    /// A file, unless it is one of the streams of this process under another name: records must not mix with anything else there.
    fn copy_to(&mut self, file: PathBuf) -> CopyTo {
        let path = self.path("audit.file", Some(file));
        if is_stream(&path, io::stdout()) {
            return CopyTo::Stdout;
        }
        if is_stream(&path, io::stderr()) {
            self.faults
                .add("audit.file", "is this process's stderr, which has the log: name a file, or \"-\" for stdout");
        }
        CopyTo::File(path)
    }

    fn bindings(&mut self, roles: Vec<RoleSection>, sections: Vec<BindingSection>) -> Vec<Binding> {
        let roles = self.roles(roles);
        let numbered = sections.into_iter().enumerate();
        numbered.filter_map(|(index, section)| self.binding(index, section, &roles)).collect()
    }

    fn binding(&mut self, index: usize, section: BindingSection, roles: &BTreeMap<String, Grant>) -> Option<Binding> {
        let setting = |name: &str| format!("bindings[{index}].{name}");
        let identity = match section.identity {
            Some(text) => text.parse().map_err(|error| self.faults.add(setting("identity"), format!("{error}"))).ok(),
            None => {
                self.faults.add(setting("identity"), "is missing");
                None
            }
        };
        let role = self.grant(setting("role"), section.role.as_deref(), roles);
        let scope = self.scope(setting("organizations"), section.organizations);
        Some(Binding { identity: lower_case_dns(identity?), role: role?, scope: scope? })
    }

    fn grant(&mut self, setting: String, name: Option<&str>, roles: &BTreeMap<String, Grant>) -> Option<Grant> {
        let Some(name) = name else {
            self.faults.add(setting, "is missing");
            return None;
        };
        let standard = Role::ALL.into_iter().find(|role| role.name() == name).map(Grant::from);
        let found =
            standard.or_else(|| roles.get(name).cloned()).or_else(|| Some(name.parse::<Privilege>().ok()?.into()));
        if found.is_none() {
            let all: Vec<_> = Role::ALL.map(Role::name).into_iter().chain(roles.keys().map(String::as_str)).collect();
            let problem = format!("`{name}` is no role; there are: {}, and each privilege by itself", all.join(", "));
            self.faults.add(setting, problem);
        }
        found
    }

    fn scope(&mut self, setting: String, names: Vec<String>) -> Option<Scope> {
        if names == [ALL_ORGANIZATIONS] {
            return Some(Scope::All);
        }
        let problem = if names.is_empty() {
            "is missing or empty; name organizations, or [\"*\"] for all"
        } else if names.iter().any(|name| name == ALL_ORGANIZATIONS) {
            "has \"*\" among names; it stands alone, for all"
        } else if names.iter().any(|name| name.is_empty() || name.contains('/')) {
            "has something that is no organization's name; write contoso, not organizations/contoso"
        } else {
            return Some(Scope::Organizations(names.into_iter().collect()));
        };
        self.faults.add(setting, problem);
        None
    }

    fn log(&mut self, section: LogSection) -> Log {
        let level = match section.level.as_deref() {
            None => LevelFilter::INFO,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.faults.add("log.level", format!("`{text}` is none of: off, error, warn, info, debug, trace"));
                LevelFilter::INFO
            }),
        };
        let format = match section.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                self.faults.add("log.format", format!("`{other}` is neither \"text\" nor \"json\""));
                LogFormat::Text
            }
        };
        Log { level, format }
    }

    fn path(&mut self, setting: &str, path: Option<PathBuf>) -> PathBuf {
        match path {
            Some(path) if path.to_str().is_some_and(|path| path.starts_with(CREDENTIAL)) => {
                self.credential(setting, &path).unwrap_or_default()
            }
            // Collecting the components drops a `.` in the middle or at the end.
            Some(path) if !path.as_os_str().is_empty() => self.folder.join(path).components().collect(),
            Some(_) => {
                self.faults.add(setting, "is empty");
                PathBuf::new()
            }
            None => {
                self.faults.add(setting, "is missing");
                PathBuf::new()
            }
        }
    }

    /// The file that systemd made of a credential.
    fn credential(&mut self, setting: &str, path: &Path) -> Option<PathBuf> {
        let name = path.to_str()?.strip_prefix(CREDENTIAL)?;
        if !matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(part)] if part == name) {
            self.faults.add(setting, format!("what follows `{CREDENTIAL}` must be a name, without a folder"));
            return None;
        }
        let Some(folder) = self.credentials else {
            let problem = format!(
                "systemd loaded no credentials ($CREDENTIALS_DIRECTORY isn't set): run this as a unit with LoadCredential={name}:/path/to/file"
            );
            self.faults.add(setting, problem);
            return None;
        };
        Some(folder.join(name))
    }
}

/// Certificates' DNS names are read in lower case, and identities are compared by text.
pub(crate) fn lower_case_dns(identity: Identity) -> Identity {
    match identity {
        Identity::Dns(name) => Identity::Dns(name.to_ascii_lowercase()),
        Identity::Spiffe(_) | Identity::CommonName(_) | Identity::Jwt { .. } => identity,
    }
}

/// Whether a path names what a stream of this process is connected to. The null device keeps nothing, so nothing mixes there.
fn is_stream(path: &Path, stream: impl AsFd) -> bool {
    let is_null = fs::canonicalize(path).is_ok_and(|path| path == Path::new("/dev/null"));
    match (fs::metadata(path), rustix::fs::fstat(stream)) {
        (Ok(found), Ok(stream)) => !is_null && (found.dev(), found.ino()) == (stream.st_dev, stream.st_ino),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
