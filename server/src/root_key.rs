//! Loads root keys from their sources.
//!
//! This is the port for root keys: a source returns 32 bytes, once, at a start. Another kind of source is a variant of [`RootKeySource`] and
//! an arm of [`load`], which is async because a source may have to call another service. Nothing here knows what is derived from the bytes.
//!
//! Each source that exists reads a file: 32 random bytes that only certain users can read, and that no other user can change or replace.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sealward_core::{crypto::secret::RootKeyBytes, random::Random};
use tokio::task::{JoinError, spawn_blocking};

use crate::{
    config::RootKeySource,
    files::{
        private_file,
        trusted_file::{self, Judged, Kind, TrustedFileError},
    },
};

/// The length of a root key, in bytes.
pub(crate) const ROOT_KEY_LENGTH: usize = 32;

/// Why a root key can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootKeySourceError {
    /// The file can't be read, or other users can change it.
    #[error("can't use the root key")]
    Untrusted(#[from] TrustedFileError),
    /// The file can't be created.
    #[error("can't write the root key {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Other users can read it or write to it.
    #[error("the root key {path} has mode {mode:04o}, user {owner}, group {group}: {allowed}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The user that owns it.
        owner: u32,
        /// Its group.
        group: u32,
        /// Who may read it.
        allowed: Readers,
    },
    /// Other users can replace it.
    #[error("the folder {folder} of the root key {path} has mode {mode:04o}: other users can write to it")]
    FolderExposed {
        /// The file.
        path: PathBuf,
        /// Its folder, with links resolved.
        folder: PathBuf,
        /// The folder's permission bits.
        mode: u32,
    },
    /// It isn't 32 bytes long.
    #[error("the root key {path} is not {ROOT_KEY_LENGTH} bytes long; it is binary, without a line end")]
    WrongLength {
        /// The file.
        path: PathBuf,
    },
    /// The bytes follow a pattern, so they can be guessed.
    #[error("the root key {path} repeats a pattern or counts up: a root key is random")]
    NotRandom {
        /// The file.
        path: PathBuf,
    },
    /// The process ended while the file was read.
    #[error("reading the root key was interrupted")]
    Interrupted(#[from] JoinError),
}

impl RootKeySourceError {
    /// The remedy for an operator.
    #[must_use]
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Untrusted(TrustedFileError::Unreadable { .. } | TrustedFileError::NotAFile { .. }) => {
                "specify the root key that `sealward-server init` created, and allow the server's user to read it"
                    .to_owned()
            }
            Self::Untrusted(TrustedFileError::TooLarge { .. }) | Self::WrongLength { .. } | Self::NotRandom { .. } => {
                format!(
                    "put the right file back; only for a deployment without databases, create a new one: \
                     head -c {ROOT_KEY_LENGTH} /dev/urandom >FILE"
                )
            }
            Self::Untrusted(error) => error.remedy(),
            Self::Unwritable { .. } => "allow this user to write to the folder".to_owned(),
            Self::Exposed { path, allowed: Readers::Owner, .. } => format!(
                "chmod 600 {}; for a secret that a container platform mounts, set type = \"mounted-secret\"",
                path.display()
            ),
            Self::Exposed { path, allowed: Readers::OwnerAndGroup, .. } => format!("chmod 440 {}", path.display()),
            Self::Exposed { path, allowed: Readers::Everyone, .. } => format!("chmod 444 {}", path.display()),
            Self::FolderExposed { folder, .. } => format!("chmod go-w {}", folder.display()),
            Self::Interrupted(_) => "try again".to_owned(),
        }
    }
}

/// Who may read the file of a root key. Only its owner may write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner.
    Owner,
    /// Its owner and its group. systemd leaves a credential to root, and gives the service's user access by an access control list, which
    /// appears as the group's bit.
    OwnerAndGroup,
    /// All users: those of the container that the file is mounted in.
    Everyone,
}

impl Readers {
    /// The permission bits that the file must not have.
    const fn refused(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::OwnerAndGroup => 0o037,
            Self::Everyone => 0o033,
        }
    }
}

impl fmt::Display for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "only its owner may read it",
            Self::OwnerAndGroup => "only its owner and its group may read it",
            Self::Everyone => "only its owner may write to it",
        })
    }
}

/// Loads a root key from its source.
///
/// # Errors
/// [`RootKeySourceError`]
pub(crate) async fn load(source: &RootKeySource) -> Result<RootKeyBytes, RootKeySourceError> {
    let (path, allowed) = match source {
        RootKeySource::File(path) => (path, Readers::Owner),
        RootKeySource::Credential { path, .. } => (path, Readers::OwnerAndGroup),
        RootKeySource::MountedSecret(path) => (path, Readers::Everyone),
    };
    let path = path.clone();
    spawn_blocking(move || read(&path, allowed)).await?
}

