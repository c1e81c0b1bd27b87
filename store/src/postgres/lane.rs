//! The lane of a database: the row that each of its commits passes.
//!
//! A commit increases the number in the row, so only one transaction at a time writes to the database, and each sees all
//! earlier ones. That also holds for several servers. A server that made the last transaction knows what the row contains,
//! and compares it in the transaction that it sends, as a whole, in one round trip. If another one has written since, the
//! comparison refuses the transaction. The server then locks the row, reads it and continues, in two round trips. So each
//! gets its turn, however many write.
//!
//! The answer to a COMMIT may be lost. Whether the commit took effect can't be told by looking for its effects, because
//! it may still be on its way. So the fence in the row is raised first: that waits for a commit in progress, and refuses
//! one that arrives later. Then the [`Position`] tells.

use std::{
    collections::HashMap,
    error::Error,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Duration,
};

use sealward_core::{
    audit::{AuditRecord, ChainHead},
    store::{Cause, Commit, CommitError, Expect, Name, Reader, Row, Unavailable},
    table::TableRow as _,
};
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{
    connection::{Begin, Failed, Scope},
    definitions::{Changed, Definitions, GUARD, INDEX, LANE, TABLE, built_in, is_current},
    error::PostgresError,
    jitter::pause,
    lease::Leases,
    plan::{OfCommit, Planned, changes_definitions, plan, statements, tables, totals},
    pool::{Pool, Pooled},
    position::{self, Fate, Position},
    reads::Reads,
    schema::Schema,
    statement::{Definition, Statement, datums},
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
    pub(super) leases: Leases,
    /// The writer of the audit chain, which all servers of a deployment continue.
    pub(super) writer: Uuid,
    pub(super) witness: Witness,
    /// What the lane contains unless another server has written; `None` if one probably has.
    pub(super) known: Option<Position>,
}

/// The maximum number of attempts of a transaction that is in conflict with others.
const ATTEMPTS_MAX: u32 = 5;

/// The range of the wait between two attempts.
const RETRY_WAIT: Range<Duration> = Duration::from_millis(2)..Duration::from_millis(20);

/// The maximum time between the two round trips of a transaction that has locked the lane. Others wait meanwhile, so
/// PostgreSQL ends the transaction of a server that is paused there.
const LOCKED_IDLE_MAX: Duration = Duration::from_secs(1);

/// The result of an attempt to apply commits in one transaction.
enum Attempt {
    Ended(Ended),
    /// The transaction can be repeated. Nothing was changed.
    Repeat(PostgresError),
    /// Another server has written. Nothing was changed, and the next attempt locks the lane.
    Lock,
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

/// A connection for a transaction, and the position that it continues from.
struct Begun {
    connection: Pooled,
    position: Position,
    /// Whether the transaction has begun, with a lock of the lane.
    is_locked: bool,
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

    /// Identifies this process.
    fn server(&self) -> Uuid {
        self.leases.holder()
    }

    fn scope(&self, idle_max: Duration) -> Scope {
        let statement_time_max = self.pool.limits().statement_time_max;
        Scope { begin: Begin::Write, owner: self.owner, statement_time_max, idle_max }
    }

