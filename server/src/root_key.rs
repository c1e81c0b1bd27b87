//! The root key's file: 32 random bytes that only their owner may read, and that nobody else can change or replace.
//!
//! Knows files, modes and lengths; what is derived from the bytes is core's matter.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sealward_core::{crypto::secret::RootKeyBytes, random::Random};

use crate::{
    config::{RootKeySource, credentials_folder},
    files::{
        private_file,
        trusted_file::{self, Judged, Kind, TrustedFileError},
    },
};

/// How many bytes a root key has.
pub(crate) const ROOT_KEY_LENGTH: usize = 32;

/// Why a root key can't be taken from its file.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyFileError {
    /// The file can't be read, or others can change it.
    #[error("the root key can't be used")]
    Untrusted(#[from] TrustedFileError),
    /// The file can't be made.
    #[error("the root key {path} can't be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("the root key {path} has mode {mode:04o}, user {owner}, group {group}: only its owner may read it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The user that owns it.
        owner: u32,
        /// Its group.
        group: u32,
    },
    /// Others than the owner may put another file in its place.
    #[error("the folder {folder} of the root key {path} has mode {mode:04o}: others may write there")]
    FolderExposed {
        /// The file.
        path: PathBuf,
        /// The folder that it is in, links resolved.
        folder: PathBuf,
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
    /// The bytes follow a pattern, so anybody can guess them.
    #[error("the bytes of the root key {path} repeat or count up: a root key is random")]
    NotRandom {
        /// The file.
        path: PathBuf,
    },
}

impl RootKeyFileError {
    /// What an operator does about it.
    #[must_use]
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Untrusted(TrustedFileError::Unreadable { .. } | TrustedFileError::NotAFile { .. }) => {
                "name the file that `sealward-server init` made, and let the server's user read it".to_owned()
            }
            Self::Untrusted(TrustedFileError::TooLarge { .. }) | Self::WrongLength { .. } | Self::NotRandom { .. } => {
                "put the right file back; only a deployment that has no databases yet may get a new one".to_owned()
            }
            Self::Untrusted(error) => error.remedy(),
            Self::Unwritable { .. } => "let this user write to the folder".to_owned(),
            Self::Exposed { path, .. } => format!(
                "chmod 600 {}; if a container platform mounts it, set root_key.source = \"mounted-secret\"",
                path.display()
            ),
            Self::FolderExposed { folder, .. } => format!("chmod 700 {}", folder.display()),
        }
    }
}