/// Creates a random root key unless the file exists; returns whether it did. Its folder is created with mode 0700.
///
/// # Errors
/// [`RootKeySourceError::Unwritable`]
pub(crate) fn create(path: &Path, random: &dyn Random) -> Result<bool, RootKeySourceError> {
    let unwritable = |source| RootKeySourceError::Unwritable { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        private_file::create_folder(folder).map_err(unwritable)?;
    }
    private_file::create(path, RootKeyBytes::draw(random).expose(), private_file::PRIVATE).map_err(unwritable)
}

/// Reads a root key from a file. Blocks, for [`trusted_file::READ_TIMEOUT`] at most.
///
/// The folder of the file may be writable if it is sticky, as Kubernetes mounts secrets: no other user can replace root's files in such a
/// folder.
fn read(path: &Path, allowed: Readers) -> Result<RootKeyBytes, RootKeySourceError> {
    let wanted = path.to_owned();
    // The checked file is the one that is read: no other user can change the resolved path.
    let (judged, folder_mode, bytes) = trusted_file::within_timeout(path, move || {
        let judged = trusted_file::judge(&wanted)?;
        let unreadable = |source| TrustedFileError::Unreadable { path: wanted.clone(), source };
        let folder = judged.resolved.parent().unwrap_or(Path::new("/"));
        let of_folder = fs::symlink_metadata(folder).map_err(unreadable)?;
        // A sticky folder was checked together with its entry.
        let is_closed = trusted_file::is_sticky(&of_folder) || trusted_file::is_read_only(folder);
        let folder_mode = if is_closed { 0 } else { of_folder.mode() };
        let bytes = trusted_file::read_judged(&wanted, &judged, Kind::RootKey);
        Ok((judged, folder_mode, bytes))
    })?;
    check_mode(path, &judged, allowed)?;
    if folder_mode & OTHERS_WRITE != 0 && allowed != Readers::OwnerAndGroup {
        let folder = judged.resolved.parent().unwrap_or(Path::new("/")).to_owned();
        return Err(RootKeySourceError::FolderExposed {
            path: path.to_owned(),
            folder,
            mode: folder_mode & PERMISSIONS,
        });
    }
    let wrong_length = || RootKeySourceError::WrongLength { path: path.to_owned() };
    let bytes = match bytes {
        Err(TrustedFileError::TooLarge { .. }) => return Err(wrong_length()),
        bytes => bytes?,
    };
    let key = RootKeyBytes::from_slice(&bytes).ok_or_else(wrong_length)?;
    if follows_a_pattern(&bytes) { Err(RootKeySourceError::NotRandom { path: path.to_owned() }) } else { Ok(key) }
}

const OTHERS_WRITE: u32 = 0o022;
const PERMISSIONS: u32 = 0o7777;

fn check_mode(path: &Path, judged: &Judged, allowed: Readers) -> Result<(), RootKeySourceError> {
    let found = &judged.metadata;
    // A read-only mount may show modes that let all users write.
    let is_read_only = trusted_file::is_read_only(&judged.resolved);
    let refused = allowed.refused() & if is_read_only { !OTHERS_WRITE } else { PERMISSIONS };
    if found.mode() & refused != 0 {
        return Err(RootKeySourceError::Exposed {
            path: path.to_owned(),
            mode: found.mode() & PERMISSIONS,
            owner: found.uid(),
            group: found.gid(),
            allowed,
        });
    }
    Ok(())
}

