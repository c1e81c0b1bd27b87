//! The committer: one thread that writes the commits of many callers in one transaction, so that they share one wait
//! for the disk.
//!
//! Commits queue while the disk works. The next transaction takes up to [`BATCH_MAX`] of them, and no more of them after
//! [`ROWS_MAX`] rows. A refused commit doesn't affect the others: if it has changed rows, the transaction is rolled back,
//! and all its commits are applied again, each in its own savepoint. Most refusals change no rows, so savepoints, which
//! cost as much as a statement, are rare. No caller gets an answer before the transaction has ended. This includes
//! refusals, because a refusal may depend on another commit's rows that never reach the disk. The committer also chains
//! audit records, because only it knows their order. After a failed commit, it discards its state, reopens the database
//! and reads again.
//!
//! It knows no SQL and no database: [`Backend`] hides them.

mod answers;
mod observer;

use std::{
    fmt,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use sealward_core::{
    audit::ChainHead,
    store::{Cause, Commit, CommitError, Generation, Step, Submitted, Unavailable},
};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use self::answers::{Reply, answer, give};
pub use self::observer::{Observer, Outcome, Transaction};

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

    fn report(&self, head: &ChainHead) {
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

/// The handle of the committer's thread. After it is dropped, the thread completes the queued work and ends.
#[derive(Debug)]
pub(crate) struct Committer {
    jobs: mpsc::Sender<Job>,
    ended: Ended,
    generation: Arc<CurrentGeneration>,
    observer: Option<Arc<dyn Observer>>,
}

/// The generation of the committed content; 0 while it may be changing.
#[derive(Debug)]
struct CurrentGeneration(AtomicU64);

impl CurrentGeneration {
    fn new() -> Self {
        let generation = CurrentGeneration(AtomicU64::new(0));
        generation.begin();
        generation
    }

    /// Called before a transaction can become visible.
    fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Called when the content is permanent, and before any caller gets an answer. The numbers are unique in the
    /// process, so that a database that is opened again doesn't repeat them.
    fn begin(&self) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        self.0.store(LAST.fetch_add(1, Ordering::Relaxed) + 1, Ordering::SeqCst);
    }

    fn get(&self) -> Option<Generation> {
        NonZeroU64::new(self.0.load(Ordering::SeqCst)).map(Generation)
    }
}

/// A future for the end of a committer's thread, which closes the database.
#[derive(Clone, Debug)]
pub struct Ended(watch::Receiver<()>);

impl Ended {
    /// Waits until the database is closed.
    pub async fn wait(&mut self) {
        // The sender never sends a value: the only change is that it is dropped.
        while self.0.changed().await.is_ok() {}
    }
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
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (alive, ended) = watch::channel(());
        let generation = Arc::new(CurrentGeneration::new());
        let observer = witness.observer.clone();
        let writer = Writer::new(backend, writer, head, witness, Arc::clone(&generation));
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                tracing::error_span!("store_writer", database).in_scope(|| writer.run(waiting));
                drop(alive);
            })
            .map_err(|error| Cause(error.into()))?;
        Ok(Committer { jobs, ended: Ended(ended), generation, observer })
    }

    /// Queues a commit, and returns after it is durable or has failed. If the caller stops waiting, the commit
    /// continues.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        outcome(self.queue(commit).await?).await
    }

    /// Queues a commit. Commits are applied in the order of the queue.
    pub(crate) async fn submit(&self, commit: Commit) -> Submitted {
        match self.queue(commit).await {
            Ok(answer) => Submitted::new(outcome(answer)),
            Err(error) => Submitted::new(async { Err(error) }),
        }
    }

    async fn queue(&self, commit: Commit) -> Result<oneshot::Receiver<Verdict>, CommitError> {
        let (reply, answer) = answer();
        let room = self.jobs.reserve().await.map_err(|_| CommitError::Unavailable(ENDED.into()))?;
        // Before the writer can have written it.
        if let Some(observer) = &self.observer {
            observer.queued();
        }
        room.send(Job::Commit(Waiting { commit, reply, since: Instant::now() }));
        Ok(answer)
    }

    /// Scrubs after all commits that were queued before.
    pub(crate) async fn scrub(&self) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Scrub(reply)).await.map_err(|_| Unavailable(ENDED.into()))?;
        answer.await.unwrap_or_else(|_| Err(FAILED.into())).map_err(Unavailable)
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    /// Returns the generation of the committed content; `None` while it may be changing.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.generation.get()
    }
}

async fn outcome(answer: oneshot::Receiver<Verdict>) -> Verdict {
    answer.await.unwrap_or_else(|_| Err(CommitError::Unknown(FAILED.into())))
}

