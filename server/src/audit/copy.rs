//! The audit copy: every record of every trail, as a line of JSON in a file or on stdout.
//!
//! The trails in the databases are authoritative, and never wait for their copy. Committers report the end of each trail, at the cost of a
//! map access. A task reads new records from the databases and writes them in its own thread, since a file may hang. The position of the
//! copy is saved, so a copy that failed continues where it stopped, without gaps. A failure is logged once and shown in the metrics; calls
//! that must be recorded are refused if the deployment requires it.
//!
//! This module doesn't know the callers or their purposes.

mod checkpoint;
mod copier;
mod ledger;
mod pipe;
mod state;
mod target;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sealward_core::{deployment::Deployment, id::OrganizationId, port::AuditGate, store::Cause};
use sealward_store::Witness;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub(crate) use self::ledger::Trail;
use self::{checkpoint::Checkpoint, copier::Copier, state::CopyState, target::Target};
use crate::{
    config::{AuditCopy, Config, OnFailure},
    telemetry::shed::Shed,
};

/// The time limit for copying the last records: of an organization before its deletion, and of all trails at shutdown.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// A handle on the copy. Without a configured copy, it never refuses a call and is never behind.
#[derive(Clone)]
pub(crate) struct CopyHandle {
    shared: Option<Arc<CopyState>>,
}

/// The state of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyFacts {
    /// The file, or `stdout`.
    pub(crate) target: String,
    /// Why it can't be written.
    pub(crate) failure: Option<String>,
    /// The number of records that are not in it yet.
    pub(crate) records_behind: u64,
    /// Whether calls that must be recorded are refused while it can't be written.
    pub(crate) is_required: bool,
}

/// Why calls that have to be recorded are refused now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyUnavailable {
    /// It can't be written.
    #[error("the copy of the audit trails can't be written: {failure}")]
    Failing {
        /// Why.
        failure: String,
        /// Whether a write exceeds its time limit.
        is_late: bool,
    },
    /// Too many records are missing from it.
    #[error("{records} records are missing from the copy of the audit trails; at most {limit} may be missing")]
    Behind {
        /// The number of missing records.
        records: u64,
        /// The limit.
        limit: u64,
    },
}

impl CopyUnavailable {
    /// The name of the limit in `[limits]` that is reached, if there is one.
    pub(crate) fn bound(&self) -> Option<&'static str> {
        match self {
            Self::Failing { is_late, .. } => is_late.then_some("audit_copy_answer_max_ms"),
            Self::Behind { .. } => Some("audit_copy_behind_max_records"),
        }
    }
}

impl CopyHandle {
    /// A copy as configured, which begins with [`CopyHandle::start`].
    pub(crate) fn new(config: &Config, shed: Shed) -> Self {
        let shared = |settings: &AuditCopy| {
            Arc::new(CopyState {
                settings: settings.clone(),
                answer_max: config.limits.audit_copy_answer_max(),
                behind_max_records: config.limits.audit_copy_behind_max_records.into(),
                is_late: AtomicBool::new(false),
                shed: shed.clone(),
                ledger: Mutex::default(),
                failure: Mutex::default(),
                grown: Notify::new(),
                moved: Notify::new(),
            })
        };
        CopyHandle { shared: config.audit.as_ref().map(shared) }
    }

    /// What a committer reports the end of this trail to.
    pub(crate) fn witness(&self, trail: Trail) -> Witness {
        let Some(shared) = &self.shared else { return Witness::none() };
        let shared = Arc::clone(shared);
        Witness::new(move |end| {
            shared.ledger().goes_to(trail, end);
            shared.grown.notify_one();
        })
    }

    /// Refuses calls that must be recorded, if the copy fails and the deployment requires it.
    ///
    /// # Errors
    /// [`CopyUnavailable`]
    pub(crate) fn admit(&self) -> Result<(), CopyUnavailable> {
        let Some(shared) = self.shared.as_ref().filter(|shared| shared.settings.on_failure == OnFailure::Refuse) else {
            return Ok(());
        };
        let (records, limit) = (shared.ledger().records_behind(), shared.behind_max_records);
        let fails = if let Some(failure) = shared.failure().clone() {
            CopyUnavailable::Failing { failure, is_late: shared.is_late.load(Ordering::Acquire) }
        } else if records > limit {
            CopyUnavailable::Behind { records, limit }
        } else {
            return Ok(());
        };
        fails.bound().into_iter().for_each(|bound| shared.shed.count(bound));
        Err(fails)
    }

    /// Whether a trail has records that are not copied yet.
    pub(crate) fn is_behind(&self, trail: Trail) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.ledger().is_behind(trail))
    }

    /// The state of the copy. `None` if none is configured.
    pub(crate) fn facts(&self) -> Option<CopyFacts> {
        let shared = self.shared.as_ref()?;
        Some(CopyFacts {
            target: shared.target(),
            failure: shared.failure().clone(),
            records_behind: shared.ledger().records_behind(),
            is_required: shared.settings.on_failure == OnFailure::Refuse,
        })
    }

    /// Waits until the trail of an organization is copied, for a bounded time. Records that aren't copied are lost when the trail is
    /// deleted.
    pub(crate) async fn catch_up(&self, organization: OrganizationId) {
        let Some(shared) = &self.shared else { return };
        let caught_up = shared.until(|| !shared.ledger().is_behind(Some(organization)) || shared.failure().is_some());
        // Records that aren't copied by then are logged after the deletion.
        let _in_time = timeout(CATCH_UP_MAX, caught_up).await;
    }

    /// Notes that an organization and its trail were deleted.
    pub(crate) fn gone(&self, organization: OrganizationId) {
        let Some(shared) = &self.shared else { return };
        let records = shared.ledger().gone(Some(organization));
        if records > 0 {
            tracing::error!(%organization, records, "organization deleted before its audit trail was copied");
        }
    }

    /// Starts copying the trails of this deployment. When this returns, the target was checked, or hangs.
    pub(crate) async fn start(&self, config: &Config, deployment: &Arc<Deployment>, writer: Uuid) -> Option<CopyTask> {
        let shared = self.shared.as_ref()?;
        let path = config.data_dir.join(checkpoint::NAME);
        let Checkpoint { mark, places } = Checkpoint::read(&path, writer).unwrap_or_else(|error| {
            let file = path.display();
            tracing::error!(%file, %error, "audit copy position unknown; records missing from the target are copied, some perhaps twice");
            Checkpoint::default()
        });
        shared.ledger().remember(places);
        let target = Target::new(shared.settings.to.clone(), writer, mark);
        let (stop, (looked, first_look)) = (CancellationToken::new(), oneshot::channel());
        let copier = Copier::new(Arc::clone(shared), Arc::clone(deployment), writer, target, path);
        let task = tokio::spawn(copier.run(stop.clone(), looked));
        // A little longer than the time limit after which it counts as hanging.
        let _hangs = timeout(shared.answer_max + Duration::from_secs(1), first_look).await;
        Some(CopyTask { stop: stop.drop_guard(), task })
    }
}

impl AuditGate for CopyHandle {
    fn admit(&self) -> Result<(), Cause> {
        CopyHandle::admit(self).map_err(|fails| Cause(Box::new(fails)))
    }
}

/// The task that copies, until this is dropped.
pub(crate) struct CopyTask {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl CopyTask {
    /// Copies the remaining records for a bounded time, and saves the position. The next start copies the rest.
    pub(crate) async fn finish(self) {
        drop(self.stop);
        if timeout(CATCH_UP_MAX, self.task).await.is_err() {
            tracing::warn!("audit copy incomplete at shutdown; the next start continues it");
        }
    }
}
