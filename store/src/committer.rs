//! The committer: one thread that writes the commits of many callers in one transaction, so that they share one wait
//! for the disk.
//!
//! Commits queue while the disk works. The next transaction takes up to `BATCH_MAX` of them, and no more of them after
//! `ROWS_MAX` rows. A refused commit doesn't affect the others: if it has changed rows, the transaction is rolled back,
//! and all its commits are applied again, each in its own savepoint. Most refusals change no rows, so savepoints, which
//! cost as much as a statement, are rare. No caller gets an answer before the transaction has ended. This includes
//! refusals, because a refusal may depend on another commit's rows that never reach the disk. The committer also chains
//! audit records, because only it knows their order. After a failed commit, it discards its state, reopens the database
//! and reads again.
//!
//! A store whose database answers over a network has a task instead of the thread, see [`Transactions`].
//!
//! It knows no SQL and no database: [`Backend`] hides them.

mod answers;
pub(crate) mod chain;
mod observer;
mod queue;
mod task;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use sealward_core::{
    audit::ChainHead,
    id::OrganizationId,
    store::{Cause, Commit, CommitError, Step},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::queue::{Batch, CurrentGeneration, FAILED, Gathered, Job, Work, gather, settle};
pub use self::{
    observer::{Observer, Outcome, Transaction},
    queue::Ended,
};
pub(crate) use self::{
    queue::{Committer, Shared, Verdict, early},
    task::Transactions,
};

/// The operations that a committer needs from a database. They are called from one thread, which they may block.
pub(crate) trait Backend: Send + 'static {
    /// Begins a transaction. After an error, there is no transaction, or [`Backend::reopen`] ends it.
    fn begin(&mut self) -> Result<(), Cause>;

    /// Applies all steps or none. The n-th [`Step::Audit`] is an insert of the n-th of these rows.
    fn apply(&mut self, steps: &[Step], audit_rows: &[Step], undo: Undo) -> Result<(), Failure>;

    /// Ends the transaction without its changes.
    fn roll_back(&mut self) -> Result<(), Cause>;

    /// Commits the transaction. It is durable when this returns. After an error, its outcome is unknown.
    fn commit(&mut self) -> Result<(), Cause>;

    /// Drops the connection with all its state, and opens another one. If the outcome of the last transaction was
    /// unknown, this decides it: the data that the new connection reads is permanent.
    fn reopen(&mut self) -> Result<(), Cause>;

    /// Reads the last record of this writer's chain.
    fn chain_head(&mut self, writer: Uuid) -> Result<ChainHead, Cause>;

    /// Removes deleted data from the database's files. Called between transactions.
    fn scrub(&mut self) -> Result<(), Cause>;
}

/// A callback that receives the length of a committer's audit chain: when its database is opened, and after each
/// transaction that extended the chain, before any caller gets an answer. It is called from the committer's thread,
/// which it must not block. With it comes the observer of the committer's transactions.
#[derive(Clone)]
pub struct Witness {
    chain: Option<Arc<dyn Fn(i64) + Send + Sync>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Witness {
    /// Creates a witness from a callback. Its argument is the position of the chain's last record, 0 for an empty
    /// chain.
    pub fn new(callback: impl Fn(i64) + Send + Sync + 'static) -> Self {
        Witness { chain: Some(Arc::new(callback)), observer: None }
    }

    /// Adds an observer of transactions.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Witness { observer: Some(observer), ..self }
    }

    /// Creates a witness that ignores all calls.
    pub fn none() -> Self {
        Witness { chain: None, observer: None }
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.observer.clone()
    }

    pub(crate) fn report(&self, head: &ChainHead) {
        if let Some(callback) = &self.chain {
            callback(head.sequence());
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

/// Returns the witness of the audit chain in an organization's database.
pub type Witnesses = Box<dyn Fn(OrganizationId) -> Witness + Send + Sync>;

/// How steps are undone if one of them fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Together with the whole transaction. The steps can then end with [`Failure::Partial`].
    Together,
    /// Alone. This takes longer.
    Alone,
}

/// Why steps were not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The expectation of this step was not met. The transaction continues without any of the steps.
    Refused { step: usize },
    /// The steps can't be applied. The transaction continues without any of them.
    Failed(Cause),
    /// Some of the steps were applied. The transaction must be rolled back.
    Partial,
    /// The transaction and everything applied in it are lost.
    Lost(Cause),
}

/// How a test makes a commit fail, as a failed fsync does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailure {
    /// The transaction was written.
    Kept,
    /// The transaction was not written.
    Lost,
}

