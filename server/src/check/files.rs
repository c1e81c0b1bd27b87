//! Checks files and folders: existence, owner, access by other users, and free space.
//!
//! Nothing here knows their content.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::geteuid,
};

use super::report::Report;
use crate::{
    config::{CollectorAddress, Config, OnFailure},
    error_chain,
    files::{
        disk,
        trusted_file::{self, TrustedFileError},
    },
    telemetry::{
        metrics::access::{MetricsTokenError, read_token},
        traces::collector,
    },
};

/// Whether a path setting is set. If not, it already has a fault.
pub(super) fn is_set(path: &Path) -> bool {
    *path != PathBuf::new()
}

/// Checks who can change the configuration: such a user can become an administrator.
pub(super) fn configuration(path: &Path, report: &mut Report) {
    if let Err(error) = trusted_file::check(path) {
        report.error(path.display().to_string(), error_chain::text(&error), error.remedy());
    }
}

/// Warns of a private key that all users can read.
pub(super) fn private(subject: &str, path: &Path, report: &mut Report) {
    if fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0) {
        let problem = format!("the private key {} is readable by all users", path.display());
        report.warning(subject, problem, format!("chmod 600 {}", path.display()));
    }
}

/// Checks the token of scrapers.
pub(super) fn metrics_token(path: &Path, report: &mut Report) {
    const SUBJECT: &str = "listen.metrics_token";
    if let Err(error) = read_token(path) {
        let remedy = match &error {
            MetricsTokenError::File(error) => error.remedy(),
            MetricsTokenError::NotAToken { .. } => "write a new one: openssl rand -hex 32".to_owned(),
        };
        report.error(SUBJECT, error_chain::text(&error), remedy);
    } else if fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0) {
        let problem = format!("the token {} is readable by all users", path.display());
        report.warning(SUBJECT, problem, format!("chmod 640 {}", path.display()));
    }
}

/// Checks the files for the collector of traces.
pub(super) fn collector(config: &Config, report: &mut Report) {
    const SUBJECT: &str = "traces";
    let Some(traces) = &config.traces else { return };
    match collector::check(traces) {
        Ok(()) => report.fact(SUBJECT, format!("calls are traced for the collector at {}", traces.collector)),
        Err(error) => {
            let remedy = "correct the file, or the setting that names it; see docs/traces.md";
            report.error(SUBJECT, error_chain::text(&error), remedy);
        }
    }
    let key = match &traces.collector {
        CollectorAddress::Tls(tls) => tls.identity.as_ref().map(|(_, key)| key),
        CollectorAddress::Loopback(_) | CollectorAddress::UnixSocket { .. } => None,
    };
    if let Some(key) = key {
        private("traces.client_key", key, report);
    }
    if let Some(headers) = traces.headers_file.as_deref().filter(|path| is_readable_by_all(path)) {
        let problem = format!("the headers {} are readable by all users", headers.display());
        report.warning("traces.headers_file", problem, format!("chmod 640 {}", headers.display()));
    }
}

fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

/// The data folder and the folder of organizations in it.
pub(super) fn data_folder(path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Ok(found) => {
            folder(path, &found, report);
            if let Some(above) = path.parent()
                && let Err(error @ TrustedFileError::Exposed { .. }) = trusted_file::check(above)
            {
                report.warning(
                    "data_dir",
                    format!("{}: other users can replace the data folder", error),
                    error.remedy(),
                );
            }
            let organizations = path.join("organizations");
            if let Ok(found) = fs::metadata(&organizations) {
                folder(&organizations, &found, report);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(path, report),
        Err(error) => report.error(
            "data_dir",
            format!("can't access {}: {error}", path.display()),
            "run this as the server's user",
        ),
    }
}

fn folder(path: &Path, found: &Metadata, report: &mut Report) {
    let shown = path.display();
    if !found.is_dir() {
        return report.error("data_dir", format!("{shown} is not a folder"), "use another folder, or remove the file");
    }
    if found.mode() & 0o077 != 0 {
        let problem = format!("{shown} is accessible to other users (mode {:04o})", found.mode() & 0o7777);
        report.error("data_dir", problem, format!("chmod 700 {shown}"));
    }
    let us = geteuid().as_raw();
    if found.uid() != us {
        let problem = format!("{shown} belongs to user {}, but this check runs as user {us}", found.uid());
        let remedy = "run this as the server's user, or change the owner of the folder with chown -R";
        report.warning("data_dir", problem, remedy);
    }
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        report.error("data_dir", format!("user {us} can't write to {shown}"), format!("chown -R {us} {shown}"));
    }
    report.findings.extend(disk::available_bytes(path).and_then(|bytes| disk::finding(path, bytes)));
}

