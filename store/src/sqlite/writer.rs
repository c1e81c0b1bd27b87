//! The writer's connection: executes steps as statements, in transactions and savepoints.
//!
//! This file doesn't know the callers of commits. An audit record is a row like any other.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::{
    audit::{AuditRecord, ChainHead},
    store::{Cause, Expect, Name, Select, SnapshotEnded, Source, Step, Tally},
    table::{Columns as _, TableRow as _},
};
use uuid::Uuid;

use super::{
    connection::{Connection, SqliteError},
    file::suffixed,
    options::SqliteOptions,
    snapshot::Snapshots,
};
use crate::{
    committer::{Backend, Failure, SyncFailure},
    sql::{self, Dialect},
};

/// The only connection that writes to a database.
#[derive(Debug)]
pub(super) struct SqliteWriter {
    path: PathBuf,
    options: SqliteOptions,
    /// `None` if it was closed and could not be reopened.
    connection: Option<Connection>,
    /// The changes of counters in the transaction. Many commits change the same few counters, which are written once at
    /// the end.
    tallies: Vec<Tally>,
    /// The snapshots, which may prevent the truncation of the log.
    snapshots: Arc<Snapshots>,
    /// The time of the last attempt to truncate the log because of its size.
    truncated_at: Option<Instant>,
}

impl SqliteWriter {
    pub(super) fn open(path: &Path, options: SqliteOptions, snapshots: Arc<Snapshots>) -> Result<Self, Cause> {
        Ok(Self::of(path, options, Connection::open_writer(path, options)?, snapshots))
    }

    fn of(path: &Path, options: SqliteOptions, connection: Connection, snapshots: Arc<Snapshots>) -> Self {
        let (path, tallies, connection) = (path.to_owned(), Vec::new(), Some(connection));
        SqliteWriter { path, options, connection, tallies, snapshots, truncated_at: None }
    }

    /// Opens a database that is being created. It has no readers and needs no log.
    pub(super) fn open_unlogged(path: &Path, options: SqliteOptions) -> Result<Self, Cause> {
        Ok(Self::of(path, options, Connection::open_unlogged(path, options)?, Arc::default()))
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, pages: u32) {
        self.connection().unwrap().limit_pages(pages);
    }

    fn connection(&mut self) -> Result<&mut Connection, Cause> {
        self.connection.as_mut().ok_or(CLOSED.into())
    }

    /// Truncates the log if it exceeds its maximum size. After each transaction, SQLite moves as much of the log as it
    /// can to the database. But it restarts the log only when no reader uses it. Therefore this ends snapshots and
    /// waits for other reads, which are short.
    fn bound_log(&mut self) {
        let is_too_large =
            fs::metadata(suffixed(&self.path, "-wal")).is_ok_and(|log| log.len() > self.options.log_max_bytes);
        let is_retry_due = self.truncated_at.is_none_or(|last| last.elapsed() >= TRUNCATE_INTERVAL);
        let Some(connection) = self.connection.as_ref().filter(|_| is_too_large && is_retry_due) else { return };
        let snapshots = self.snapshots.end(SnapshotEnded::LogFull);
        let cut = connection.checkpoint_within(TRUNCATE_PATIENCE, self.options.busy_timeout);
        match &cut {
            Ok(()) => tracing::info!(snapshots_ended = snapshots, "write-ahead log truncated at maximum size"),
            Err(error) => tracing::warn!(
                snapshots_ended = snapshots,
                error = error as &dyn std::error::Error,
                "write-ahead log above maximum size"
            ),
        }
        self.truncated_at = Some(Instant::now());
    }
}

/// The interval between attempts to truncate a log because of its size, and the maximum wait of each for readers.
/// Writes wait meanwhile.
const TRUNCATE_INTERVAL: Duration = Duration::from_secs(1);
const TRUNCATE_PATIENCE: Duration = Duration::from_millis(100);

/// The maximum wait of a scrub for readers in other processes, such as a backup. Writes wait meanwhile. The scrub is
/// repeated later.
const SCRUB_PATIENCE: Duration = Duration::from_millis(500);

const CLOSED: &str = "the database is closed";

