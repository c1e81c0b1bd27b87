//! Renames that never replace an existing file or folder.
//!
//! This file doesn't know their content.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

/// Renames a file or a folder within one file system, unless the new name exists. Returns whether it was renamed.
///
/// It never replaces anything, even if other processes create the name at the same time. It uses an exclusive rename if
/// the kernel and the file system support it, otherwise a hard link. If neither is available, it creates an empty file
/// or folder with the new name and replaces that. A crash between these two steps leaves the empty one.
///
/// # Errors
/// An error of the file system.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    by_first_supported(&[by_exclusive_rename, by_link, by_placeholder], from, to)
}

type Method = fn(&Path, &Path) -> io::Result<()>;

fn by_first_supported(methods: &[Method], from: &Path, to: &Path) -> io::Result<bool> {
    let mut last = io::Error::from(io::ErrorKind::Unsupported);
    for method in methods {
        match method(from, to) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            // ENOSYS and EINVAL of a rename, EPERM and EOPNOTSUPP of a link: this file system doesn't support the
            // method.
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
        // A folder can replace only an empty folder.
        DirBuilder::new().mode(0o700).create(to)?;
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests each method directly, because a machine has few file systems.
    #[test]
    fn every_way_of_renaming_keeps_an_existing_name() {
        let folder = tempfile::tempdir().unwrap();
        for (number, method) in [by_exclusive_rename, by_link, by_placeholder].into_iter().enumerate() {
            let path = |name: &str| folder.path().join(format!("{name}-{number}"));
            fs::write(path("first"), b"first").unwrap();
            fs::write(path("second"), b"second").unwrap();
            assert!(by_first_supported(&[method], &path("first"), &path("name")).unwrap());
            assert!(!path("first").exists());
            assert!(!by_first_supported(&[method], &path("second"), &path("name")).unwrap());
            assert_eq!(fs::read(path("name")).unwrap(), b"first");
            assert_eq!(fs::read(path("second")).unwrap(), b"second");
        }
    }

    #[test]
    fn unsupported_way_of_renaming_falls_back_to_the_next() {
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
        let none: [Method; 3] = [lacks::<EINVAL>, lacks::<EPERM>, lacks::<EOPNOTSUPP>];
        assert!(by_first_supported(&none, &from, &to).is_err());
        assert!(by_first_supported(&[lacks::<EACCES>, by_placeholder], &from, &to).is_err());
        assert!(!to.exists());
        let methods: [Method; 3] = [lacks::<EINVAL>, lacks::<EOPNOTSUPP>, by_placeholder];
        assert!(by_first_supported(&methods, &from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"content");
    }
}
