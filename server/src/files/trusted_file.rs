//! Reads the files that a server trusts: its configuration, certificates, keys and revocation lists.
//!
//! A file is read only if no user except root and the server's user can change or replace it. This is checked for the file, for every
//! folder up to the root, and for every symbolic link on the path. Every read is bounded: only regular files, up to the size limit of their
//! [`Kind`], within [`READ_TIMEOUT`], even if a file system doesn't respond.
//!
//! This module doesn't know the content of a file.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File, FileType, Metadata},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs},
    process::{getegid, geteuid},
};
use zeroize::Zeroizing;

/// The time limit of a read. A busy disk responds within a second or two; a mount whose server is down never does.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of symbolic links on a path, as in Linux.
const LINKS_MAX: u32 = 40;

/// The kind of a file, which determines its size limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The configuration: ten thousand bindings take about 1 MiB.
    Configuration,
    /// Certificates in PEM: a system's whole bundle of CAs takes about 256 KiB.
    Certificates,
    /// Revocation lists in PEM: the largest public ones take some 10 MiB.
    RevocationLists,
    /// A private key in PEM, possibly with certificates.
    PrivateKey,
    /// A JSON Web Key Set, far more than any issuer needs.
    KeySet,
    /// A fetched key set that is saved for the next start, as a JSON string, which at most doubles its length. The file also has its
    /// address and the fingerprints of CAs.
    KeptKeySet {
        /// The maximum size of a fetched set.
        set_max_bytes: usize,
    },
    /// The position of the audit copy: about 150 bytes per organization.
    AuditCheckpoint,
    /// The token of a scraper: 512 characters at most, and a line end.
    Token,
    /// The password of a database's role, and a line end. PostgreSQL's limit is one kilobyte.
    Password,
    /// The headers for a collector of traces, far more than any needs.
    Headers,
    /// A root key. The limit is one byte more than its length, so that a longer file is detected.
    RootKey,
}

impl Kind {
    /// The size limit of this kind, in bytes.
    pub(crate) const fn size_max_bytes(self) -> u64 {
        match self {
            Self::Configuration | Self::Certificates => 4 << 20,
            Self::RevocationLists | Self::AuditCheckpoint => 64 << 20,
            Self::PrivateKey => 1 << 20,
            Self::KeySet => 256 << 10,
            Self::KeptKeySet { set_max_bytes } => ((set_max_bytes as u64) << 1) + (1 << 20),
            Self::Token | Self::Password => 4 << 10,
            Self::Headers => 16 << 10,
            Self::RootKey => 33,
        }
    }
}

/// Why a file wasn't read.
#[derive(Debug, thiserror::Error)]
pub enum TrustedFileError {
    /// The file is missing, or the system denies access.
    #[error("can't read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe or a socket.
    #[error("{path} is {found}: specify a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// Its type.
        found: &'static str,
    },
    /// It exceeds the size limit of its kind.
    #[error("{path} is larger than {limit_bytes} bytes, the limit for this kind of file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// It isn't text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file system doesn't respond.
    #[error("can't read {path} within {} seconds: check its file system", READ_TIMEOUT.as_secs())]
    TimedOut {
        /// The file.
        path: PathBuf,
    },
    /// Other users can change or replace the file.
    #[error("{path} can be changed by other users: {exposure}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The exposed place.
        exposure: Exposure,
    },
}

/// A place on the path to a file that other users can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The file or the folder.
    pub place: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its permission bits.
    pub mode: u32,
    /// The user that owns it.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// The users who can change it.
    pub by: ExposedTo,
}

/// The users who can change a file or folder, but must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExposedTo {
    /// Its owner, if that is neither root nor the server's user.
    Owner,
    /// Its group, if that is neither root's nor the server's.
    Group,
    /// All users.
    Everybody,
}

