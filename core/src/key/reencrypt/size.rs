//! The size of batches, from the time that the last ones took.

use crate::deployment::KeyLimits;

/// The number of cells in the next batch: as many as are committed in the configured time, because other writes wait
/// meanwhile.
#[derive(Debug)]
pub(super) struct BatchSize {
    pub(super) cells: u32,
    cells_min: u32,
    cells_max: u32,
    time_max_us: i64,
}

/// The smallest batch that a slow disk leads to: a smaller one would hardly be committed faster.
const BATCH_CELLS_MIN: u32 = 256;

impl BatchSize {
    pub(super) fn first(limits: &KeyLimits) -> Self {
        let cells_max = limits.reencryption_batch_cells.max(1);
        let cells_min = BATCH_CELLS_MIN.min(cells_max);
        BatchSize {
            cells: cells_min,
            cells_min,
            cells_max,
            time_max_us: i64::from(limits.reencryption_batch_ms).saturating_mul(1_000),
        }
    }

    /// Adapts the size to the time that a full batch took, at most to half or double of that batch. So a clock that was
    /// set has no larger effect.
    pub(super) fn note(&mut self, cells: u32, took_us: i64) {
        let fitting = i64::from(cells).saturating_mul(self.time_max_us) / took_us.max(1);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
        let next = fitting.clamp(cells / 2, cells.saturating_mul(2));
        self.cells = next.clamp(self.cells_min, self.cells_max);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn size(cells_max: u32) -> BatchSize {
        BatchSize::first(&KeyLimits {
            changes_per_hour: 0,
            restores_per_quarter_hour: 0,
            comparisons_per_quarter_hour: 0,
            change_due_days: 365,
            reencryption_batch_cells: cells_max,
            reencryption_batch_ms: 10,
        })
    }

    /// Notes full batches until the size no longer changes, and returns it.
    fn settled(mut size: BatchSize, took_us: impl Fn(u32) -> i64) -> u32 {
        for _ in 0..20 {
            size.note(size.cells, took_us(size.cells));
        }
        size.cells
    }

    #[test]
    fn batch_grows_until_it_takes_its_time() {
        let cells = settled(size(100_000), |cells| 2_000 + i64::from(cells) * 2);
        assert!((3_900..=4_100).contains(&cells), "{cells}");
        assert_eq!(settled(size(1_000), |cells| 2_000 + i64::from(cells) * 2), 1_000);
        assert_eq!(settled(size(3), |_| 1), 3);
    }

    #[test]
    fn slow_disk_does_not_shrink_batches_below_the_minimum() {
        assert_eq!(settled(size(100_000), |_| 500_000), BATCH_CELLS_MIN);
        assert_eq!(settled(size(100_000), |_| -7), 100_000);
    }

    /// Two batches are in the pipeline when a third is read.
    #[test]
    fn batch_grows_although_smaller_ones_are_committed_first() {
        let (mut size, mut read) = (size(100_000), VecDeque::new());
        for _ in 0..40 {
            read.push_back(size.cells);
            if read.len() > 2
                && let Some(cells) = read.pop_front()
            {
                size.note(cells, 2_000 + i64::from(cells) * 2);
            }
        }
        assert!((3_800..=4_200).contains(&size.cells), "{}", size.cells);
    }
}
