//! Checks the files of a backup: their owner and mode, that nothing is a link, and that nothing else is there.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::process::geteuid;

use super::report::Report;
use crate::backup::names::is_organization_database;

const SUBJECT: &str = "backup";

/// Returns whether the databases can be opened without a change to the folder.
pub(super) fn folder(path: &Path, report: &mut Report) -> bool {
    match is_at_rest(path, report) {
        Ok(is_at_rest) => is_at_rest,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let problem = format!("{} isn't a backup: {error}", path.display());
            report.error(SUBJECT, problem, "specify a folder that `sealward-server backup` created");
            false
        }
        Err(error) => {
            report.error(
                SUBJECT,
                format!("can't read {}: {error}", path.display()),
                "run this as the owner of the backup",
            );
            false
        }
    }
}

fn is_at_rest(path: &Path, report: &mut Report) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        report.error(SUBJECT, format!("{} is not a folder", path.display()), "name the folder of the backup itself");
        return Ok(false);
    }
    private(path, &found, report);
    let mut is_at_rest = true;
    for (folder, names) in [(path.to_owned(), Names::Deployment), (path.join("organizations"), Names::Organizations)] {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            let (name, found) = (name.to_string_lossy(), fs::symlink_metadata(&path)?);
            let shown = path.display();
            if found.is_symlink() {
                report.error(SUBJECT, format!("{shown} is a link"), "use a backup as `sealward-server backup` made it");
                is_at_rest = false;
            } else if names.are_of_open_database(&name) {
                let problem = format!("{shown} shows that a program wrote to this copy, or that it isn't complete");
                report.error(SUBJECT, problem, "use a backup as `sealward-server backup` made it");
                is_at_rest = false;
            } else if names.include(&name) && found.is_dir() != (name == "organizations") || is_special(&found) {
                report.error(
                    SUBJECT,
                    format!("{shown} is not a file"),
                    "use a backup as `sealward-server backup` made it",
                );
                is_at_rest = false;
            } else if !names.include(&name) {
                let problem = format!("{shown} doesn't belong to a backup; it is not restored");
                report.warning(SUBJECT, problem, "move it out of the folder");
            } else {
                private(&path, &found, report);
            }
        }
    }
    Ok(is_at_rest)
}

fn private(path: &Path, found: &Metadata, report: &mut Report) {
    let shown = path.display();
    let mode = found.mode() & 0o7777;
    let us = geteuid().as_raw();
    if mode & 0o022 != 0 || ![us, 0].contains(&found.uid()) {
        let problem = format!("other users can change {shown} (user {}, mode {mode:04o})", found.uid());
        report.error(SUBJECT, problem, "copy the backup to a folder of your own, from a place that you trust");
    } else if mode & 0o077 != 0 {
        let problem = format!("{shown} is accessible to other users (mode {mode:04o})");
        report.warning(SUBJECT, problem, format!("chmod go= {shown}"));
    }
}

/// Whether it is neither a file nor a folder, such as a pipe, whose reader would wait.
fn is_special(found: &Metadata) -> bool {
    !found.is_file() && !found.is_dir()
}

/// The names in a folder of a backup.
#[derive(Clone, Copy)]
enum Names {
    Deployment,
    Organizations,
}

impl Names {
    fn include(self, name: &str) -> bool {
        match self {
            Names::Deployment => matches!(name, "configuration.db" | "organizations"),
            Names::Organizations => is_organization_database(name),
        }
    }

    /// Files that SQLite keeps beside a database as long as it is open, or after it wasn't closed.
    fn are_of_open_database(self, name: &str) -> bool {
        let database = ["-wal", "-shm", "-journal"].iter().find_map(|suffix| name.strip_suffix(suffix));
        database.is_some_and(|database| self.include(database))
    }
}