/// Checks whether the server can create a missing data folder.
fn absent(path: &Path, report: &mut Report) {
    let above = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = path.display();
    if access(above, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let problem = format!("{shown} doesn't exist, and this user can't create it in {}", above.display());
        report.error("data_dir", problem, format!("create it for the server's user: install -d -m 700 {shown}"));
    } else {
        report.fact("data_dir", format!("{shown} doesn't exist yet; the first start creates it"));
    }
}

/// Checks the file of the audit copy, or whether the server can create it.
pub(super) fn audit_copy(path: &Path, on_failure: OnFailure, report: &mut Report) {
    let (shown, us) = (path.display(), geteuid().as_raw());
    let unusable = match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some((format!("{shown} is a folder"), "use the path of a file".to_owned())),
        Ok(found) => {
            if found.is_file() && found.mode() & 0o077 != 0 {
                let problem = format!("{shown} is accessible to other users (mode {:04o})", found.mode() & 0o7777);
                report.warning(AUDIT_FILE, problem, format!("chmod 600 {shown}"));
            }
            let problem = format!("user {us} can't read and write {shown}");
            let is_open = access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
            (!is_open).then(|| (problem, format!("chown {us} {shown}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let (folder_shown, is_there) = (folder.display(), folder.is_dir());
            let problem = match is_there {
                true => format!("user {us} can't create {shown} in {folder_shown}"),
                false => format!("can't create {shown}: the folder {folder_shown} doesn't exist"),
            };
            let is_open = is_there && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
            (!is_open).then(|| (problem, format!("install -d -m 700 -o {us} {folder_shown}")))
        }
        Err(error) => {
            let remedy = "run this as the server's user".to_owned();
            Some((format!("can't access {shown}: {error}"), remedy))
        }
    };
    match (unusable, on_failure) {
        (None, _) => report.fact(AUDIT_FILE, format!("audit records are copied to {shown}")),
        (Some((problem, remedy)), OnFailure::Report) => {
            report.warning(AUDIT_FILE, problem, remedy);
        }
        (Some((problem, remedy)), OnFailure::Refuse) => {
            let problem = format!("{problem}: every call that needs an audit record is refused");
            report.error(AUDIT_FILE, problem, remedy);
        }
    }
}

const AUDIT_FILE: &str = "audit.file";

/// Checks the access to a database, and its owner.
pub(super) fn database(subject: &str, path: &Path, report: &mut Report) {
    let Ok(found) = fs::metadata(path) else { return };
    let shown = path.display();
    if found.mode() & 0o077 != 0 {
        let problem = format!("{shown} is accessible to other users (mode {:04o})", found.mode() & 0o7777);
        report.warning(subject, problem, format!("chmod 600 {shown}"));
    }
    let owner = path.parent().and_then(|folder| fs::metadata(folder).ok()).map(|folder| folder.uid());
    if owner.is_some_and(|owner| owner != found.uid()) {
        let problem = format!("{shown} and its folder belong to different users");
        report.error(subject, problem, "change its owner to the server's user with chown");
    }
}