impl Committer {
    /// Starts the thread. Reads the head of `writer`'s audit chain first, which blocks. `database` is the name in the
    /// log.
    pub(crate) fn start(
        database: String,
        mut backend: impl Backend,
        writer: Uuid,
        witness: Witness,
    ) -> Result<Self, Cause> {
        let head = backend.chain_head(writer)?;
        witness.report(&head);
        let (committer, Work { jobs, alive, generation }) = Committer::new(witness.observer.clone());
        let writer = Writer::new(backend, writer, head, witness, generation);
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                tracing::error_span!("store_writer", database).in_scope(|| writer.run(jobs));
                drop(alive);
            })
            .map_err(|error| Cause(error.into()))?;
        Ok(committer)
    }
}

/// Applies one commit in its own transaction on the caller's thread. Used for the first content of a database.
pub(crate) fn commit_alone(backend: impl Backend, writer: Uuid, commit: Commit) -> Result<(), CommitError> {
    let (head, witness) = (ChainHead::empty(writer), Witness::none());
    let mut writer = Writer::new(backend, writer, head, witness, Arc::new(CurrentGeneration::new()));
    let mut verdicts = writer.transact(&[commit]);
    verdicts.pop().unwrap_or_else(|| Err(CommitError::Unknown(FAILED.into())))
}

struct Writer<B> {
    backend: B,
    id: Uuid,
    /// The last record applied. It is durable between transactions, and invalid while `stale`.
    head: ChainHead,
    witness: Witness,
    /// Whether the database must be reopened before its next use.
    stale: bool,
    generation: Arc<CurrentGeneration>,
    /// The outcome of the last transaction.
    outcome: Outcome,
}

