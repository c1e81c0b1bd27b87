//! A check of a deployment: its configuration, and all files and databases that the configuration names, with the checks of a server start.
//!
//! All problems are reported together, each with its fix. The check writes nothing and takes no lock that a server needs, so a server may
//! be running. The module `config` checks the settings alone; its faults become findings here.

mod backup;
mod content;
mod databases;
mod files;
mod postgres;
mod report;
mod tls;

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Uri;
use sealward_core::{
    crypto::root_key::{RootKey, RootKeySet},
    policy::Role,
    port::Clock,
};

pub use self::report::{Fact, OrganizationFacts, Report, counted};
use self::{databases::Databases, files::is_set};
pub use crate::finding::{Finding, Severity};
use crate::{
    certificates::{Certificate, Certificates},
    config::{
        AuditCopy, Config, ConfigError, CopyTo, Fault, Faults, HopEntrance, RootKeySource, TokenKeys, environment,
    },
    drain::Drain,
    error_chain,
    files::{
        cas::Cas,
        trusted_file::{self, TrustedFileError},
    },
    identity::{
        jwks::{Fetched, Fetching},
        token,
    },
    ports::{clock::SystemClock, random::SystemRandom},
    root_key,
    schema::timestamp_to_proto,
    telemetry::{metrics::access, shed::Shed},
    transport::{file_descriptors, hop_sockets::Obstacle, tls::WORKLOAD_API},
    workload_api::{self, Update},
};

/// Checks the deployment of a configuration file.
pub async fn check(path: &Path) -> Report {
    let mut report = Report::default();
    let (config, faults) = match Config::load_with_faults(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            unusable(path, &error, &mut report);
            return report;
        }
    };
    settings(&faults.0, &mut report);
    environment(&config, &mut report);
    files::configuration(path, &mut report);
    bindings(&config, &faults, &mut report);
    // The server may have another limit than this check. On the same machine and as the same user, this is rare.
    report.findings.extend(file_descriptors::finding(&config));
    report.findings.extend(access::finding(&config));
    if let Some(path) = config.metrics.token.as_deref().filter(|path| is_set(path)) {
        files::metrics_token(path, &mut report);
    }
    let mut certificates =
        Certificates { collector: files::collector(&config, &mut report), ..Certificates::default() };
    let (update, now) = (workload_api(&config, &mut report).await, SystemClock.now());
    (certificates.server, certificates.client_cas) = tls::check(&config.tls, update.as_ref(), now, &mut report);
    clock(&config, &mut report);
    certificates.token_issuers = token_issuers(&config, &mut report).await;
    report.certificates(&certificates, now);
    hops(&config, &mut report);
    if let Some(AuditCopy { to: CopyTo::File(path), on_failure }) = &config.audit
        && is_set(path)
    {
        files::audit_copy(path, *on_failure, &mut report);
    }
    let root_key = root_keys(&config, &mut report).await;
    if is_set(&config.data_dir) {
        files::data_folder(&config.data_dir, &mut report);
        let root_key = root_key.as_ref().map(|keys| keys as &dyn RootKey);
        let is_in_postgres = config.storage.is_some() || faults.0.iter().any(|fault| fault.setting == "storage.url");
        if !is_in_postgres && postgres::is_of_files(&config.data_dir, &mut report) {
            databases::check(&config, Databases::Served(&config.data_dir), root_key, &mut report).await;
        }
    }
    if let Some(storage) = &config.storage {
        postgres::check(storage, &config.data_dir, &mut report).await;
    }
    report
}

/// Checks a backup: whether a server with this configuration can serve it, and everything in it. Changes nothing in it. Without a root key,
/// the cells can't be opened, which is an error.
pub async fn check_backup(path: &Path, folder: &Path) -> Report {
    let mut report = Report::default();
    let (config, faults) = match Config::load_with_faults(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            unusable(path, &error, &mut report);
            return report;
        }
    };
    settings(faults.0.iter().filter(|fault| is_for_backup(&fault.setting)), &mut report);
    if config.storage.is_some() {
        let problem = "a server with this configuration keeps its data in PostgreSQL: it can't serve a backup of files";
        report.error(
            "storage.url",
            problem,
            "verify the backup with the configuration of a server with files; see docs/postgresql.md",
        );
    }
    let root_key = root_keys(&config, &mut report).await;
    if backup::folder(folder, &mut report) {
        let root_key = root_key.as_ref().map(|keys| keys as &dyn RootKey);
        databases::check(&config, Databases::Backup(folder), root_key, &mut report).await;
    }
    report
}

