//! Notes of what commands did beside the server, such as a backup. The server writes them to the deployment's audit trail, whose chain only
//! it continues.
//!
//! A note is a file in the data folder, which only the server's user can write to. It is removed when its record is on disk, so after a crash in
//! between, the next start records it twice.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sealward_core::{
    audit::{AuditAction, AuditEntry},
    deployment::Deployment,
    random::{self, Random},
};
use serde::{Deserialize, Serialize};

use crate::{error_chain, ports::random::SystemRandom};

/// The folder of the notes in the data folder.
const FOLDER: &str = "to-record";

const SUFFIX: &str = ".json";

/// The largest file that is read as a note, in bytes. A note is much smaller.
const NOTE_BYTES_MAX: u64 = 4_096;

/// The most notes that are recorded in a round. More are recorded in the next one.
const NOTES_MAX: usize = 100;

/// What a command did.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The name of the audit action.
    pub(crate) action: String,
    /// The details of the audit record.
    pub(crate) details: String,
}

impl Note {
    pub(crate) fn new(action: AuditAction, details: String) -> Self {
        Note { action: action.name().to_owned(), details }
    }

    /// Writes the note to disk, and returns its file.
    ///
    /// # Errors
    /// If the data folder can't be written to.
    pub(crate) fn leave(&self, data_dir: &Path) -> io::Result<PathBuf> {
        let folder = data_dir.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let name = format!("{:016x}", u64::from_be_bytes(random::bytes(&SystemRandom as &dyn Random)));
        let (unfinished, path) = (folder.join(&name), folder.join(format!("{name}{SUFFIX}")));
        let written = self.write(&unfinished, &path);
        if written.is_err() {
            // It may not exist.
            let _removed = fs::remove_file(&unfinished);
        }
        written.and_then(|()| File::open(&folder)?.sync_all()).map(|()| path)
    }

    /// Writes a file that has its name once it is complete.
    fn write(&self, unfinished: &Path, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(unfinished, path)
    }
}

/// Records the notes in the data folder. Those that can't be recorded now are left for the next round.
pub(crate) async fn record(deployment: &Deployment, data_dir: &Path) {
    let folder = data_dir.join(FOLDER);
    let paths = match notes_in(&folder) {
        Ok(paths) => paths,
        Err(error) => return tracing::warn!(folder = %folder.display(), %error, "notes for the audit trail not read"),
    };
    for path in paths {
        let file = path.display();
        match read(&path) {
            Ok((action, details)) => {
                let entry = AuditEntry {
                    details: Some(details),
                    ..AuditEntry::done(deployment.now(), action, "organizations")
                };
                if let Err(error) = deployment.record(entry).await {
                    let error = error_chain::text(&error);
                    return tracing::warn!(%file, error, "note not recorded in the audit trail; the next round retries");
                }
            }
            Err(error) => {
                tracing::warn!(%file, %error, "invalid note ignored");
                // If it stays, it is ignored again.
                let _removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                continue;
            }
        }
        if let Err(error) = fs::remove_file(&path) {
            return tracing::warn!(%file, %error, "recorded note not removed; it is recorded again");
        }
    }
}

fn notes_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            paths.push(path);
        }
        if paths.len() == NOTES_MAX {
            break;
        }
    }
    Ok(paths)
}

/// Reads a note. Only the actions of commands are accepted.
fn read(path: &Path) -> io::Result<(AuditAction, String)> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() > NOTE_BYTES_MAX {
        return Err(invalid("not a file of a few bytes".to_owned()));
    }
    let mut text = String::new();
    File::open(path)?.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
    let Note { action, details } = serde_json::from_str(&text)?;
    if !details.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(invalid("invalid characters in the details".to_owned()));
    }
    match action.parse() {
        Ok(action @ (AuditAction::BackUp | AuditAction::RestoreBackup)) => Ok((action, details)),
        Ok(_) | Err(_) => Err(invalid(format!("no command does `{action}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(notes_in(&folder.path().join(FOLDER)).unwrap(), Vec::<PathBuf>::new());
        let path = Note::new(AuditAction::BackUp, "organizations 2".to_owned()).leave(folder.path()).unwrap();
        assert_eq!(notes_in(&folder.path().join(FOLDER)).unwrap(), std::slice::from_ref(&path));
        assert_eq!(read(&path).unwrap(), (AuditAction::BackUp, "organizations 2".to_owned()));
    }

    #[test]
    fn only_actions_of_commands_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        for text in [
            "",
            "{}",
            r#"{"action":"retrieve-key","details":""}"#,
            "{\"action\":\"back-up\",\"details\":\"a\\nb\"}",
            "{\"action\":\"back-up\",\"details\":\"\u{202e}\"}",
            r#"{"action":"delete-organization","details":""}"#,
            &format!(r#"{{"action":"back-up","details":"{}"}}"#, "x".repeat(5_000)),
        ] {
            fs::write(&path, text).unwrap();
            read(&path).unwrap_err();
        }
        let link = folder.path().join("link.json");
        fs::write(&path, r#"{"action":"back-up","details":""}"#).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        read(&path).unwrap();
        read(&link).unwrap_err();
    }
}
