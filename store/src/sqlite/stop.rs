//! Stops a statement before its end, when its caller has left or its time is over.
//!
//! This file doesn't know the content of statements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// A request to stop a statement.
#[derive(Debug)]
pub(super) struct Stop {
    requested: AtomicBool,
    deadline: Option<Instant>,
}

impl Stop {
    /// Creates a request with an optional deadline.
    pub(super) fn at(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Stop { requested: AtomicBool::new(false), deadline })
    }

    /// Requests the stop now.
    pub(super) fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Returns whether the statement must stop.
    pub(super) fn is_due(&self) -> bool {
        self.requested.load(Ordering::Acquire) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Requests the stop when it is dropped, that is, when its caller has left. It has no effect on a completed statement.
#[derive(Debug)]
pub(super) struct StopWhenDropped(pub(super) Arc<Stop>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.request();
    }
}
