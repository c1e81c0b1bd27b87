//! Stops a statement before its end, when its caller has left or its time is over. A statement that can be continued has
//! less time.
//!
//! This file doesn't know the content of statements.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// A request to stop a statement.
#[derive(Debug)]
pub(super) struct Stop {
    requested: AtomicBool,
    deadline: Option<Instant>,
    /// The end of the time of a statement that can be continued.
    pause: OnceLock<Instant>,
}

impl Stop {
    /// Creates a request with an optional deadline.
    pub(super) fn at(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Stop { requested: AtomicBool::new(false), deadline, pause: OnceLock::new() })
    }

    /// Requests the stop now.
    pub(super) fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Makes the statement stop at this time if it can be continued then.
    pub(super) fn pause_at(&self, time: Option<Instant>) {
        if let Some(time) = time {
            self.pause.get_or_init(|| time);
        }
    }

    /// Returns whether the statement must stop.
    pub(super) fn is_due(&self, can_be_continued: impl FnOnce() -> bool) -> bool {
        let is_over = |time: &Instant| Instant::now() >= *time;
        self.requested.load(Ordering::Acquire)
            || self.deadline.as_ref().is_some_and(is_over)
            || (self.pause.get().is_some_and(is_over) && can_be_continued())
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
