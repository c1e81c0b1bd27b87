//! When a statement stops before it is done: its caller is gone, or its time is over.
//!
//! Nothing here knows what the statement reads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Tells a statement to stop.
#[derive(Debug)]
pub(super) struct Stop {
    told: AtomicBool,
    deadline: Option<Instant>,
}

impl Stop {
    /// At this time at the latest.
    pub(super) fn at(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Stop { told: AtomicBool::new(false), deadline })
    }

    /// Stops it now.
    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Whether the statement is to stop.
    pub(super) fn is_due(&self) -> bool {
        self.told.load(Ordering::Acquire) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Stops a statement when this is dropped, which is when its caller has left. A statement that is done doesn't mind.
#[derive(Debug)]
pub(super) struct StopWhenDropped(pub(super) Arc<Stop>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.tell();
    }
}
