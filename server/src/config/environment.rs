//! Settings from the environment: paths, addresses and the log, for containers whose configuration file is the same everywhere.
//!
//! A variable's name is `SEALWARD_` and the setting's name in upper case, with `_` for the dot. Its value replaces the one in the file, and is
//! checked in the same way. Nothing here knows the meaning of a setting.

use std::{collections::BTreeMap, env, ffi::OsString};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    faults::{Fault, Faults},
    file::sections,
    unknown_keys,
};

/// The settings that can be in the environment: texts and paths, of sections that appear once. No setting is a secret: the configuration
/// names the files that contain secrets.
pub(crate) const SETTINGS: [&str; 25] = [
    "data_dir",
    "listen.address",
    "listen.plaintext_address",
    "listen.metrics_address",
    "listen.metrics_token",
    "tls.certificate",
    "tls.key",
    "tls.spiffe_workload_api",
    "tls.client_ca",
    "tls.client_crl",
    "audit.file",
    "log.level",
    "log.format",
    "traces.endpoint",
    "traces.headers_file",
    "traces.ca",
    "traces.client_certificate",
    "traces.client_key",
    "storage.url",
    "storage.password_file",
    "storage.ca",
    "storage.client_certificate",
    "storage.client_key",
    "storage.owner",
    "storage.owner_password_file",
];

const PREFIX: &str = "SEALWARD_";

/// The variable of a setting or section.
pub(crate) fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', "_").to_ascii_uppercase())
}

/// The settings in the environment of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<&'static str, String>,
    faults: Vec<Fault>,
}

impl Environment {
    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        Self::of(env::vars_os())
    }

    /// Reads variables. Empty ones count as unset. A variable that resembles one of a setting, but isn't, is a fault.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let variables: BTreeMap<_, _> = variables.into_iter().filter_map(named).collect();
        let mut environment = Self::default();
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || value.is_empty() {
                continue;
            }
            match SETTINGS.into_iter().find(|setting| variable(setting) == name) {
                Some(setting) => match value.into_string() {
                    Ok(value) => drop(environment.values.insert(setting, value)),
                    Err(_) => environment.fault(name, "is not UTF-8: set it to text"),
                },
                None => {
                    if let Some(problem) = problem(&name) {
                        environment.fault(name, problem);
                    }
                }
            }
        }
        environment
    }

    fn fault(&mut self, setting: String, problem: impl Into<String>) {
        self.faults.push(Fault { setting, problem: problem.into() });
    }

    /// The settings that are in the environment, each with its value.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(setting, value)| (*setting, value.as_str()))
    }

    /// Puts the values into a file whose wrong entries were removed, and adds the faults of the names.
    pub(super) fn apply(&self, file: &mut DeTable<'_>, faults: &mut Faults) {
        for (setting, value) in &self.values {
            let table = match setting.split_once('.') {
                None => Some((&mut *file, *setting)),
                Some((section, name)) => {
                    let empty = || unlocated(DeValue::Table(DeTable::new()));
                    let section = file.entry(unlocated(DeString::from(section))).or_insert_with(empty).get_mut();
                    if let DeValue::Table(table) = section { Some((table, name)) } else { None }
                }
            };
            if let Some((table, name)) = table {
                table
                    .insert(unlocated(DeString::from(name)), unlocated(DeValue::String(DeString::from(value.clone()))));
            }
        }
        faults.0.extend(self.faults.iter().cloned());
    }

    /// Names the variable in each fault of a value from the environment.
    pub(super) fn explain(&self, faults: &mut [Fault]) {
        for fault in faults {
            if self.values.contains_key(fault.setting.as_str()) {
                fault.problem.push_str(&format!(" (from the environment variable {})", variable(&fault.setting)));
            }
        }
    }
}

/// A value or key that isn't in the file.
fn unlocated<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// The problem of a variable that no setting has; `None` if it isn't meant for the server: the command line has variables with the same prefix.
fn problem(name: &str) -> Option<String> {
    if is_service_link(name) {
        return None;
    }
    let sections = sections();
    let once = || sections.iter().filter(|section| !section.is_repeated());
    let in_file = once().flat_map(|section| section.settings.iter().map(|setting| section.full_name(setting)));
    if let Some(setting) = in_file.into_iter().find(|setting| variable(setting) == name) {
        return Some(format!("{setting} can't be in the environment: set it in the file"));
    }
    let known: Vec<_> = SETTINGS.iter().map(|setting| variable(setting)).collect();
    let endings = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    if let Some(closest) = unknown_keys::closest(name.strip_prefix(PREFIX)?, endings) {
        return Some(format!("unknown environment variable: did you mean {PREFIX}{closest}?"));
    }
    let is_of = |section: &str| !section.is_empty() && name.starts_with(&format!("{}_", variable(section)));
    let is_of_server = sections.iter().any(|section| is_of(section.name));
    is_of_server
        .then(|| "unknown environment variable: see docs/reference/configuration.md for all variables".to_owned())
}

