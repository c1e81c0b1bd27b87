//! The checkpoint of a copy, which the next process continues from: the end of the copy of each trail, and the length of the file then.
//!
//! Records beyond that length were written after the checkpoint, and are found by reading the file. So it needn't be written often.

use std::{collections::BTreeMap, io, path::Path};

use data_encoding::HEXLOWER;
use sealward_core::audit::follow::TrailPosition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ledger::Trail, target::Mark};
use crate::files::{
    private_file,
    trusted_file::{self, Kind},
};

/// The name of the file in the data folder.
pub(super) const NAME: &str = "audit-copy.json";

/// A checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The file and its length, with all records up to `places` on disk. `None` for stdout.
    pub(super) mark: Option<Mark>,
    /// The end of the copy of each trail.
    pub(super) places: BTreeMap<Trail, TrailPosition>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// The writer of the chains; another deployment has other chains.
    writer: String,
    file: Option<Mark>,
    /// The place and hash of the last copied record, by the UUID of the organization; "" is the deployment's own trail.
    trails: BTreeMap<String, (i64, String)>,
}

impl Checkpoint {
    /// Reads the checkpoint. It is empty if there is none, or if another deployment wrote it. Blocks.
    ///
    /// # Errors
    /// It can't be read, or isn't a checkpoint.
    pub(super) fn read(path: &Path, writer: Uuid) -> io::Result<Self> {
        let text = match trusted_file::read(path, Kind::AuditCheckpoint) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(Self::default()),
            Err(error) => return Err(io::Error::other(error)),
        };
        let written: Written = serde_json::from_slice(&text)?;
        if written.writer != writer.to_string() {
            return Ok(Self::default());
        }
        let place = |(trail, (sequence, hash)): (String, (i64, String))| {
            let trail = if trail.is_empty() { None } else { Some(trail.parse().ok()?) };
            Some((trail, TrailPosition { sequence, hash: HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()? }))
        };
        let places = written.trails.into_iter().map(place).collect::<Option<_>>();
        Ok(Self { mark: written.file, places: places.ok_or(io::ErrorKind::InvalidData)? })
    }

    /// Replaces the former checkpoint. Blocks.
    pub(super) fn write(&self, path: &Path, writer: Uuid) -> io::Result<()> {
        let place = |(trail, place): (&Trail, &TrailPosition)| {
            (trail.map(|id| id.to_string()).unwrap_or_default(), (place.sequence, HEXLOWER.encode(&place.hash)))
        };
        let trails = self.places.iter().map(place).collect();
        let written = Written { writer: writer.to_string(), file: self.mark, trails };
        private_file::replace(path, &serde_json::to_vec(&written)?, private_file::PRIVATE)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use sealward_core::id::OrganizationId;

    use super::*;

    #[test]
    fn checkpoint_is_read_only_by_its_deployment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let writer = Uuid::from_bytes([1; 16]);
        assert_eq!(Checkpoint::read(&path, writer).unwrap(), Checkpoint::default());
        let place = |sequence| TrailPosition { sequence, hash: [9; 32] };
        let checkpoint = Checkpoint {
            mark: Some(Mark { device: 1, inode: u64::MAX, length: 3 }),
            places: [(None, place(4)), (Some(OrganizationId::from_bytes([7; 16])), place(i64::MAX))].into(),
        };
        checkpoint.write(&path, writer).unwrap();
        assert_eq!(Checkpoint::read(&path, writer).unwrap(), checkpoint);
        assert_eq!(Checkpoint::read(&path, Uuid::nil()).unwrap(), Checkpoint::default());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = Checkpoint::read(&path, writer).unwrap_err().to_string();
        assert!(error.contains("can be changed by other users"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(Checkpoint::read(&path, writer).is_err());
    }
}