    /// Applies a part of the commits in one transaction. Repeats it if it was in conflict with others.
    async fn apply(&mut self, commits: &[Commit], part: Range<usize>) -> Ended {
        for attempt in 1.. {
            for commit in commits.get(part.clone()).unwrap_or_default() {
                set_applied(commit, false);
            }
            match self.attempt(commits, part.clone()).await {
                Attempt::Lock => self.known = None,
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
        let of_part = || part.clone().filter_map(|number| Some((number, commits.get(number)?)));
        let mut changed = match self.changed(of_part().map(|(_, commit)| commit)).await {
            Ok(changed) => changed,
            Err(error) if error.is_of_connection() => return self.lost(error),
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
        let begun = match self.begin().await {
            Ok(begun) => begun,
            Err(error) if error.is_of_connection() => return self.lost(error),
            Err(error) if error.is_conflict() => return Attempt::Repeat(error),
            Err(error) => return Attempt::Ended(Ended::Unavailable(error.into())),
        };
        let before = begun.position.clone();
        let first = before.head().cloned().unwrap_or_else(|| ChainHead::empty(self.writer));
        let mut head = first.clone();
        let planned = match plan(applicable.into_iter(), &mut head, &self.leases, self.dialect(), &mut changed) {
            Ok(planned) => planned,
            Err(of_commit) => {
                begun.end().await;
                return stopped(of_commit);
            }
        };
        if planned.is_empty() {
            begun.end().await;
            return Attempt::Ended(Ended::Applied(refused));
        }
        let is_extended = head.sequence() > first.sequence();
        let next = before.next(self.server(), if is_extended { Some(head) } else { before.head().cloned() });
        let sent = match self.send(begun, &next, &planned, &changed).await {
            Ok(sent) => sent,
            Err(of_commit) => return stopped(of_commit),
        };
        match sent {
            Ok(()) => {
                self.applied(next, &before, changed.tables);
                Attempt::Ended(Ended::Applied(refused))
            }
            Err(Failed::At { statement, error }) => self.refused(&planned, statement, error),
            Err(Failed::Unknown(error)) => match self.resolve(&before).await {
                Ok(Fate::Committed) => {
                    tracing::info!(error = &error as &dyn Error, "transaction found committed");
                    self.definitions.set(changed.tables);
                    Attempt::Ended(Ended::Applied(refused))
                }
                Ok(Fate::NotCommitted) => Attempt::Repeat(error),
                Ok(Fate::Forgotten) => {
                    tracing::warn!("transaction outcome forgotten: too many servers have written since");
                    Attempt::Ended(Ended::Unknown(error.into()))
                }
                Err(unresolved) => {
                    tracing::warn!(error = &unresolved as &dyn Error, "transaction outcome not found out");
                    Attempt::Ended(Ended::Unknown(error.into()))
                }
            },
        }
    }

    /// A connection was lost before anything could be committed. One that was idle may have been closed by PostgreSQL.
    fn lost(&self, error: PostgresError) -> Attempt {
        self.pool.close_idle();
        Attempt::Repeat(error)
    }

    /// Begins from the position that is known, or locks the lane to read it.
    async fn begin(&self) -> Result<Begun, PostgresError> {
        let mut connection = self.pool.get().await?;
        if let Some(position) = self.known.clone() {
            return Ok(Begun { connection, position, is_locked: false });
        }
        let select = position::select(self.epoch);
        let select = self.dialect().locked(self.dialect().select(&select, |_| true)?);
        let select = Statement::checked(select, LANE, &of_lanes())?;
        let row = connection.begin_write(self.scope(LOCKED_IDLE_MAX), &select).await?;
        let parsed = match row.as_ref() {
            Some(row) => datums(row, &position::KINDS).and_then(|row| Position::parse(row, self.writer)),
            None => Err(PostgresError::Gone),
        };
        let completed = match parsed {
            // Nothing is written meanwhile, because the lane is locked.
            Ok(position) => self.with_head(position).await,
            Err(error) => Err(error),
        };
        match completed {
            Ok(position) => Ok(Begun { connection, position, is_locked: true }),
            Err(error) => {
                connection.roll_back().await;
                Err(error)
            }
        }
    }

    /// Records that the transaction is committed.
    fn applied(
        &mut self,
        now: Position,
        before: &Position,
        definitions: HashMap<String, Arc<super::statement::Definition>>,
    ) {
        self.definitions.set(definitions);
        if let Some(head) = now.head().filter(|_| now.has_later_record(before)) {
            self.witness.report(head);
        }
        // If another server has just written, it probably writes again.
        self.known = before.is_of(self.server()).then_some(now);
    }

    /// Sends the transaction. The first statement passes the lane.
    async fn send(
        &self,
        mut begun: Begun,
        next: &Position,
        planned: &[Planned<'_>],
        changed: &Changed,
    ) -> Result<Result<(), Failed>, OfCommit> {
        let totals = totals(planned);
        let first = planned.first().map_or(0, |planned| planned.commit);
        let (rows, set) = (begun.position.is_unchanged(self.epoch), next.changes(&begun.position));
        let table = Name::Borrowed(LANE);
        let pass = || {
            let passed = self.dialect().update_with_time(&table, &rows, &set, "last_commit_time")?;
            let passed = Statement::checked(passed, LANE, &of_lanes())?;
            passed.continued(|step| self.dialect().counted(step, Expect::One, &[]))
        };
        let all = pass().map_err(|error| (first, error)).and_then(|pass| {
            let mut all = vec![pass];
            all.extend(statements(planned, &totals, self.dialect(), changed)?);
            Ok(all)
        });
        let all = match all {
            Ok(all) => all,
            Err(of_commit) => {
                begun.end().await;
                return Err(of_commit);
            }
        };
        let limits = self.pool.limits();
        // The COMMIT is never cancelled: PostgreSQL, waiting for a standby, would then report a success.
        let written = timeout(limits.commit_time_max, async {
            match begun.is_locked {
                true => begun.connection.finish_write(&all).await,
                false => begun.connection.write(self.scope(limits.statement_time_max), &all).await,
            }
        });
        let no_answer = PostgresError::NoAnswer { commit_time_max: limits.commit_time_max };
        Ok(written.await.unwrap_or(Err(Failed::Unknown(no_answer))))
    }

    /// Says what a refused statement means. The lane's is the first one.
    fn refused(&mut self, planned: &[Planned<'_>], statement: Option<usize>, error: PostgresError) -> Attempt {
        let is_unmet = error.is(&SqlState::DIVISION_BY_ZERO);
        if error.is_conflict() {
            return Attempt::Repeat(error);
        }
        match statement.map(|position| position.checked_sub(1)) {
            Some(None) if is_unmet => Attempt::Lock,
            Some(Some(position)) if !error.is_of_connection() => match planned.get(position) {
                Some(of) => {
                    let is_taken = error.is(&SqlState::UNIQUE_VIOLATION);
                    let is_refused = is_unmet || (is_taken && of.is_refused_by_duplicate());
                    let verdict = match of.is_of_lock() && is_unmet {
                        true => CommitError::Unavailable(PostgresError::LockLost.into()),
                        false if is_refused => CommitError::Refused { step: of.step },
                        false => CommitError::Unavailable(error.into()),
                    };
                    Attempt::Ended(Ended::Stopped { commit: of.commit, verdict: Err(verdict) })
                }
                // A counter can't be changed.
                None => stopped((planned.last().map_or(0, |planned| planned.commit), error)),
            },
            _ if error.is_of_connection() => self.lost(error),
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

    /// Reads the definitions and the position of a database that is being opened.
    pub(super) async fn open(&self) -> Result<(), PostgresError> {
        self.reads.load().await?;
        let lane = self.reads.select(position::select(self.epoch)).await;
        let lane = lane.map_err(|Unavailable(cause)| PostgresError::Trail(cause))?.pop();
        let position = Position::parse(lane.ok_or(PostgresError::Gone)?, self.writer)?;
        if let Some(head) = self.with_head(position).await?.head() {
            self.witness.report(head);
        }
        Ok(())
    }

    /// Reads the last audit record from the trail, if the lane doesn't contain it.
    async fn with_head(&self, mut position: Position) -> Result<Position, PostgresError> {
        let has_trail = || self.definitions.get(AuditRecord::TABLE, std::iter::empty()).is_some();
        if position.head().is_none() && has_trail() {
            let last = self.reads.select(chain::last_record(self.writer)).await;
            let head = last.map_err(|Unavailable(cause)| cause).and_then(|last| chain::head(self.writer, last));
            position.set_head(head.map_err(PostgresError::Trail)?);
        }
        Ok(position)
    }

    /// Raises the lane's fence, which waits for a transaction in progress. Returns the position, which is final for all
    /// transactions that were sent before.
    async fn raise_fence(&self) -> Result<Position, PostgresError> {
        let table = Name::Borrowed(LANE);
        let (rows, set) = (position::is_lane(self.epoch), [position::raised_fence()]);
        let raise = self.dialect().update_returning(&table, &rows, &set, &position::COLUMNS)?;
        let raise = Statement::checked(raise, LANE, &of_lanes())?;
        let (guards, is_current) = (Name::Borrowed(GUARD), is_current(self.epoch));
        let guard = self.dialect().require(&guards, &is_current)?;
        let guard = Statement::checked(guard, GUARD, &built_in(GUARD).unwrap_or_default())?;
        let mut found: Option<Result<Row, PostgresError>> = None;
        let mut connection = self.pool.get().await?;
        let mut take = |row: &tokio_postgres::Row| {
            found = Some(datums(row, &position::KINDS));
            ControlFlow::Break(())
        };
        let scope = self.scope(self.pool.limits().statement_time_max);
        let raised = connection.read(scope, &[raise, guard], &mut take).await;
        raised.map_err(|failed| if failed.unmet().is_some() { PostgresError::Gone } else { failed.into_error() })?;
        Position::parse(found.ok_or(PostgresError::Gone)??, self.writer)
    }

    /// Finds out whether the transaction that continued from `before` was committed.
    async fn resolve(&mut self, before: &Position) -> Result<Fate, PostgresError> {
        self.known = None;
        self.pool.close_idle();
        let resolve_time_max = self.pool.limits().resolve_time_max;
        let until = Instant::now() + resolve_time_max;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.raise_fence()).await {
                Ok(Ok(position)) => {
                    if let Some(head) = position.head() {
                        // The answer to an audited commit was lost.
                        self.witness.report(head);
                    }
                    return Ok(position.fate(self.server(), before));
                }
                Ok(Err(error)) if Instant::now() >= until => return Err(error),
                // PostgreSQL may be restarting, or another one takes over.
                Ok(Err(_)) => pause(RESOLVE_WAIT).await,
                Err(_) => return Err(PostgresError::NoAnswer { commit_time_max: resolve_time_max }),
            }
        }
    }
}

impl Begun {
    /// Ends the transaction, which has changed nothing.
    async fn end(mut self) {
        if self.is_locked {
            self.connection.roll_back().await;
        }
    }
}

/// The range of the wait between two attempts to find out an outcome.
const RESOLVE_WAIT: Range<Duration> = Duration::from_millis(50)..Duration::from_millis(200);

fn of_lanes() -> Arc<Definition> {
    built_in(LANE).unwrap_or_default()
}

fn stopped((commit, error): OfCommit) -> Attempt {
    Attempt::Ended(Ended::Stopped { commit, verdict: Err(CommitError::Unavailable(error.into())) })
}

fn set_applied(commit: &Commit, is_applied: bool) {
    if let Some(promise) = &commit.promise {
        promise.set_applied(is_applied);
    }
}
