//! Files of exported organizations: written whole or not at all, and sent as they are read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sealward_client::{Client, v1::Organization};
use tempfile::NamedTempFile;

use crate::{
    delivery::{check_open, sync_folder_of},
    failure::Failure,
    hints::Hints,
    output,
    progress::Display,
    stderr,
};

/// How much of a file is sent at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Exports to a file that appears when it is whole, or to stdout.
pub(crate) async fn export(client: &Client, name: &str, path: &Path, hints: &Hints) -> Result<(), Failure> {
    let mut target = Target::begin(path)?;
    let mut display = Display::counting();
    let mut stream = client.export_organization(name).await?;
    let mut rows = 0;
    while let Some(message) = stream.next().await.inspect_err(|_| display.end())? {
        target.write(&message.chunk)?;
        rows = message.rows_done;
        display.count("Exporting rows", rows, message.rows_total);
    }
    display.end();
    target.finish()?;
    stderr::notice(&format!(
        "{name} is exported: {rows} rows. Keep its key apart from it: {}",
        hints.command_in("key show", name)
    ));
    Ok(())
}

/// Where an export goes.
pub(crate) enum Target {
    Stdout,
    /// A file of another name, readable by its owner only, which goes unless it is finished.
    File {
        unfinished: NamedTempFile,
        path: PathBuf,
    },
}

impl Target {
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            check_open()?;
            return Ok(Self::Stdout);
        }
        if path.exists() {
            return Err(Failure::usage(format!("{} exists already: choose another name", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = NamedTempFile::new_in(folder).map_err(|error| unusable(path, &error))?;
        Ok(Self::File { unfinished, path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => output::print_bytes(bytes).map_err(|failure| {
                failure.done("what was written is incomplete: discard it, and run the command again")
            }),
            Self::File { unfinished, path } => unfinished.write_all(bytes).map_err(|error| unwritten(path, &error)),
        }
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self::File { unfinished, path } = self else { return Ok(()) };
        unfinished.as_file().sync_all().map_err(|error| unwritten(&path, &error))?;
        let placed = unfinished.persist_noclobber(&path).map(drop).or_else(|failed| {
            if failed.error.kind() == io::ErrorKind::AlreadyExists {
                return Err(failed.error);
            }
            // A file system that knows neither an exclusive rename nor a hard link: the name is taken first, by an empty file.
            OpenOptions::new().write(true).create_new(true).open(&path)?;
            failed.file.persist(&path).map(drop).map_err(|failed| failed.error)
        });
        placed.map_err(|error| unwritten(&path, &error))?;
        sync_folder_of(&path).map_err(|error| unwritten(&path, &error))
    }
}

/// Imports from a file, or from stdin.
pub(crate) async fn import(client: &Client, path: &Path, id: &str) -> Result<Organization, Failure> {
    let (source, bytes): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(path).map_err(|error| unusable(path, &error))?;
        let bytes = file.metadata().map_err(|error| unusable(path, &error))?.len();
        (Box::new(file), bytes)
    };
    let failed = Arc::new(Mutex::new(None));
    let chunks = Chunks {
        source,
        done: 0,
        total: i64::try_from(bytes).unwrap_or(i64::MAX),
        display: Display::counting(),
        failed: Arc::clone(&failed),
    };
    let imported = client.import_organization(id, tokio_stream::iter(chunks)).await;
    // What the server says of a file that ended too early is no news to whoever knows why it did.
    match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(unusable(path, &error)),
        None => Ok(imported?),
    }
}

/// The chunks of a file, which end where it can't be read.
struct Chunks {
    source: Box<dyn Read + Send>,
    done: i64,
    total: i64,
    display: Display,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Iterator for Chunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        let wanted = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        match self.source.by_ref().take(wanted).read_to_end(&mut chunk) {
            Ok(0) => {
                self.display.end();
                None
            }
            Ok(read) => {
                self.done = self.done.saturating_add(i64::try_from(read).unwrap_or(0));
                self.display.count("Sending bytes", self.done, self.total.max(self.done));
                Some(chunk)
            }
            Err(error) => {
                self.display.end();
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

/// The command names a file that can't be used.
fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// What came from the server can't be kept.
fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::NoValue(format!(
        "{} can't be written: {error}. Nothing is left of it; free space or choose another place",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole_and_is_left_alone_if_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contoso.sealward");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let mut target = Target::begin(&path).unwrap();
        target.write(b"half").unwrap();
        assert!(!path.exists());
        drop(target);
        assert_eq!(names(), 0);
        let mut target = Target::begin(&path).unwrap();
        target.write(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), names()), (&b"whole"[..], 1));
        assert!(matches!(Target::begin(&path), Err(Failure::Usage(_))));
    }
}
