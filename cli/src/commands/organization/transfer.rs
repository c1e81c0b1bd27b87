//! Export of an organization to a file, and import from one. Imports are streamed: a file isn't held in memory.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sealward_client::{Client, v1::Organization};

use super::copy::CopyKeys;
use crate::{
    connection::hints::Hints,
    failure::Failure,
    output::{new_file::Destination, progress::Display, stderr},
};

/// Size of a chunk of an import, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Exports to a file, or to stdout.
pub(crate) async fn export(client: &Client, name: &str, path: &Path, hints: &Hints) -> Result<(), Failure> {
    let mut destination = Destination::open(path)?;
    let mut display = Display::for_counts();
    let mut stream = client.export_organization(name).await?;
    let mut rows = 0;
    while let Some(message) = stream.next().await.inspect_err(|_| display.end())? {
        destination.write(&message.chunk)?;
        rows = message.rows_done;
        display.count("Exporting rows", rows, message.rows_total);
    }
    display.end();
    destination.finish()?;
    stderr::notice(&format!(
        "Exported {name}: {rows} rows. Store the encryption key in another place: {}",
        hints.command_in("key show", name)
    ));
    Ok(())
}

/// Imports from a file, or from stdin: as a copy, if there are keys.
pub(super) async fn import(
    client: &Client,
    path: &Path,
    id: &str,
    keys: Option<&CopyKeys>,
) -> Result<Organization, Failure> {
    let (source, bytes): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(path).map_err(|error| read_failed(path, &error))?;
        let bytes = file.metadata().map_err(|error| read_failed(path, &error))?.len();
        (Box::new(file), bytes)
    };
    let read_error = Arc::new(Mutex::new(None));
    let chunks = Chunks {
        source,
        done: 0,
        total: i64::try_from(bytes).unwrap_or(i64::MAX),
        display: Display::for_counts(),
        read_error: Arc::clone(&read_error),
    };
    let chunks = tokio_stream::iter(chunks);
    let imported = match keys {
        Some(CopyKeys { source, new }) => client.import_organization_as_copy(id, source, new.as_ref(), chunks).await,
        None => client.import_organization(id, chunks).await,
    };
    // The server can only report that the stream ended early; the cause is the read error.
    match read_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(read_failed(path, &error)),
        None => Ok(imported?),
    }
}

/// The chunks of a file. Ends at the first read error, which is kept in `read_error`.
struct Chunks {
    source: Box<dyn Read + Send>,
    done: i64,
    total: i64,
    display: Display,
    read_error: Arc<Mutex<Option<io::Error>>>,
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
                *self.read_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

fn read_failed(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("can't read {}: {error}", path.display()))
}
