//! The writer's connection: executes steps as statements, in transactions and, where necessary, savepoints.
//!
//! It remembers the last [`Check`] of each table, because most writes check the same small tables, which rarely change.
//! This file doesn't know the callers of commits. An audit record is a row like any other.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sealward_core::{
    audit::{AuditRecord, ChainHead},
    store::{Cause, Condition, Expect, Name, SnapshotEnded, Source, Step, Tally},
    table::TableRow as _,
};
use uuid::Uuid;

use super::{
    connection::{Connection, SqliteError},
    file::suffixed,
    options::SqliteOptions,
    snapshot::Snapshots,
};
use crate::{
    committer::{Backend, Failure, SyncFailure, Undo, chain},
    sql::Dialect,
};

/// The only connection that writes to a database.
#[derive(Debug)]
pub(super) struct SqliteWriter {
    path: PathBuf,
    options: SqliteOptions,
    /// `None` if it was closed and could not be reopened.
    connection: Option<Connection>,
    checks: Checks,
    /// Whether the transaction has created or changed tables.
    has_new_schema: bool,
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
        let (path, connection) = (path.to_owned(), Some(connection));
        let (checks, tallies) = (Checks::default(), Vec::new());
        SqliteWriter {
            path,
            options,
            connection,
            checks,
            has_new_schema: false,
            tallies,
            snapshots,
            truncated_at: None,
        }
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
        self.has_new_schema = false;
        let connection = self.connection()?;
        connection.control("BEGIN IMMEDIATE")?;
        let version = connection.data_version()?;
        self.checks.see(version);
        Ok(())
    }

    fn apply(&mut self, steps: &[Step], audit_rows: &[Step], undo: Undo) -> Result<(), Failure> {
        let connection = self.connection.as_mut().ok_or(Failure::Lost(CLOSED.into()))?;
        let lost = |error: SqliteError| Failure::Lost(error.into());
        let has_new_schema = steps.iter().any(changes_schema);
        self.has_new_schema |= has_new_schema;
        // These steps change the schema without changing rows.
        let undo = if has_new_schema { Undo::Alone } else { undo };
        if undo == Undo::Alone {
            connection.control("SAVEPOINT \"commit\"").map_err(lost)?;
        }
        let mut applied = Applied::default();
        let outcome = apply_each(connection, &mut self.checks, steps, audit_rows, &mut applied);
        let failure = match outcome {
            Ok(None) => {
                if undo == Undo::Alone {
                    connection.control("RELEASE \"commit\"").map_err(lost)?;
                }
                applied.tallies.into_iter().for_each(|(tally, by)| add(&mut self.tallies, tally, by));
                return Ok(());
            }
            Ok(Some(step)) => Failure::Refused { step },
            Err(error) => Failure::Failed(error.into()),
        };
        // Some errors, such as a full disk, end the whole transaction.
        if !connection.in_transaction() {
            return Err(match failure {
                Failure::Failed(cause) | Failure::Lost(cause) => Failure::Lost(cause),
                Failure::Refused { .. } | Failure::Partial => {
                    Failure::Lost("the transaction ended before its commit".into())
                }
            });
        }
        match undo {
            Undo::Together if applied.is_changed => Err(Failure::Partial),
            // The step that was refused has changed nothing either.
            Undo::Together => Err(failure),
            Undo::Alone => {
                self.checks.clear();
                connection.control("ROLLBACK TO \"commit\"").map_err(lost)?;
                connection.control("RELEASE \"commit\"").map_err(lost)?;
                if has_new_schema {
                    connection.forget_tables();
                }
                Err(failure)
            }
        }
    }

    fn roll_back(&mut self) -> Result<(), Cause> {
        self.checks.clear();
        let has_new_schema = self.has_new_schema;
        let connection = self.connection()?;
        if has_new_schema {
            connection.forget_tables();
        }
        Ok(connection.control("ROLLBACK")?)
    }

    fn commit(&mut self) -> Result<(), Cause> {
        let tallies = std::mem::take(&mut self.tallies);
        let sync_failure = self.options.sync_failure;
        let connection = self.connection.as_mut().ok_or(CLOSED)?;
        for tally in tallies.iter().filter(|tally| tally.by != 0) {
            self.checks.forget(&tally.table);
            connection.execute(&tally.table, &DIALECT.tally(tally).map_err(SqliteError::from)?)?;
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
        self.checks.clear();
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
        chain::head(writer, connection.select(&chain::last_record(writer))?)
    }

    fn scrub(&mut self) -> Result<(), Cause> {
        let usual = self.options.busy_timeout;
        Ok(self.connection()?.checkpoint_within(SCRUB_PATIENCE.min(usual), usual)?)
    }
}