impl std::fmt::Display for Exposure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, is_folder, mode, owner, group, by } = self;
        let (what, place) = (if *is_folder { "the folder" } else { "the file" }, place.display());
        write!(f, "{what} {place} (mode {mode:04o}, user {owner}, group {group}) ")?;
        let exposed = match by {
            ExposedTo::Owner => "belongs to a user other than root and the server's",
            ExposedTo::Group => "is writable by its group",
            ExposedTo::Everybody => "is writable by all users",
        };
        write!(f, "{exposed}: {}", self.remedy())
    }
}

impl Exposure {
    /// The remedy for an operator. It changes nothing that others need: neither a folder that all users share, nor a device, nor a folder of
    /// another user.
    pub(crate) fn remedy(&self) -> String {
        let place = self.place.display();
        let is_shared = self.mode & STICKY != 0 || self.place.components().count() <= TOP_LEVEL;
        let is_special = fs::symlink_metadata(&self.place).is_ok_and(|found| !found.is_file() && !found.is_dir());
        match self.by {
            ExposedTo::Group if !is_shared && !is_special => format!("chmod g-w {place}"),
            ExposedTo::Everybody if !is_shared && !is_special => format!("chmod go-w {place}"),
            ExposedTo::Owner if !self.is_folder && !is_special => format!("chown {} {place}", geteuid().as_raw()),
            ExposedTo::Owner | ExposedTo::Group | ExposedTo::Everybody => {
                "use a path in a folder that only root and the server's user can change".to_owned()
            }
        }
    }
}

/// The number of components of a path such as `/srv`, which belongs to the system.
const TOP_LEVEL: usize = 2;

impl TrustedFileError {
    fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    /// Whether the file doesn't exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The remedy for an operator.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Unreadable { .. } => "specify an existing file that the server's user can read".to_owned(),
            Self::NotAFile { .. } => "specify a regular file".to_owned(),
            Self::TooLarge { .. } => "specify the correct file".to_owned(),
            Self::NotText { .. } => "save the file in UTF-8".to_owned(),
            Self::TimedOut { .. } => "check the file system of the file".to_owned(),
            Self::Exposed { exposure, .. } => exposure.remedy(),
        }
    }
}

/// Reads a file that only root and the server's user can change. Blocks, for [`READ_TIMEOUT`] at most.
///
/// The content is wiped when it is dropped: it may be a key.
///
/// # Errors
/// [`TrustedFileError`]
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Zeroizing<Vec<u8>>, TrustedFileError> {
    let wanted = path.to_owned();
    within_timeout(path, move || {
        let judged = judge(&wanted)?;
        read_judged(&wanted, &judged, kind)
    })
}

/// Like [`read`], for a text file.
///
/// # Errors
/// [`TrustedFileError`]
pub(crate) fn read_text(path: &Path, kind: Kind) -> Result<String, TrustedFileError> {
    let mut content = read(path, kind)?;
    String::from_utf8(std::mem::take(&mut *content)).map_err(|_| TrustedFileError::NotText { path: path.to_owned() })
}

/// Checks that only root and the server's user can change a file, or the content of a folder. Blocks, for [`READ_TIMEOUT`] at most.
///
/// # Errors
/// [`TrustedFileError`]
pub(crate) fn check(path: &Path) -> Result<(), TrustedFileError> {
    let wanted = path.to_owned();
    within_timeout(path, move || judge(&wanted).map(drop))
}

/// Like [`read_text`], but also for a file that other users can change. The caller must not trust the content, and should report it.
///
/// # Errors
/// [`TrustedFileError`], except that it is exposed.
pub(crate) fn look_at_text(path: &Path, kind: Kind) -> Result<String, TrustedFileError> {
    let wanted = path.to_owned();
    let mut content = within_timeout(path, move || {
        let judged = match judge(&wanted) {
            Err(TrustedFileError::Exposed { .. }) => {
                let unreadable = |source| TrustedFileError::unreadable(&wanted, source);
                let resolved = fs::canonicalize(&wanted).map_err(unreadable)?;
                Judged { metadata: fs::symlink_metadata(&resolved).map_err(unreadable)?, resolved }
            }
            judged => judged?,
        };
        read_judged(&wanted, &judged, kind)
    })?;
    String::from_utf8(std::mem::take(&mut *content)).map_err(|_| TrustedFileError::NotText { path: path.to_owned() })
}

