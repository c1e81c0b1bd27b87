//! The limits of a database.

use std::{num::NonZero, thread, time::Duration};

use crate::committer::SyncFailure;

/// The limits of a database.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// The maximum number of concurrent quick reads on blocking threads, and that of concurrent lookups on the threads of
    /// their callers. Each has its own connection.
    pub readers_max: usize,
    /// The maximum number of concurrent scans, each on its own connection.
    pub scans_max: u32,
    /// The maximum duration of a scan.
    pub scan_time_max: Duration,
    /// The duration after which a scan that can be continued ends.
    pub page_time: Duration,
    /// The maximum size of the write-ahead log. Above it, snapshots that prevent its truncation are ended.
    pub log_max_bytes: u64,
    /// The time that a snapshot may continue after a scrub was requested.
    pub snapshot_grace: Duration,
    /// The maximum wait for the lock of another process, such as a backup or a shell.
    pub busy_timeout: Duration,
    /// For tests: returns how the next transaction fails, or `None` for success.
    pub sync_failure: fn() -> Option<SyncFailure>,
}

impl Default for SqliteOptions {
    /// Returns the defaults. A reader per processor, but 4 to 16: a read by key takes some 10 µs, so more readers would
    /// only share the processors. 4 scans, of which one identity gets at most half. 5 s busy timeout, as in SQLite's own shell. 10 s
    /// grace: enough for an export of 100 MB that has just begun.
    fn default() -> Self {
        SqliteOptions {
            readers_max: thread::available_parallelism().map_or(4, NonZero::get).clamp(4, 16),
            scans_max: SCANS_MAX,
            scan_time_max: Duration::from_secs(10),
            page_time: Duration::from_secs(1),
            log_max_bytes: 256 * 1024 * 1024,
            snapshot_grace: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            sync_failure: || None,
        }
    }
}

/// The maximum number of concurrent scans of one database.
pub const SCANS_MAX: u32 = 4;