/// Reads a root key.
///
/// A file in systemd's credentials folder (`$CREDENTIALS_DIRECTORY`) may have mode 0440 too, and may be root's: systemd lets the
/// service's user in by an access list, which shows as the group's bit. One of a container platform may also be readable by everybody,
/// who is in the container alone, and its folder may be writable if it is sticky, as Kubernetes mounts it: what root has put into such a
/// folder, nobody else can replace. Nobody may write to a root key, whatever its source.
///
/// # Errors
/// [`RootKeyFileError`]: not a file of 32 random bytes that only those may read who have to.
pub(crate) fn load(path: &Path, source: RootKeySource) -> Result<RootKeyBytes, RootKeyFileError> {
    load_beside(path, source, credentials_folder().as_deref())
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

fn load_beside(
    path: &Path,
    source: RootKeySource,
    credentials_folder: Option<&Path>,
) -> Result<RootKeyBytes, RootKeyFileError> {
    let is_credential = credentials_folder.is_some_and(|folder| path.starts_with(folder));
    let refused = match source {
        RootKeySource::MountedSecret => NOT_OF_A_MOUNTED_SECRET,
        RootKeySource::File if is_credential => NOT_OF_A_CREDENTIAL,
        RootKeySource::File => NOT_THE_OWNERS,
    };
    let wanted = path.to_owned();
    // What is judged is what is read: nobody else can change anything on the path that was walked.
    let (judged, folder_mode, bytes) = trusted_file::within_timeout(path, move || {
        let judged = trusted_file::judge(&wanted)?;
        let unreadable = |source| TrustedFileError::Unreadable { path: wanted.clone(), source };
        let folder = judged.resolved.parent().unwrap_or(Path::new("/"));
        let of_folder = fs::symlink_metadata(folder).map_err(unreadable)?;
        // A sticky folder was judged with the entry that is in it.
        let is_closed = trusted_file::is_sticky(&of_folder) || trusted_file::is_read_only(folder);
        let folder_mode = if is_closed { 0 } else { of_folder.mode() };
        let bytes = trusted_file::read_judged(&wanted, &judged, Kind::RootKey);
        Ok((judged, folder_mode, bytes))
    })?;
    check_mode(path, &judged, refused)?;
    if folder_mode & OTHERS_WRITE != 0 && !is_credential {
        let folder = judged.resolved.parent().unwrap_or(Path::new("/")).to_owned();
        return Err(RootKeyFileError::FolderExposed { path: path.to_owned(), folder, mode: folder_mode & PERMISSIONS });
    }
    let wrong_length = || RootKeyFileError::WrongLength { path: path.to_owned() };
    let bytes = match bytes {
        Err(TrustedFileError::TooLarge { .. }) => return Err(wrong_length()),
        bytes => bytes?,
    };
    let key = RootKeyBytes::from_slice(&bytes).ok_or_else(wrong_length)?;
    if follows_a_pattern(&bytes) { Err(RootKeyFileError::NotRandom { path: path.to_owned() }) } else { Ok(key) }
}

/// What only a file's owner may do.
const NOT_THE_OWNERS: u32 = 0o077;
/// What nobody may do with a credential but its owner: all but the group's reading.
const NOT_OF_A_CREDENTIAL: u32 = 0o037;
/// What nobody may do with a mounted secret but its owner: all but reading.
const NOT_OF_A_MOUNTED_SECRET: u32 = 0o033;
const OTHERS_WRITE: u32 = 0o022;
const PERMISSIONS: u32 = 0o7777;

fn check_mode(path: &Path, judged: &Judged, refused: u32) -> Result<(), RootKeyFileError> {
    let found = &judged.metadata;
    // A mount that takes no writes may show modes that let everybody write.
    let refused = if trusted_file::is_read_only(&judged.resolved) { refused & !OTHERS_WRITE } else { refused };
    if found.mode() & refused != 0 {
        return Err(RootKeyFileError::Exposed {
            path: path.to_owned(),
            mode: found.mode() & PERMISSIONS,
            owner: found.uid(),
            group: found.gid(),
        });
    }
    Ok(())
}

/// Whether bytes repeat after at most half of them, or grow by the same number from each to the next: zeros, `abcdabcd…`, 0 1 2 3 ….
/// Of random keys, less than one in 2^120 does.
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

    const FILE: RootKeySource = RootKeySource::File;
    const MOUNTED: RootKeySource = RootKeySource::MountedSecret;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_created_key_loads_and_is_not_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/root.key");
        assert!(create(&path, &SystemRandom).unwrap());
        let first = load(&path, FILE).unwrap();
        assert!(!create(&path, &SystemRandom).unwrap());
        assert_eq!(load(&path, FILE).unwrap().expose(), first.expose());
        assert_ne!(first.expose(), &[0; 32]);
    }

    #[test]
    fn a_key_that_others_may_read_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o640);
        assert!(matches!(load(&path, FILE), Err(RootKeyFileError::Exposed { mode: 0o640, .. })));
        set_mode(&path, 0o400);
        assert!(load(&path, FILE).is_ok());
        set_mode(folder.path(), 0o770);
        assert!(matches!(load(&path, FILE), Err(RootKeyFileError::FolderExposed { mode: 0o770, .. })));
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
            for source in [FILE, MOUNTED] {
                let refused = load(&path, source).err();
                let is_exposed = matches!(refused, Some(RootKeyFileError::Untrusted(TrustedFileError::Exposed { .. })));
                assert!(is_exposed, "{} {refused:?}", path.display());
            }
        }
    }

    #[test]
    fn a_systemd_credential_may_be_read_by_its_group_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root-key");
        create(&path, &SystemRandom).unwrap();
        set_mode(&path, 0o440);
        assert!(load_beside(&path, FILE, Some(folder.path())).is_ok());
        assert!(load_beside(&path, FILE, Some(Path::new("/run/credentials/other"))).is_err());
        for mode in [0o460, 0o404, 0o444] {
            set_mode(&path, mode);
            assert!(
                matches!(load_beside(&path, FILE, Some(folder.path())), Err(RootKeyFileError::Exposed { .. })),
                "{mode:o}"
            );
        }
    }

    /// The folder that Kubernetes mounts: sticky and open to all, with links to what it has put there.
    #[test]
    fn a_mounted_secret_may_be_readable_where_the_configuration_says_so() {
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
            assert!(load(&path, MOUNTED).is_ok(), "{mode:o}");
            assert_eq!(load(&path, FILE).is_ok(), mode == 0o400, "{mode:o}");
        }
        for mode in [0o460, 0o446, 0o666] {
            set_mode(&file, mode);
            assert!(load(&path, MOUNTED).is_err(), "{mode:o}");
        }
        set_mode(&file, 0o444);
        set_mode(folder.path(), 0o777);
        assert!(load(&path, MOUNTED).is_err());
        if geteuid().is_root() {
            // As mounted with fsGroup.
            set_mode(folder.path(), 0o3777);
            chown(folder.path(), None, Some(1_000)).unwrap();
            chown(&file, None, Some(1_000)).unwrap();
            set_mode(&file, 0o440);
            assert!(load(&path, MOUNTED).is_ok());
        }
    }

    #[test]
    fn any_other_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 31, 33, 64] {
            let path = folder.path().join(length.to_string());
            private_file::create(&path, &vec![7; length], private_file::PRIVATE).unwrap();
            assert!(matches!(load(&path, FILE), Err(RootKeyFileError::WrongLength { .. })), "{length}");
        }
    }

    #[test]
    fn a_key_that_follows_a_pattern_is_refused() {
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
            assert!(matches!(load(&path, FILE), Err(RootKeyFileError::NotRandom { .. })), "{index}");
        }
    }
}
