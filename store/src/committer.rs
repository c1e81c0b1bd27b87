//! The committer: one thread that writes the commits of many callers in one transaction, so that they share one wait for the disk.
//!
//! Commits queue while the disk works; the next transaction takes up to [`BATCH_MAX`] of them, each in a savepoint of its own, so that
//! one that is refused leaves its neighbours alone. Nobody is answered before the transaction has ended, not even with a refusal:
//! it may rest on a neighbour's rows that never get to the disk. The committer also chains audit records, because only it knows which
//! comes next; and after a commit that failed it believes nothing it holds, opens the database anew and reads again.
//!
//! It knows no SQL and no database: that is behind [`Backend`].

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use sealward_core::{
    audit::ChainHead,
    store::{Cause, Commit, CommitError, Step, Unavailable},
};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// What a database must be able to do for its committer. Called from one thread, which it may block.
pub(crate) trait Backend: Send + 'static {
    /// Begins a transaction. An error leaves none behind, or one that [`Backend::reopen`] ends.
    fn begin(&mut self) -> Result<(), Cause>;

    /// Applies all of these steps or none. No step is a [`Step::Audit`].
    fn apply(&mut self, steps: &[Step]) -> Result<(), Failure>;

    /// Ends the transaction; what it did is durable when this returns. After an error nobody knows.
    fn commit(&mut self) -> Result<(), Cause>;

    /// Drops the connection with all it holds, and opens another. What it then reads stays so: if the end of the last transaction was
    /// not known, it is decided now.
    fn reopen(&mut self) -> Result<(), Cause>;

    /// The last record of this writer's chain.
    fn chain_head(&mut self, writer: Uuid) -> Result<ChainHead, Cause>;

    /// Makes what was deleted disappear from the database's files. Called between transactions.
    fn scrub(&mut self) -> Result<(), Cause>;
}

/// Hears how far a committer's audit chain goes: when its database is opened, and after each transaction that made it longer, before
/// anybody is answered. It is called from the committer's thread, which it must not hold up.
#[derive(Clone)]
pub struct Witness(Option<Arc<dyn Fn(i64) + Send + Sync>>);

impl Witness {
    /// One that does this with the place of the chain's last record, 0 where there is none.
    pub fn new(hears: impl Fn(i64) + Send + Sync + 'static) -> Self {
        Witness(Some(Arc::new(hears)))
    }

    /// Nobody.
    pub fn nobody() -> Self {
        Witness(None)
    }

    fn hears(&self, head: &ChainHead) {
        if let Some(hears) = &self.0 {
            hears(head.sequence());
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

/// Why steps were not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This step's expectation was not met. The transaction goes on without any of the steps.
    Refused { step: usize },
    /// The steps can't be applied. The transaction goes on without any of them.
    Failed(Cause),
    /// The transaction is gone, and with it all that was applied in it.
    Lost(Cause),
}

/// How a test makes a commit fail, as one does whose fsync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailure {
    /// What was written is there, and nobody knows.
    Kept,
    /// It isn't.
    Lost,
}

/// The handle: dropped, it lets the thread finish what is queued, and end.
#[derive(Debug)]
pub(crate) struct Committer {
    jobs: mpsc::Sender<Job>,
    ended: Ended,
}

/// Tells when a committer's thread has closed its database.
#[derive(Clone, Debug)]
pub struct Ended(watch::Receiver<()>);

impl Ended {
    /// Resolves when the database is closed.
    pub async fn wait(&mut self) {
        // Nothing is ever sent: a change is the sender's end.
        while self.0.changed().await.is_ok() {}
    }
}

impl Committer {
    /// Starts the thread. Reads the head of `writer`'s audit chain first, so it blocks for as long as that takes. `database` is for
    /// the log.
    pub(crate) fn start(
        database: String,
        mut backend: impl Backend,
        writer: Uuid,
        witness: Witness,
    ) -> Result<Self, Cause> {
        let head = backend.chain_head(writer)?;
        witness.hears(&head);
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (alive, ended) = watch::channel(());
        let writer = Writer { backend, id: writer, head, witness, stale: false };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                tracing::error_span!("store_writer", database).in_scope(|| writer.run(waiting));
                drop(alive);
            })
            .map_err(|error| Cause(error.into()))?;
        Ok(Committer { jobs, ended: Ended(ended) })
    }

    /// Hands a commit over, and answers when it is durable or can't be. A caller that stops waiting doesn't stop the commit.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Commit(Waiting { commit, reply }))
            .await
            .map_err(|_| CommitError::Unavailable(GONE.into()))?;
        answer.await.unwrap_or_else(|_| Err(CommitError::Unknown(SILENT.into())))
    }

    /// Scrubs after the commits that were handed over before.
    pub(crate) async fn scrub(&self) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Scrub(reply)).await.map_err(|_| Unavailable(GONE.into()))?;
        answer.await.unwrap_or_else(|_| Err(SILENT.into())).map_err(Unavailable)
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }
}

/// Applies one commit in a transaction of its own, in the thread of the caller: how a database gets its first content.
pub(crate) fn commit_alone(backend: impl Backend, writer: Uuid, commit: Commit) -> Result<(), CommitError> {
    let (head, witness) = (ChainHead::empty(writer), Witness::nobody());
    let mut writer = Writer { backend, id: writer, head, witness, stale: false };
    let mut verdicts = writer.transact(vec![commit]);
    verdicts.pop().unwrap_or_else(|| Err(CommitError::Unknown(SILENT.into())))
}

