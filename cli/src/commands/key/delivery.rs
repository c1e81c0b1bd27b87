//! Delivery of a generated key to the user, so that the key can't be lost.
//!
//! A key file is written before the key is set. Stdout gets the key with the answer, after the key is set. Stdout is therefore checked before
//! the call. If the write fails nevertheless, the key is printed to the terminal, or the error says how to get it.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use sealward_client::{Client, ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{
        Output,
        new_file::{is_taken, sync_folder_of},
        stderr, stdout,
    },
};

/// The option of every command that shows a key.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutputFile {
    /// File to create for the key, instead of stdout; an existing file isn't overwritten.
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
    /// The file exists; or the key would go to stdout, and stdout is closed or has no reader.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.path() {
            Some(path) if is_taken(path) => Err(already_exists(path)),
            Some(_) => Ok(()),
            None => stdout::unusable_reason().map_or(Ok(()), |reason| {
                Err(Failure::usage(format!(
                    "{reason}, so the new key would be lost: use --output-file FILE. Nothing was changed"
                )))
            }),
        }
    }

    /// Writes the key to the file, if the option is set, and syncs it to disk.
    pub(crate) fn write(&self, key: &SecretString) -> Result<Delivery, Failure> {
        match self.path() {
            Some(path) => Ok(Delivery::File(KeyFile::create(path, key)?)),
            None => Ok(Delivery::Stdout),
        }
    }
}

/// How the user gets a generated key.
pub(crate) enum Delivery {
    /// In a file, which is already written.
    File(KeyFile),
    /// On stdout, with the answer.
    Stdout,
}

/// A file with a key.
pub(crate) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Creates the file, readable only by its owner, and syncs it to disk.
    pub(crate) fn create(path: &Path, key: &SecretString) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                already_exists(path)
            } else {
                Failure::usage(format!("can't create {}: {error}. Nothing was changed", path.display()))
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
                Err(Failure::Failed(format!("can't write {}: {error}. Nothing was changed", path.display())))
            }
        }
    }

    /// Removes the file of a key that wasn't set.
    pub(crate) fn discard(self) {
        // A file that can't be removed is harmless: its key isn't in use.
        let _removed = fs::remove_file(&self.path);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn already_exists(path: &Path) -> Failure {
    Failure::usage(format!("{} already exists: choose another name. Nothing was changed", path.display()))
}

/// Shows an answer with a generated key that was set.
///
/// # Errors
/// The answer can't be written. If stderr is a terminal, it then shows the key; otherwise the failure says how to get it.
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
            failure.completed(format!("the key of {organization} was set, and is in {}", file.path().display()))
        );
    }
    if io::stderr().is_terminal() {
        stderr::warning(&format!(
            "the key can't be written to stdout; store this key in a safe place:\n{}",
            key.expose_secret()
        ));
        return Err(failure.completed(format!("the key of {organization} was set, and is shown above")));
    }
    let show = connection.hints().command("key show --output-file FILE");
    let advice = match may_read_key(client, &organization).await {
        Some(true) => format!("get it with: {show}"),
        Some(false) => format!(
            "you lack the privilege prvReadSqlEncryptionKey: ask an administrator to run: {show}\n  \
            or change the key again with --output-file FILE"
        ),
        None => format!("if you have the privilege prvReadSqlEncryptionKey, get it with: {show}"),
    };
    Err(failure.completed(format!("the key of {organization} was set, but couldn't be printed\n  {advice}")))
}

/// Whether this caller may read the key of the organization; `None` if the server doesn't answer.
async fn may_read_key(client: &Client, organization: &str) -> Option<bool> {
    let id = organization.strip_prefix("organizations/").unwrap_or(organization);
    let answer = client.who_am_i().await.ok()?;
    Some(answer.roles.iter().any(|role| {
        role.organizations.iter().any(|name| name == "*" || name == id)
            && role.privileges.iter().any(|privilege| privilege == "prvReadSqlEncryptionKey")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_is_private_and_never_overwritten() {
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
        assert!(matches!(KeyFile::create(&path, &key), Err(Failure::Usage(text)) if text.contains("already exists")));
        let again = OutputFile { output_file: Some(path.clone()) };
        assert!(matches!(again.check(), Err(Failure::Usage(_))));
        file.discard();
        assert!(!path.exists());
        assert!(again.check().is_ok());
    }

    #[test]
    fn key_file_in_a_missing_folder_is_refused_before_a_change() {
        let path = Path::new("/nonexistent/contoso.key");
        let refused = KeyFile::create(path, &"a new key, number 1".into());
        assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("Nothing was changed")));
    }
}
