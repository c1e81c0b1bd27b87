//! Points at which a test ends this process or makes a commit fail: `SEALWARD_FAIL_POINT=NAME`, or `NAME:3` for the third time that it is
//! reached.
//!
//! Only a debug build reads this variable; in a release build fail points do nothing. Besides the names of [`FailPoint`] there are
//! `sync-failed-kept` and `sync-failed-lost`: a commit that fails as if its fsync had failed, and that took effect or did not.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use sealward_core::fail_point::{FailPoint, FailPoints};
use sealward_store::SyncFailure;

/// The variable.
const VARIABLE: &str = "SEALWARD_FAIL_POINT";

/// The fail point in the environment of this process.
static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let asked = if cfg!(debug_assertions) { std::env::var(VARIABLE).unwrap_or_default() } else { String::new() };
    Asked::parse(&asked)
});

/// A fail point, and the number of the visit.
struct Asked {
    name: String,
    /// The number of visits that remain.
    left: AtomicU32,
}

impl Asked {
    fn parse(asked: &str) -> Self {
        let (name, count) = asked.split_once(':').unwrap_or((asked, "1"));
        Asked { name: name.to_owned(), left: AtomicU32::new(count.parse().unwrap_or(1)) }
    }

    /// Whether this visit triggers it.
    fn is_due(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    fn sync_failure(&self) -> Option<SyncFailure> {
        if self.is_due("sync-failed-kept") {
            Some(SyncFailure::Kept)
        } else if self.is_due("sync-failed-lost") {
            Some(SyncFailure::Lost)
        } else {
            None
        }
    }
}

/// How the current commit has to fail. `None` if it doesn't.
pub(crate) fn sync_failure() -> Option<SyncFailure> {
    ASKED.sync_failure()
}

/// The fail points of this process.
pub(crate) struct OfEnvironment;

impl FailPoints for OfEnvironment {
    fn reached(&self, point: FailPoint) {
        if ASKED.is_due(point.name()) {
            // Like a power failure: no destructor runs, and nothing is flushed.
            let _killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_point_triggers_once_at_its_count() {
        let points = Asked::parse("sync-failed-lost:3");
        let failures: Vec<_> = (0..5).map(|_| points.sync_failure()).collect();
        assert_eq!(failures, [None, None, Some(SyncFailure::Lost), None, None]);
        assert!(!points.is_due("batch-done"));
        assert_eq!(Asked::parse("").sync_failure(), None);
    }
}