/// The most commits in one transaction. More would keep the first waiting for the last, and gain little: at this number the wait for
/// the disk is a small part already.
pub(crate) const BATCH_MAX: usize = 256;

/// The most commits that wait for a transaction; whoever comes then waits to be let in.
const WAITING_MAX: usize = 4 * BATCH_MAX;

const GONE: &str = "the database's writer has ended";
const SILENT: &str = "the database's writer failed before it answered";

type Verdict = Result<(), CommitError>;

#[derive(Debug)]
enum Job {
    Commit(Waiting),
    Scrub(oneshot::Sender<Result<(), Cause>>),
}

#[derive(Debug)]
struct Waiting {
    commit: Commit,
    reply: oneshot::Sender<Verdict>,
}

struct Writer<B> {
    backend: B,
    id: Uuid,
    /// The last record applied, and durable between transactions; not to be believed while `stale`.
    head: ChainHead,
    witness: Witness,
    /// Whether the database has to be opened anew before it is used again.
    stale: bool,
}

impl<B: Backend> Writer<B> {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let (batch, scrub) = gather(job, &mut jobs);
            if !batch.is_empty() {
                let (commits, replies): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|waiting| (waiting.commit, waiting.reply)).unzip();
                // Without verdicts the replies are dropped, which tells the callers that the outcome is unknown.
                let verdicts = self.guarded(|writer| writer.transact(commits)).unwrap_or_default();
                for (reply, verdict) in replies.into_iter().zip(verdicts) {
                    // A caller that has left doesn't hear it.
                    let _ = reply.send(verdict);
                }
            }
            if let Some(reply) = scrub {
                let outcome = self.guarded(|writer| writer.refresh().and_then(|()| writer.backend.scrub()));
                let _ = reply.send(outcome.unwrap_or_else(|| Err(SILENT.into())));
            }
        }
    }

    /// A panic must not end the thread that all writes of a database go through.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self)));
        if outcome.is_err() {
            tracing::error!("database writer panicked; it reopens the database");
            self.stale = true;
        }
        outcome.ok()
    }

    /// Writes these commits in one transaction: a verdict for each, to be told now.
    fn transact(&mut self, commits: Vec<Commit>) -> Vec<Verdict> {
        let count = commits.len();
        let before = self.head.sequence();
        let verdicts = match self.apply_all(commits) {
            Ok(verdicts) => verdicts,
            Err(cause) => {
                tracing::error!(error = &cause as &dyn std::error::Error, commits = count, "transaction failed");
                self.stale = true;
                let cause = Shared::new(cause);
                return (0..count).map(|_| Err(CommitError::Unavailable(cause.get()))).collect();
            }
        };
        match self.backend.commit() {
            Ok(()) => {
                if self.head.sequence() != before {
                    self.witness.hears(&self.head);
                }
                verdicts
            }
            Err(cause) => {
                tracing::error!(
                    error = &cause as &dyn std::error::Error,
                    commits = count,
                    "transaction outcome unknown"
                );
                // Before anybody is answered: who hears "unknown" reads next, and must read what stays.
                self.reopen();
                let cause = Shared::new(cause);
                verdicts.into_iter().map(|verdict| doubtful(verdict, &cause)).collect()
            }
        }
    }

    /// Applies each commit in a transaction that is begun here. An error means that the transaction is gone.
    fn apply_all(&mut self, commits: Vec<Commit>) -> Result<Vec<Verdict>, Cause> {
        self.refresh()?;
        self.backend.begin()?;
        commits
            .into_iter()
            .map(|commit| match self.apply(commit) {
                Ok(()) => Ok(Ok(())),
                Err(Failure::Refused { step }) => Ok(Err(CommitError::Refused { step })),
                Err(Failure::Failed(cause)) => Ok(Err(CommitError::Unavailable(cause))),
                Err(Failure::Lost(cause)) => Err(cause),
            })
            .collect()
    }

    fn apply(&mut self, commit: Commit) -> Result<(), Failure> {
        let mut head = self.head.clone();
        let mut audits = Vec::new();
        let mut steps = commit.steps;
        for (index, step) in steps.iter_mut().enumerate() {
            if let Step::Audit(entry) = step {
                let (insert, next) = head.link(entry);
                *step = insert;
                head = next;
                audits.push(index);
            }
        }
        match self.backend.apply(&steps) {
            Ok(()) => {
                self.head = head;
                Ok(())
            }
            // The caller expected nothing of this step; the head is wrong.
            Err(Failure::Refused { step }) if audits.contains(&step) => {
                Err(Failure::Lost("somebody else has continued this writer's audit chain".into()))
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
            self.witness.hears(&self.head);
            self.stale = false;
        }
        Ok(())
    }
}

/// Takes what waits, up to a batch, or up to a scrub: that one is done after what was asked before it.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> (Vec<Waiting>, Option<oneshot::Sender<Result<(), Cause>>>) {
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Commit(waiting) => batch.push(waiting),
            Job::Scrub(reply) => return (batch, Some(reply)),
        }
        next = if batch.len() < BATCH_MAX { jobs.try_recv().ok() } else { None };
    }
    (batch, None)
}

/// What becomes of a verdict when the commit behind it failed. A refusal can't be told: it may rest on rows that are not there.
fn doubtful(verdict: Verdict, cause: &Shared) -> Verdict {
    match verdict {
        Ok(()) => Err(CommitError::Unknown(cause.get())),
        Err(CommitError::Refused { .. }) => Err(CommitError::Unavailable(cause.get())),
        Err(error @ (CommitError::Unavailable(_) | CommitError::Unknown(_))) => Err(error),
    }
}

/// One cause for many callers.
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