fn unusable(path: &Path, error: &ConfigError, report: &mut Report) {
    // The subject names the file, so the problem doesn't.
    let (problem, remedy) = match error {
        ConfigError::Unreadable { source, .. } => {
            let cause: &dyn Error =
                if let TrustedFileError::Unreadable { source, .. } = source { source } else { source };
            (
                format!("can't read the configuration: {}", error_chain::text(cause)),
                "use the file that `sealward-server init` created, and allow this user to read it",
            )
        }
        ConfigError::Malformed { source, .. } => (
            format!("invalid TOML: {}", error_chain::text(source)),
            "fix the line; see docs/reference/configuration.md for all settings",
        ),
        ConfigError::InPostgres { .. } => (error.to_string(), "use PostgreSQL's own tools; see docs/postgresql.md"),
        ConfigError::Invalid { faults, .. } => {
            (faults.to_string(), "fix the line; see docs/reference/configuration.md for all settings")
        }
    };
    report.error(path.display().to_string(), problem.trim_end(), remedy);
}

/// Whether the check of a backup uses a setting. Others may have faults there, such as credentials that systemd gives only to the server.
fn is_for_backup(setting: &str) -> bool {
    ["root_key", "schema"].iter().any(|section| setting.starts_with(section))
}

fn settings<'a>(faults: impl IntoIterator<Item = &'a Fault>, report: &mut Report) {
    const REFERENCE: &str = "docs/reference/configuration.md";
    for fault in faults {
        let is_named = fault.problem.contains(REFERENCE);
        let remedy = if is_named { "fix the setting".to_owned() } else { format!("fix the setting; see {REFERENCE}") };
        report.error(&fault.setting, &fault.problem, remedy);
    }
}

/// Reports the settings that aren't from the file.
fn environment(config: &Config, report: &mut Report) {
    for (setting, value) in config.source.environment.settings() {
        report.fact(setting, format!("{value}, from the environment variable {}", environment::variable(setting)));
    }
}

fn bindings(config: &Config, faults: &Faults, report: &mut Report) {
    report.findings.extend(config.doubtful_bindings());
    let are_valid = !faults.0.iter().any(|fault| fault.setting.starts_with("bindings"));
    if are_valid && !config.bindings.iter().any(|binding| binding.role == Role::SystemAdministrator.into()) {
        report.warning(
            "bindings",
            "no binding has the role system-administrator: check that an administrator can create organizations and restore keys",
            "bind an administrator's identity to system-administrator, with organizations = [\"*\"]",
        );
    }
}

/// The maximum time that the check waits for the Workload API. A start may wait longer, for a new registration entry.
const WORKLOAD_API_WAIT_MAX: Duration = Duration::from_secs(5);

/// Gets the certificate and the bundles of the Workload API once.
async fn workload_api(config: &Config, report: &mut Report) -> Option<Update> {
    let api = config.tls.certificate.workload_api().filter(|api| is_set(&api.socket))?;
    let within = config.limits.workload_api_wait().min(WORKLOAD_API_WAIT_MAX);
    let clock = Arc::new(SystemClock);
    match workload_api::once(api, &config.limits, within, clock, Arc::new(SystemRandom)).await {
        Ok(update) => {
            let (socket, user) = (api.socket.display(), rustix::process::geteuid().as_raw());
            report.fact(WORKLOAD_API, format!("the agent at {socket} has a certificate for a process of user {user}"));
            Some(update)
        }
        Err(error) => {
            let remedy = format!("run this check as the server's user, in its container; {}", error.remedy);
            report.error(WORKLOAD_API, error_chain::text(&error), remedy);
            None
        }
    }
}

/// A clock that is behind the last write to the data folder by more than this causes a warning.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(60);

