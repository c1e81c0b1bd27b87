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
    /// How long a write may take before the copy counts as failing.
    pub(super) answer_max: Duration,
    /// How many records may be missing where calls are refused without a copy.
    pub(super) behind_max_records: u64,
    /// Whether the last write took too long and has not ended yet.
    pub(super) is_late: AtomicBool,
    pub(super) shed: Shed,
    pub(super) ledger: Mutex<Ledger>,
    /// Why it can't be written.
    pub(super) failure: Mutex<Option<String>>,
    /// Some trail goes further than it did.
    pub(super) grown: Notify,
    /// Something was copied, or can't be.
    pub(super) moved: Notify,
}

impl CopyState {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy can't be written. Said once, until there is another reason.
    pub(super) fn fails(&self, failure: String) {
        let mut known = self.failure();
        if known.as_ref() != Some(&failure) {
            let (to, error) = (self.target(), &failure);
            match self.settings.on_failure {
                OnFailure::Report => tracing::error!(
                    to,
                    error,
                    "the audit trails can't be copied; calls go on, and the copy is caught up once it can be written"
                ),
                OnFailure::Refuse => tracing::error!(
                    to,
                    error,
                    "the audit trails can't be copied; calls that have to be recorded are refused until they can be"
                ),
            }
            *known = Some(failure);
        }
        drop(known);
        self.moved.notify_waiters();
    }

    /// The copy can be written.
    pub(super) fn works(&self) {
        if self.failure().take().is_some() {
            tracing::info!(to = self.target(), "the audit trails are copied again, with all that was left out");
            self.moved.notify_waiters();
        }
    }

    fn target(&self) -> String {
        match &self.settings.to {
            CopyTo::Stdout => "stdout".to_owned(),
            CopyTo::File(path) => path.display().to_string(),
        }
    }

    /// Resolves once this holds.
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
