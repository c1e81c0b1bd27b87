//! Files that the command line creates for answers: only the owner can read them, and they appear complete or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{
    failure::Failure,
    output::stdout::{self, check_open},
};

/// The destination of an export.
pub(crate) enum Destination {
    Stdout,
    /// A temporary file beside `path`, which is removed unless [`finish`](Destination::finish) renames it.
    File {
        unfinished: NamedTempFile,
        path: PathBuf,
    },
}

impl Destination {
    /// Opens the destination; `-` is stdout.
    ///
    /// # Errors
    /// The file exists, or its folder isn't writable; or stdout is closed.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            check_open()?;
            return Ok(Self::Stdout);
        }
        if path.exists() {
            return Err(Failure::usage(format!("{} already exists: choose another name", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = NamedTempFile::new_in(folder)
            .map_err(|error| Failure::usage(format!("can't create {}: {error}", path.display())))?;
        Ok(Self::File { unfinished, path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => stdout::print_bytes(bytes)
                .map_err(|failure| failure.completed("the output is incomplete: discard it and run the command again")),
            Self::File { unfinished, path } => unfinished.write_all(bytes).map_err(|error| write_failed(path, &error)),
        }
    }

    /// Syncs the file and gives it its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self::File { unfinished, path } = self else { return Ok(()) };
        unfinished.as_file().sync_all().map_err(|error| write_failed(&path, &error))?;
        let placed = unfinished.persist_noclobber(&path).map(drop).or_else(|failed| {
            if failed.error.kind() == io::ErrorKind::AlreadyExists {
                return Err(failed.error);
            }
            // The file system has neither an exclusive rename nor hard links: an empty file reserves the name first.
            OpenOptions::new().write(true).create_new(true).open(&path)?;
            failed.file.persist(&path).map(drop).map_err(|failed| failed.error)
        });
        placed.map_err(|error| write_failed(&path, &error))?;
        sync_folder_of(&path).map_err(|error| write_failed(&path, &error))
    }
}

/// Syncs the folder of a new file, so that the file's name is on disk. Does nothing where folders can't be opened.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn write_failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "can't write {}: {error}. The incomplete file was removed; free space or choose another location",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_appears_when_complete_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contoso.sealward");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let mut destination = Destination::open(&path).unwrap();
        destination.write(b"half").unwrap();
        assert!(!path.exists());
        drop(destination);
        assert_eq!(names(), 0);
        let mut destination = Destination::open(&path).unwrap();
        destination.write(b"whole").unwrap();
        destination.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), names()), (&b"whole"[..], 1));
        assert!(matches!(Destination::open(&path), Err(Failure::Usage(_))));
    }
}
