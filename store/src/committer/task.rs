//! A committer that runs as a task, for a database that answers over a network.
//!
//! A transaction is sent as a whole, so it succeeds or fails as a whole. What then becomes of its commits is up to the
//! database's [`Transactions`]. The task is independent of the callers: none of them can stop a transaction that was sent.

use std::{future::Future, sync::Arc};

use sealward_core::store::{Cause, Commit};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::{
    observer::{Observer, Outcome},
    queue::{Batch, Committer, Gathered, Verdict, Work, gather, settle},
};

/// The operations that the task needs from a database.
pub(crate) trait Transactions: Send + 'static {
    /// Applies commits in their order, as few transactions as possible. Returns a verdict for each, and the outcome of
    /// the last transaction.
    fn write(&mut self, commits: &[Commit]) -> impl Future<Output = (Vec<Verdict>, Outcome)> + Send;
}

impl Committer {
    /// Starts the task. `database` is the name in the log.
    pub(crate) fn spawn(
        runtime: &Handle,
        database: String,
        mut transactions: impl Transactions,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let (committer, Work { mut jobs, alive, generation: _ }) = Committer::new(observer.clone());
        let work = async move {
            while let Some(job) = jobs.recv().await {
                let Gathered { batch, rows, scrub } = gather(job, &mut jobs);
                if let Some(batch) = Batch::begin(batch, rows) {
                    let (verdicts, outcome) = transactions.write(&batch.commits).await;
                    settle(&batch.commits, &verdicts);
                    batch.end(verdicts, outcome, observer.as_deref());
                }
                if let Some(reply) = scrub {
                    // Nothing that a role without ownership could do.
                    let _left: Result<(), Result<(), Cause>> = reply.send(Ok(()));
                }
            }
            drop(alive);
        };
        drop(runtime.spawn(work.instrument(tracing::error_span!("store_writer", database))));
        committer
    }
}