impl<B: Backend> Writer<B> {
    fn new(backend: B, id: Uuid, head: ChainHead, witness: Witness, generation: Arc<CurrentGeneration>) -> Self {
        Writer { backend, id, head, witness, stale: false, generation, outcome: Outcome::Unknown }
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let Gathered { batch, rows, scrub } = gather(job, &mut jobs);
            if let Some(batch) = Batch::begin(batch, rows) {
                self.generation.end();
                self.outcome = Outcome::Unknown;
                // Without verdicts, the replies are dropped. The callers then get an unknown outcome.
                let verdicts = self.guarded(|writer| writer.transact(&batch.commits)).unwrap_or_default();
                self.begin_generation();
                batch.end(verdicts, self.outcome, self.witness.observer.as_deref());
            }
            if let Some(reply) = scrub {
                let outcome = self.guarded(|writer| writer.refresh().and_then(|()| writer.backend.scrub()));
                // The database may have been reopened.
                self.begin_generation();
                let _ = reply.send(outcome.unwrap_or_else(|| Err(FAILED.into())));
            }
        }
    }

    /// Begins a generation. Until the database is reopened after a failure, the outcome of the last transaction is open.
    fn begin_generation(&self) {
        if self.stale {
            self.generation.end();
        } else {
            self.generation.begin();
        }
    }

    /// Catches panics: a panic must not end the thread that writes to the database.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self)));
        if outcome.is_err() {
            tracing::error!("database writer panicked; it reopens the database");
            self.stale = true;
        }
        outcome.ok()
    }

    /// Writes these commits in one transaction. Returns a verdict for each, which may be sent at once.
    fn transact(&mut self, commits: &[Commit]) -> Vec<Verdict> {
        let verdicts = self.write(commits);
        settle(commits, &verdicts);
        verdicts
    }

    fn write(&mut self, commits: &[Commit]) -> Vec<Verdict> {
        let count = commits.len();
        let before = self.head.sequence();
        let verdicts = match self.apply_all(commits) {
            Ok(verdicts) => verdicts,
            Err(cause) => {
                tracing::error!(error = &cause as &dyn std::error::Error, commits = count, "transaction failed");
                self.outcome = Outcome::NotWritten;
                self.stale = true;
                let cause = Shared::new(cause);
                return (0..count).map(|_| Err(CommitError::Unavailable(cause.get()))).collect();
            }
        };
        match self.backend.commit() {
            Ok(()) => {
                self.outcome = Outcome::Written;
                if self.head.sequence() != before {
                    self.witness.report(&self.head);
                }
                verdicts
            }
            Err(cause) => {
                tracing::error!(
                    error = &cause as &dyn std::error::Error,
                    commits = count,
                    "transaction outcome unknown"
                );
                // Before any caller gets an answer: a caller with an unknown outcome reads next, and must read the
                // permanent state.
                self.reopen();
                let cause = Shared::new(cause);
                verdicts.into_iter().map(|verdict| after_failed_commit(verdict, &cause)).collect()
            }
        }
    }

    /// Begins a transaction and applies each commit. An error means that the transaction is lost.
    fn apply_all(&mut self, commits: &[Commit]) -> Result<Vec<Verdict>, Cause> {
        self.refresh()?;
        let head = self.head.clone();
        for undo in [Undo::Together, Undo::Alone] {
            for promise in commits.iter().filter_map(|commit| commit.promise.as_ref()) {
                promise.set_applied(false);
            }
            self.backend.begin()?;
            if let Some(verdicts) = self.apply_each(commits, undo)? {
                return Ok(verdicts);
            }
            self.backend.roll_back()?;
            self.head = head.clone();
        }
        Err("a commit in a savepoint was applied in part".into())
    }

    /// Applies each commit. Returns `None` if a commit was applied in part.
    fn apply_each(&mut self, commits: &[Commit], undo: Undo) -> Result<Option<Vec<Verdict>>, Cause> {
        let mut verdicts = Vec::with_capacity(commits.len());
        for commit in commits {
            verdicts.push(match self.apply(commit, undo) {
                Ok(()) => Ok(()),
                Err(Failure::Refused { step }) => Err(CommitError::Refused { step }),
                Err(Failure::Failed(cause)) => Err(CommitError::Unavailable(cause)),
                Err(Failure::Partial) => return Ok(None),
                Err(Failure::Lost(cause)) => return Err(cause),
            });
        }
        Ok(Some(verdicts))
    }

    fn apply(&mut self, commit: &Commit, undo: Undo) -> Result<(), Failure> {
        if let Some(step) = early(commit) {
            return Err(Failure::Refused { step });
        }
        let mut head = self.head.clone();
        let mut rows = Vec::new();
        for step in &commit.steps {
            if let Step::Audit(entry) = step {
                let (row, next) = head.link(entry);
                rows.push(row);
                head = next;
            }
        }
        match self.backend.apply(&commit.steps, &rows, undo) {
            Ok(()) => {
                self.head = head;
                if let Some(promise) = &commit.promise {
                    promise.set_applied(true);
                }
                Ok(())
            }
            // An audit step has no expectation of the caller, so the chain head is wrong.
            Err(Failure::Refused { step }) if matches!(commit.steps.get(step), Some(Step::Audit(_))) => {
                Err(Failure::Lost("another process has extended the audit chain of this writer".into()))
            }
            Err(failure) => Err(failure),
        }
    }

    fn reopen(&mut self) {
        self.stale = true;
        if let Err(cause) = self.refresh() {
            tracing::error!(error = &cause as &dyn std::error::Error, "database not reopened; the next write retries");
        }
    }

    fn refresh(&mut self) -> Result<(), Cause> {
        if self.stale {
            self.backend.reopen()?;
            self.head = self.backend.chain_head(self.id)?;
            self.witness.report(&self.head);
            self.stale = false;
        }
        Ok(())
    }
}

/// Converts a verdict after the transaction failed to commit. A refusal isn't returned, because it may depend on rows
/// that don't exist.
fn after_failed_commit(verdict: Verdict, cause: &Shared) -> Verdict {
    match verdict {
        Ok(()) => Err(CommitError::Unknown(cause.get())),
        Err(CommitError::Refused { .. }) => Err(CommitError::Unavailable(cause.get())),
        Err(error @ (CommitError::Unavailable(_) | CommitError::Unknown(_))) => Err(error),
    }
}

#[cfg(test)]
mod tests;
