//! Takes a backup of a deployment's databases consistently while its server runs: `configuration.db` and the databases of the organizations that it
//! lists.
//!
//! Each copy is a snapshot of its database, which SQLite takes within one read transaction. Writers continue meanwhile, and never cause it
//! to restart. An organization's copy needs the text of its key in the copy of `configuration.db`. If the key changed between the two, both
//! copies are taken again. The folder gets its name when all copies are complete, checked and on disk.
//!
//! The root key and the configuration file are not included: together with the copies they open everything.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealward_core::{
    audit::AuditAction,
    name::OrganizationName,
    organization::{
        open::inspect,
        ring_rows,
        row::{self, Listing, Misnamed, Row, STATE_READY},
    },
    random::{self, Random},
    store::{Cause, OpenError, Reader, Unavailable},
    table::{KeyTextRow, TableRow as _},
};
use sealward_store::{CopyError, copy, rename_new, view};

use super::{
    folder::{self, Failed},
    names::{CONFIGURATION, ORGANIZATIONS, of_organization},
    owner::{self, OtherUser},
};
use crate::{audit::notes::Note, ports::random::SystemRandom};

/// The number of attempts to get consistent copies. An attempt fails if a key was changed or an organization deleted in between; key
/// changes are limited to a few per hour.
const ATTEMPTS: u32 = 5;

/// The content of a backup.
#[derive(Debug)]
pub struct BackedUp {
    /// The names of the organizations, in order.
    pub organizations: Vec<OrganizationName>,
    /// Listed organizations whose creation, import or deletion is unfinished. They are not in the backup.
    pub unfinished: Vec<OrganizationName>,
    /// Whether the server will record the backup in the deployment's audit trail. A data folder that is read-only or full can't take the note.
    pub is_recorded: bool,
}

/// Why a backup failed. No files of it are left.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// The destination exists.
    #[error("{path} exists and is not overwritten: specify a new folder")]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// The folder for the destination doesn't exist.
    #[error("the folder {path} doesn't exist: create it")]
    NoFolder {
        /// Its path.
        path: PathBuf,
    },
    /// The destination is in the folder that it would be a backup of.
    #[error("{path} is in the data folder {data_dir}: specify a folder outside, best on another disk")]
    InDataFolder {
        /// Its path.
        path: PathBuf,
        /// The data folder.
        data_dir: PathBuf,
    },
    /// A backup as another user would leave files that the server can't open.
    #[error(transparent)]
    OtherUser(#[from] OtherUser),
    /// A file or folder can't be read or created.
    #[error("{path} can't be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A database can't be copied.
    #[error("the database {path} can't be copied")]
    Database {
        /// The database.
        path: PathBuf,
        /// The cause.
        source: Cause,
    },
    /// A copy can't be written.
    #[error("the copy {path} can't be written")]
    Unwritable {
        /// The copy.
        path: PathBuf,
        /// The cause.
        source: Cause,
    },
    /// A copy can't be read.
    #[error("the copy of {name} can't be read")]
    Copy {
        /// Its name in the backup.
        name: String,
        /// The cause.
        source: Cause,
    },
    /// A database belongs to another organization than its entry.
    #[error(
        "the database of organizations/{name} belongs to another organization: run `sealward-server check-config` for details"
    )]
    WrongOrganization {
        /// The name of the organization.
        name: OrganizationName,
    },
    /// An organization is listed with a name that isn't one.
    #[error(
        "configuration.db lists an organization with an invalid name, {name:?}: run `sealward-server check-config` for details"
    )]
    InvalidName {
        /// The name in its row.
        name: String,
    },
    /// Keys were changed or organizations deleted during every attempt.
    #[error("organizations or their keys changed during each of {ATTEMPTS} attempts: try again later")]
    KeepsChanging,
}