/// Runs work on a file, and waits for it at most [`READ_TIMEOUT`].
///
/// A system call on a dead mount can't be interrupted. Its thread is abandoned, and the path isn't tried again until the call returns, so
/// each path blocks at most one thread.
pub(crate) fn within_timeout<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, TrustedFileError> + Send + 'static,
) -> Result<T, TrustedFileError> {
    within(READ_TIMEOUT, path, work)
}

fn within<T: Send + 'static>(
    timeout: Duration,
    path: &Path,
    work: impl FnOnce() -> Result<T, TrustedFileError> + Send + 'static,
) -> Result<T, TrustedFileError> {
    let timed_out = || TrustedFileError::TimedOut { path: path.to_owned() };
    if abandoned().contains(path) {
        return Err(timed_out());
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let key = path.to_owned();
    let reader = thread::Builder::new().name("read-file".to_owned()).spawn(move || {
        // The receiver may have timed out.
        let _given_up = sender.send(work());
        abandoned().remove(&key);
    });
    reader.map_err(|source| TrustedFileError::unreadable(path, source))?;
    if let Ok(outcome) = receiver.recv_timeout(timeout) {
        return outcome;
    }
    // Checked again under the lock: a reader that has finished by now would not remove an entry that is added here.
    let mut abandoned = abandoned();
    if let Ok(outcome) = receiver.try_recv() {
        return outcome;
    }
    abandoned.insert(path.to_owned());
    Err(timed_out())
}

/// The paths whose abandoned readers have not returned yet.
fn abandoned() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    static ABANDONED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    ABANDONED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a file that was checked, even if it has changed its type since.
pub(crate) fn read_judged(path: &Path, judged: &Judged, kind: Kind) -> Result<Zeroizing<Vec<u8>>, TrustedFileError> {
    let unreadable = |source| TrustedFileError::unreadable(path, source);
    must_be_regular(path, judged.metadata.file_type())?;
    // Opening never blocks, not even if it has become a pipe since.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        File::from(open(judged.resolved.as_path(), flags, Mode::empty()).map_err(|error| unreadable(error.into()))?);
    let opened = file.metadata().map_err(unreadable)?;
    must_be_regular(path, opened.file_type())?;
    let limit = kind.size_max_bytes();
    let too_large = || TrustedFileError::TooLarge { path: path.to_owned(), limit_bytes: limit };
    if opened.len() > limit {
        return Err(too_large());
    }
    // The capacity is the whole size, since a growing buffer leaves copies in memory, plus one byte to detect a file that grows meanwhile.
    let expected = usize::try_from(opened.len()).unwrap_or(0);
    let mut content = Zeroizing::new(Vec::with_capacity(expected + 1));
    file.take(limit + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > limit { Err(too_large()) } else { Ok(content) }
}

fn must_be_regular(path: &Path, found: FileType) -> Result<(), TrustedFileError> {
    if found.is_file() {
        return Ok(());
    }
    Err(TrustedFileError::NotAFile { path: path.to_owned(), found: type_name(found) })
}

/// The name of a type of file, for people.
pub(crate) fn type_name(found: FileType) -> &'static str {
    match found {
        file if file.is_file() => "a regular file",
        folder if folder.is_dir() => "a folder",
        link if link.is_symlink() => "a link",
        pipe if pipe.is_fifo() => "a pipe",
        socket if socket.is_socket() => "a socket",
        _ => "a device",
    }
}

/// A checked path: only root and the server's user can change its entries.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The path without symbolic links.
    pub(crate) resolved: PathBuf,
    /// The metadata of the file or folder.
    pub(crate) metadata: Metadata,
}

