//! Counts log lines that were dropped because stderr was read too slowly, and reports them once the queue has room.
//!
//! The queue belongs to the log. This module doesn't know its writers and readers.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::{drain::Drain, telemetry::shed::Shed};

/// The interval between checks of the queue.
const INTERVAL: Duration = Duration::from_secs(1);

/// The limit that bounds the queue.
const BOUND: &str = "log_queue_lines";

/// Reports until the server drains. `dropped` returns the number of lines dropped so far.
pub(crate) async fn keep_reporting(dropped: impl Fn() -> u64, shed: Shed, drain: Drain) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reporter = Reporter::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => reporter.look(&dropped, &shed),
            () = drain.begun() => return,
        }
    }
}

#[derive(Debug, Default)]
struct Reporter {
    counted: u64,
    logged: u64,
}

impl Reporter {
    fn look(&mut self, dropped: impl Fn() -> u64, shed: &Shed) {
        let before = dropped();
        if before > self.logged {
            tracing::warn!(lines = before - self.logged, "log lines dropped");
            // This line may have been dropped too. It is then logged again when there is room.
            if dropped() == before {
                self.logged = before;
            }
        }
        let after = dropped();
        shed.count_many(BOUND, after.saturating_sub(self.counted));
        self.counted = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_lines_are_counted_once() {
        let shed = Shed::default();
        let mut reporter = Reporter::default();
        for (dropped, counted) in [(0, 0), (7, 7), (7, 7), (9, 9)] {
            reporter.look(|| dropped, &shed);
            assert_eq!(shed.refused_by(BOUND), counted);
            assert_eq!(reporter.logged, dropped);
        }
    }

    #[test]
    fn dropped_report_of_dropped_lines_is_repeated() {
        let asked = std::cell::Cell::new(0);
        let full = || {
            asked.set(asked.get() + 1);
            asked.get()
        };
        let mut reporter = Reporter::default();
        reporter.look(full, &Shed::default());
        assert_eq!(reporter.logged, 0);
    }
}