/// Copies the databases below `data_dir` into a new folder.
///
/// # Errors
/// [`BackUpError`]
pub async fn back_up(data_dir: &Path, to: &Path) -> Result<BackedUp, BackUpError> {
    let us = owner::check(data_dir).map_err(|source| io_error(data_dir, source))??;
    // A link counts, whatever it points to.
    match fs::symlink_metadata(to) {
        Ok(_) => return Err(BackUpError::Exists { path: to.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(to, source)),
    }
    let above = folder::above(to);
    if !above.is_dir() {
        return Err(BackUpError::NoFolder { path: above.to_owned() });
    }
    let inside = |source| io_error(above, source);
    if fs::canonicalize(above).map_err(inside)?.starts_with(fs::canonicalize(data_dir).map_err(inside)?) {
        return Err(BackUpError::InDataFolder { path: to.to_owned(), data_dir: data_dir.to_owned() });
    }
    let unfinished = unfinished_name(to)?;
    let outcome = fill(data_dir, &unfinished, to).await.and_then(|backed_up| {
        // First the note: a backup that isn't recorded is worse than a record of one that failed in between.
        let note = leave_note(data_dir, us, &backed_up)?;
        match publish(&unfinished, to) {
            Ok(true) => return Ok(BackedUp { is_recorded: note.is_some(), ..backed_up }),
            Ok(false) => Err(BackUpError::Exists { path: to.to_owned() }),
            Err(error) => Err(error),
        }
        .inspect_err(|_| note.into_iter().for_each(|note| drop(fs::remove_file(note))))
    });
    if outcome.is_err() {
        // It may not exist.
        let _removed = fs::remove_dir_all(&unfinished);
    }
    outcome
}

/// Leaves a note for the server. `None` if the data folder is on a read-only file system, such as a snapshot, or full: then the backup is
/// needed even more.
fn leave_note(data_dir: &Path, us: u32, backed_up: &BackedUp) -> Result<Option<PathBuf>, BackUpError> {
    let details = format!("user {us}, organizations {}", backed_up.organizations.len());
    match Note::new(AuditAction::BackUp, details).leave(data_dir) {
        Ok(path) => Ok(Some(path)),
        Err(error) if matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull) => {
            Ok(None)
        }
        Err(source) => Err(io_error(data_dir, source)),
    }
}

/// A name in the same folder, so that both are on one file system.
fn unfinished_name(to: &Path) -> Result<PathBuf, BackUpError> {
    let name = to.file_name().ok_or_else(|| io_error(to, io::ErrorKind::InvalidInput.into()))?;
    let suffix = u64::from_be_bytes(random::bytes(&SystemRandom as &dyn Random));
    Ok(to.with_file_name(format!(".{}.{suffix:016x}.unfinished", name.to_string_lossy())))
}

fn publish(unfinished: &Path, to: &Path) -> Result<bool, BackUpError> {
    folder::sync_both(unfinished).map_err(|(_, source)| io_error(to, source))?;
    let is_new = rename_new(unfinished, to).map_err(|source| io_error(to, source))?;
    folder::sync(folder::above(to))?;
    Ok(is_new)
}

/// Fills the unfinished folder of the backup `to`.
async fn fill(data_dir: &Path, folder: &Path, to: &Path) -> Result<BackedUp, BackUpError> {
    folder::create(folder).map_err(|(_, source)| io_error(to, source))?;
    let copies = Copies { data_dir, folder, to };
    for _ in 0..ATTEMPTS {
        copies.copy(CONFIGURATION)?;
        let listed = copies.listed().await?;
        let (ready, unfinished): (Vec<_>, Vec<_>) = listed.into_iter().partition(|row| row.state == STATE_READY);
        let mut belong_together = true;
        for row in &ready {
            belong_together &= copies.organization(row).await?;
        }
        if belong_together {
            copies.remove_unlisted(&ready)?;
            let names = |rows: Vec<Row>| rows.into_iter().map(|row| row.name).collect();
            return Ok(BackedUp { organizations: names(ready), unfinished: names(unfinished), is_recorded: false });
        }
    }
    Err(BackUpError::KeepsChanging)
}

struct Copies<'a> {
    data_dir: &'a Path,
    folder: &'a Path,
    /// The name that the folder gets.
    to: &'a Path,
}

