//! The lane of a database: the row that each of its commits passes.
//!
//! The row contains a fence, which a process raises when it takes the lane, and the number of the last commit. A commit
//! compares both, and increases the number. So only one transaction at a time writes to the database, each sees all
//! earlier ones, and a process whose lane was taken can't commit.
//!
//! The answer to a COMMIT may be lost. Whether the commit took effect can't be told by looking for its effects, because
//! it may still be on its way. So the fence is raised first: that waits for a commit in progress, and refuses one that
//! arrives later. Then the number tells.

use std::{
    collections::HashMap,
    error::Error,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Duration,
};

use sealward_core::{
    audit::{AuditRecord, ChainHead},
    store::{Assignment, Cause, Commit, CommitError, Condition, Datum, Expect, Name, Reader, Unavailable},
    table::TableRow as _,
};
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{
    connection::{Begin, Failed, Scope},
    definitions::{Changed, Definitions, EPOCH, GUARD, INDEX, LANE, TABLE, is_current},
    error::PostgresError,
    jitter::pause,
    lease::OfServer,
    plan::{OfCommit, Planned, changes_definitions, plan, statements, tables, totals},
    pool::Pool,
    reads::Reads,
    schema::Schema,
    statement::Statement,
};
use crate::{
    committer::{Outcome, Shared, Transactions, Verdict, Witness, chain, early},
    sql::{Dialect, Owner},
};

/// The lane of a database, as this process writes to it.
pub(super) struct Lane {
    pub(super) pool: Pool,
    pub(super) owner: Owner,
    pub(super) epoch: i64,
    pub(super) schema: Arc<Schema>,
    pub(super) definitions: Arc<Definitions>,
    pub(super) reads: Reads,
    /// The writer of the audit chain.
    pub(super) writer: Uuid,
    /// Identifies this process.
    pub(super) holder: Uuid,
    pub(super) witness: Witness,
    /// `None` before the lane is taken, and after it may have been taken by another process.
    pub(super) taken: Option<Taken>,
}

/// What is known of a lane that this process has.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    fence: i64,
    commit_seq: i64,
    /// The last audit record.
    head: ChainHead,
}

/// The number of a database's only lane. The table has room for more.
const LANE_NUMBER: i64 = 0;

/// The maximum number of attempts of a transaction that is in conflict with others.
const ATTEMPTS_MAX: u32 = 5;

/// The range of the wait between two attempts.
const RETRY_WAIT: Range<Duration> = Duration::from_millis(2)..Duration::from_millis(20);

/// The result of an attempt to apply commits in one transaction.
enum Attempt {
    Ended(Ended),
    /// The transaction can be repeated. Nothing was changed.
    Repeat(PostgresError),
}

/// How the application of commits in one transaction ended.
enum Ended {
    /// The transaction is committed, without the commits that were refused before: those with these numbers and steps.
    Applied(Vec<(usize, usize)>),
    /// A commit can't be applied. Nothing was changed.
    Stopped { commit: usize, verdict: Verdict },
    /// Nothing was changed.
    Unavailable(Cause),
    /// The transaction may have been committed.
    Unknown(Cause),
}

impl Transactions for Lane {
    async fn write(&mut self, commits: &[Commit]) -> (Vec<Verdict>, Outcome) {
        let mut verdicts: Vec<Option<Verdict>> = commits.iter().map(|_| None).collect();
        let mut set = |number: usize, verdict: Verdict| {
            if let Some(place) = verdicts.get_mut(number) {
                *place = Some(verdict);
            }
        };
        let mut outcome = Outcome::Written;
        // The parts that are still to be applied, the last one first.
        let mut parts = parts(commits);
        while let Some(part) = parts.pop() {
            match self.apply(commits, part.clone()).await {
                Ended::Applied(refused) => {
                    part.for_each(|number| set(number, Ok(())));
                    for (number, step) in refused {
                        set(number, Err(CommitError::Refused { step }));
                    }
                }
                Ended::Stopped { commit, verdict } if part.len() == 1 => set(commit, verdict),
                // The commits before it can be applied together, and those after it.
                Ended::Stopped { commit, .. } => {
                    let around =
                        [commit.saturating_add(1)..part.end, commit..commit.saturating_add(1), part.start..commit];
                    parts.extend(around.into_iter().filter(|part| !part.is_empty()));
                }
                Ended::Unavailable(cause) => {
                    outcome = Outcome::NotWritten;
                    tracing::error!(error = &cause as &dyn Error, commits = part.len(), "transaction failed");
                    let cause = Shared::new(cause);
                    part.for_each(|number| set(number, Err(CommitError::Unavailable(cause.get()))));
                }
                Ended::Unknown(cause) => {
                    outcome = Outcome::Unknown;
                    tracing::error!(error = &cause as &dyn Error, commits = part.len(), "transaction outcome unknown");
                    let cause = Shared::new(cause);
                    part.for_each(|number| set(number, Err(CommitError::Unknown(cause.get()))));
                }
            }
        }
        let missing = || Err(CommitError::Unavailable("a commit was left out".into()));
        (verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(missing)).collect(), outcome)
    }
}

