//! Histograms whose buckets end at powers of two, so that the bucket of an observation is found by counting bits.
//!
//! An observation is two additions to atomics: no lock, no allocation, no comparison of floats. A reader may see an observation in one of
//! them and not in the other; both are there in the next scrape.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The ends of the buckets: the first at 2^`least_log2`, each of the others at twice the one before, and one without an end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    least_log2: u32,
    /// The number of buckets that end.
    ending: usize,
    /// The number of observed units in one unit of the metric.
    per_unit: f64,
}

/// Durations, observed in microseconds and reported in seconds: from 32 µs, less than the shortest call takes, to 33 s.
pub(crate) const DURATIONS: Shape = Shape { least_log2: 5, ending: 21, per_unit: 1e6 };

/// Sizes from 1 to 4,096.
pub(crate) const SIZES: Shape = Shape { least_log2: 0, ending: 13, per_unit: 1.0 };

/// A histogram.
#[derive(Debug)]
pub(crate) struct Histogram {
    shape: Shape,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// The observations at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Buckets {
    /// The end of each bucket, and the number of observations up to it. The last end is infinite.
    pub(crate) cumulative: Vec<(f64, u64)>,
    /// The sum of the observations.
    pub(crate) sum: f64,
}

impl Histogram {
    /// A histogram without observations.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, counts: (0..=shape.ending).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Adds an observation.
    pub(crate) fn observe(&self, value: u64) {
        if let Some(count) = self.counts.get(self.shape.bucket(value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds an observation in microseconds.
    pub(crate) fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// The observations until now.
    pub(crate) fn buckets(&self) -> Buckets {
        let mut count = 0_u64;
        let cumulative = self.counts.iter().enumerate().map(|(bucket, of_bucket)| {
            count = count.saturating_add(of_bucket.load(Ordering::Relaxed));
            (self.shape.end(bucket), count)
        });
        let cumulative = cumulative.collect();
        Buckets { cumulative, sum: self.sum.load(Ordering::Relaxed) as f64 / self.shape.per_unit }
    }
}

impl Shape {
    /// The bucket of a value: the first whose end isn't below it.
    fn bucket(self, value: u64) -> usize {
        // The bits of the largest value below: the logarithm to base 2, rounded up.
        let log2 = u64::BITS - value.saturating_sub(1).leading_zeros();
        usize::try_from(log2.saturating_sub(self.least_log2)).unwrap_or(usize::MAX).min(self.ending)
    }

    fn end(self, bucket: usize) -> f64 {
        if bucket >= self.ending {
            return f64::INFINITY;
        }
        let log2 = i32::try_from(bucket).unwrap_or(i32::MAX).saturating_add(self.least_log2.cast_signed());
        2_f64.powi(log2) / self.per_unit
    }
}

impl Buckets {
    /// The number of observations.
    pub(crate) fn count(&self) -> u64 {
        self.cumulative.last().map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observation_is_in_the_first_bucket_that_does_not_end_below_it() {
        for (value, bucket) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (4_096, 12), (4_097, 13), (u64::MAX, 13)]
        {
            assert_eq!(SIZES.bucket(value), bucket, "{value}");
            let end = SIZES.end(bucket);
            assert!(value as f64 <= end && (bucket == 0 || value as f64 > SIZES.end(bucket - 1)), "{value} {end}");
        }
        for (micros, bucket) in [(0, 0), (32, 0), (33, 1), (64, 1), (65, 2), (33_554_432, 20), (33_554_433, 21)] {
            assert_eq!(DURATIONS.bucket(micros), bucket, "{micros}");
        }
        assert_eq!((DURATIONS.end(0), DURATIONS.end(20), DURATIONS.end(21)), (32e-6, 33.554_432, f64::INFINITY));
    }

    #[test]
    fn buckets_count_all_observations_up_to_their_end() {
        let sizes = Histogram::new(SIZES);
        for size in [1, 2, 2, 300, 5_000] {
            sizes.observe(size);
        }
        let buckets = sizes.buckets();
        let counts: Vec<u64> = buckets.cumulative.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5]);
        assert_eq!((buckets.count(), buckets.sum), (5, 5_305.0));
        let durations = Histogram::new(DURATIONS);
        durations.observe_duration(Duration::from_millis(1_500));
        assert_eq!(durations.buckets().sum, 1.5);
    }
}
