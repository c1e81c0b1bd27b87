//! Where a test ends this process, or makes a commit fail: `SEALWARD_FAIL_POINT=NAME`, or `NAME:3` for the third time that it is reached.
//!
//! A debug build looks at that variable; a release build doesn't, and nothing ever happens at a fail point. Besides the names of
//! [`FailPoint`] there are `sync-failed-kept` and `sync-failed-lost`: a commit that fails as one does whose fsync failed, and which took
//! effect, or didn't.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use sealward_core::fail_point::{FailPoint, FailPoints};
use sealward_store::SyncFailure;

/// The variable.
const VARIABLE: &str = "SEALWARD_FAIL_POINT";

/// What the environment of this process asks for.
static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let asked = if cfg!(debug_assertions) { std::env::var(VARIABLE).unwrap_or_default() } else { String::new() };
    Asked::parse(&asked)
});

/// A place and a time.
struct Asked {
    name: String,
    /// How often it is still to be reached.
    left: AtomicU32,
}

impl Asked {
    fn parse(asked: &str) -> Self {
        let (name, count) = asked.split_once(':').unwrap_or((asked, "1"));
        Asked { name: name.to_owned(), left: AtomicU32::new(count.parse().unwrap_or(1)) }
    }

    /// Whether this is the place and the time.
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

/// How the commit that comes now is to fail; `None`: it isn't.
pub(crate) fn sync_failure() -> Option<SyncFailure> {
    ASKED.sync_failure()
}

/// The fail points of this process.
pub(crate) struct OfEnvironment;

impl FailPoints for OfEnvironment {
    fn reached(&self, point: FailPoint) {
        if ASKED.is_due(point.name()) {
            // As a power cut would be to the process: no destructor runs, nothing is flushed.
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
