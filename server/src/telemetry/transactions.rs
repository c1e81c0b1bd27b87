//! Figures of the stores' writers: waiting commits, and the times and sizes of transactions.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sealward_store::{Observer, Outcome, Transaction};

use super::{
    counters::Counters,
    histogram::{DURATIONS, Histogram, SIZES},
};

/// The transactions of both stores. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transactions {
    /// The configuration database.
    pub(crate) configuration: Arc<OfStore>,
    /// All organizations' databases together.
    pub(crate) organizations: Arc<OfStore>,
}

/// The transactions of one store.
#[derive(Debug)]
pub(crate) struct OfStore {
    /// May be below zero for a moment, since several threads count.
    waiting: AtomicI64,
    pub(crate) waits: Histogram,
    pub(crate) durations: Histogram,
    pub(crate) commits: Histogram,
    pub(crate) rows: Histogram,
    /// Failed transactions, by outcome.
    pub(crate) failed: Counters,
}

const NOT_WRITTEN: &str = "not_written";
const UNKNOWN: &str = "unknown";

impl Transactions {
    /// Each store with its name.
    pub(crate) fn by_store(&self) -> [(&'static str, &OfStore); 2] {
        [("configuration", &self.configuration), ("organizations", &self.organizations)]
    }
}

impl OfStore {
    /// The number of commits that wait for a transaction or are in one.
    pub(crate) fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed).max(0)
    }
}

impl Default for OfStore {
    fn default() -> Self {
        Self {
            waiting: AtomicI64::new(0),
            waits: Histogram::new(DURATIONS),
            durations: Histogram::new(DURATIONS),
            commits: Histogram::new(SIZES),
            rows: Histogram::new(SIZES),
            failed: Counters::new([NOT_WRITTEN, UNKNOWN]),
        }
    }
}

impl Observer for OfStore {
    fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, transaction: &Transaction) {
        let Transaction { commits, rows, waited, took, outcome } = *transaction;
        self.waiting.fetch_sub(i64::try_from(commits).unwrap_or(0), Ordering::Relaxed);
        self.waits.observe_duration(waited);
        self.durations.observe_duration(took);
        self.commits.observe(u64::try_from(commits).unwrap_or(u64::MAX));
        self.rows.observe(u64::try_from(rows).unwrap_or(u64::MAX));
        match outcome {
            Outcome::Written => {}
            Outcome::NotWritten => self.failed.add(NOT_WRITTEN, 1),
            Outcome::Unknown => self.failed.add(UNKNOWN, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn failed_transaction_is_counted_by_its_outcome() {
        let store = OfStore::default();
        for outcome in [Outcome::Written, Outcome::NotWritten, Outcome::Unknown, Outcome::Unknown] {
            store.queued();
            store.queued();
            assert_eq!(store.waiting(), 2);
            store.ended(&Transaction { commits: 2, rows: 7, waited: Duration::ZERO, took: Duration::ZERO, outcome });
        }
        assert_eq!(store.waiting(), 0);
        assert_eq!((store.failed.of(NOT_WRITTEN), store.failed.of(UNKNOWN)), (1, 2));
        assert_eq!((store.commits.buckets().sum, store.rows.buckets().sum), (8.0, 28.0));
    }
}
