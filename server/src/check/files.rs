//! Files and folders: whether they are there, whose they are, who else gets in, and whether there is room.
//!
//! Nothing here knows what is in them.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::{
    fs::{Access, access, statvfs},
    process::geteuid,
};

use super::{Report, Severity};
use crate::{
    config::OnFailure,
    error_chain,
    files::trusted_file::{self, TrustedFileError},
};

/// Less room than this is worth a warning: an organization's database and its log want some MB each.
const ROOM_MIN_BYTES: u64 = 256 << 20;

/// A user who can change the configuration can become administrator.
pub(super) fn configuration(path: &Path, report: &mut Report) {
    if let Err(error) = trusted_file::check(path) {
        report.error(path.display().to_string(), error_chain::text(&error), error.remedy());
    }
}

/// A private key that others can read isn't private.
pub(super) fn private(subject: &str, path: &Path, report: &mut Report) {
    if fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0) {
        let problem = format!("{} is a private key that everybody may read", path.display());
        report.warning(subject, problem, format!("chmod 600 {}", path.display()));
    }
}

/// The data folder and the folder of organizations in it.
pub(super) fn data_folder(path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Ok(found) => {
            folder(path, &found, report);
            if let Some(above) = path.parent()
                && let Err(error @ TrustedFileError::Exposed { .. }) = trusted_file::check(above)
            {
                report.warning("data_dir", format!("{}: it can be replaced by another folder", error), error.remedy());
            }
            let organizations = path.join("organizations");
            if let Ok(found) = fs::metadata(&organizations) {
                folder(&organizations, &found, report);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(path, report),
        Err(error) => report.error(
            "data_dir",
            format!("{} can't be looked at: {error}", path.display()),
            "run this as the user that the server runs as",
        ),
    }
}

fn folder(path: &Path, found: &Metadata, report: &mut Report) {
    let shown = path.display();
    if !found.is_dir() {
        return report.error("data_dir", format!("{shown} is no folder"), "name another, or remove what is there");
    }
    if found.mode() & 0o077 != 0 {
        let problem = format!("{shown} is open to others (mode {:04o})", found.mode() & 0o7777);
        report.error("data_dir", problem, format!("chmod 700 {shown}"));
    }
    let us = geteuid().as_raw();
    if found.uid() != us {
        let problem = format!("{shown} belongs to user {}, and this check runs as user {us}", found.uid());
        let remedy = "run this as the user that the server runs as, or give that user the folder with chown -R";
        report.warning("data_dir", problem, remedy);
    }
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        report.error("data_dir", format!("{shown} can't be written to by user {us}"), format!("chown -R {us} {shown}"));
    }
    if let Ok(disk) = statvfs(path) {
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        if room < ROOM_MIN_BYTES {
            let problem = format!("{shown} has {} MiB of room left", room >> 20);
            report.warning("data_dir", problem, "make room: a full disk ends every write");
        }
    }
}

/// A folder that a server would make. It has to be able to.
fn absent(path: &Path, report: &mut Report) {
    let above = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = path.display();
    if access(above, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let problem = format!("{shown} doesn't exist, and {} can't be written to to make it", above.display());
        report.error("data_dir", problem, format!("make it, for the server's user alone: install -d -m 700 {shown}"));
    } else {
        report.fact("data_dir", format!("{shown} doesn't exist yet; the first start makes it"));
    }
}

/// The file that audit records are copied to, or that a server would make.
pub(super) fn audit_copy(path: &Path, on_failure: OnFailure, report: &mut Report) {
    let (shown, us) = (path.display(), geteuid().as_raw());
    let unusable = match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some((format!("{shown} is a folder"), "name a file".to_owned())),
        Ok(found) => {
            if found.is_file() && found.mode() & 0o077 != 0 {
                let problem = format!("{shown} is open to others (mode {:04o})", found.mode() & 0o7777);
                report.warning(AUDIT_FILE, problem, format!("chmod 600 {shown}"));
            }
            let problem = format!("{shown} can't be read and written to by user {us}");
            let is_open = access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
            (!is_open).then(|| (problem, format!("chown {us} {shown}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let (folder_shown, is_there) = (folder.display(), folder.is_dir());
            let problem = match is_there {
                true => format!("{shown} can't be made in {folder_shown} by user {us}"),
                false => format!("{shown} can't be made: there is no folder {folder_shown}"),
            };
            let is_open = is_there && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
            (!is_open).then(|| (problem, format!("install -d -m 700 -o {us} {folder_shown}")))
        }
        Err(error) => {
            let remedy = "run this as the user that the server runs as".to_owned();
            Some((format!("{shown} can't be looked at: {error}"), remedy))
        }
    };
    match (unusable, on_failure) {
        (None, _) => report.fact(AUDIT_FILE, format!("audit records are copied to {shown}")),
        (Some((problem, remedy)), OnFailure::Report) => {
            report.find(Severity::Warning, AUDIT_FILE.to_owned(), problem, remedy);
        }
        (Some((problem, remedy)), OnFailure::Refuse) => {
            let problem = format!("{problem}, so that everything that has to be recorded is refused");
            report.find(Severity::Error, AUDIT_FILE.to_owned(), problem, remedy);
        }
    }
}

const AUDIT_FILE: &str = "audit.file";

/// A database that others can read, or that isn't the server's.
pub(super) fn database(subject: &str, path: &Path, report: &mut Report) {
    let Ok(found) = fs::metadata(path) else { return };
    let shown = path.display();
    if found.mode() & 0o077 != 0 {
        let problem = format!("{shown} is open to others (mode {:04o})", found.mode() & 0o7777);
        report.warning(subject, problem, format!("chmod 600 {shown}"));
    }
    let owner = path.parent().and_then(|folder| fs::metadata(folder).ok()).map(|folder| folder.uid());
    if owner.is_some_and(|owner| owner != found.uid()) {
        let problem = format!("{shown} belongs to another user than its folder does");
        report.error(subject, problem, "give it to the server's user with chown");
    }
}
