//! Restores a backup into a data folder without databases, while no server runs on it. The backup itself isn't changed.
//!
//! The copies get their names when all are complete and on disk: first `configuration.db`, then the folder of the organizations. After a crash
//! in between, a server reports the organizations as missing, and creates nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealward_core::{
    audit::AuditAction,
    random::{self, Random},
    store::Cause,
};
use sealward_store::{
    CopyError, copy, rename_new,
    sqlite::{DataFolder, DataFolderError},
};

use super::{
    folder::{self, Failed},
    names::{CONFIGURATION, ORGANIZATIONS, is_organization_database},
    owner::{self, OtherUser},
};
use crate::{audit::notes::Note, ports::random::SystemRandom};

/// A restored backup.
#[derive(Debug)]
pub struct Restored {
    /// The number of databases of organizations.
    pub organizations: usize,
}

/// Why a backup wasn't restored. The data folder is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data folder can't be used, or a server runs on it.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// Another user would leave files that the server can't open.
    #[error(transparent)]
    OtherUser(#[from] OtherUser),
    /// The data folder has databases, or files that SQLite would read together with the restored ones.
    #[error("the data folder {path} isn't empty: move {} out of it, and keep them until the restored server works", .names.join(", "))]
    NotEmpty {
        /// The data folder.
        path: PathBuf,
        /// The names of the files and folders.
        names: Vec<String>,
    },
    /// A file or folder can't be read or created.
    #[error("{path} can't be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A database of the backup can't be copied.
    #[error("the database {path} can't be copied")]
    Database {
        /// The database.
        path: PathBuf,
        /// The cause.
        source: Cause,
    },
    /// A database can't be written to the data folder.
    #[error("the data folder {path} can't be written")]
    Unwritable {
        /// The data folder.
        path: PathBuf,
        /// The cause.
        source: Cause,
    },
}

/// Copies the databases of a backup into the data folder, which is created if it doesn't exist. The backup must have been checked.
///
/// # Errors
/// [`RestoreError`]
pub fn restore(backup: &Path, data_dir: &Path) -> Result<Restored, RestoreError> {
    // Locked until the end, so that no server starts meanwhile.
    let _locked = DataFolder::open(data_dir)?;
    let us = check_empty(data_dir)?;
    let suffix = u64::from_be_bytes(random::bytes(&SystemRandom as &dyn Random));
    let unfinished = data_dir.join(format!(".{suffix:016x}.restoring"));
    let outcome = copy_all(backup, &unfinished, data_dir).and_then(|organizations| {
        let details = format!("user {us}, organizations {organizations}");
        let note = Note::new(AuditAction::RestoreBackup, details).leave(data_dir);
        let note = note.map_err(|source| io_error(data_dir, source))?;
        match publish(&unfinished, data_dir) {
            Ok(()) => Ok(Restored { organizations }),
            Err(error) => {
                // If it stays, the trail has a record of an attempt.
                let _removed = fs::remove_file(note);
                Err(error)
            }
        }
    });
    // It may not exist.
    let _removed = fs::remove_dir_all(&unfinished);
    outcome
}

/// Checks that a backup can be restored into the data folder now.
///
/// # Errors
/// [`RestoreError`]
pub fn is_restorable_into(data_dir: &Path) -> Result<(), RestoreError> {
    if fs::symlink_metadata(data_dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let _locked = DataFolder::open(data_dir)?;
    check_empty(data_dir).map(|_us| ())
}

/// Checks owner and content of the data folder. Returns the user of this process.
fn check_empty(data_dir: &Path) -> Result<u32, RestoreError> {
    let us = owner::check(data_dir).map_err(|source| io_error(data_dir, source))??;
    let names = names_in_the_way(data_dir).map_err(|source| io_error(data_dir, source))?;
    if names.is_empty() { Ok(us) } else { Err(RestoreError::NotEmpty { path: data_dir.to_owned(), names }) }
}

/// The files and folders that belong to databases. An empty folder for organizations isn't in the way.
fn names_in_the_way(data_dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(CONFIGURATION) || name == ORGANIZATIONS && !is_empty_folder(&entry)? {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_empty_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    Ok(entry.file_type()?.is_dir() && fs::read_dir(entry.path())?.next().is_none())
}

/// Copies the databases, and returns the number of those of organizations.
fn copy_all(backup: &Path, to: &Path, data_dir: &Path) -> Result<usize, RestoreError> {
    folder::create(to).map_err(|(_, source)| io_error(data_dir, source))?;
    copy_one(&backup.join(CONFIGURATION), &to.join(CONFIGURATION), data_dir)?;
    let folder = backup.join(ORGANIZATIONS);
    let failed = |source| io_error(&folder, source);
    let mut organizations = 0;
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).map_err(failed)?;
        if name.to_str().is_some_and(is_organization_database) {
            copy_one(&from, &to.join(ORGANIZATIONS).join(name), data_dir)?;
            organizations += 1;
        }
    }
    Ok(organizations)
}

fn copy_one(from: &Path, to: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    copy(from, to).map_err(|error| match error {
        CopyError::Source(source) => RestoreError::Database { path: from.to_owned(), source },
        CopyError::Target(source) => RestoreError::Unwritable { path: data_dir.to_owned(), source },
    })
}

fn publish(unfinished: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    folder::sync_both(unfinished).map_err(|(_, source)| io_error(data_dir, source))?;
    // An empty folder may exist. With content, it isn't removed, and the copy doesn't get its name.
    let _removed = fs::remove_dir(data_dir.join(ORGANIZATIONS));
    name_copy(unfinished, data_dir, CONFIGURATION)?;
    if let Err(error) = name_copy(unfinished, data_dir, ORGANIZATIONS) {
        let configuration = data_dir.join(CONFIGURATION);
        fs::remove_file(&configuration).map_err(|source| io_error(&configuration, source))?;
        return Err(error);
    }
    Ok(folder::sync(data_dir)?)
}

fn name_copy(unfinished: &Path, data_dir: &Path, name: &str) -> Result<(), RestoreError> {
    let to = data_dir.join(name);
    match rename_new(&unfinished.join(name), &to) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RestoreError::NotEmpty { path: data_dir.to_owned(), names: vec![name.to_owned()] }),
        Err(source) => Err(io_error(&to, source)),
    }
}

impl From<Failed> for RestoreError {
    fn from((path, source): Failed) -> Self {
        RestoreError::Io { path, source }
    }
}

fn io_error(path: &Path, source: io::Error) -> RestoreError {
    RestoreError::Io { path: path.to_owned(), source }
}
