//! The answers of the echo, as a folder: a file for each method, in a folder for each service. A file has messages with their gRPC prefixes.

use std::{fs, path::Path};

use bytes::Bytes;

use crate::outcome::Outcome;

/// Writes the answer of a method. `method` is a path such as `/sealward.v1.AuditService/ListAuditRecords`.
pub(crate) fn write(folder: &Path, method: &str, answer: &[u8]) -> Outcome<()> {
    let file = folder.join(method.trim_start_matches('/'));
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, answer));
    written.map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads all answers: the method's path, and the answer.
pub(crate) fn read(folder: &Path) -> Outcome<Vec<(String, Bytes)>> {
    let failed = |error| format!("{}: {error}", folder.display());
    let mut answers = Vec::new();
    for service in fs::read_dir(folder).map_err(failed)? {
        let service = service.map_err(failed)?;
        for method in fs::read_dir(service.path()).map_err(failed)? {
            let method = method.map_err(failed)?;
            let path = format!("/{}/{}", service.file_name().to_string_lossy(), method.file_name().to_string_lossy());
            answers.push((path, fs::read(method.path()).map_err(failed)?.into()));
        }
    }
    Ok(answers)
}