/// Resolves a path from the root, as the system does, and checks every entry on it. Blocks.
///
/// # Errors
/// [`TrustedFileError::Unreadable`], [`TrustedFileError::Exposed`]
pub(crate) fn judge(path: &Path) -> Result<Judged, TrustedFileError> {
    let unreadable = |source| TrustedFileError::unreadable(path, source);
    let exposed = |exposure| TrustedFileError::Exposed { path: path.to_owned(), exposure };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let mut left: Vec<OsString> = names(&absolute);
    let mut resolved = PathBuf::from("/");
    let mut metadata = fs::symlink_metadata(&resolved).map_err(unreadable)?;
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            resolved.pop();
            metadata = fs::symlink_metadata(&resolved).map_err(unreadable)?;
            continue;
        }
        let place = resolved.join(&name);
        let found = fs::symlink_metadata(&place).map_err(unreadable)?;
        judge_entry(&resolved, &metadata, &found).map_err(exposed)?;
        if !found.is_symlink() {
            (resolved, metadata) = (place, found);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(unreadable(io::Error::from(rustix::io::Errno::LOOP)));
        }
        let target = fs::read_link(&place).map_err(unreadable)?;
        if target.is_absolute() {
            resolved = PathBuf::from("/");
            metadata = fs::symlink_metadata(&resolved).map_err(unreadable)?;
        }
        left.extend(names(&target));
    }
    judge_itself(&resolved, &metadata).map_err(exposed)?;
    Ok(Judged { resolved, metadata })
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Fails if other users can replace this entry of this folder.
fn judge_entry(folder: &Path, of_folder: &Metadata, of_entry: &Metadata) -> Result<(), Exposure> {
    match judge_itself(folder, of_folder) {
        // In a sticky folder, only the owners of the entry and of the folder can replace the entry.
        Err(Exposure { by: ExposedTo::Group | ExposedTo::Everybody, .. })
            if is_sticky(of_folder) && is_trusted(of_entry.uid()) =>
        {
            Ok(())
        }
        judged => judged,
    }
}

/// Fails if other users can write to this file or folder.
fn judge_itself(place: &Path, metadata: &Metadata) -> Result<(), Exposure> {
    let exposed = |by| Exposure {
        place: place.to_owned(),
        is_folder: metadata.is_dir(),
        mode: metadata.mode() & PERMISSIONS,
        owner: metadata.uid(),
        group: metadata.gid(),
        by,
    };
    if !is_trusted(metadata.uid()) {
        return Err(exposed(ExposedTo::Owner));
    }
    let by = if metadata.mode() & OTHERS_WRITE != 0 {
        ExposedTo::Everybody
    } else if metadata.mode() & GROUP_WRITES != 0 && !is_trusted_group(metadata.gid()) {
        ExposedTo::Group
    } else {
        return Ok(());
    };
    // On a read-only mount, modes grant no writes. Kubernetes mounts ConfigMaps this way, in folders with mode 0777.
    if is_read_only(place) { Ok(()) } else { Err(exposed(by)) }
}

/// Whether a user may change trusted files: root and the server's user.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Whether a group may change trusted files: root's group and the server's.
fn is_trusted_group(group: u32) -> bool {
    group == 0 || group == getegid().as_raw()
}

pub(crate) fn is_sticky(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.mode() & STICKY != 0
}