impl Copies<'_> {
    /// Copies a database, and replaces an earlier copy.
    fn copy(&self, name: &str) -> Result<(), BackUpError> {
        let (from, to) = (self.data_dir.join(name), self.folder.join(name));
        match fs::remove_file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&to, error)),
            Ok(()) | Err(_) => {}
        }
        copy(&from, &to).map_err(|error| match error {
            CopyError::Source(source) => BackUpError::Database { path: from, source },
            // Under the name that the user knows.
            CopyError::Target(source) => BackUpError::Unwritable { path: self.to.join(name), source },
        })
    }

    fn view(&self, name: &str) -> Result<Box<dyn Reader>, BackUpError> {
        let opened = view(&self.folder.join(name));
        opened.map_err(|error| BackUpError::Copy { name: name.to_owned(), source: Cause(error.into()) })
    }

    async fn listed(&self) -> Result<Vec<Row>, BackUpError> {
        let Listing { organizations: mut listed, misnamed } =
            row::read_all(&*self.view(CONFIGURATION)?).await.map_err(|error| copy_error(CONFIGURATION, error))?;
        // A row that isn't ready has no data to copy.
        if let Some(Misnamed { name, .. }) = misnamed.into_iter().find(|row| row.is_ready) {
            return Err(BackUpError::InvalidName { name });
        }
        listed.sort_by(|one, other| one.row.name.cmp(&other.row.name));
        Ok(listed.into_iter().map(|listed| listed.row).collect())
    }

    /// Copies an organization's database, and returns whether it is consistent with the copy of the configuration database.
    async fn organization(&self, row: &Row) -> Result<bool, BackUpError> {
        let name = of_organization(row.id);
        if !self.data_dir.join(&name).try_exists().map_err(|source| io_error(&self.data_dir.join(&name), source))? {
            // It was deleted after the configuration database was copied, or it is missing and stays so.
            return if self.is_listed_now(row).await? {
                Err(io_error(&self.data_dir.join(&name), io::ErrorKind::NotFound.into()))
            } else {
                Ok(false)
            };
        }
        self.copy(&name)?;
        let (copy, configuration) = (self.view(&name)?, self.view(CONFIGURATION)?);
        match inspect(row.id, &*copy).await {
            Ok(inside) if inside == row.name => {}
            Ok(_) | Err(OpenError::WrongOrganization) => {
                return Err(BackUpError::WrongOrganization { name: row.name.clone() });
            }
            Err(error @ (OpenError::Missing | OpenError::Unavailable(_))) => {
                return Err(BackUpError::Copy { name, source: Cause(error.into()) });
            }
        }
        let Ok(ring) = ring_rows::read(&*copy).await.map_err(|error| copy_error(&name, error))? else {
            // The key text for an unreadable ring can't be determined here.
            return Ok(true);
        };
        let of_organization = || KeyTextRow::organization().is(row.id);
        let of_ring = of_organization().and(KeyTextRow::key_check_value().is(ring.check.as_bytes().to_vec()));
        let texts = |rows| configuration.count(KeyTextRow::TABLE.into(), rows);
        let has_text = texts(of_ring).await.map_err(|error| copy_error(CONFIGURATION, error))? > 0;
        // Without a key text the organization is inactive, and so is its copy.
        let is_inactive = texts(of_organization()).await.map_err(|error| copy_error(CONFIGURATION, error))? == 0;
        Ok(has_text || is_inactive)
    }

    /// Whether the configuration database still lists the organization as ready.
    async fn is_listed_now(&self, row: &Row) -> Result<bool, BackUpError> {
        let path = self.data_dir.join(CONFIGURATION);
        let failed = |source| BackUpError::Database { path: path.clone(), source };
        let view = view(&path).map_err(|error| failed(Cause(error.into())))?;
        let listed = row::read_all(&*view).await.map_err(|Unavailable(cause)| failed(cause))?;
        Ok(listed.organizations.iter().any(|listed| listed.row == *row))
    }

    /// Removes the copies of organizations that were deleted between one attempt and the next.
    fn remove_unlisted(&self, listed: &[Row]) -> Result<(), BackUpError> {
        let folder = self.folder.join(ORGANIZATIONS);
        let failed = |source| io_error(&folder, source);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !listed.iter().any(|row| self.folder.join(of_organization(row.id)) == path) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl From<Failed> for BackUpError {
    fn from((path, source): Failed) -> Self {
        BackUpError::Io { path, source }
    }
}

fn io_error(path: &Path, source: io::Error) -> BackUpError {
    BackUpError::Io { path: path.to_owned(), source }
}

fn copy_error(name: &str, Unavailable(source): Unavailable) -> BackUpError {
    BackUpError::Copy { name: name.to_owned(), source }
}