/// Returns the parts that commits are first tried in: all together, except those that change definitions.
fn parts(commits: &[Commit]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut joins = false;
    for (number, commit) in commits.iter().enumerate() {
        let is_alone = commit.steps.iter().any(changes_definitions);
        match parts.last_mut() {
            Some(last) if joins && !is_alone => last.end = number.saturating_add(1),
            _ => parts.push(number..number.saturating_add(1)),
        }
        joins = !is_alone;
    }
    parts.reverse();
    parts
}

impl Lane {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres(self.owner)
    }

    fn scope(&self) -> Scope {
        let time_max = self.pool.limits().statement_time_max;
        Scope { begin: Begin::Write, owner: self.owner, statement_time_max: time_max, idle_max: time_max }
    }

    /// Applies a part of the commits in one transaction. Repeats it if it was in conflict with others.
    async fn apply(&mut self, commits: &[Commit], part: Range<usize>) -> Ended {
        for attempt in 1.. {
            for commit in commits.get(part.clone()).unwrap_or_default() {
                set_applied(commit, false);
            }
            match self.attempt(commits, part.clone()).await {
                Attempt::Repeat(error) if attempt < ATTEMPTS_MAX => {
                    tracing::debug!(error = &error as &dyn Error, attempt, "transaction repeated");
                    pause(RETRY_WAIT).await;
                }
                Attempt::Repeat(error) => return Ended::Unavailable(error.into()),
                Attempt::Ended(ended) => return ended,
            }
        }
        Ended::Unavailable("no attempt was made".into())
    }

    async fn attempt(&mut self, commits: &[Commit], part: Range<usize>) -> Attempt {
        let taken = match self.take().await {
            Ok(taken) => taken,
            Err(error) if error.is_of_connection() => {
                self.pool.close_idle();
                return Attempt::Repeat(error);
            }
            Err(error) => return Attempt::Ended(Ended::Unavailable(error.into())),
        };
        let of_part = || part.clone().filter_map(|number| Some((number, commits.get(number)?)));
        let mut changed = match self.changed(of_part().map(|(_, commit)| commit)).await {
            Ok(changed) => changed,
            // What its definitions need can't be created.
            Err(error) => return stopped((part.start, error)),
        };
        let mut refused = Vec::new();
        let mut applicable = Vec::new();
        for (number, commit) in of_part() {
            match early(commit) {
                Some(step) => refused.push((number, step)),
                None => {
                    set_applied(commit, true);
                    applicable.push((number, commit));
                }
            }
        }
        if applicable.is_empty() {
            return Attempt::Ended(Ended::Applied(refused));
        }
        let mut head = taken.head.clone();
        let planned = match plan(applicable.into_iter(), &mut head, self.dialect(), &mut changed) {
            Ok(planned) => planned,
            Err(of_commit) => return stopped(of_commit),
        };
        if planned.is_empty() {
            return Attempt::Ended(Ended::Applied(refused));
        }
        let sent = self.send(&taken, &head, &planned, &changed).await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(of_commit) => return stopped(of_commit),
        };
        match sent {
            Ok(()) => {
                let commit_seq = taken.commit_seq.saturating_add(1);
                self.applied(Taken { commit_seq, head, ..taken.clone() }, &taken, changed.tables);
                Attempt::Ended(Ended::Applied(refused))
            }
            Err(Failed::At { statement, error }) => self.refused(&planned, statement, error),
            Err(Failed::Unknown(error)) => match self.resolve(&taken).await {
                Ok(true) => {
                    tracing::info!(error = &error as &dyn Error, "transaction found committed");
                    self.definitions.set(changed.tables);
                    Attempt::Ended(Ended::Applied(refused))
                }
                Ok(false) => Attempt::Repeat(error),
                Err(unresolved) => {
                    tracing::warn!(error = &unresolved as &dyn Error, "transaction outcome not found out");
                    Attempt::Ended(Ended::Unknown(error.into()))
                }
            },
        }
    }

    /// Records that the transaction is committed.
    fn applied(&mut self, now: Taken, before: &Taken, definitions: HashMap<String, Arc<super::statement::Definition>>) {
        self.definitions.set(definitions);
        if now.head.sequence() != before.head.sequence() {
            self.witness.report(&now.head);
        }
        self.taken = Some(now);
    }

    /// Sends the transaction.
    async fn send(
        &self,
        taken: &Taken,
        head: &ChainHead,
        planned: &[Planned<'_>],
        changed: &Changed,
    ) -> Result<Result<(), Failed>, OfCommit> {
        let totals = totals(planned);
        let first = planned.first().map_or(0, |planned| planned.commit);
        let (rows, set) = (self.is_at(taken), next(head));
        let table = Name::Borrowed(LANE);
        let pass = || {
            let definition = changed.definition(LANE).unwrap_or_default();
            let passed = self.dialect().update_with_time(&table, &rows, &set, "last_commit_time")?;
            let passed = Statement::checked(passed, LANE, &definition)?;
            passed.continued(|step| self.dialect().counted(step, Expect::One, &[]))
        };
        let mut all = vec![pass().map_err(|error| (first, error))?];
        all.extend(statements(planned, &totals, self.dialect(), changed)?);
        let commit_time_max = self.pool.limits().commit_time_max;
        let mut connection = match self.pool.get().await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(Failed::At { statement: None, error })),
        };
        // The COMMIT is never cancelled: a server that waits for a standby would then report a success.
        let written = timeout(commit_time_max, connection.write(self.scope(), &all)).await;
        Ok(written.unwrap_or(Err(Failed::Unknown(PostgresError::NoAnswer { commit_time_max }))))
    }

    /// The condition that the lane is as this process knows it.
    fn is_at(&self, taken: &Taken) -> Condition {
        Condition::All(vec![
            Condition::equal("lane", Datum::Integer(LANE_NUMBER)),
            Condition::equal("fence", Datum::Integer(taken.fence)),
            Condition::equal("commit_seq", Datum::Integer(taken.commit_seq)),
            Condition::equal(EPOCH, Datum::Integer(self.epoch)),
        ])
    }

    /// Says what a refused statement means. The lane's is the first one.
    fn refused(&mut self, planned: &[Planned<'_>], statement: Option<usize>, error: PostgresError) -> Attempt {
        let is_unmet = error.is(&SqlState::DIVISION_BY_ZERO);
        if error.is_conflict() {
            return Attempt::Repeat(error);
        }
        match statement.map(|position| position.checked_sub(1)) {
            Some(None) if is_unmet => {
                self.taken = None;
                Attempt::Repeat(PostgresError::InUse)
            }
            Some(Some(position)) if !error.is_of_connection() => match planned.get(position) {
                Some(of) => {
                    let is_taken = error.is(&SqlState::UNIQUE_VIOLATION);
                    if is_taken && of.is_audit() {
                        // An audit record has no expectation of the caller, so the chain head is wrong.
                        self.taken = None;
                        return Attempt::Repeat(error);
                    }
                    let is_refused = is_unmet || (is_taken && of.is_refused_by_duplicate);
                    let verdict = if is_refused {
                        CommitError::Refused { step: of.step }
                    } else {
                        CommitError::Unavailable(error.into())
                    };
                    Attempt::Ended(Ended::Stopped { commit: of.commit, verdict: Err(verdict) })
                }
                // A counter can't be changed.
                None => stopped((planned.last().map_or(0, |planned| planned.commit), error)),
            },
            // A connection that was idle may have been closed by the server.
            _ if error.is_of_connection() => {
                self.pool.close_idle();
                Attempt::Repeat(error)
            }
            _ => Attempt::Ended(Ended::Unavailable(error.into())),
        }
    }

    /// Returns the definitions of the tables of these commits.
    async fn changed<'a>(&self, commits: impl Iterator<Item = &'a Commit> + Clone) -> Result<Changed, PostgresError> {
        let steps = || commits.clone().flat_map(|commit| &commit.steps);
        if steps().any(changes_definitions) {
            self.schema.prepare(steps()).await?;
            let tables = self.reads.rows_of(TABLE).await?;
            return Changed::of_rows(tables, self.reads.rows_of(INDEX).await?);
        }
        let is_known = |table: &Name| self.definitions.get(table, std::iter::empty()).is_some();
        if !steps().flat_map(tables).all(is_known) {
            self.reads.load().await?;
        }
        Ok(Changed::new(self.definitions.all()))
    }

    /// Takes the lane if this process doesn't have it.
    pub(super) async fn take(&mut self) -> Result<Taken, PostgresError> {
        if let Some(taken) = &self.taken {
            return Ok(taken.clone());
        }
        let (fence, commit_seq) = self.raise_fence().await?;
        self.reads.load().await?;
        let has_trail = self.definitions.get(AuditRecord::TABLE, std::iter::empty()).is_some();
        let head = if has_trail {
            let last = self.reads.select(chain::last_record(self.writer)).await;
            let head = last.map_err(|Unavailable(cause)| cause).and_then(|last| chain::head(self.writer, last));
            head.map_err(PostgresError::Trail)?
        } else {
            ChainHead::empty(self.writer)
        };
        self.witness.report(&head);
        let taken = Taken { fence, commit_seq, head };
        self.taken = Some(taken.clone());
        Ok(taken)
    }

    /// Raises the lane's fence, if the lease of the server is that of this process. Returns the fence, and the number of the
    /// last commit.
    async fn raise_fence(&self) -> Result<(i64, i64), PostgresError> {
        let table = Name::Borrowed(LANE);
        let rows = Condition::equal("lane", Datum::Integer(LANE_NUMBER));
        let set = [Assignment::Add("fence".into(), 1), Assignment::Set("holder".into(), Datum::Uuid(self.holder))];
        let returned = ["fence", "commit_seq"].map(Name::Borrowed);
        let none = Changed::new(HashMap::new());
        let raise = self.dialect().update_returning(&table, &rows, &set, &returned)?;
        let raise = Statement::checked(raise, LANE, &none.definition(LANE).unwrap_or_default())?;
        let (guard, is_current) = (Name::Borrowed(GUARD), is_current(self.epoch));
        let guard = self.dialect().require(&guard, &is_current)?;
        let guard = Statement::checked(guard, GUARD, &none.definition(GUARD).unwrap_or_default())?;
        let of_server = OfServer::new(self.holder);
        let lease = of_server.guard()?;
        let mut found = None;
        let mut connection = self.pool.get().await?;
        let mut take = |row: &tokio_postgres::Row| {
            found = row.try_get(0).ok().zip(row.try_get(1).ok());
            ControlFlow::Break(())
        };
        let raised = connection.read(self.scope(), &[raise, guard, lease], &mut take).await;
        raised.map_err(|failed| match failed.unmet() {
            Some(1) => PostgresError::Gone,
            Some(2) => PostgresError::InUse,
            Some(_) | None => failed.into_error(),
        })?;
        found.ok_or(PostgresError::Gone)
    }

    /// Finds out whether the transaction that followed `before` was committed.
    async fn resolve(&mut self, before: &Taken) -> Result<bool, PostgresError> {
        self.taken = None;
        self.pool.close_idle();
        let until = Instant::now() + self.pool.limits().resolve_time_max;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let resolved = timeout(left, self.take()).await;
            match resolved {
                Ok(Ok(taken)) => return Ok(taken.commit_seq > before.commit_seq),
                Ok(Err(error)) if Instant::now() >= until => return Err(error),
                // The server may be restarting, or another one takes over.
                Ok(Err(_)) => pause(RESOLVE_WAIT).await,
                Err(_) => {
                    return Err(PostgresError::NoAnswer { commit_time_max: self.pool.limits().resolve_time_max });
                }
            }
        }
    }
}

/// The range of the wait between two attempts to find out an outcome.
const RESOLVE_WAIT: Range<Duration> = Duration::from_millis(50)..Duration::from_millis(200);

/// The changes of the lane by a transaction.
fn next(head: &ChainHead) -> Vec<Assignment> {
    vec![
        Assignment::Add("commit_seq".into(), 1),
        Assignment::Set("audit_sequence".into(), Datum::Integer(head.sequence())),
        Assignment::Set("audit_hash".into(), Datum::Bytes(head.hash().to_vec())),
    ]
}

fn stopped((commit, error): OfCommit) -> Attempt {
    Attempt::Ended(Ended::Stopped { commit, verdict: Err(CommitError::Unavailable(error.into())) })
}

fn set_applied(commit: &Commit, is_applied: bool) {
    if let Some(promise) = &commit.promise {
        promise.set_applied(is_applied);
    }
}
