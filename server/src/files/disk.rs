//! The space on the file system of a folder.

use std::path::Path;

use rustix::fs::statvfs;

use crate::finding::Finding;

/// Less free space than this causes a warning: an organization's database and its log need a few MB each.
const SPACE_MIN_BYTES: u64 = 256 << 20;

/// The space that this process may use. `None` if the system doesn't say. Blocks.
pub(crate) fn available_bytes(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The finding that the space of the data folder is low.
pub(crate) fn finding(folder: &Path, available_bytes: u64) -> Option<Finding> {
    let problem = format!("{} has {} MiB of free space", folder.display(), available_bytes >> 20);
    let remedy = "free disk space: every write fails when the disk is full";
    (available_bytes < SPACE_MIN_BYTES).then(|| Finding::warning("data_dir", problem, remedy))
}
