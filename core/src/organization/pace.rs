//! The pace of a re-encryption: how fast it goes of late, and when it will be over at that.
//!
//! It is in memory only, of the process that does the work; nothing depends on it.

use std::collections::VecDeque;

use crate::id::Timestamp;

/// What was done by when, of late.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Timestamp, u64)>,
}

/// How far back the pace looks, and how far apart its samples are at least: it follows within seconds, and does not jump.
const WINDOW_US: i64 = 10_000_000;
const SAMPLE_US: i64 = 100_000;

impl Pace {
    /// Takes note that so many cells are done. Fewer than before: it is another re-encryption.
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

    /// Cells a second, now that so many are done; `None` before there is something to go by.
    pub(crate) fn cells_per_second(&self, now: Timestamp, cells_done: u64) -> Option<f64> {
        let (time, done) = self.samples.front()?;
        let elapsed_us = since_us(*time, now);
        let cells = cells_done.checked_sub(*done)?;
        (elapsed_us >= SAMPLE_US && cells > 0).then(|| cells as f64 * 1e6 / elapsed_us as f64)
    }
}

/// When so many cells will be done at this pace.
pub(crate) fn end(now: Timestamp, cells_left: u64, cells_per_second: f64) -> Timestamp {
    let left_us = cells_left as f64 / cells_per_second * 1e6;
    // A float beyond the range becomes its end.
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
        // A slow beginning, which is forgotten.
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
