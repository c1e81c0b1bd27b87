//! Turns the file as written into a configuration, and lists its faults.
//!
//! Opens no file and uses no network.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use http::{Uri, uri::Scheme};
use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use sealward_core::{
    identity::{Identity, spiffe::is_trust_domain},
    policy::{Binding, Grant, Privilege, Role, Scope},
};
use tracing::level_filters::LevelFilter;

use super::{
    faults::Faults,
    file::{
        AuditSection, BindingSection, ConfigFile, HopSection, ListenSection, LogSection, RoleSection,
        RootKeySourceSection, StorageSection, TlsSection, TokenIssuerSection, TracesSection, TrustDomainSection,
    },
    hops,
    identity::lower_case_dns,
    model::{
        AuditCopy, Bundle, CertificateSource, Config, CopyTo, DEFAULT_ADDRESS, Hop, Listen, Log, LogFormat,
        MetricsAccess, OnFailure, Pages, RootKeySource, Schema, Source, Storage, Tls, TlsVersion, TokenIssuer,
        TokenKeys, Traces,
    },
    origin::{NotAnOrigin, Origin},
    storage, traces, workload_api,
};

/// The beginning of a path that names a systemd credential: the rest is the credential's name.
pub(crate) const CREDENTIAL: &str = "credential:";

/// In a binding's `organizations`: all organizations.
pub(super) const ALL_ORGANIZATIONS: &str = "*";

/// The types of `[[root_key.sources]]`.
const ROOT_KEY_TYPES: &str = "\"file\", \"credential\" or \"mounted-secret\"";

/// In `audit.file`: stdout.
const STDOUT: &str = "-";

/// The signature algorithms of tokens. Only asymmetric ones: any party that can verify an HMAC can create one.
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

/// Relative paths are resolved against `folder`. `credentials` is the folder of systemd's credentials. `faults` are the faults so far.
pub(super) fn check(
    file: ConfigFile,
    source: Source,
    folder: &Path,
    credentials: Option<&Path>,
    faults: Faults,
) -> (Config, Faults) {
    let mut check = Check { folder, credentials, faults };
    let data_dir = check.path("data_dir", file.data_dir);
    let (listen, metrics, pages) = check.listen(file.listen);
    let mut config = Config {
        source,
        data_dir,
        listen,
        metrics,
        pages,
        tls: check.tls(file.tls, file.trust_domains),
        root_key_sources: check.root_key_sources(file.root_key.sources),
        schema: Schema { mail: file.schema.mail.unwrap_or(true) },
        limits: file.limits.check(&mut check.faults),
        audit: check.audit(file.audit),
        token_issuers: check.token_issuers(file.token_issuers),
        hops: Vec::new(),
        bindings: check.bindings(file.roles, file.bindings),
        log: check.log(file.log),
        traces: check.traces(file.traces),
        storage: check.storage(file.storage),
    };
    config.hops = check.hops(file.hops, &config);
    (config, check.faults)
}

/// Every method adds its faults, and returns a default or an empty path for an invalid setting.
struct Check<'a> {
    folder: &'a Path,
    credentials: Option<&'a Path>,
    faults: Faults,
}

