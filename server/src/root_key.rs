//! The root key's file: 32 bytes that only their owner may read.
//!
//! Knows files, modes and lengths; what is derived from the bytes is core's matter.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use fieldseal_core::{crypto::secret::RootKeyBytes, random::Random};
use zeroize::Zeroizing;

use crate::{config::credentials_folder, private_file};

/// How many bytes a root key has.
pub(crate) const ROOT_KEY_LENGTH: usize = 32;

/// Why a root key can't be taken from its file.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyFileError {
    /// The file is missing, or the system refuses it.
    #[error("the root key {path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be made.
    #[error("the root key {path} can't be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe.
    #[error("the root key {path} is no regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error("the root key {path} has mode {mode:04o}; take it from everybody but its owner: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than the owner may put another file in its place.
    #[error("the folder of the root key {path} has mode {mode:04o}; others may write there: chmod 700 it")]
    FolderExposed {
        /// The file.
        path: PathBuf,
        /// The folder's permission bits.
        mode: u32,
    },
    /// It isn't 32 bytes long.
    #[error(
        "the root key {path} must be {ROOT_KEY_LENGTH} bytes long, no text, no line end: head -c {ROOT_KEY_LENGTH} /dev/urandom > FILE"
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
    },
}

impl RootKeyFileError {
    /// What an operator does about it.
    #[must_use]
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "name the file that `fieldseal-server init` made, and let the server's user read it"
            }
            Self::Unwritable { .. } => "let this user write to the folder",
            Self::NotAFile { .. } => "name a file of 32 random bytes",
            Self::Exposed { .. } => "chmod 600 the file; a systemd credential may also be readable by its group",
            Self::FolderExposed { .. } => "chmod 700 the folder",
            Self::WrongLength { .. } => {
                "put the right file back; only a deployment that has no databases yet may get a new one"
            }
        }
    }
}

/// Reads a root key.
///
/// A file in systemd's credentials folder (`$CREDENTIALS_DIRECTORY`) may have mode 0440 too, and may be root's: systemd lets the
/// service's user in by an access list, which shows as the group's bit. Nobody may write to it, and others may not read it.
///
/// # Errors
/// [`RootKeyFileError`]: not a private file of 32 bytes.
pub(crate) fn load(path: &Path) -> Result<RootKeyBytes, RootKeyFileError> {
    load_beside(path, credentials_folder().as_deref())
}

/// Makes a root key of fresh randomness unless the file exists; answers whether it did. Its folder is made with mode 0700.
///
/// # Errors
/// [`RootKeyFileError::Unwritable`]
pub(crate) fn create(path: &Path, random: &dyn Random) -> Result<bool, RootKeyFileError> {
    let unwritable = |source| RootKeyFileError::Unwritable { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        private_file::create_folder(folder).map_err(unwritable)?;
    }
    private_file::create(path, RootKeyBytes::draw(random).expose(), private_file::PRIVATE).map_err(unwritable)
}

fn load_beside(path: &Path, credentials_folder: Option<&Path>) -> Result<RootKeyBytes, RootKeyFileError> {
    let unreadable = |source| RootKeyFileError::Unreadable { path: path.to_owned(), source };
    // The mode is asked of the open file, so that what is checked is what is read.
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(RootKeyFileError::NotAFile { path: path.to_owned() });
    }
    let is_credential = credentials_folder.is_some_and(|folder| path.starts_with(folder));
    check_mode(path, metadata.mode(), if is_credential { NOT_A_CREDENTIALS } else { NOT_THE_OWNERS })?;
    if !is_credential {
        check_folder(path)?;
    }

    // One byte more than it may have, so that a longer file is noticed. Never grown, so that nothing is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * ROOT_KEY_LENGTH));
    file.take(ROOT_KEY_LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    RootKeyBytes::from_slice(&bytes).ok_or_else(|| RootKeyFileError::WrongLength { path: path.to_owned() })
}

/// What only a file's owner may do.
const NOT_THE_OWNERS: u32 = 0o077;
/// What nobody may do with a credential but its owner: all but the group's reading.
const NOT_A_CREDENTIALS: u32 = 0o037;
const OTHERS_WRITE: u32 = 0o022;
const PERMISSIONS: u32 = 0o7777;

fn check_mode(path: &Path, mode: u32, refused: u32) -> Result<(), RootKeyFileError> {
    if mode & refused != 0 {
        return Err(RootKeyFileError::Exposed { path: path.to_owned(), mode: mode & PERMISSIONS });
    }
    Ok(())
}

fn check_folder(path: &Path) -> Result<(), RootKeyFileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode =
        folder.metadata().map_err(|source| RootKeyFileError::Unreadable { path: path.to_owned(), source })?.mode();
    if mode & OTHERS_WRITE != 0 {
        return Err(RootKeyFileError::FolderExposed { path: path.to_owned(), mode: mode & PERMISSIONS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::random::SystemRandom;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_created_key_loads_and_is_not_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/root.key");
        assert!(create(&path, &SystemRandom).unwrap());
        let first = load(&path).unwrap();
        assert!(!create(&path, &SystemRandom).unwrap());
        assert_eq!(load(&path).unwrap().expose(), first.expose());
        assert_ne!(first.expose(), &[0; 32]);
    }

    #[test]
    fn a_key_that_others_may_read_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o640);
        assert!(matches!(load(&path), Err(RootKeyFileError::Exposed { mode: 0o640, .. })));
        set_mode(&path, 0o400);
        assert!(load(&path).is_ok());
        set_mode(folder.path(), 0o770);
        assert!(matches!(load(&path), Err(RootKeyFileError::FolderExposed { mode: 0o770, .. })));
    }

    #[test]
    fn a_systemd_credential_may_be_read_by_its_group_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root-key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o440);
        assert!(load_beside(&path, Some(folder.path())).is_ok());
        assert!(load_beside(&path, Some(Path::new("/run/credentials/other"))).is_err());
        for mode in [0o460, 0o404, 0o444] {
            set_mode(&path, mode);
            assert!(
                matches!(load_beside(&path, Some(folder.path())), Err(RootKeyFileError::Exposed { .. })),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn any_other_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 31, 33, 64] {
            let path = folder.path().join(length.to_string());
            private_file::create(&path, &vec![7; length], private_file::PRIVATE).unwrap();
            assert!(matches!(load(&path), Err(RootKeyFileError::WrongLength { .. })), "{length}");
        }
    }
}