/// Whether rows meet a condition, as last read for each table.
///
/// An entry is removed before its table changes, and all of them when a transaction or a savepoint may have been rolled
/// back, or when another process has changed the database.
#[derive(Debug, Default)]
struct Checks {
    of_tables: HashMap<Name, Check>,
    data_version: Option<i64>,
}

#[derive(Debug)]
struct Check {
    rows: Condition,
    exist: bool,
}

impl Checks {
    /// Forgets everything if this isn't the version of the database that was seen last.
    fn see(&mut self, data_version: i64) {
        if self.data_version.replace(data_version) != Some(data_version) {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.of_tables.clear();
    }

    fn forget(&mut self, table: &Name) {
        self.of_tables.remove(table);
    }

    /// Returns whether the table has no rows.
    fn is_empty(&mut self, connection: &mut Connection, table: &Name) -> Result<bool, SqliteError> {
        Ok(!self.exist(connection, table, &Condition::EVERYTHING)?)
    }

    /// Returns whether rows of the table meet the condition.
    fn exist(&mut self, connection: &mut Connection, table: &Name, rows: &Condition) -> Result<bool, SqliteError> {
        if let Some(check) = self.of_tables.get(table)
            && check.rows == *rows
        {
            return Ok(check.exist);
        }
        let exist = connection.exists(table, &DIALECT.exists(table, rows)?)?;
        self.of_tables.insert(table.clone(), Check { rows: rows.clone(), exist });
        Ok(exist)
    }
}

/// The effect of the steps that were applied.
#[derive(Default)]
struct Applied<'a> {
    /// The changes of counters that are still to be made, each with its total.
    tallies: Vec<(&'a Tally, i64)>,
    /// Whether rows were changed, or may have been changed.
    is_changed: bool,
}

/// Applies steps until one is refused. Returns its index; `None` if all were applied.
fn apply_each<'a>(
    connection: &mut Connection,
    checks: &mut Checks,
    steps: &'a [Step],
    audit_rows: &[Step],
    applied: &mut Applied<'a>,
) -> Result<Option<usize>, SqliteError> {
    let mut audit_rows = audit_rows.iter();
    let mut touched = 0;
    for (index, step) in steps.iter().enumerate() {
        if let Step::Tally(tally) = step {
            applied.tallies.push((tally, tally.by.saturating_mul(touched)));
            continue;
        }
        let step = if matches!(step, Step::Audit(_)) { audit_rows.next().ok_or(SqliteError::Unchained)? } else { step };
        // A step may consist of several statements, and the first ones may have changed rows before one failed.
        let effect = apply_one(connection, checks, step).inspect_err(|_| applied.is_changed = true);
        let Effect { rows, is_met } = effect?;
        applied.is_changed |= rows > 0;
        if !is_met {
            return Ok(Some(index));
        }
        touched = i64::try_from(rows).unwrap_or(i64::MAX);
    }
    Ok(None)
}

/// Adds to the counters of a transaction, which are few.
fn add(tallies: &mut Vec<Tally>, tally: &Tally, by: i64) {
    let is_same =
        |other: &&mut Tally| (&other.table, &other.key, &other.counter) == (&tally.table, &tally.key, &tally.counter);
    match tallies.iter_mut().find(is_same) {
        Some(other) => other.by = other.by.saturating_add(by),
        None => tallies.push(Tally { by, ..tally.clone() }),
    }
}

/// The effect of a step.
struct Effect {
    /// The number of changed rows.
    rows: usize,
    /// Whether the step's expectation is met.
    is_met: bool,
}

impl Effect {
    fn met(is_met: bool) -> Self {
        Effect { rows: 0, is_met }
    }

    fn of(rows: usize, expect: Expect) -> Self {
        let is_met = match expect {
            Expect::One => rows == 1,
            Expect::Any => true,
        };
        Effect { rows, is_met }
    }
}

