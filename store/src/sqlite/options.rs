//! The bounds of a database.

use std::time::Duration;

use crate::committer::SyncFailure;

/// The bounds of a database.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// The most quick reads at a time, each on a connection of its own.
    pub readers_max: usize,
    /// The most scans at a time, each on a connection of its own.
    pub scans_max: u32,
    /// How long a scan may run.
    pub scan_time_max: Duration,
    /// How large the write-ahead log may be before snapshots that keep it from being cut are ended.
    pub log_max_bytes: u64,
    /// How long a snapshot that is in the way of a scrub may go on.
    pub snapshot_grace: Duration,
    /// How long to wait for somebody else's lock: a backup's, or a shell's.
    pub busy_timeout: Duration,
    /// Asked before each commit of a transaction how it is to fail, for tests; `None`: it isn't.
    pub sync_failure: fn() -> Option<SyncFailure>,
}

impl Default for SqliteOptions {
    /// 4 readers: a read by key takes some 10 µs, so that more would only share the processors. As many scans, of which one identity
    /// has no more than half. 5 s, as SQLite's own shell waits. 10 s let an export of 100 MB end that has just begun.
    fn default() -> Self {
        SqliteOptions {
            readers_max: 4,
            scans_max: SCANS_MAX,
            scan_time_max: Duration::from_secs(10),
            log_max_bytes: 256 * 1024 * 1024,
            snapshot_grace: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            sync_failure: || None,
        }
    }
}

/// The most scans of one database at a time.
pub const SCANS_MAX: u32 = 4;
