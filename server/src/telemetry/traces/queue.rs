//! The bounded queue of spans that wait for the collector. A span that has no place is dropped and counted.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::ended::EndedSpan;
use crate::telemetry::{counters::Counters, shed::Shed};

/// The limits that drop spans.
const QUEUE: &str = "trace_queue_max_spans";
const OF_CALL: &str = "trace_spans_per_call_max";

/// The outcomes of spans, as counted.
pub(super) const EXPORTED: &str = "exported";
const QUEUE_FULL: &str = "queue_full";
const CALL_FULL: &str = "call_full";
pub(super) const REFUSED: &str = "refused";
pub(super) const UNREACHABLE: &str = "unreachable";
pub(super) const SHUTDOWN: &str = "shutdown";

/// Counters of the outcomes of spans.
pub(crate) fn outcomes() -> Counters {
    Counters::new([EXPORTED, QUEUE_FULL, CALL_FULL, REFUSED, UNREACHABLE, SHUTDOWN])
}

/// The entrance of the queue. Clones share it.
#[derive(Clone)]
pub(super) struct Queue {
    spans: Sender<EndedSpan>,
    outcomes: Counters,
    shed: Shed,
}

/// A queue with room for this number of spans, and its exit.
pub(super) fn queue(spans_max: u32, outcomes: Counters, shed: Shed) -> (Queue, Receiver<EndedSpan>) {
    let (spans, receiver) = mpsc::channel(usize::try_from(spans_max).unwrap_or(usize::MAX).max(1));
    (Queue { spans, outcomes, shed }, receiver)
}

impl Queue {
    /// Adds a span, or drops it.
    pub(super) fn add(&self, span: EndedSpan) {
        if self.spans.try_send(span).is_err() {
            self.outcomes.add(QUEUE_FULL, 1);
            self.shed.count(QUEUE);
        }
    }

    /// Counts a span of a call that has too many.
    pub(super) fn drop_of_full_call(&self) {
        self.outcomes.add(CALL_FULL, 1);
        self.shed.count(OF_CALL);
    }
}
