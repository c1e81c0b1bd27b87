//! The state of the current call of a connection, shared by its bytes, its request and its answer.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    drain::Drain,
    telemetry::shed::Shed,
    transport::{
        budget::{Account, Reservation},
        request_rules::Fault,
    },
};

/// The maximum time that an answer waits for its caller when the server stops.
const LAST_STALL_MAX: Duration = Duration::from_secs(2);

/// The state of a connection's current call.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Whether the head of the answer was passed to the protocol.
    is_answer_begun: AtomicBool,
    /// Whether the whole answer was passed to the protocol, which is before its last byte is sent.
    is_answered: AtomicBool,
    /// Whether the whole answer was sent.
    is_sent: AtomicBool,
    fault: Mutex<Option<Fault>>,
    refused: Notify,
    is_early: AtomicBool,
    early: Notify,
    /// Whether the connection closes after the current call.
    is_closing: AtomicBool,
    waiting: Mutex<Waiting>,
    queued_bytes: Arc<AtomicU64>,
}

/// The answer that waits for its caller, if it does.
#[derive(Default)]
struct Waiting {
    /// The account that is charged while the answer waits.
    account: Option<Account>,
    ends_at: Option<Instant>,
    /// While the caller's connection takes no bytes.
    stalled: Option<Stalled>,
}

struct Stalled {
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
    _reservation: Option<Reservation>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// The bounds of an answer that waits.
#[derive(Clone, Debug)]
pub(super) struct StallBounds {
    /// The maximum time that an answer waits for a caller that reads nothing of it.
    pub(super) max: Duration,
    /// When it drains, answers wait for a shorter time.
    pub(super) drain: Drain,
    /// Counts refusals.
    pub(super) shed: Shed,
}

impl Exchange {
    /// Refuses the request. The connection ends.
    pub(super) fn refuse(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        self.refused.notify_one();
    }

    /// Resolves when the request is refused.
    pub(super) async fn refused(&self) {
        self.refused.notified().await;
    }

    /// The fault of the request, if it wasn't answered yet.
    pub(super) fn unanswered_fault(&self) -> Option<Fault> {
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.filter(|_| !self.is_answer_begun.load(Ordering::SeqCst))
    }

    /// Records that bytes arrived before the answer to the current call has ended. They are never read.
    pub(super) fn mark_early(&self) {
        if !self.is_early.swap(true, Ordering::SeqCst) {
            self.early.notify_one();
        }
    }

    /// Whether bytes arrived too early.
    pub(super) fn is_early(&self) -> bool {
        self.is_early.load(Ordering::SeqCst)
    }

    /// Resolves when bytes arrived too early.
    pub(super) async fn early(&self) {
        self.early.notified().await;
    }

    /// Makes the next answer say that the connection closes.
    pub(super) fn close_after_answer(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// Whether the connection closes after the current call.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst) || self.is_early()
    }

    /// Begins the answer.
    pub(super) fn begin_answer(&self, account: Option<Account>, ends_at: Option<Instant>) {
        self.is_answer_begun.store(true, Ordering::SeqCst);
        *self.waiting() = Waiting { account, ends_at, stalled: None };
    }

    /// Records that the protocol has the whole answer.
    pub(super) fn end_answer(&self) {
        self.is_answered.store(true, Ordering::SeqCst);
    }

    /// Records that the protocol has sent everything that it has.
    pub(super) fn flushed(&self) {
        if self.is_answered.load(Ordering::SeqCst) {
            self.is_sent.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the whole answer was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::SeqCst)
    }

    /// Begins the next call.
    pub(super) fn next(&self) {
        self.is_answer_begun.store(false, Ordering::SeqCst);
        self.is_answered.store(false, Ordering::SeqCst);
        self.is_sent.store(false, Ordering::SeqCst);
    }

    /// The number of bytes of answers that the protocol holds.
    pub(super) fn queued_bytes(&self) -> &Arc<AtomicU64> {
        &self.queued_bytes
    }

    /// Records that the caller's connection takes bytes.
    pub(super) fn moves(&self) {
        self.waiting().stalled = None;
    }

    /// Resolves when an answer has waited too long, or there is no memory for it.
    pub(super) fn poll_stalled(&self, context: &mut Context<'_>, bounds: &StallBounds) -> Poll<()> {
        let mut waiting = self.waiting();
        let Waiting { account, ends_at, stalled } = &mut *waiting;
        let stalled = match stalled {
            Some(stalled) => stalled,
            None => {
                let queued = self.queued_bytes.load(Ordering::SeqCst);
                let reservation = account.as_ref().map(|account| account.reserve(queued)).transpose();
                let Ok(reservation) = reservation else { return Poll::Ready(()) };
                let until = Box::pin(until_too_long(*ends_at, bounds.clone()));
                stalled.insert(Stalled { until, _reservation: reservation })
            }
        };
        stalled.until.as_mut().poll(context)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when an answer that begins to wait now has waited too long.
async fn until_too_long(ends_at: Option<Instant>, bounds: StallBounds) {
    let StallBounds { max, drain, shed } = bounds;
    let stalled_at = Instant::now() + max;
    let late = timeout_at(ends_at.map_or(stalled_at, |ends_at| ends_at.min(stalled_at)), pending::<()>());
    let stopping = async {
        drain.begun().await;
        let _never = timeout(LAST_STALL_MAX, pending::<()>()).await;
    };
    tokio::select! {
        _late = late => {}
        () = stopping => {}
    }
    if Instant::now() >= stalled_at {
        shed.count("answer_stall_max_ms");
    }
}
