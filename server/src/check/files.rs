//! Checks files and folders: existence, owner, access by other users, and free space.
//!
//! Nothing here knows their content.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access, statfs},
    process::geteuid,
};

use super::report::Report;
use crate::{
    certificates::Certificate,
    config::{CollectorAddress, Config, OnFailure},
    error_chain,
    files::{
        disk,
        trusted_file::{self, TrustedFileError, type_name},
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
    if is_readable_by_all(path) {
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
    } else if is_readable_by_all(path) {
        let problem = format!("the token {} is readable by all users", path.display());
        report.warning(SUBJECT, problem, format!("chmod 640 {}", path.display()));
    }
}

/// Checks the files for the collector of traces. Returns their certificates.
pub(super) fn collector(config: &Config, report: &mut Report) -> Vec<Certificate> {
    const SUBJECT: &str = "traces";
    let Some(traces) = &config.traces else { return Vec::new() };
    let certificates = match collector::check(traces) {
        Ok(certificates) => {
            report.fact(SUBJECT, format!("calls are traced for the collector at {}", traces.collector));
            certificates
        }
        Err(error) => {
            report.error(SUBJECT, error_chain::text(&error), collector::FIX_FILES);
            Vec::new()
        }
    };
    if let (CollectorAddress::Loopback(address), Some(_)) = (&traces.collector, &traces.headers_file) {
        let problem = format!(
            "while no collector listens on {address}, every user of this machine can listen there and get the headers"
        );
        let remedy =
            "let the collector listen on a Unix socket, and set traces.endpoint = \"unix:/PATH\"; or use https://";
        report.warning("traces.headers_file", problem, remedy);
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
    certificates
}

/// Whether it is a file that all users can read. Anything else is reported by the code that reads it, and its mode isn't changed.
fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0)
}

/// The data folder and the folder of organizations in it.
pub(super) fn data_folder(path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Ok(found) => {
            folder(path, &found, report);
            report.findings.extend(disk::available_bytes(path).and_then(|bytes| disk::finding(path, bytes)));
            // Its own mode is already checked.
            if let Err(TrustedFileError::Exposed { exposure, .. }) = trusted_file::check(path)
                && fs::metadata(&exposure.place).is_ok_and(|place| !is_same(&place, &found))
            {
                let problem = format!("other users can replace the data folder: {exposure}");
                report.warning("data_dir", problem, exposure.remedy());
            }
            let organizations = path.join("organizations");
            if let Ok(below) = fs::metadata(&organizations) {
                folder(&organizations, &below, report);
                // On the same disk, its space is the same.
                if below.dev() != found.dev() {
                    let available = disk::available_bytes(&organizations);
                    report.findings.extend(available.and_then(|bytes| disk::finding(&organizations, bytes)));
                }
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
        // Other programs need a folder that isn't only the server's.
        let is_own = found.uid() == geteuid().as_raw() && found.mode() & STICKY == 0 && path.components().count() > 2;
        let remedy = if is_own { format!("chmod 700 {shown}") } else { "use a folder of the server's own".to_owned() };
        report.error("data_dir", problem, remedy);
    }
    let us = geteuid().as_raw();
    if found.uid() != us {
        let problem = format!("{shown} belongs to user {}, but this check runs as user {us}", found.uid());
        report.warning("data_dir", problem, "run this as the server's user, or use a folder of this user");
    }
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let problem = format!("user {us} can't write to {shown}");
        report.error("data_dir", problem, "run this as the server's user, or use a folder that it can write to");
    }
}

const STICKY: u32 = 0o1000;

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Checks whether the server can create a missing data folder.
fn absent(path: &Path, report: &mut Report) {
    let above = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = path.display();
    if !can_create_in(above) {
        let problem = format!("{shown} doesn't exist, and this user can't create it in {}", above.display());
        report.error("data_dir", problem, format!("create it for the server's user: install -d -m 700 {shown}"));
    } else {
        report.fact("data_dir", format!("{shown} doesn't exist yet; the first start creates it"));
    }
}

/// Whether this user can create files in a folder. The system's own folders below /proc and /sys take none, whatever their mode is.
fn can_create_in(folder: &Path) -> bool {
    const PROC: u64 = 0x9fa0;
    const SYSFS: u64 = 0x6265_6572;
    let is_of_system = statfs(folder).is_ok_and(|found| {
        let kind = u64::try_from(found.f_type).unwrap_or_default();
        [PROC, SYSFS].contains(&kind)
    });
    folder.is_dir() && !is_of_system && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Checks the file of the audit copy, or whether the server can create it.
pub(super) fn audit_copy(path: &Path, on_failure: OnFailure, report: &mut Report) {
    const OTHER_FILE: &str = "use the path of a file or a pipe";
    let (shown, us) = (path.display(), geteuid().as_raw());
    let unusable = match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.file_type().is_fifo() => Some((
            format!("{shown} is {}, which keeps no records", type_name(found.file_type())),
            OTHER_FILE.to_owned(),
        )),
        Ok(found) => {
            if found.is_file() && found.mode() & 0o077 != 0 {
                let problem = format!("{shown} is accessible to other users (mode {:04o})", found.mode() & 0o7777);
                report.warning(AUDIT_FILE, problem, format!("chmod 600 {shown}"));
            }
            // The server only writes to a pipe.
            let (needed, verb) = match found.is_file() {
                true => (Access::READ_OK | Access::WRITE_OK, "read and write"),
                false => (Access::WRITE_OK, "write to"),
            };
            let problem = format!("user {us} can't {verb} {shown}");
            let remedy = "run this as the server's user, or use a path that it can write to";
            access(path, needed).is_err().then(|| (problem, remedy.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let folder_shown = folder.display();
            if !folder.is_dir() {
                let problem = format!("can't create {shown}: the folder {folder_shown} doesn't exist");
                Some((problem, format!("install -d -m 700 -o {us} {folder_shown}")))
            } else if !can_create_in(folder) {
                let problem = format!("user {us} can't create {shown} in {folder_shown}");
                Some((problem, "use a path in a folder of the server's user".to_owned()))
            } else {
                None
            }
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
