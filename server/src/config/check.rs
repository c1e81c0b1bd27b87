//! From the file as written to a configuration, and to everything that is wrong with it: nothing, if it needs no more checking.
//!
//! Touches no file and no network.

use std::{
    collections::BTreeSet,
    fmt::Display,
    net::SocketAddr,
    path::{Component, Path, PathBuf},
};

use fieldseal_core::{
    identity::Identity,
    policy::{Binding, Role, Scope},
};
use tracing::level_filters::LevelFilter;

use super::{
    Config, DEFAULT_ADDRESS, Fault, Faults, Listen, Log, LogFormat, RootKey, Source, Tls, TlsVersion,
    file::{BindingSection, ConfigFile, ListenSection, LogSection, RootKeySection, TlsSection},
};

/// What a path begins with if systemd loads it: what follows is the credential's name.
pub(crate) const CREDENTIAL: &str = "credential:";

/// In a binding's `organizations`: all of them.
const ALL_ORGANIZATIONS: &str = "*";

/// `folder` is where relative paths start, `credentials` where systemd put what it loaded, and `faults` what was found before.
pub(super) fn check(
    file: ConfigFile,
    source: Source,
    folder: &Path,
    credentials: Option<&Path>,
    faults: Faults,
) -> (Config, Faults) {
    let mut check = Check { folder, credentials, faults };
    let config = Config {
        source,
        data_dir: check.path("data_dir", file.data_dir),
        listen: check.listen(file.listen),
        tls: check.tls(file.tls),
        root_key: check.root_key(file.root_key),
        limits: file.limits.check(&mut check.faults),
        bindings: file
            .bindings
            .into_iter()
            .enumerate()
            .filter_map(|(index, section)| check.binding(index, section))
            .collect(),
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
    fn listen(&mut self, section: ListenSection) -> Listen {
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
        Listen { address, plaintext_address, metrics_address }
    }

    fn address(&mut self, setting: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.faults.add(setting, format!("`{text}` is no IP:port, such as {DEFAULT_ADDRESS} or [::]:7443"));
        }
        address
    }

    fn tls(&mut self, section: TlsSection) -> Tls {
        Tls {
            certificate: self.path("tls.certificate", section.certificate),
            key: self.path("tls.key", section.key),
            client_ca: self.path("tls.client_ca", section.client_ca),
            client_crl: section.client_crl.map(|file| self.path("tls.client_crl", Some(file))),
            minimum_version: self.tls_version(section.minimum_version.as_deref()),
        }
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
        RootKey { files }
    }

    fn binding(&mut self, index: usize, section: BindingSection) -> Option<Binding> {
        let setting = |name: &str| format!("bindings[{index}].{name}");
        let identity = self.parsed(setting("identity"), section.identity, "");
        let role = self.parsed(setting("role"), section.role, &roles());
        let scope = self.scope(setting("organizations"), section.organizations);
        Some(Binding { identity: lower_case_dns(identity?), role: role?, scope: scope? })
    }

    fn parsed<T>(&mut self, setting: String, text: Option<String>, hint: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: Display,
    {
        let Some(text) = text else {
            self.faults.add(setting, "is missing");
            return None;
        };
        text.parse().map_err(|error| self.faults.add(setting, format!("{error}{hint}"))).ok()
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
fn lower_case_dns(identity: Identity) -> Identity {
    match identity {
        Identity::Dns(name) => Identity::Dns(name.to_ascii_lowercase()),
        Identity::Spiffe(_) | Identity::CommonName(_) | Identity::Jwt { .. } => identity,
    }
}

fn roles() -> String {
    format!("; there are: {}", Role::ALL.map(Role::name).join(", "))
}