/// Whether Kubernetes or Docker may have set a variable for a service whose name begins with `sealward`: `SEALWARD_TLS_PORT_7443_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    let has_number_after = |start: &str| {
        let mut parts = name.split(start).skip(1);
        parts.any(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || has_number_after("_PORT_")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::ffi::OsStringExt, path::Path};

    use super::*;
    use crate::config::{CertificateSource, Config, setting::Kind};

    const FILE: &str =
        "data_dir = \"data\"\n[log]\nlevel = \"warn\"\n[[root_key.sources]]\ntype = \"file\"\npath = \"root.key\"\n";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    fn parse(variables: &[(&str, &str)]) -> (Config, Vec<String>) {
        let environment = environment(variables);
        let (config, faults) = Config::parse_beside(FILE, Path::new("/srv/sealward.toml"), None, environment).unwrap();
        (config, faults.0.into_iter().map(|fault| format!("{}: {}", fault.setting, fault.problem)).collect())
    }

    const TLS: [(&str, &str); 3] = [
        ("SEALWARD_TLS_CERTIFICATE", "/run/tls/tls.crt"),
        ("SEALWARD_TLS_KEY", "tls.key"),
        ("SEALWARD_TLS_CLIENT_CA", "/run/ca/ca.crt"),
    ];

    #[test]
    fn the_environment_beats_the_file_and_adds_sections() {
        let more = [
            ("SEALWARD_LISTEN_ADDRESS", "0.0.0.0:7443"),
            ("SEALWARD_LOG_LEVEL", "debug"),
            ("SEALWARD_DATA_DIR", "/data"),
        ];
        let (config, faults) = parse(&[&TLS[..], &more].concat());
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(config.listen.address, "0.0.0.0:7443".parse().unwrap());
        assert_eq!(config.log.level, tracing::level_filters::LevelFilter::DEBUG);
        assert_eq!(config.data_dir, Path::new("/data"));
        let CertificateSource::Files { certificate, key } = config.tls.certificate else { panic!() };
        assert_eq!(certificate, Path::new("/run/tls/tls.crt"));
        // Relative paths start where those of the file do.
        assert_eq!(key, Path::new("/srv/tls.key"));
    }

    #[test]
    fn invalid_value_names_its_variable_and_an_empty_one_is_unset() {
        let (_, faults) =
            parse(&[&TLS[..], &[("SEALWARD_LISTEN_ADDRESS", "everywhere"), ("SEALWARD_LOG_LEVEL", "")]].concat());
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.starts_with("listen.address: `everywhere` is not IP:port"), "{fault}");
        assert!(fault.ends_with(" (from the environment variable SEALWARD_LISTEN_ADDRESS)"), "{fault}");
        let name = (OsString::from("SEALWARD_TLS_KEY"), OsString::from_vec(vec![b'/', 0xff]));
        assert_eq!(Environment::of([name]).faults.len(), 1);
    }

    #[test]
    fn unknown_variable_of_a_setting_is_a_fault() {
        for (name, expected) in [
            ("SEALWARD_LISTEN_ADRESS", "did you mean SEALWARD_LISTEN_ADDRESS?"),
            ("SEALWARD_LISTENADDRESS", "did you mean SEALWARD_LISTEN_ADDRESS?"),
            ("SEALWARD_DATADIR", "did you mean SEALWARD_DATA_DIR?"),
            ("SEALWARD_LIMITS_PAGE_SIZE_MAX", "limits.page_size_max can't be in the environment: set it in the file"),
            ("SEALWARD_LISTEN_METRICS_TLS", "listen.metrics_tls can't be in the environment: set it in the file"),
            ("SEALWARD_BINDINGS_0_ROLE", "see docs/reference/configuration.md for all variables"),
            ("SEALWARD_ROOT_KEY_SOURCES_PATH", "see docs/reference/configuration.md for all variables"),
        ] {
            let (_, faults) = parse(&[&TLS[..], &[(name, "1")]].concat());
            let [fault] = &faults[..] else { panic!("{name}: {faults:?}") };
            assert!(fault.starts_with(name) && fault.ends_with(expected), "{fault}");
        }
    }

    #[test]
    fn variables_of_other_programs_are_ignored() {
        // The command line's, in its reference.
        let reference = include_str!("../../../docs/reference/cli.md");
        let words = reference.split(|next: char| next != '_' && !next.is_ascii_alphanumeric());
        let of_cli: BTreeSet<_> = words.filter(|word| word.starts_with(PREFIX)).collect();
        assert!(of_cli.len() >= 8, "{of_cli:?}");
        // Those that Kubernetes sets for the services `sealward`, `sealward-tls` and `sealward-listen`.
        let of_services = [
            "SEALWARD_SERVICE_HOST",
            "SEALWARD_PORT",
            "SEALWARD_TLS_SERVICE_PORT_GRPC",
            "SEALWARD_LISTEN_PORT_7443_TCP_ADDR",
            "SEALWARD_TLS_PORT",
        ];
        for name in
            of_cli.into_iter().chain(of_services).chain(["SEALWARD_CONFIG", "SEALWARD_FAIL_POINT", "OTHER_LOG_LEVEL"])
        {
            assert_eq!(environment(&[(name, "x")]), Environment::default(), "{name}");
        }
    }

    #[test]
    fn every_path_and_address_outside_repeated_sections_can_be_in_the_environment() {
        let mut expected = BTreeSet::new();
        for section in sections().into_iter().filter(|section| !section.is_repeated()) {
            for setting in &section.settings {
                // The role that owns the tables is there too, because its password file is.
                let is_address = setting.name.ends_with("address")
                    || ["endpoint", "spiffe_workload_api", "url", "owner"].contains(&setting.name);
                let is_place = setting.kind == Kind::Path || is_address;
                if is_place || section.name == "log" {
                    assert!(matches!(setting.kind, Kind::Path | Kind::Text), "{}", setting.name);
                    expected.insert(section.full_name(setting));
                }
            }
        }
        assert_eq!(SETTINGS.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(SETTINGS.map(variable).into_iter().collect::<BTreeSet<_>>().len(), SETTINGS.len());
    }
}
