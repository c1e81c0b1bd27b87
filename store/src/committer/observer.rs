//! The observer of a committer's transactions, for figures.

use std::{fmt, time::Duration};

/// A transaction that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The number of commits in it.
    pub commits: usize,
    /// The number of rows that they write, as far as it was known before.
    pub rows: usize,
    /// The time that the first of them waited for the transaction to begin.
    pub waited: Duration,
    /// The time from its begin to its end, with the wait for the disk.
    pub took: Duration,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk.
    Written,
    /// It failed, and nothing of it was written.
    NotWritten,
    /// It failed at its end, and may have been written.
    Unknown,
}

/// Receives the queued commits and the transactions of committers. It must not block.
pub trait Observer: Send + Sync {
    /// A commit was queued.
    fn queued(&self);

    /// A transaction ended. Its commits are no longer queued.
    fn ended(&self, transaction: &Transaction);
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