/// Checks that the clock is plausible, and not behind the data.
fn clock(config: &Config, report: &mut Report) {
    const SUBJECT: &str = "clock";
    const REMEDY: &str = "correct the clock, for example with chrony";
    let now = SystemClock.now();
    let shown = timestamp_to_proto(now.writable());
    if !now.is_plausible_now() {
        let problem = format!("this machine's time is {shown}: the server refuses every call (CLOCK_OUT_OF_RANGE)");
        return report.error(SUBJECT, problem, REMEDY);
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(now.unix_micros().unsigned_abs());
    let behind = last_write(&config.data_dir).and_then(|written| written.duration_since(time).ok());
    match behind {
        Some(behind) if behind > CLOCK_BEHIND_MAX => {
            let seconds = behind.as_secs();
            let problem =
                format!("this machine's time is {shown}, {seconds} s before the last write to the data folder");
            report.warning(SUBJECT, problem, REMEDY);
        }
        Some(_) | None => report.fact(SUBJECT, format!("this machine's time is {shown}")),
    }
}

/// The time of the last write to a file of the folder.
fn last_write(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}

/// Checks the sockets of hops and their folders: a user that can replace a socket can pose as the server.
fn hops(config: &Config, report: &mut Report) {
    for (index, hop) in config.hops.iter().enumerate() {
        let HopEntrance::UnixSocket { path, peer_uid } = &hop.entrance else { continue };
        let Some(folder) = path.parent().filter(|_| is_set(path)) else { continue };
        let (setting, shown) = (format!("hops[{index}].unix_socket"), folder.display());
        if let Some(Obstacle::NotASocket(found)) = Obstacle::at(path) {
            let problem = format!("{} is {found}, not the socket of the hop {}", path.display(), hop.name);
            report.error(setting, problem, "move it away, or use another path");
            continue;
        }
        match trusted_file::check(folder) {
            Ok(()) => {
                report.fact(setting, format!("the hop {} connects to {} as user {peer_uid}", hop.name, path.display()))
            }
            Err(error) if error.is_missing() => {
                let problem =
                    format!("can't create the socket of the hop {}: the folder {shown} doesn't exist", hop.name);
                report.error(setting, problem, format!("install -d -m 755 {shown}"));
            }
            Err(error) => {
                let problem = format!(
                    "another program can pose as the server to the hop {}: {}",
                    hop.name,
                    error_chain::text(&error)
                );
                report.warning(setting, problem, error.remedy());
            }
        }
    }
}

/// Checks the keys of each issuer: in its file, or at its URL. Returns the CAs that verify the URLs.
async fn token_issuers(config: &Config, report: &mut Report) -> Vec<Certificate> {
    let mut cas = Vec::new();
    for issuer in &config.token_issuers {
        match &issuer.keys {
            TokenKeys::File(path) if is_set(path) => match token::read_keys(&issuer.issuer, path) {
                Ok(keys) => {
                    let (path, count, left_out, issuer) = (path.display(), keys.len(), keys.left_out(), &issuer.issuer);
                    report.fact(
                        "token_issuers",
                        format!(
                            "{path} has {} of {issuer}; {} can't verify tokens",
                            counted(count, "key", "keys"),
                            counted(left_out, "other", "others")
                        ),
                    );
                    if count == 0 {
                        let problem =
                            format!("{path} has no key that can verify tokens: every token of {issuer} is refused");
                        report.warning(
                            "token_issuers",
                            problem,
                            "put the issuer's public signature keys into the file",
                        );
                    }
                }
                Err(error) => {
                    report.error(
                        "token_issuers",
                        error_chain::text(&error),
                        "put the issuer's JSON Web Key Set into the file",
                    );
                }
            },
            TokenKeys::Url { url, ca } => {
                cas.extend(keys_at(url, ca.as_deref(), &issuer.issuer, config, report).await);
            }
            TokenKeys::File(_) => {}
        }
    }
    cas
}

/// Fetches the keys at a URL once. Returns the CAs that verify it.
async fn keys_at(url: &Uri, ca: Option<&Path>, issuer: &str, config: &Config, report: &mut Report) -> Vec<Certificate> {
    const SETTING: &str = "token_issuers";
    let fetching =
        Fetching::new(&config.limits, &config.data_dir, Arc::new(SystemClock), Shed::default(), Drain::new());
    let fetched = match Cas::read(ca).and_then(|cas| Fetched::new(url, cas, fetching)) {
        Ok(fetched) => fetched,
        Err(error) => {
            let problem = format!("the keys of {issuer} can't be fetched: {}", error_chain::text(&*error));
            report.error(SETTING, problem, "fix jwks_ca, or the proxy in the environment");
            return Vec::new();
        }
    };
    match fetched.try_once().await {
        Ok(0) => report.warning(
            SETTING,
            format!("{url} has no key that can verify tokens: every token of {issuer} is refused"),
            "check the issuer's key set",
        ),
        Ok(count) => report.fact(SETTING, format!("{url} has {} of {issuer}", counted(count, "key", "keys"))),
        Err(error) => report.warning(
            SETTING,
            format!("{url} can't be reached from this machine: {error}"),
            "check jwks_url, jwks_ca, the network and the proxy: without keys, every token of this issuer is refused",
        ),
    }
    token::certificates_of(issuer, fetched.cas())
}

/// Checks each source of a root key. Returns the root keys if all can be loaded.
async fn root_keys(config: &Config, report: &mut Report) -> Option<RootKeySet> {
    let mut keys = Vec::new();
    for (index, source) in config.root_key_sources.iter().enumerate().filter(|(_, source)| source.is_complete()) {
        let setting = format!("root_key.sources[{index}]");
        match root_key::load(source).await {
            Ok(key) => {
                let role = if index == 0 { "current" } else { "former" };
                report.fact(&setting, format!("{source} is the {role} root key"));
                keys.push(key);
            }
            Err(error) => report.error(&setting, error_chain::text(&error), error.remedy()),
        }
        if let RootKeySource::File(path) | RootKeySource::MountedSecret(path) = source
            && is_set(&config.data_dir)
            && path.starts_with(&config.data_dir)
        {
            let problem = format!("{source} is in the data folder: a copy of the folder can decrypt all data");
            report.warning(&setting, problem, "move it to another folder, and change the path");
        }
    }
    if keys.len() < config.root_key_sources.len() {
        return None;
    }
    let mut keys = keys.into_iter();
    keys.next().map(|current| RootKeySet::new(current, keys.collect()))
}
