//! What became of spans: how many have which outcome, and the finding that spans are lost.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{finding::Finding, telemetry::counters::Counters};

pub(super) const EXPORTED: &str = "exported";
pub(super) const QUEUE_FULL: &str = "queue_full";
pub(super) const CALL_FULL: &str = "call_full";
pub(super) const REFUSED: &str = "refused";
pub(super) const UNREACHABLE: &str = "unreachable";
pub(super) const SHUTDOWN: &str = "shutdown";

/// The losses that have a cause outside of the server, or too little room. They are those of the alert `SealwardSpansLost`. A call with too
/// many spans is as configured, and a stopping server is watched by nobody.
const LOSSES: [&str; 3] = [UNREACHABLE, REFUSED, QUEUE_FULL];

/// A loss is a finding for this time, which is that of the alert.
const RECENT: Duration = Duration::from_secs(15 * 60);

/// The outcomes of spans. Clones share them.
#[derive(Clone)]
pub(crate) struct SpanOutcomes(Arc<State>);

struct State {
    counts: Counters,
    begun: Instant,
    /// For each of [`LOSSES`]: when spans were last lost, in milliseconds since `begun` and from 1 on; 0 if none were.
    lost_ms: [AtomicU64; LOSSES.len()],
    /// Why spans can't be exported now.
    failure: Mutex<Option<String>>,
}

impl SpanOutcomes {
    pub(crate) fn new(begun: Instant) -> Self {
        let counts = Counters::new([EXPORTED, QUEUE_FULL, CALL_FULL, REFUSED, UNREACHABLE, SHUTDOWN]);
        Self(Arc::new(State { counts, begun, lost_ms: Default::default(), failure: Mutex::default() }))
    }

    pub(crate) fn counts(&self) -> &Counters {
        &self.0.counts
    }

    /// Counts spans with this outcome, at this time.
    pub(super) fn add(&self, outcome: &'static str, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        self.0.counts.add(outcome, count);
        for (_, lost_ms) in LOSSES.iter().zip(&self.0.lost_ms).filter(|(loss, _)| **loss == outcome) {
            let since = now.saturating_duration_since(self.0.begun).as_millis();
            lost_ms.store(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Notes why spans can't be exported; `None` if they can.
    pub(super) fn set_failure(&self, failure: Option<String>) {
        *self.failure() = failure;
    }

    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The finding that spans were lost within the last 15 minutes.
    pub(crate) fn finding(&self, now: Instant) -> Option<Finding> {
        let ago = |lost_ms: &AtomicU64| {
            let last = lost_ms.load(Ordering::Relaxed).checked_sub(1)?;
            Some(now.saturating_duration_since(self.0.begun + Duration::from_millis(last)))
        };
        let recent = LOSSES.iter().zip(&self.0.lost_ms).filter_map(|(loss, lost_ms)| Some((*loss, ago(lost_ms)?)));
        let recent: Vec<_> = recent.filter(|(_, ago)| *ago < RECENT).collect();
        let last = recent.iter().map(|(_, ago)| *ago).min()?;
        let has = |wanted: &str| recent.iter().any(|(loss, _)| *loss == wanted);
        let counts = self.0.counts.all().filter(|(outcome, _)| has(outcome));
        let counts: Vec<_> = counts.map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let state = match &*self.failure() {
            Some(failure) => failure.clone(),
            None => "the collector accepts spans now".to_owned(),
        };
        let problem = format!(
            "spans of traced calls were lost: {} since the start, the last one {} s ago; {state}",
            counts.join(", "),
            last.as_secs()
        );
        // A queue is also full because the collector takes nothing.
        let remedy = if has(UNREACHABLE) {
            "check that the collector runs, its address in traces.endpoint, the network, and the files of [traces]"
        } else if has(REFUSED) {
            "check the credentials of this server in [traces], and find the refusals in the collector's log"
        } else {
            "trace fewer calls (limits.trace_calls_per_million), or raise limits.trace_queue_max_spans"
        };
        Some(Finding::warning("traces", problem, format!("{remedy}; calls aren't affected")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_losses_are_a_finding_with_their_remedy() {
        let begun = Instant::now();
        let outcomes = SpanOutcomes::new(begun);
        let at = |seconds| begun + Duration::from_secs(seconds);
        outcomes.add(EXPORTED, 7, at(0));
        outcomes.add(CALL_FULL, 7, at(0));
        outcomes.add(SHUTDOWN, 7, at(0));
        outcomes.add(REFUSED, 0, at(0));
        assert_eq!(outcomes.finding(at(1)), None);

        outcomes.add(QUEUE_FULL, 3, at(0));
        let found = outcomes.finding(at(5)).unwrap();
        assert!(found.problem.contains("lost: 3 queue_full since the start, the last one 5 s ago"), "{found:?}");
        assert!(found.remedy.starts_with("trace fewer calls"), "{found:?}");

        outcomes.set_failure(Some("no answer".to_owned()));
        outcomes.add(UNREACHABLE, 4, at(600));
        let found = outcomes.finding(at(601)).unwrap();
        assert!(found.problem.contains("lost: 3 queue_full, 4 unreachable since the start"), "{found:?}");
        assert!(found.problem.ends_with("1 s ago; no answer"), "{found:?}");
        assert!(found.remedy.starts_with("check that the collector runs"), "{found:?}");

        // It ends with time, each kind on its own.
        outcomes.set_failure(None);
        let found = outcomes.finding(at(1_000)).unwrap();
        assert!(found.problem.contains("lost: 4 unreachable since") && found.problem.ends_with("accepts spans now"));
        assert!(outcomes.finding(at(1_499)).is_some());
        assert_eq!(outcomes.finding(at(1_500)), None);
    }
}
