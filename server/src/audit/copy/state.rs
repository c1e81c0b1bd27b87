//! How the copy stands: what is copied, and whether the target can be written.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::Notify;

use super::ledger::Ledger;
use crate::{
    config::{AuditCopy, CopyTo, OnFailure},
    telemetry::shed::Shed,
};

/// What the task that copies shares with the rest of the server.
pub(super) struct CopyState {
    pub(super) settings: AuditCopy,
    /// The time limit of a write, after which the copy counts as failing.
    pub(super) answer_max: Duration,
    /// The number of records that may be missing, if calls are refused without a copy.
    pub(super) behind_max_records: u64,
    /// Whether the last write exceeded its time limit and is still running.
    pub(super) is_late: AtomicBool,
    pub(super) shed: Shed,
    pub(super) ledger: Mutex<Ledger>,
    /// Why it can't be written.
    pub(super) failure: Mutex<Option<String>>,
    /// A trail has grown.
    pub(super) grown: Notify,
    /// Records were copied, or the copy failed.
    pub(super) moved: Notify,
}

impl CopyState {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the copy can't be written. Logs it once, until the reason changes.
    pub(super) fn fails(&self, failure: String) {
        let mut known = self.failure();
        if known.as_ref() != Some(&failure) {
            let (to, error) = (self.target(), &failure);
            match self.settings.on_failure {
                OnFailure::Report => tracing::error!(
                    to,
                    error,
                    "audit copy failed; calls continue, and missing records are copied once the target is writable"
                ),
                OnFailure::Refuse => tracing::error!(
                    to,
                    error,
                    "audit copy failed; calls that must be recorded are refused until the target is writable"
                ),
            }
            *known = Some(failure);
        }
        drop(known);
        self.moved.notify_waiters();
    }

    /// Notes that the copy is writable.
    pub(super) fn works(&self) {
        if self.failure().take().is_some() {
            tracing::info!(to = self.target(), "audit copy resumed, missing records included");
            self.moved.notify_waiters();
        }
    }

    pub(super) fn target(&self) -> String {
        match &self.settings.to {
            CopyTo::Stdout => "stdout".to_owned(),
            CopyTo::File(path) => path.display().to_string(),
        }
    }

    /// Resolves once the condition holds.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let moved = self.moved.notified();
            if holds() {
                return;
            }
            moved.await;
        }
    }
}