/// Whether the mount of this place is read-only.
pub(crate) fn is_read_only(place: &Path) -> bool {
    statvfs(place).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const PERMISSIONS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{PermissionsExt, chown, symlink},
        sync::{Arc, Barrier},
    };

    use super::*;

    const KIND: Kind = Kind::Certificates;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn exposure(path: &Path) -> Option<(PathBuf, ExposedTo)> {
        match read(path, KIND) {
            Ok(_) => None,
            Err(TrustedFileError::Exposed { exposure, .. }) => Some((exposure.place, exposure.by)),
            Err(error) => panic!("{error}"),
        }
    }

    /// A folder with a file in a folder.
    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap().join("folder");
        let file = folder.join("file");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o755);
        fs::write(&file, b"content").unwrap();
        set_mode(&file, 0o644);
        (temporary, folder, file)
    }

    #[test]
    fn a_file_that_only_its_owner_can_change_is_read() {
        let (_temporary, _, file) = folders();
        assert_eq!(read(&file, KIND).unwrap()[..], b"content"[..]);
    }

    #[test]
    fn a_file_that_others_can_change_is_refused() {
        let (_temporary, _, file) = folders();
        set_mode(&file, 0o666);
        assert_eq!(exposure(&file), Some((file, ExposedTo::Everybody)));
    }

    #[test]
    fn file_below_a_folder_that_others_can_change_is_refused() {
        let (temporary, folder, file) = folders();
        set_mode(&folder, 0o777);
        assert_eq!(exposure(&file), Some((folder.clone(), ExposedTo::Everybody)));
        set_mode(&folder, 0o755);
        set_mode(temporary.path(), 0o777);
        assert_eq!(exposure(&file), Some((folder.parent().unwrap().to_owned(), ExposedTo::Everybody)));
        let error = read(&file, KIND).unwrap_err().to_string();
        assert!(error.contains("(mode 0777, user ") && error.contains("chmod go-w "), "{error}");
    }

    #[test]
    fn a_sticky_folder_is_as_safe_as_the_owner_of_the_entry() {
        let (_temporary, folder, file) = folders();
        set_mode(&folder, 0o1777);
        assert_eq!(exposure(&file), None);
        if geteuid().is_root() {
            chown(&file, Some(65_534), None).unwrap();
            assert_eq!(exposure(&file), Some((folder, ExposedTo::Everybody)));
        }
    }

    #[test]
    fn remedy_harms_nothing_that_others_need() {
        let remedy = |place: &str, mode, by| {
            let place = PathBuf::from(place);
            Exposure { is_folder: place.is_dir(), place, mode, owner: 1, group: 1, by }.remedy()
        };
        let (_temporary, folder, file) = folders();
        for (place, mode, by) in [
            ("/tmp", 0o1777, ExposedTo::Everybody),
            ("/dev/zero", 0o666, ExposedTo::Everybody),
            ("/srv", 0o775, ExposedTo::Group),
            (folder.to_str().unwrap(), 0o755, ExposedTo::Owner),
        ] {
            assert_eq!(
                remedy(place, mode, by),
                "use a path in a folder that only root and the server's user can change"
            );
        }
        for (place, by, expected) in [
            (&folder, ExposedTo::Everybody, "chmod go-w"),
            (&file, ExposedTo::Group, "chmod g-w"),
            (&file, ExposedTo::Owner, "chown "),
        ] {
            assert!(remedy(place.to_str().unwrap(), 0o777, by).starts_with(expected), "{expected}");
        }
    }

    #[test]
    fn a_link_in_a_folder_that_others_can_change_is_refused() {
        let (_temporary, folder, file) = folders();
        let open = folder.join("open");
        fs::create_dir(&open).unwrap();
        set_mode(&open, 0o777);
        let link = open.join("link");
        symlink(&file, &link).unwrap();
        assert_eq!(exposure(&link), Some((open.clone(), ExposedTo::Everybody)));
        // A link to it, from a place that no other user can change.
        let indirect = folder.join("indirect");
        symlink("open/link", &indirect).unwrap();
        assert_eq!(exposure(&indirect), Some((open, ExposedTo::Everybody)));
    }

    #[test]
    fn links_as_kubernetes_makes_them_are_followed() {
        let (_temporary, folder, _) = folders();
        set_mode(&folder, 0o1777);
        let version = folder.join("..2026_11_28");
        fs::create_dir(&version).unwrap();
        set_mode(&version, 0o755);
        fs::write(version.join("root.key"), b"mounted").unwrap();
        set_mode(&version.join("root.key"), 0o644);
        symlink("..2026_11_28", folder.join("..data")).unwrap();
        symlink("..data/root.key", folder.join("root.key")).unwrap();
        let judged = judge(&folder.join("root.key")).unwrap();
        assert_eq!(judged.resolved, version.join("root.key"));
        assert_eq!(read(&folder.join("root.key"), KIND).unwrap()[..], b"mounted"[..]);
    }

    #[test]
    fn another_users_file_or_folder_is_refused() {
        if !geteuid().is_root() {
            return;
        }
        let (_temporary, folder, file) = folders();
        chown(&file, Some(65_534), None).unwrap();
        assert_eq!(exposure(&file), Some((file.clone(), ExposedTo::Owner)));
        chown(&file, Some(0), None).unwrap();
        chown(&folder, Some(65_534), None).unwrap();
        assert_eq!(exposure(&file), Some((folder, ExposedTo::Owner)));
    }

    #[test]
    fn group_may_write_only_if_it_is_the_group_of_root_or_the_server() {
        let (_temporary, folder, file) = folders();
        set_mode(&file, 0o664);
        chown(&file, None, Some(getegid().as_raw())).unwrap();
        assert_eq!(exposure(&file), None);
        if geteuid().is_root() {
            chown(&file, None, Some(65_534)).unwrap();
            assert_eq!(exposure(&file), Some((file.clone(), ExposedTo::Group)));
            set_mode(&file, 0o644);
            set_mode(&folder, 0o775);
            chown(&folder, None, Some(65_534)).unwrap();
            assert_eq!(exposure(&file), Some((folder, ExposedTo::Group)));
        }
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let (_temporary, folder, _) = folders();
        symlink("b", folder.join("a")).unwrap();
        symlink("a", folder.join("b")).unwrap();
        assert!(matches!(read(&folder.join("a"), KIND), Err(TrustedFileError::Unreadable { .. })));
    }

    #[test]
    fn pipes_devices_and_folders_are_refused_without_waiting() {
        let (_temporary, folder, _) = folders();
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let found = |path: &Path| match read(path, KIND) {
            Err(TrustedFileError::NotAFile { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found(&pipe), "a pipe");
        assert_eq!(found(&folder), "a folder");
        // All users may write to the null device.
        assert!(matches!(read(Path::new("/dev/null"), KIND), Err(TrustedFileError::Exposed { .. })));
    }

    #[test]
    fn file_is_read_up_to_the_limit_of_its_kind() {
        let (_temporary, _, file) = folders();
        let limit = usize::try_from(Kind::KeySet.size_max_bytes()).unwrap();
        fs::write(&file, vec![b' '; limit]).unwrap();
        assert_eq!(read(&file, Kind::KeySet).unwrap().len(), limit);
        fs::write(&file, vec![b' '; limit + 1]).unwrap();
        assert!(matches!(read(&file, Kind::KeySet), Err(TrustedFileError::TooLarge { .. })));
    }

    #[test]
    fn hanging_read_is_abandoned_and_retried_after_it_returns() {
        const SHORT: Duration = Duration::from_millis(20);
        let (path, barrier) = (Path::new("/nowhere/hangs"), Arc::new(Barrier::new(2)));
        let hangs = {
            let barrier = Arc::clone(&barrier);
            move || {
                barrier.wait();
                Ok(1)
            }
        };
        assert!(matches!(within(SHORT, path, hangs), Err(TrustedFileError::TimedOut { .. })));
        // Meanwhile this path isn't tried again, but others are.
        assert!(matches!(within_timeout(path, || Ok(2)), Err(TrustedFileError::TimedOut { .. })));
        assert_eq!(within_timeout(Path::new("/nowhere/else"), || Ok(3)).unwrap(), 3);
        barrier.wait();
        while abandoned().contains(path) {
            thread::yield_now();
        }
        assert_eq!(within_timeout(path, || Ok(4)).unwrap(), 4);
    }
}