fn apply_one(connection: &mut Connection, checks: &mut Checks, step: &Step) -> Result<Effect, SqliteError> {
    let changed = match step {
        Step::Require { table, rows } => return Ok(Effect::met(checks.exist(connection, table, rows)?)),
        Step::Forbid { table, rows } => return Ok(Effect::met(!checks.exist(connection, table, rows)?)),
        Step::Insert { table, row } => {
            checks.forget(table);
            connection.insert(table, row).map(|rows| Effect::of(rows, Expect::Any))
        }
        Step::InsertFrom { table, row, from, rows } => {
            checks.forget(table);
            let claim = |(column, source): &'_ (Name, Source)| match source {
                Source::Value(datum) => datum.kind().map(|kind| (column.clone(), kind)),
                Source::Column(_) | Source::Next(_) => None,
            };
            let claims: Vec<_> = row.iter().filter_map(claim).collect();
            connection.check_types(table, claims.iter().map(|(column, kind)| (&**column, *kind)))?;
            let inserted = connection.execute(from, &DIALECT.insert_from(table, row, from, rows)?);
            inserted.map(|rows| Effect::of(rows, Expect::Any))
        }
        Step::Update { table, rows, set, expect } => {
            checks.forget(table);
            connection.execute(table, &DIALECT.update(table, rows, set)?).map(|rows| Effect::of(rows, *expect))
        }
        Step::Rewrite { table, column, rows, set } => {
            checks.forget(table);
            connection.rewrite(table, column, rows, set).map(|rows| Effect::of(rows, Expect::Any))
        }
        // Each write of a cell deletes its entry in a table that usually is empty.
        Step::Delete { table, expect: Expect::Any, .. } if checks.is_empty(connection, table)? => Ok(Effect::met(true)),
        Step::Delete { table, rows, expect } => {
            checks.forget(table);
            connection.execute(table, &DIALECT.delete(table, rows)?).map(|rows| Effect::of(rows, *expect))
        }
        Step::Prune { table, key, rows, at_most } => {
            checks.forget(table);
            let pruned = connection.execute(table, &DIALECT.prune(table, key, rows, *at_most)?);
            pruned.map(|rows| Effect::of(rows, Expect::Any))
        }
        Step::CreateTable(table) => {
            if connection.has_table(&table.name)? {
                return Ok(Effect::met(false));
            }
            connection.execute(&table.name, &DIALECT.create_table(table)?)?;
            for index in &table.indexes {
                connection.execute(&table.name, &DIALECT.create_index(&table.name, index)?)?;
            }
            for column in &table.columns {
                connection.declare(&table.name, column)?;
            }
            Ok(Effect::met(true))
        }
        Step::AddColumn { table, column } => {
            let sql = DIALECT.add_column(table, column)?;
            if !connection.has_table(table)? || connection.has_column(table, &column.name)? {
                return Ok(Effect::met(false));
            }
            connection.execute(table, &sql)?;
            connection.declare(table, column)?;
            Ok(Effect::met(true))
        }
        Step::CreateIndex { table, index } => {
            connection.execute(table, &DIALECT.ensure_index(table, index)?)?;
            Ok(Effect::met(true))
        }
        // The statement has no values, so it needs no table for their types.
        Step::DropIndex { name } => connection.execute(name, &DIALECT.drop_index(name)?).map(|_| Effect::met(true)),
        // The committer has compared the order of commits.
        Step::After(_) | Step::Tally(_) => Ok(Effect::met(true)),
        Step::Audit(_) => Err(SqliteError::Unchained),
    };
    match changed {
        Err(error) if error.is_duplicate() => Ok(Effect::met(false)),
        changed => changed,
    }
}

fn changes_schema(step: &Step) -> bool {
    match step {
        Step::CreateTable(_) | Step::AddColumn { .. } | Step::CreateIndex { .. } | Step::DropIndex { .. } => true,
        Step::After(_)
        | Step::Require { .. }
        | Step::Forbid { .. }
        | Step::Insert { .. }
        | Step::InsertFrom { .. }
        | Step::Update { .. }
        | Step::Rewrite { .. }
        | Step::Delete { .. }
        | Step::Prune { .. }
        | Step::Tally(_)
        | Step::Audit(_) => false,
    }
}

const DIALECT: Dialect = Dialect::Sqlite;
