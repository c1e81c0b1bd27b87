//! Files that appear whole or not at all, replace one that exists only where that is asked for, and are nobody else's to read.
//!
//! Knows nothing of what is in them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use sealward_core::random::{self, Random};

use crate::random::SystemRandom;

/// Owner reads and writes, nobody else: keys.
pub(crate) const PRIVATE: u32 = 0o600;
/// Everybody may read: certificates, configuration.
pub(crate) const PUBLIC: u32 = 0o644;

const PRIVATE_FOLDER: u32 = 0o700;

/// Writes a file unless it exists; answers whether it did. The file is on disk, and whole, when it has its name.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let temporary = temporary_name(path);
    let created = write(&temporary, content, mode).and_then(|()| rename_new(&temporary, path));
    if !matches!(created, Ok(true)) {
        // It may not be there.
        let _removed = fs::remove_file(&temporary);
    }
    let created = created?;
    sync_folder_of(path)?;
    Ok(created)
}

/// Gives a file, or a folder, another name on the same file system, unless there is something of that name; answers whether it did.
///
/// It never replaces anything, whoever else is at work: by a rename that says so, where kernel and file system know one, else by a hard
/// link. Where there are neither, a file first takes its name with an empty one, which it then replaces: a crash between the two leaves
/// the empty file.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    by_the_first_that_works(&[by_exclusive_rename, by_link, by_placeholder], from, to)
}

type Way = fn(&Path, &Path) -> io::Result<()>;

fn by_the_first_that_works(ways: &[Way], from: &Path, to: &Path) -> io::Result<bool> {
    let mut last = io::Error::from(io::ErrorKind::Unsupported);
    for way in ways {
        match way(from, to) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            // ENOSYS and EINVAL of a rename, EPERM and EOPNOTSUPP of a link: this file system doesn't have it.
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP)
                ) =>
            {
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn by_exclusive_rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

fn by_link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn by_placeholder(from: &Path, to: &Path) -> io::Result<()> {
    if fs::metadata(from)?.is_dir() {
        // A folder replaces an empty one only.
        DirBuilder::new().mode(PRIVATE_FOLDER).create(to)?;
    } else {
        OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(to)?;
    }
    fs::rename(from, to)
}

/// Writes a file, in the place of one that exists. It is on disk, and whole, when it has its name.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_name(path);
    let renamed = write(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // It may not be there.
        let _removed = fs::remove_file(&temporary);
    }
    renamed?;
    sync_folder_of(path)
}

/// Makes a folder, and those above it that are missing, with mode 0700. One that exists stays as it is.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A name beside the file, so that both are on one file system; random, so that two processes never share it.
fn temporary_name(path: &Path) -> PathBuf {
    let suffix = u64::from_be_bytes(random::bytes(&SystemRandom as &dyn Random));
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix:016x}.new"));
    PathBuf::from(name)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(create(&path, b"first", PRIVATE).unwrap());
        assert!(!create(&path, b"second", PRIVATE).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    /// Each way by itself, since one machine has few file systems.
    #[test]
    fn a_name_is_taken_once_in_every_way() {
        let folder = tempfile::tempdir().unwrap();
        for (number, way) in [by_exclusive_rename, by_link, by_placeholder].into_iter().enumerate() {
            let path = |name: &str| folder.path().join(format!("{name}-{number}"));
            fs::write(path("first"), b"first").unwrap();
            fs::write(path("second"), b"second").unwrap();
            assert!(by_the_first_that_works(&[way], &path("first"), &path("name")).unwrap());
            assert!(!path("first").exists());
            assert!(!by_the_first_that_works(&[way], &path("second"), &path("name")).unwrap());
            assert_eq!(fs::read(path("name")).unwrap(), b"first");
            assert_eq!(fs::read(path("second")).unwrap(), b"second");
        }
    }

    #[test]
    fn where_one_way_is_not_supported_the_next_is_tried() {
        fn lacks<const ERRNO: i32>(_: &Path, _: &Path) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(ERRNO))
        }
        const EPERM: i32 = 1;
        const EINVAL: i32 = 22;
        const EACCES: i32 = 13;
        const EOPNOTSUPP: i32 = 95;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, b"content").unwrap();
        let none: [Way; 3] = [lacks::<EINVAL>, lacks::<EPERM>, lacks::<EOPNOTSUPP>];
        assert!(by_the_first_that_works(&none, &from, &to).is_err());
        assert!(by_the_first_that_works(&[lacks::<EACCES>, by_placeholder], &from, &to).is_err());
        assert!(!to.exists());
        let ways: [Way; 3] = [lacks::<EINVAL>, lacks::<EOPNOTSUPP>, by_placeholder];
        assert!(by_the_first_that_works(&ways, &from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"content");
    }

    #[test]
    fn a_private_file_is_private_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        create(&inner.join("key"), b"content", PRIVATE).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(inner.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }
}