impl Backend for SqliteWriter {
    fn begin(&mut self) -> Result<(), Cause> {
        self.tallies.clear();
        Ok(self.connection()?.control("BEGIN IMMEDIATE")?)
    }

    fn apply(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let connection = self.connection.as_mut().ok_or(Failure::Lost(CLOSED.into()))?;
        let lost = |error: SqliteError| Failure::Lost(error.into());
        connection.control("SAVEPOINT \"commit\"").map_err(lost)?;
        let failure = match apply_each(connection, steps) {
            Ok(Applied::Whole(tallies)) => {
                connection.control("RELEASE \"commit\"").map_err(lost)?;
                tallies.into_iter().for_each(|tally| add(&mut self.tallies, tally));
                return Ok(());
            }
            Ok(Applied::Refused { step }) => Failure::Refused { step },
            Err(error) => Failure::Failed(error.into()),
        };
        // Some errors, such as a full disk, end the whole transaction.
        if !connection.in_transaction() {
            return Err(match failure {
                Failure::Failed(cause) | Failure::Lost(cause) => Failure::Lost(cause),
                Failure::Refused { .. } => Failure::Lost("the transaction ended before its commit".into()),
            });
        }
        connection.control("ROLLBACK TO \"commit\"").map_err(lost)?;
        connection.control("RELEASE \"commit\"").map_err(lost)?;
        if steps.iter().any(makes_columns) {
            connection.forget_tables();
        }
        Err(failure)
    }

