//! The pace of a re-encryption: its recent rate and its estimated end.
//!
//! The pace exists only in the memory of the process that does the work. It is only for display.

use std::collections::VecDeque;

use crate::id::Timestamp;

/// Recent progress.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Timestamp, u64)>,
}

/// The time window of the pace and the minimum interval between samples. With them, the pace adapts within seconds
/// without jumping.
const WINDOW_US: i64 = 10_000_000;
const SAMPLE_US: i64 = 100_000;

impl Pace {
    /// Records the number of completed cells. A smaller number than before means another re-encryption.
    pub(crate) fn note(&mut self, now: Timestamp, cells_done: u64) {
        if self.samples.back().is_some_and(|(_, last)| cells_done < *last) {
            self.samples.clear();
        }
        while self.samples.front().is_some_and(|(time, _)| since_us(*time, now) > WINDOW_US) {
            self.samples.pop_front();
        }
        match self.samples.back() {
            Some((time, _)) if since_us(*time, now) < SAMPLE_US => {}
            Some(_) | None => self.samples.push_back((now, cells_done)),
        }
    }

    /// Returns the rate in cells per second; `None` if there aren't enough samples.
    pub(crate) fn cells_per_second(&self, now: Timestamp, cells_done: u64) -> Option<f64> {
        let (time, done) = self.samples.front()?;
        let elapsed_us = since_us(*time, now);
        let cells = cells_done.checked_sub(*done)?;
        (elapsed_us >= SAMPLE_US && cells > 0).then(|| cells as f64 * 1e6 / elapsed_us as f64)
    }
}

/// Returns the estimated time when this number of cells is completed.
pub(crate) fn end(now: Timestamp, cells_left: u64, cells_per_second: f64) -> Timestamp {
    let left_us = cells_left as f64 / cells_per_second * 1e6;
    // A float out of range is clamped.
    Timestamp::from_unix_micros(now.unix_micros().saturating_add(left_us as i64))
}

fn since_us(then: Timestamp, now: Timestamp) -> i64 {
    now.unix_micros().saturating_sub(then.unix_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(milliseconds * 1_000)
    }

    #[test]
    fn pace_covers_the_last_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.cells_per_second(at(0), 0), None);
        pace.note(at(0), 0);
        assert_eq!(pace.cells_per_second(at(50), 10), None);
        // A slow start leaves the window.
        for second in 1..=30 {
            pace.note(at(second * 1_000), 10 + u64::try_from(second).unwrap() * 1_000);
        }
        let rate = pace.cells_per_second(at(30_000), 30_010).unwrap();
        assert!((rate - 1_000.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn another_re_encryption_resets_the_pace() {
        let mut pace = Pace::default();
        pace.note(at(0), 5_000);
        pace.note(at(1_000), 10);
        assert_eq!(pace.cells_per_second(at(2_000), 510), Some(500.0));
    }

    #[test]
    fn end_is_estimated_from_the_remaining_cells() {
        assert_eq!(end(at(1_000), 500, 250.0), at(3_000));
        assert_eq!(end(at(0), u64::MAX, 1e-300), Timestamp::from_unix_micros(i64::MAX));
    }
}