/// Whether the bytes repeat after at most half of them, or change by the same number from each to the next: zeros, `abcdabcd…`, 0 1 2 3 ….
/// Fewer than one random key in 2^120 does.
fn follows_a_pattern(bytes: &[u8]) -> bool {
    let repeats = |period: usize| bytes.iter().zip(bytes.iter().skip(period)).all(|(one, other)| one == other);
    let steps = || bytes.iter().zip(bytes.iter().skip(1)).map(|(one, next)| next.wrapping_sub(*one));
    let grows_evenly = steps().zip(steps().skip(1)).all(|(step, next)| step == next);
    grows_evenly || (1..=bytes.len() / 2).any(repeats)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use rustix::process::geteuid;

    use super::*;
    use crate::ports::random::SystemRandom;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn created_root_key_loads_and_is_not_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/root.key");
        assert!(create(&path, &SystemRandom).unwrap());
        let first = read(&path, Readers::Owner).unwrap();
        assert!(!create(&path, &SystemRandom).unwrap());
        assert_eq!(read(&path, Readers::Owner).unwrap().expose(), first.expose());
        assert_ne!(first.expose(), &[0; 32]);
    }

    #[test]
    fn a_key_that_others_may_read_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o640);
        assert!(matches!(read(&path, Readers::Owner), Err(RootKeySourceError::Exposed { mode: 0o640, .. })));
        set_mode(&path, 0o400);
        assert!(read(&path, Readers::Owner).is_ok());
        set_mode(folder.path(), 0o770);
        assert!(matches!(read(&path, Readers::Owner), Err(RootKeySourceError::FolderExposed { mode: 0o770, .. })));
    }

    #[test]
    fn a_key_reached_through_a_folder_that_others_may_change_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = |name: &str, mode| {
            let path = temporary.path().join(name);
            fs::create_dir(&path).unwrap();
            set_mode(&path, mode);
            path
        };
        // A link into a folder of mode 0777, and a folder of mode 0755 under one.
        let (open, safe) = (folder("open", 0o777), folder("safe", 0o755));
        create(&open.join("root.key"), &SystemRandom).unwrap();
        symlink(open.join("root.key"), safe.join("link")).unwrap();
        fs::create_dir(open.join("inner")).unwrap();
        set_mode(&open.join("inner"), 0o755);
        create(&open.join("inner/root.key"), &SystemRandom).unwrap();
        for path in [safe.join("link"), open.join("inner/root.key"), open.join("root.key")] {
            for readers in [Readers::Owner, Readers::Everyone] {
                let refused = read(&path, readers).err();
                let is_exposed =
                    matches!(refused, Some(RootKeySourceError::Untrusted(TrustedFileError::Exposed { .. })));
                assert!(is_exposed, "{} {refused:?}", path.display());
            }
        }
    }

    #[test]
    fn systemd_credential_may_be_readable_by_its_group_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root-key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o440);
        assert!(read(&path, Readers::OwnerAndGroup).is_ok());
        assert!(read(&path, Readers::Owner).is_err());
        for mode in [0o460, 0o404, 0o444] {
            set_mode(&path, mode);
            let refused = read(&path, Readers::OwnerAndGroup);
            assert!(matches!(refused, Err(RootKeySourceError::Exposed { .. })), "{mode:o}");
        }
    }

    /// The folder that Kubernetes mounts: sticky and open to all, with links to its files.
    #[test]
    fn mounted_secret_may_be_readable_if_configured() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("..2026_11_28");
        fs::create_dir(&version).unwrap();
        set_mode(&version, 0o755);
        let file = version.join("root.key");
        create(&file, &SystemRandom).unwrap();
        symlink("..2026_11_28", folder.path().join("..data")).unwrap();
        symlink("..data/root.key", folder.path().join("root.key")).unwrap();
        set_mode(folder.path(), 0o1777);
        let path = folder.path().join("root.key");
        for mode in [0o400, 0o440, 0o444, 0o644] {
            set_mode(&file, mode);
            assert!(read(&path, Readers::Everyone).is_ok(), "{mode:o}");
            assert_eq!(read(&path, Readers::Owner).is_ok(), mode == 0o400, "{mode:o}");
        }
        for mode in [0o460, 0o446, 0o666] {
            set_mode(&file, mode);
            assert!(read(&path, Readers::Everyone).is_err(), "{mode:o}");
        }
        set_mode(&file, 0o444);
        set_mode(folder.path(), 0o777);
        assert!(read(&path, Readers::Everyone).is_err());
        if geteuid().is_root() {
            // As mounted with fsGroup.
            set_mode(folder.path(), 0o3777);
            chown(folder.path(), None, Some(1_000)).unwrap();
            chown(&file, None, Some(1_000)).unwrap();
            set_mode(&file, 0o440);
            assert!(read(&path, Readers::Everyone).is_ok());
        }
    }

    #[test]
    fn root_key_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 31, 33, 64] {
            let path = folder.path().join(length.to_string());
            private_file::create(&path, &vec![7; length], private_file::PRIVATE).unwrap();
            assert!(matches!(read(&path, Readers::Owner), Err(RootKeySourceError::WrongLength { .. })), "{length}");
        }
    }

    #[test]
    fn patterned_root_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let counting: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).map(|number: u8| 250 - 3 * number).collect();
        for (index, bytes) in [
            vec![0; 32],
            vec![0xff; 32],
            counting,
            down,
            b"0123456789abcdef".repeat(2),
            b"abc".repeat(11)[..32].to_vec(),
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(index.to_string());
            private_file::create(&path, &bytes, private_file::PRIVATE).unwrap();
            assert!(matches!(read(&path, Readers::Owner), Err(RootKeySourceError::NotRandom { .. })), "{index}");
        }
    }
}