    fn commit(&mut self) -> Result<(), Cause> {
        let tallies = std::mem::take(&mut self.tallies);
        let sync_failure = self.options.sync_failure;
        let connection = self.connection()?;
        for tally in tallies.iter().filter(|tally| tally.by != 0) {
            connection.execute(&tally.table, &sql::tally(tally).map_err(SqliteError::from)?)?;
        }
        match sync_failure() {
            None => {
                connection.control("COMMIT")?;
                self.bound_log();
                Ok(())
            }
            Some(failure) => {
                connection.control(if failure == SyncFailure::Kept { "COMMIT" } else { "ROLLBACK" })?;
                Err("simulated disk failure".into())
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Cause> {
        // Closed before it is reopened, so that no state of the old connection remains.
        self.connection = None;
        let connection = Connection::open_writer(&self.path, self.options)?;
        // The log may contain a commit that failed. The checkpoint moves it to the database or discards it, so it can't
        // reappear.
        connection.checkpoint()?;
        self.connection = Some(connection);
        Ok(())
    }

    fn chain_head(&mut self, writer: Uuid) -> Result<ChainHead, Cause> {
        let connection = self.connection()?;
        if !connection.has_table(AuditRecord::TABLE)? {
            return Ok(ChainHead::empty(writer));
        }
        let columns = (AuditRecord::sequence(), AuditRecord::hash());
        let order = vec![AuditRecord::sequence().descending()];
        let last = Select { order, limit: 1, ..columns.select(AuditRecord::writer().is(writer)) };
        match connection.select(&last)?.into_iter().next().map(|row| columns.values(row)) {
            None => Ok(ChainHead::empty(writer)),
            Some(Ok((sequence, hash))) => Ok(ChainHead::at(writer, sequence, hash)),
            Some(Err(damage)) => Err(Cause(Box::new(damage))),
        }
    }

    fn scrub(&mut self) -> Result<(), Cause> {
        let usual = self.options.busy_timeout;
        Ok(self.connection()?.checkpoint_within(SCRUB_PATIENCE.min(usual), usual)?)
    }
}

/// The result of applying steps.
enum Applied {
    /// All steps were applied. These counters must change.
    Whole(Vec<Tally>),
    /// The expectation of this step was not met, and no step was applied.
    Refused { step: usize },
}

/// Applies steps until one is refused.
fn apply_each(connection: &mut Connection, steps: &[Step]) -> Result<Applied, SqliteError> {
    let mut tallies = Vec::new();
    let mut touched = 0;
    for (step, each) in steps.iter().enumerate() {
        if let Step::Tally(tally) = each {
            add(&mut tallies, Tally { by: tally.by.saturating_mul(touched), ..tally.clone() });
            continue;
        }
        match apply_one(connection, each)? {
            Some(rows) => touched = i64::try_from(rows).unwrap_or(i64::MAX),
            None => return Ok(Applied::Refused { step }),
        }
    }
    Ok(Applied::Whole(tallies))
}

/// Adds to the counters of a transaction, which are few.
fn add(tallies: &mut Vec<Tally>, tally: Tally) {
    let is_same =
        |other: &&mut Tally| (&other.table, &other.key, &other.counter) == (&tally.table, &tally.key, &tally.counter);
    match tallies.iter_mut().find(is_same) {
        Some(other) => other.by = other.by.saturating_add(tally.by),
        None => tallies.push(tally),
    }
}

/// Applies a step. Returns the number of affected rows, or `None` if its expectation isn't met.
fn apply_one(connection: &mut Connection, step: &Step) -> Result<Option<usize>, SqliteError> {
    let met = |is_met: bool| is_met.then_some(0);
    let changed = match step {
        Step::Require { table, rows } => return Ok(met(connection.exists(table, &DIALECT.exists(table, rows)?)?)),
        Step::Forbid { table, rows } => return Ok(met(!connection.exists(table, &DIALECT.exists(table, rows)?)?)),
        Step::Insert { table, row } => connection.execute(table, &sql::insert(table, row)?).map(Some),
        Step::InsertFrom { table, row, from, rows } => {
            let claim = |(column, source): &'_ (Name, Source)| match source {
                Source::Value(datum) => datum.kind().map(|kind| (column.clone(), kind)),
                Source::Column(_) | Source::Next(_) => None,
            };
            let claims: Vec<_> = row.iter().filter_map(claim).collect();
            connection.check_types(table, claims.iter().map(|(column, kind)| (&**column, *kind)))?;
            connection.execute(from, &sql::insert_from(table, row, from, rows)?).map(Some)
        }
        Step::Update { table, rows, set, expect } => {
            connection.execute(table, &sql::update(table, rows, set)?).map(|count| meeting(count, *expect))
        }
        Step::Rewrite { table, column, rows, set } => connection.rewrite(table, column, rows, set).map(Some),
        Step::Delete { table, rows, expect } => {
            connection.execute(table, &sql::delete(table, rows)?).map(|count| meeting(count, *expect))
        }
        Step::Prune { table, key, rows, at_most } => {
            connection.execute(table, &sql::prune(table, key, rows, *at_most)?).map(Some)
        }
        Step::CreateTable(table) => {
            if connection.has_table(&table.name)? {
                return Ok(None);
            }
            connection.execute(&table.name, &DIALECT.create_table(table)?)?;
            for index in &table.indexes {
                connection.execute(&table.name, &DIALECT.create_index(&table.name, index)?)?;
            }
            for column in &table.columns {
                connection.declare(&table.name, column)?;
            }
            Ok(Some(0))
        }
        Step::AddColumn { table, column } => {
            let sql = DIALECT.add_column(table, column)?;
            if !connection.has_table(table)? || connection.has_column(table, &column.name)? {
                return Ok(None);
            }
            connection.execute(table, &sql)?;
            connection.declare(table, column)?;
            Ok(Some(0))
        }
        Step::CreateIndex { table, index } => {
            connection.execute(table, &DIALECT.ensure_index(table, index)?)?;
            Ok(Some(0))
        }
        // The statement has no values, so it needs no table for their types.
        Step::DropIndex { name } => connection.execute(name, &DIALECT.drop_index(name)?).map(|_| Some(0)),
        Step::Tally(_) => Ok(Some(0)),
        Step::Audit(_) => Err(SqliteError::Unchained),
    };
    match changed {
        Err(error) if error.is_duplicate() => Ok(None),
        changed => changed,
    }
}

fn meeting(count: usize, expect: Expect) -> Option<usize> {
    match expect {
        Expect::One => (count == 1).then_some(count),
        Expect::Any => Some(count),
    }
}

fn makes_columns(step: &Step) -> bool {
    matches!(step, Step::CreateTable(_) | Step::AddColumn { .. })
}

const DIALECT: Dialect = Dialect::Sqlite;