impl Check<'_> {
    fn listen(&mut self, section: ListenSection) -> (Listen, MetricsAccess, Pages) {
        let address = section.address.and_then(|text| self.address("listen.address", &text)).unwrap_or(DEFAULT_ADDRESS);
        let plaintext_address =
            section.plaintext_address.and_then(|text| self.address("listen.plaintext_address", &text));
        let metrics_address = section.metrics_address.and_then(|text| self.address("listen.metrics_address", &text));
        for (setting, other) in
            [("listen.plaintext_address", plaintext_address), ("listen.metrics_address", metrics_address)]
        {
            if other == Some(address) && address.port() != 0 {
                self.faults.add(setting, format!("{address} is also listen.address: use another port"));
            }
        }
        if let Some(address) = metrics_address
            && plaintext_address == metrics_address
            && address.port() != 0
        {
            let problem = format!("{address} is also listen.plaintext_address: use another port");
            self.faults.add("listen.metrics_address", problem);
        }
        let proxy_protocol_from = self.networks("listen.proxy_protocol_from", &section.proxy_protocol_from);
        let pages = Pages {
            origins: self.origins(&section.origins),
            own_origin: section.own_origin.and_then(|text| self.origin("listen.own_origin", &text)),
            with_credentials: section.origins_with_credentials.unwrap_or(false),
        };
        let metrics = MetricsAccess {
            tls: section.metrics_tls.unwrap_or(false),
            identities: self.metrics_identities(&section.metrics_identities),
            token: section.metrics_token.map(|file| self.path("listen.metrics_token", Some(file))),
        };
        self.metrics_access(&metrics, metrics_address.is_some());
        (Listen { address, plaintext_address, proxy_protocol_from, metrics_address }, metrics, pages)
    }

    fn metrics_identities(&mut self, texts: &[String]) -> Vec<Identity> {
        let mut identities = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let setting = format!("listen.metrics_identities[{index}]");
            match text.parse() {
                Ok(Identity::Jwt { .. }) => {
                    self.faults.add(setting, "is the identity of a bearer token: use that of a client certificate");
                }
                Ok(identity) => identities.push(lower_case_dns(identity)),
                Err(error) => self.faults.add(setting, format!("{error}")),
            }
        }
        identities
    }

    /// Checks that the settings of the listener for metrics match each other.
    fn metrics_access(&mut self, metrics: &MetricsAccess, is_served: bool) {
        let set = [
            ("listen.metrics_tls", metrics.tls),
            ("listen.metrics_identities", !metrics.identities.is_empty()),
            ("listen.metrics_token", metrics.token.is_some()),
        ];
        for (setting, _) in set.into_iter().filter(|(_, is_set)| *is_set && !is_served) {
            self.faults.add(setting, "applies to the listener for metrics only: set listen.metrics_address");
        }
        if !metrics.identities.is_empty() && !metrics.tls {
            let problem = "requires TLS, in which clients send their certificates: set listen.metrics_tls = true";
            self.faults.add("listen.metrics_identities", problem);
        }
    }

    fn origins(&mut self, texts: &[String]) -> Vec<Origin> {
        let numbered = texts.iter().enumerate();
        numbered.filter_map(|(index, text)| self.origin(&format!("listen.origins[{index}]"), text)).collect()
    }

    fn origin(&mut self, setting: &str, text: &str) -> Option<Origin> {
        let parsed: Result<Origin, NotAnOrigin> = text.parse();
        parsed.map_err(|error| self.faults.add(setting.to_owned(), error.to_string())).ok()
    }

    fn networks(&mut self, setting: &str, texts: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in texts {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) if network.prefix_len() == 0 => {
                    let problem = format!("`{text}` contains every address: list only those of load balancers");
                    self.faults.add(setting.to_owned(), problem);
                }
                // Bits behind the prefix suggest that another prefix was meant.
                Ok(network) if network.trunc() == network => networks.push(network),
                Ok(network) => {
                    let problem = format!("`{text}` has bits behind its prefix: write {}", network.trunc());
                    self.faults.add(setting.to_owned(), problem);
                }
                Err(_) => {
                    let problem = format!("`{text}` is not an address or a network: write, for example, 10.0.0.0/8");
                    self.faults.add(setting.to_owned(), problem);
                }
            }
        }
        networks
    }

    fn address(&mut self, setting: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.faults
                .add(setting, format!("`{text}` is not IP:port: write, for example, {DEFAULT_ADDRESS} or [::]:7443"));
        }
        address
    }

    fn tls(&mut self, section: TlsSection, trust_domains: Vec<TrustDomainSection>) -> Tls {
        let certificate = match section.spiffe_workload_api {
            None => {
                for (setting, is_set) in [
                    ("tls.spiffe_id", section.spiffe_id.is_some()),
                    ("tls.spiffe_agent_uid", section.spiffe_agent_uid.is_some()),
                ] {
                    if is_set {
                        self.faults.add(setting, "applies to tls.spiffe_workload_api only: set it, or remove this");
                    }
                }
                CertificateSource::Files {
                    certificate: self.path("tls.certificate", section.certificate),
                    key: self.path("tls.key", section.key),
                }
            }
            Some(endpoint) => {
                for (setting, is_set) in
                    [("tls.certificate", section.certificate.is_some()), ("tls.key", section.key.is_some())]
                {
                    if is_set {
                        let problem = "is set together with tls.spiffe_workload_api: remove one of the two";
                        self.faults.add(setting, problem);
                    }
                }
                let (id, uid) = (section.spiffe_id.as_deref(), section.spiffe_agent_uid);
                CertificateSource::WorkloadApi(workload_api::check(&endpoint, id, uid, &mut self.faults))
            }
        };
        let client_ca = section.client_ca.map(|file| self.path("tls.client_ca", Some(file)));
        if client_ca.is_none() && trust_domains.is_empty() {
            self.faults.add("tls.client_ca", "missing: set it to a path, or add [[trust_domains]]");
        }
        let client_crl = section.client_crl.map(|file| self.path("tls.client_crl", Some(file)));
        let minimum_version = self.tls_version(section.minimum_version.as_deref());
        let trust_domains = self.trust_domains(trust_domains, certificate.workload_api().is_some());
        Tls { certificate, client_ca, client_crl, minimum_version, trust_domains }
    }

    fn trust_domains(&mut self, sections: Vec<TrustDomainSection>, has_api: bool) -> BTreeMap<String, Bundle> {
        let mut domains = BTreeMap::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = |name: &str| format!("trust_domains[{index}].{name}");
            let name = section.name.unwrap_or_default();
            if !is_trust_domain(&name) {
                let problem = format!("`{name}` is not a trust domain: write example.org, not spiffe://example.org");
                self.faults.add(setting("name"), problem);
            } else if domains.contains_key(&name) {
                self.faults.add(setting("name"), format!("`{name}` appears twice: put all its CAs into one file"));
            }
            let bundle = match (section.ca, section.workload_api.unwrap_or(false)) {
                (None, true) => {
                    if !has_api {
                        let problem = "requires the Workload API: set tls.spiffe_workload_api, or set ca to a file";
                        self.faults.add(setting("workload_api"), problem);
                    }
                    Bundle::WorkloadApi
                }
                (Some(_), true) => {
                    self.faults.add(setting("ca"), "is set together with workload_api: remove one of the two");
                    Bundle::WorkloadApi
                }
                (None, false) => {
                    self.faults.add(setting("ca"), "missing: set it to a path, or set workload_api = true");
                    Bundle::File(PathBuf::new())
                }
                (ca, false) => Bundle::File(self.path(&setting("ca"), ca)),
            };
            domains.insert(name, bundle);
        }
        domains
    }

    fn token_issuers(&mut self, sections: Vec<TokenIssuerSection>) -> Vec<TokenIssuer> {
        let mut issuers: Vec<TokenIssuer> = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = |name: &str| format!("token_issuers[{index}].{name}");
            let issuer = self.required_text(setting("issuer"), section.issuer);
            if issuer.contains('#') {
                self.faults
                    .add(setting("issuer"), "contains `#`, which separates issuer and subject in bindings: remove it");
            } else if issuers.iter().any(|other| other.issuer == issuer) {
                self.faults.add(setting("issuer"), format!("`{issuer}` appears twice: list each issuer once"));
            }
            let audience = self.required_text(setting("audience"), section.audience);
            let algorithms = self.algorithms(setting("algorithms"), &section.algorithms);
            let keys = match (section.jwks, section.jwks_url) {
                (Some(file), None) => {
                    if section.jwks_ca.is_some() {
                        self.faults.add(setting("jwks_ca"), "applies to jwks_url only: remove it");
                    }
                    TokenKeys::File(self.path(&setting("jwks"), Some(file)))
                }
                (None, Some(url)) => {
                    let url = self.https_url(setting("jwks_url"), &url);
                    let ca = section.jwks_ca.map(|file| self.path(&setting("jwks_ca"), Some(file)));
                    TokenKeys::Url { url, ca }
                }
                (jwks, _) => {
                    let problem = match jwks {
                        Some(_) => "is set together with jwks_url: remove one of the two",
                        None => "missing: set jwks or jwks_url, the source of the issuer's keys",
                    };
                    self.faults.add(setting("jwks"), problem);
                    TokenKeys::File(PathBuf::new())
                }
            };
            issuers.push(TokenIssuer { issuer, audience, algorithms, keys });
        }
        issuers
    }

    fn algorithms(&mut self, setting: String, names: &[String]) -> Vec<Algorithm> {
        if names.is_empty() {
            self.faults.add(setting, "missing or empty: list the issuer's algorithms, for example [\"ES256\"]");
            return Vec::new();
        }
        let known = |name: &String| ALGORITHMS.into_iter().find(|algorithm| format!("{algorithm:?}") == *name);
        if let Some(other) = names.iter().find(|name| known(name).is_none()) {
            let all = ALGORITHMS.map(|algorithm| format!("{algorithm:?}")).join(", ");
            self.faults.add(setting, format!("`{other}` is not an allowed signature algorithm: use {all}"));
        }
        names.iter().filter_map(known).collect()
    }

    fn https_url(&mut self, setting: String, text: &str) -> Uri {
        match text.parse::<Uri>() {
            Ok(url) if url.scheme() == Some(&Scheme::HTTPS) && url.host().is_some() => url,
            Ok(_) | Err(_) => {
                self.faults.add(setting, format!("`{text}` is not an https:// address: write https://HOST/PATH"));
                Uri::default()
            }
        }
    }

    fn required_text(&mut self, setting: String, text: Option<String>) -> String {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            self.faults.add(setting, "missing or empty: set it");
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
                let problem = format!("`{name}` is not a role name: use lower-case letters, digits and hyphens");
                self.faults.add(setting("name"), problem);
            } else if Role::ALL.into_iter().any(|role| role.name() == name) || roles.contains_key(&name) {
                self.faults.add(setting("name"), format!("the role `{name}` already exists: choose another name"));
            }
            let mut privileges = Vec::new();
            for text in &section.privileges {
                match text.parse::<Privilege>() {
                    Ok(privilege) => privileges.push(privilege),
                    Err(error) => {
                        let all = Privilege::ALL.map(Privilege::name).join(", ");
                        self.faults.add(setting("privileges"), format!("{error}: use {all}"));
                    }
                }
            }
            if section.privileges.is_empty() {
                self.faults.add(setting("privileges"), "missing or empty: list at least one privilege");
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
                self.faults.add(
                    "tls.minimum_version",
                    format!("`{other}` is not a supported version: use \"1.3\" or \"1.2\""),
                );
                TlsVersion::V1_3
            }
        }
    }

    fn root_key_sources(&mut self, sections: Vec<RootKeySourceSection>) -> Vec<RootKeySource> {
        if sections.is_empty() {
            self.faults.add("root_key.sources", "missing: add [[root_key.sources]] with type = \"file\" and its path");
        }
        let mut sources = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            let setting = format!("root_key.sources[{index}]");
            let source = self.root_key_source(&setting, section);
            if source.is_complete() && sources.contains(&source) {
                self.faults.add(setting, format!("the {source} appears twice: list each root key once"));
            }
            sources.push(source);
        }
        sources
    }

    fn root_key_source(&mut self, setting: &str, section: RootKeySourceSection) -> RootKeySource {
        let RootKeySourceSection { r#type, path, name } = section;
        let (path_setting, name_setting) = (format!("{setting}.path"), format!("{setting}.name"));
        match r#type.as_deref() {
            Some(kind @ ("file" | "mounted-secret")) => {
                if name.is_some() {
                    self.faults.add(name_setting, format!("does not apply to type = \"{kind}\": remove it"));
                }
                let path = match path.as_deref().and_then(credential_name) {
                    Some(name) => {
                        let problem = format!("names a credential: set type = \"credential\" and name = \"{name}\"");
                        self.faults.add(path_setting, problem);
                        PathBuf::new()
                    }
                    None => self.path(&path_setting, path),
                };
                if kind == "file" { RootKeySource::File(path) } else { RootKeySource::MountedSecret(path) }
            }
            Some("credential") => {
                if path.is_some() {
                    self.faults.add(path_setting, "does not apply to type = \"credential\": remove it");
                }
                let name = self.required_text(name_setting.clone(), name);
                let path = if name.is_empty() { None } else { self.credential(&name_setting, &name) };
                RootKeySource::Credential { name, path: path.unwrap_or_default() }
            }
            other => {
                let problem = match other {
                    Some(other) => format!("unknown type `{other}`: use {ROOT_KEY_TYPES}"),
                    None => format!("missing: use {ROOT_KEY_TYPES}"),
                };
                self.faults.add(format!("{setting}.type"), problem);
                RootKeySource::File(PathBuf::new())
            }
        }
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
                self.faults.add("audit.on_failure", format!("unknown value `{other}`: use \"report\" or \"refuse\""));
                OnFailure::Report
            }
        };
        if to.is_none() && on_failure == OnFailure::Refuse {
            self.faults.add("audit.on_failure", "\"refuse\" requires a copy: set audit.file");
        }
        Some(AuditCopy { to: to?, on_failure })
    }

    /// The target of the copy. A path that is one of this process's streams counts as the stream: records must not mix with other output.
    fn copy_to(&mut self, file: PathBuf) -> CopyTo {
        let path = self.path("audit.file", Some(file));
        if is_stream(&path, io::stdout()) {
            return CopyTo::Stdout;
        }
        if is_stream(&path, io::stderr()) {
            self.faults
                .add("audit.file", "is this process's stderr, which receives the log: use a file, or \"-\" for stdout");
        }
        CopyTo::File(path)
    }

    fn hops(&mut self, mut sections: Vec<HopSection>, config: &Config) -> Vec<Arc<Hop>> {
        for (index, section) in sections.iter_mut().enumerate() {
            let socket = section.unix_socket.take();
            section.unix_socket = socket.map(|path| self.path(&format!("hops[{index}].unix_socket"), Some(path)));
        }
        hops::check(sections, &config.token_issuers, &config.bindings, &mut self.faults)
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
                self.faults.add(setting("identity"), "missing: set it, for example to \"cn:ada\"");
                None
            }
        };
        let role = self.grant(setting("role"), section.role.as_deref(), roles);
        let scope = self.scope(setting("organizations"), section.organizations);
        Some(Binding { identity: lower_case_dns(identity?), role: role?, scope: scope? })
    }

    fn grant(&mut self, setting: String, name: Option<&str>, roles: &BTreeMap<String, Grant>) -> Option<Grant> {
        let Some(name) = name else {
            self.faults.add(setting, "missing: set it, for example to \"record-reader\"");
            return None;
        };
        let built_in = Role::ALL.into_iter().find(|role| role.name() == name).map(Grant::from);
        let found =
            built_in.or_else(|| roles.get(name).cloned()).or_else(|| Some(name.parse::<Privilege>().ok()?.into()));
        if found.is_none() {
            let all: Vec<_> = Role::ALL.map(Role::name).into_iter().chain(roles.keys().map(String::as_str)).collect();
            let problem = format!("unknown role `{name}`: use {}, or a single privilege", all.join(", "));
            self.faults.add(setting, problem);
        }
        found
    }

    fn scope(&mut self, setting: String, names: Vec<String>) -> Option<Scope> {
        if names == [ALL_ORGANIZATIONS] {
            return Some(Scope::All);
        }
        let problem = if names.is_empty() {
            "missing or empty: list organizations, or write [\"*\"] for all"
        } else if names.iter().any(|name| name == ALL_ORGANIZATIONS) {
            "contains \"*\" and names: for all organizations, write [\"*\"] alone"
        } else if let Ok(names) = names.iter().map(|name| name.parse()).collect() {
            return Some(Scope::Organizations(names));
        } else {
            "contains an invalid organization name: write contoso, not organizations/contoso"
        };
        self.faults.add(setting, problem);
        None
    }

    fn log(&mut self, section: LogSection) -> Log {
        let level = match section.level.as_deref() {
            None => LevelFilter::INFO,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.faults
                    .add("log.level", format!("unknown level `{text}`: use off, error, warn, info, debug or trace"));
                LevelFilter::INFO
            }),
        };
        let format = match section.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                self.faults.add("log.format", format!("unknown format `{other}`: use \"text\" or \"json\""));
                LogFormat::Text
            }
        };
        Log { level, format }
    }

    fn traces(&mut self, section: TracesSection) -> Option<Traces> {
        let mut path =
            |name: &str, path: Option<PathBuf>| path.map(|path| self.path(&format!("traces.{name}"), Some(path)));
        let written = traces::Written {
            endpoint: section.endpoint,
            collector_uid: section.collector_uid,
            headers_file: path("headers_file", section.headers_file),
            ca: path("ca", section.ca),
            client_certificate: path("client_certificate", section.client_certificate),
            client_key: path("client_key", section.client_key),
        };
        traces::check(written, &mut self.faults)
    }

    fn storage(&mut self, section: StorageSection) -> Option<Storage> {
        let mut path =
            |name: &str, path: Option<PathBuf>| path.map(|path| self.path(&format!("storage.{name}"), Some(path)));
        let written = storage::Written {
            url: section.url,
            password_file: path("password_file", section.password_file),
            ca: path("ca", section.ca),
            client_certificate: path("client_certificate", section.client_certificate),
            client_key: path("client_key", section.client_key),
            owner: section.owner,
            owner_password_file: path("owner_password_file", section.owner_password_file),
        };
        storage::check(written, &mut self.faults)
    }

    fn path(&mut self, setting: &str, path: Option<PathBuf>) -> PathBuf {
        if let Some(name) = path.as_deref().and_then(credential_name) {
            return self.credential(setting, name).unwrap_or_default();
        }
        match path {
            // Collecting the components drops a `.` in the middle or at the end.
            Some(path) if !path.as_os_str().is_empty() => self.folder.join(path).components().collect(),
            Some(_) => {
                self.faults.add(setting, "empty: set it to a path");
                PathBuf::new()
            }
            None => {
                self.faults.add(setting, "missing: set it to a path");
                PathBuf::new()
            }
        }
    }

    /// The file of a systemd credential.
    fn credential(&mut self, setting: &str, name: &str) -> Option<PathBuf> {
        if !matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(part)] if part == name) {
            let problem = format!("`{name}` is not the name of a credential: write a name without folders");
            self.faults.add(setting, problem);
            return None;
        }
        let Some(folder) = self.credentials else {
            let problem = format!(
                "systemd loaded no credentials ($CREDENTIALS_DIRECTORY is not set): run the server as a unit with \
                 LoadCredential={name}:/path/to/file, and other commands with CREDENTIALS_DIRECTORY=FOLDER"
            );
            self.faults.add(setting, problem);
            return None;
        };
        Some(folder.join(name))
    }
}

impl RootKeySource {
    /// Whether its settings are complete. If not, a fault names the missing one.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::File(path) | Self::MountedSecret(path) | Self::Credential { path, .. } => {
                !path.as_os_str().is_empty()
            }
        }
    }
}

/// The name of the credential, if the path names one.
fn credential_name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(CREDENTIAL)
}

/// Whether a path is the file that a stream of this process is connected to. The null device doesn't count: it stores nothing, so nothing
/// mixes.
fn is_stream(path: &Path, stream: impl AsFd) -> bool {
    let is_null = fs::canonicalize(path).is_ok_and(|path| path == Path::new("/dev/null"));
    match (fs::metadata(path), rustix::fs::fstat(stream)) {
        (Ok(found), Ok(stream)) => !is_null && (found.dev(), found.ino()) == (stream.st_dev, stream.st_ino),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