/// Applies one commit in its own transaction on the caller's thread. Used for the first content of a database.
pub(crate) fn commit_alone(backend: impl Backend, writer: Uuid, commit: Commit) -> Result<(), CommitError> {
    let (head, witness) = (ChainHead::empty(writer), Witness::none());
    let mut writer = Writer::new(backend, writer, head, witness, Arc::new(CurrentGeneration::new()));
    let mut verdicts = writer.transact(&[commit]);
    verdicts.pop().unwrap_or_else(|| Err(CommitError::Unknown(FAILED.into())))
}

/// The maximum number of commits in one transaction. A larger number would delay the first commit for little gain: at
/// this number, the wait for the disk is already a small part.
pub(crate) const BATCH_MAX: usize = 256;

/// The number of rows after which a transaction takes no further commit. All callers of a transaction wait for its end,
/// and a commit of a batch writes hundreds of times as many rows as that of a single record. At some 10 to 20 µs a row, a
/// transaction takes some 50 ms at most, plus the time of its last commit, which may have more rows on its own.
pub(crate) const ROWS_MAX: usize = 4_096;

/// The maximum number of commits that wait for a transaction. Further callers wait until the queue has room.
const WAITING_MAX: usize = 4 * BATCH_MAX;

const ENDED: &str = "the writer thread of the database has ended";
const FAILED: &str = "the writer thread of the database failed during the operation";

type Verdict = Result<(), CommitError>;

#[derive(Debug)]
enum Job {
    Commit(Waiting),
    Scrub(oneshot::Sender<Result<(), Cause>>),
}

#[derive(Debug)]
struct Waiting {
    commit: Commit,
    reply: Reply<Verdict>,
    since: Instant,
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
            if let Some(first) = batch.first() {
                let (begun, waited) = (Instant::now(), first.since.elapsed());
                let (commits, replies): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|waiting| (waiting.commit, waiting.reply)).unzip();
                self.generation.end();
                self.outcome = Outcome::Unknown;
                // Without verdicts, the replies are dropped. The callers then get an unknown outcome.
                let verdicts = self.guarded(|writer| writer.transact(&commits)).unwrap_or_default();
                self.begin_generation();
                if let Some(observer) = &self.witness.observer {
                    let (took, outcome) = (begun.elapsed(), self.outcome);
                    observer.ended(&Transaction { commits: commits.len(), rows, waited, took, outcome });
                }
                give(replies.into_iter().zip(verdicts));
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
        for (commit, verdict) in commits.iter().zip(&verdicts) {
            if let Some(promise) = &commit.promise {
                promise.settle(verdict.is_ok());
            }
        }
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
        let is_early = |step: &Step| matches!(step, Step::After(ticket) if !ticket.is_applied());
        if let Some(step) = commit.steps.iter().position(is_early) {
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

/// The jobs of one transaction, and a scrub that follows it.
struct Gathered {
    batch: Vec<Waiting>,
    /// See [`rows`].
    rows: usize,
    scrub: Option<oneshot::Sender<Result<(), Cause>>>,
}

/// Takes waiting jobs: up to a full batch, or up to a scrub, which runs after the commits before it.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Gathered {
    let (mut batch, mut written) = (Vec::new(), 0_usize);
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Commit(waiting) => {
                written = written.saturating_add(rows(&waiting.commit));
                batch.push(waiting);
            }
            Job::Scrub(reply) => return Gathered { batch, rows: written, scrub: Some(reply) },
        }
        next = if batch.len() < BATCH_MAX && written < ROWS_MAX { jobs.try_recv().ok() } else { None };
    }
    Gathered { batch, rows: written, scrub: None }
}

/// Returns the number of rows that the commit writes, as far as its steps determine it. A step for rows that meet a
/// condition counts as one.
fn rows(commit: &Commit) -> usize {
    let of = |step: &Step| match step {
        Step::Rewrite { rows, .. } => rows.len(),
        Step::Insert { .. }
        | Step::InsertFrom { .. }
        | Step::Update { .. }
        | Step::Delete { .. }
        | Step::Prune { .. }
        | Step::Audit(_) => 1,
        Step::After(_)
        | Step::Require { .. }
        | Step::Forbid { .. }
        | Step::Tally(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. } => 0,
    };
    commit.steps.iter().map(of).fold(0, usize::saturating_add)
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

/// One cause, shared by several callers.
struct Shared(Arc<Cause>);

impl Shared {
    fn new(cause: Cause) -> Self {
        Shared(Arc::new(cause))
    }

    fn get(&self) -> Cause {
        Cause(Box::new(Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests;
