//! A generated key on its way to the person who keeps it: it must not be lost between its making and its keeper.
//!
//! Into a file it is written before the organization gets it. To stdout it goes afterwards, with the answer; so stdout is looked at
//! before, and where it fails all the same, the key is shown at the terminal, or the failure says how to get it. Nothing here knows what
//! the key is for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use sealward_client::{Client, ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{connection::Connection, failure::Failure, output::Output, stderr};

/// The option of every command that shows a key.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutputFile {
    /// Write the key to this file, readable by you only, instead of to stdout; a generated key before anything is changed. A file that
    /// exists is left alone.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl OutputFile {
    pub(crate) fn path(&self) -> Option<&Path> {
        self.output_file.as_deref()
    }

    /// Checks that a generated key can be delivered, before it is used.
    ///
    /// # Errors
    /// The file exists; or stdout, which the key would go to, leads nowhere.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.path() {
            Some(path) if path.exists() => Err(exists(path)),
            Some(_) => Ok(()),
            None => stdout::dead_end().map_or(Ok(()), |why| {
                Err(Failure::usage(format!(
                    "{why}, so the new key would be lost: write it to a file with --output-file FILE. Nothing was changed"
                )))
            }),
        }
    }

    /// Writes the key to the file, if there is to be one. It is on disk when this returns.
    pub(crate) fn write(&self, key: &SecretString) -> Result<Delivery, Failure> {
        match self.path() {
            Some(path) => Ok(Delivery::File(KeyFile::create(path, key)?)),
            None => Ok(Delivery::Stdout),
        }
    }
}

/// How a generated key gets to its keeper.
pub(crate) enum Delivery {
    /// It is in a file already.
    File(KeyFile),
    /// It goes to stdout with the answer.
    Stdout,
}

/// A file with a key, which stays unless it is discarded.
pub(crate) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Writes a file that didn't exist, for its owner only, and has it on disk.
    pub(crate) fn create(path: &Path, key: &SecretString) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                exists(path)
            } else {
                Failure::usage(format!("{} can't be written: {error}. Nothing was changed", path.display()))
            }
        })?;
        let written = file
            .write_all(key.expose_secret().as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder_of(path));
        let key_file = Self { path: path.to_owned() };
        match written {
            Ok(()) => Ok(key_file),
            Err(error) => {
                key_file.discard();
                Err(Failure::NoValue(format!("{} can't be written: {error}. Nothing was changed", path.display())))
            }
        }
    }

    /// Removes the file: its key isn't used.
    pub(crate) fn discard(self) {
        // What can't be removed is a key of nothing.
        let _removed = fs::remove_file(&self.path);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn exists(path: &Path) -> Failure {
    Failure::usage(format!("{} exists already: choose another name. Nothing was changed", path.display()))
}

/// Has the name of a new file on disk, where folders can be opened.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Shows an answer with a generated key in it, which is the organization's from now on.
///
/// # Errors
/// The answer can't be written. The key is at the terminal then, if there is one; else the failure says how to get it.
pub(crate) async fn show(
    mut answer: Value,
    key: &SecretString,
    delivery: &Delivery,
    output: &Output,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    let organization = connection.organization();
    let (field, value) = match delivery {
        Delivery::File(file) => ("output_file", file.path().to_string_lossy().into_owned()),
        Delivery::Stdout => ("encryption_key", key.expose_secret().to_owned()),
    };
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(field.to_owned(), Value::String(value));
    }
    let Err(failure) = output.answer(&answer) else { return Ok(()) };
    if let Delivery::File(file) = delivery {
        return Err(
            failure.done(format!("the new key is the key of {organization}, and is in {}", file.path().display()))
        );
    }
    if io::stderr().is_terminal() {
        stderr::warning(&format!(
            "The key can't be written to stdout, so here it is. Keep it safe:\n{}",
            key.expose_secret()
        ));
        return Err(failure.done(format!("the new key is the key of {organization}, and is shown above")));
    }
    let show = connection.hints().command("key show --output-file FILE");
    let how = match may_read_key(client, &organization).await {
        Some(true) => format!("get it with: {show}"),
        Some(false) => format!(
            "you lack prvReadSqlEncryptionKey: ask an administrator to get it with: {show}\n  \
             or change the key again, with --output-file FILE"
        ),
        None => format!("with prvReadSqlEncryptionKey, get it with: {show}"),
    };
    Err(failure.done(format!("the new key is the key of {organization}, and was not delivered\n  {how}")))
}

/// Whether this caller may read the key of the organization; `None` if that can't be found out.
async fn may_read_key(client: &Client, organization: &str) -> Option<bool> {
    let id = organization.strip_prefix("organizations/").unwrap_or(organization);
    let answer = client.who_am_i().await.ok()?;
    Some(answer.roles.iter().any(|role| {
        role.organizations.iter().any(|name| name == "*" || name == id)
            && role.privileges.iter().any(|privilege| privilege == "prvReadSqlEncryptionKey")
    }))
}

/// Refuses to get a secret for a stdout that was closed: it would be recorded as given, and be lost.
pub(crate) fn check_open() -> Result<(), Failure> {
    if stdout::is_closed() {
        return Err(Failure::usage("stdout is closed: send the answer to a file or a pipe. Nothing was done"));
    }
    Ok(())
}

/// What stdout is, as far as that shows before anything is written.
#[cfg(unix)]
pub(crate) mod stdout {
    use std::io;

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        fs::{FileType, OFlags, Stat, fcntl_getfl, fstat, stat},
    };

    /// Why what is written would be lost, if that shows already.
    pub(crate) fn dead_end() -> Option<&'static str> {
        let stdout = io::stdout();
        if is_null(&fstat(&stdout).ok()?) {
            return Some("stdout is closed or /dev/null");
        }
        let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).ok()?;
        let is_broken =
            polled.iter().any(|one| one.revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL));
        is_broken.then_some("no program reads stdout any longer")
    }

    /// Whether stdout was closed when the process began. Rust has put /dev/null in its place, open for reading too, which a shell's
    /// `>/dev/null` isn't.
    pub(crate) fn is_closed() -> bool {
        let stdout = io::stdout();
        let is_null = fstat(&stdout).is_ok_and(|found| is_null(&found));
        is_null && fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR)
    }

    fn is_null(found: &Stat) -> bool {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && stat("/dev/null").is_ok_and(|null| null.st_rdev == found.st_rdev)
    }
}

/// Elsewhere it shows when it is written to.
#[cfg(not(unix))]
pub(crate) mod stdout {
    pub(crate) fn dead_end() -> Option<&'static str> {
        None
    }

    pub(crate) fn is_closed() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_private_whole_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contoso.key");
        let key = SecretString::from("a new key, number 1");
        let file = KeyFile::create(&path, &key).ok().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a new key, number 1\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(KeyFile::create(&path, &key), Err(Failure::Usage(text)) if text.contains("exists already")));
        let again = OutputFile { output_file: Some(path.clone()) };
        assert!(matches!(again.check(), Err(Failure::Usage(_))));
        file.discard();
        assert!(!path.exists());
        assert!(again.check().is_ok());
    }

    #[test]
    fn a_key_file_in_a_missing_folder_is_refused_before_anything_is_changed() {
        let path = Path::new("/nonexistent/contoso.key");
        let refused = KeyFile::create(path, &"a new key, number 1".into());
        assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("Nothing was changed")));
    }
}
