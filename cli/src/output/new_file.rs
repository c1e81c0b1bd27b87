//! Files that the command line creates for answers: only the owner can read them, and they appear complete or not at all.

use std::{
    fs::{self, File, OpenOptions},
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
        if is_taken(path) {
            return Err(Failure::usage(format!("{} already exists: choose another name", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = NamedTempFile::new_in(folder)
            .map_err(|error| Failure::usage(format!("can't create {}: {}", path.display(), of_system(&error))))?;
        Ok(Self::File { unfinished, path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => stdout::print_bytes(bytes)
                .map_err(|failure| failure.completed("the output is incomplete: discard it and run the command again")),
            Self::File { unfinished, path } => {
                unfinished.as_file_mut().write_all(bytes).map_err(|error| write_failed(path, &error))
            }
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

/// Whether something has this path: also a link to nothing, which a new file doesn't replace.
pub(crate) fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The system's error, without the name of the temporary file, which tempfile appends to the text.
fn of_system(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(text.as_str(), |(error, _)| error).to_owned()
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
    let is_taken = error.kind() == io::ErrorKind::AlreadyExists;
    let remedy = if is_taken { "choose another name" } else { "free space or choose another location" };
    let (path, error) = (path.display(), of_system(error));
    Failure::Failed(format!("can't write {path}: {error}. The incomplete file was removed; {remedy}"))
}

#[cfg(test)]
mod tests {
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

    #[cfg(unix)]
    #[test]
    fn link_to_nothing_is_not_replaced_and_no_error_names_the_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nothing"), &path).unwrap();
        let Err(Failure::Usage(text)) = Destination::open(&path) else { panic!("it was opened") };
        assert!(text.ends_with("already exists: choose another name"), "{text}");
        let Err(Failure::Usage(text)) = Destination::open(&folder.path().join("none/file")) else {
            panic!("it was opened")
        };
        assert!(text.contains("none/file: No such file") && !text.contains("none/.tmp"), "{text}");
    }
}
