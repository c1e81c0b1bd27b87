//! The queue of a committer: the jobs that wait for a transaction, the batch that the next one takes, and the handle of
//! callers.
//!
//! This file doesn't know how a transaction is written.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sealward_core::store::{Cause, Commit, CommitError, Generation, Step, Submitted, Unavailable};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    answers::{Reply, answer, give},
    observer::{Observer, Outcome, Transaction},
};

/// The handle of the committer's thread. After it is dropped, the thread completes the queued work and ends.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(super) jobs: mpsc::Sender<Job>,
    ended: Ended,
    generation: Arc<CurrentGeneration>,
    observer: Option<Arc<dyn Observer>>,
}

/// The generation of the committed content; 0 while it may be changing.
#[derive(Debug)]
pub(super) struct CurrentGeneration(AtomicU64);

impl CurrentGeneration {
    pub(super) fn new() -> Self {
        let generation = CurrentGeneration(AtomicU64::new(0));
        generation.begin();
        generation
    }

    /// Called before a transaction can become visible.
    pub(super) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Called when the content is permanent, and before any caller gets an answer. The numbers are unique in the
    /// process, so that a database that is opened again doesn't repeat them.
    pub(super) fn begin(&self) {
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

/// The jobs of a committer, for the thread or the task that does them.
pub(super) struct Work {
    pub(super) jobs: mpsc::Receiver<Job>,
    /// Dropped after the database is closed.
    pub(super) alive: watch::Sender<()>,
    pub(super) generation: Arc<CurrentGeneration>,
}

impl Committer {
    pub(super) fn new(observer: Option<Arc<dyn Observer>>) -> (Self, Work) {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (alive, ended) = watch::channel(());
        let generation = Arc::new(CurrentGeneration::new());
        let work = Work { jobs: waiting, alive, generation: Arc::clone(&generation) };
        (Committer { jobs, ended: Ended(ended), generation, observer }, work)
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

/// The maximum number of commits in one transaction. A larger number would delay the first commit for little gain: at
/// this number, the wait for the disk is already a small part.
pub(crate) const BATCH_MAX: usize = 256;

/// The number of rows after which a transaction takes no further commit. All callers of a transaction wait for its end,
/// and a commit of a batch writes hundreds of times as many rows as that of a single record. At some 10 to 20 µs a row, a
/// transaction takes some 50 ms at most, plus the time of its last commit, which may have more rows on its own.
pub(crate) const ROWS_MAX: usize = 4_096;

/// The maximum number of commits that wait for a transaction. Further callers wait until the queue has room.
pub(super) const WAITING_MAX: usize = 4 * BATCH_MAX;

const ENDED: &str = "the writer thread of the database has ended";
pub(super) const FAILED: &str = "the writer thread of the database failed during the operation";

pub(crate) type Verdict = Result<(), CommitError>;

#[derive(Debug)]
pub(super) enum Job {
    Commit(Waiting),
    Scrub(oneshot::Sender<Result<(), Cause>>),
}

#[derive(Debug)]
pub(super) struct Waiting {
    commit: Commit,
    reply: Reply<Verdict>,
    since: Instant,
}

/// The jobs of one transaction, and a scrub that follows it.
pub(super) struct Gathered {
    pub(super) batch: Vec<Waiting>,
    /// See [`rows`].
    pub(super) rows: usize,
    pub(super) scrub: Option<oneshot::Sender<Result<(), Cause>>>,
}

/// The commits of a transaction that has begun, and the duty to answer their callers.
pub(super) struct Batch {
    pub(super) commits: Vec<Commit>,
    replies: Vec<Reply<Verdict>>,
    rows: usize,
    begun: Instant,
    waited: Duration,
}

impl Batch {
    pub(super) fn begin(waiting: Vec<Waiting>, rows: usize) -> Option<Self> {
        let waited = waiting.first()?.since.elapsed();
        let (commits, replies) = waiting.into_iter().map(|waiting| (waiting.commit, waiting.reply)).unzip();
        Some(Batch { commits, replies, rows, begun: Instant::now(), waited })
    }

    pub(super) fn end(self, verdicts: Vec<Verdict>, outcome: Outcome, observer: Option<&dyn Observer>) {
        if let Some(observer) = observer {
            let (commits, took) = (self.commits.len(), self.begun.elapsed());
            observer.ended(&Transaction { commits, rows: self.rows, waited: self.waited, took, outcome });
        }
        give(self.replies.into_iter().zip(verdicts));
    }
}

/// Settles the promises of commits, before their callers get these verdicts.
pub(super) fn settle(commits: &[Commit], verdicts: &[Verdict]) {
    for (commit, verdict) in commits.iter().zip(verdicts) {
        if let Some(promise) = &commit.promise {
            promise.settle(verdict.is_ok());
        }
    }
}

/// Takes waiting jobs: up to a full batch, or up to a scrub, which runs after the commits before it.
pub(super) fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Gathered {
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

/// Returns the first step that requires a commit that hasn't been applied.
pub(crate) fn early(commit: &Commit) -> Option<usize> {
    commit.steps.iter().position(|step| matches!(step, Step::After(ticket) if !ticket.is_applied()))
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

/// One cause, shared by several callers.
pub(crate) struct Shared(Arc<Cause>);

impl Shared {
    pub(crate) fn new(cause: Cause) -> Self {
        Shared(Arc::new(cause))
    }

    pub(crate) fn get(&self) -> Cause {
        Cause(Box::new(Arc::clone(&self.0)))
    }
}
