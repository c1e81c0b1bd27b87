//! The bounded queue of spans that wait for the collector. A span that has no place is dropped and counted.
//!
//! The exit is woken twice for a batch: by its first span, and when the batch is full or its time is over. So a span costs its call little more
//! than its memory, whatever the rate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{
        Notify,
        mpsc::{self, Receiver, Sender, error::TrySendError},
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    ended::EndedSpan,
    outcomes::{CALL_FULL, QUEUE_FULL, SHUTDOWN, SpanOutcomes},
};
use crate::telemetry::shed::Shed;

/// The limits that drop spans.
const QUEUE: &str = "trace_queue_max_spans";
const OF_CALL: &str = "trace_spans_per_call_max";

/// The entrance of the queue. Clones share it.
#[derive(Clone)]
pub(super) struct Queue {
    spans: Sender<EndedSpan>,
    full: Arc<Full>,
    outcomes: SpanOutcomes,
    shed: Shed,
}

/// The exit of the queue. Spans that are in it when it is dropped count as lost.
pub(super) struct Exit {
    spans: Receiver<EndedSpan>,
    full: Arc<Full>,
    batch_max: usize,
    outcomes: SpanOutcomes,
}

/// Wakes the exit when enough spans wait for a batch.
struct Full {
    spans: usize,
    reached: Notify,
}

/// A queue with room for this number of spans, whose exit takes at most `batch_max` at once.
pub(super) fn queue(spans_max: u32, batch_max: u32, outcomes: SpanOutcomes, shed: Shed) -> (Queue, Exit) {
    let [spans_max, batch_max] = [spans_max, batch_max].map(|max| usize::try_from(max).unwrap_or(usize::MAX).max(1));
    let (spans, receiver) = mpsc::channel(spans_max);
    // A short queue is emptied before it has no place.
    let full = Arc::new(Full { spans: batch_max.min(spans_max.div_ceil(2)), reached: Notify::new() });
    let exit = Exit { spans: receiver, full: Arc::clone(&full), batch_max, outcomes: outcomes.clone() };
    (Queue { spans, full, outcomes, shed }, exit)
}

impl Queue {
    /// Adds a span, or drops it.
    pub(super) fn add(&self, span: EndedSpan) {
        match self.spans.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.outcomes.add(QUEUE_FULL, 1, Instant::now());
                self.shed.count(QUEUE);
            }
            // A call that ends after the last batch.
            Err(TrySendError::Closed(_)) => return self.outcomes.add(SHUTDOWN, 1, Instant::now()),
        }
        if self.spans.max_capacity() - self.spans.capacity() >= self.full.spans {
            self.full.reached.notify_one();
        }
    }

    /// Counts a span of a call that has too many.
    pub(super) fn drop_of_full_call(&self) {
        self.outcomes.add(CALL_FULL, 1, Instant::now());
        self.shed.count(OF_CALL);
    }
}

impl Exit {
    /// Takes the next spans, once they fill a batch or the first has waited for `wait_max`. After `stop`, no span is added, and those that are
    /// there are taken at once. Without any, the queue has ended.
    pub(super) async fn batch(&mut self, wait_max: Duration, stop: &CancellationToken) -> Vec<EndedSpan> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            received = self.spans.recv_many(&mut batch, self.batch_max) => if received == 0 { return batch },
            () = stop.cancelled() => {}
        }
        if batch.len() < self.batch_max {
            let is_full = async {
                while self.spans.len() < self.full.spans && !self.spans.is_closed() {
                    self.full.reached.notified().await;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _full_or_late = timeout(wait_max, is_full) => {}
            }
        }
        if stop.is_cancelled() {
            self.spans.close();
        }
        let room = self.batch_max.saturating_sub(batch.len());
        if room > 0 && (self.spans.is_closed() || !self.spans.is_empty()) {
            self.spans.recv_many(&mut batch, room).await;
        }
        batch
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.outcomes.add(SHUTDOWN, u64::try_from(self.spans.len()).unwrap_or(u64::MAX), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::{
        context::{SpanId, TraceId},
        table,
    };

    const LONG: Duration = Duration::from_secs(3_600);

    fn span() -> EndedSpan {
        EndedSpan {
            kind: &table::CALL,
            name: "a".into(),
            trace: TraceId::new([1; 16]),
            id: SpanId::new(1),
            parent: None,
            begin_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: Vec::new(),
            has_failed: false,
        }
    }

    fn entrance_and_exit(spans_max: u32, batch_max: u32) -> (Queue, Exit) {
        queue(spans_max, batch_max, SpanOutcomes::new(Instant::now()), Shed::default())
    }

    #[tokio::test]
    async fn full_batch_does_not_wait() {
        let (queue, mut exit) = entrance_and_exit(100, 4);
        for _ in 0..10 {
            queue.add(span());
        }
        let stop = CancellationToken::new();
        assert_eq!(exit.batch(LONG, &stop).await.len(), 4);
        assert_eq!(exit.batch(LONG, &stop).await.len(), 4);
        // The next one becomes full while the exit waits.
        let waiting = tokio::spawn(async move { exit.batch(LONG, &stop).await.len() });
        tokio::task::yield_now().await;
        for _ in 0..4 {
            queue.add(span());
        }
        assert_eq!(waiting.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn first_span_waits_for_others_up_to_a_time() {
        let (queue, mut exit) = entrance_and_exit(100, 4);
        let stop = CancellationToken::new();
        queue.add(span());
        assert_eq!(exit.batch(Duration::from_millis(1), &stop).await.len(), 1);
    }

    #[tokio::test]
    async fn short_queue_is_emptied_before_it_is_full() {
        let (queue, mut exit) = entrance_and_exit(4, 512);
        let stop = CancellationToken::new();
        for _ in 0..2 {
            queue.add(span());
        }
        let waiting = tokio::spawn(async move { exit.batch(LONG, &stop).await.len() });
        tokio::task::yield_now().await;
        for _ in 0..2 {
            queue.add(span());
        }
        assert_eq!(waiting.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn waiting_spans_are_taken_at_the_end_and_no_later_ones() {
        let (queue, mut exit) = entrance_and_exit(100, 4);
        let stop = CancellationToken::new();
        for _ in 0..6 {
            queue.add(span());
        }
        stop.cancel();
        assert_eq!(exit.batch(LONG, &stop).await.len(), 4);
        queue.add(span());
        assert_eq!(exit.batch(LONG, &stop).await.len(), 2);
        assert_eq!(exit.batch(LONG, &stop).await.len(), 0);
        let counts = queue.outcomes.counts();
        assert_eq!((counts.of(SHUTDOWN), counts.of(QUEUE_FULL), queue.shed.refused_by(QUEUE)), (1, 0, 0));
    }

    #[tokio::test]
    async fn spans_that_nobody_takes_any_more_count_as_lost() {
        let (queue, exit) = entrance_and_exit(4, 4);
        for _ in 0..5 {
            queue.add(span());
        }
        drop(exit);
        queue.add(span());
        let counts = queue.outcomes.counts();
        assert_eq!((counts.of(QUEUE_FULL), counts.of(SHUTDOWN)), (1, 5));
    }

    #[tokio::test]
    async fn exit_ends_with_the_entrances() {
        let (queue, mut exit) = entrance_and_exit(100, 4);
        queue.add(span());
        drop(queue);
        let stop = CancellationToken::new();
        assert_eq!(exit.batch(LONG, &stop).await.len(), 1);
        assert_eq!(exit.batch(LONG, &stop).await.len(), 0);
    }
}
