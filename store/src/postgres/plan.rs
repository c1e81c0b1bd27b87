//! The statements of commits.
//!
//! All statements of a transaction are known before the first one is sent. A step that needs its database's definitions
//! becomes steps that change them. A counter that follows a step is changed by the statement of that step, because only
//! the database knows how many rows it changes; counters of steps that change exactly one row are added up, and changed
//! once, at the end. This file sends nothing.

use std::sync::Arc;

use sealward_core::{
    audit::ChainHead,
    store::{ColumnType, Commit, Condition, Expect, Name, Source, Step, Tally},
};

use super::{
    definitions::{Changed, LEASE, built_in},
    error::PostgresError,
    lease::Leases,
    statement::{Definition, Statement},
};
use crate::sql::{Dialect, Owner};

/// A step of a commit, or one of the steps that it becomes.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) commit: usize,
    pub(super) step: usize,
    held: Held<'a>,
    /// The counters that follow the step.
    tallies: Vec<&'a Tally>,
    /// Whether an existing key refuses the step. Otherwise it is a failure.
    is_refused_by_duplicate: bool,
}

#[derive(Debug)]
enum Held<'a> {
    Of(&'a Step),
    Own(Box<Step>),
    /// The lock that the commit needs.
    Lock(Owner, Condition),
}

impl Planned<'_> {
    /// Returns whether this is the condition that the lock of the commit is held.
    pub(super) fn is_of_lock(&self) -> bool {
        matches!(self.held, Held::Lock(..))
    }

    /// Returns whether an existing key refuses the step. Otherwise it is a failure.
    pub(super) fn is_refused_by_duplicate(&self) -> bool {
        self.is_refused_by_duplicate
    }

    fn as_step(&self) -> Option<&Step> {
        match &self.held {
            Held::Of(step) => Some(step),
            Held::Own(step) => Some(step),
            Held::Lock(..) => None,
        }
    }
}

/// An error of a commit, by its number.
pub(super) type OfCommit = (usize, PostgresError);

/// Returns the steps of commits, with their audit records as rows of the chain that begins at `head`.
pub(super) fn plan<'a>(
    commits: impl Iterator<Item = (usize, &'a Commit)>,
    head: &mut ChainHead,
    leases: &Leases,
    dialect: Dialect,
    changed: &mut Changed,
) -> Result<Vec<Planned<'a>>, OfCommit> {
    let mut planned: Vec<Planned<'a>> = Vec::new();
    for (number, commit) in commits {
        if let Some(organization) = commit.under_lock_of {
            let owner = Owner(organization.uuid());
            let held = Held::Lock(owner, leases.held(owner).map_err(|error| (number, error))?);
            planned.push(Planned {
                commit: number,
                step: 0,
                held,
                tallies: Vec::new(),
                is_refused_by_duplicate: false,
            });
        }
        let mut precedes_tally = false;
        for (index, step) in commit.steps.iter().enumerate() {
            let place = |held, is_refused_by_duplicate| Planned {
                commit: number,
                step: index,
                held,
                tallies: Vec::new(),
                is_refused_by_duplicate,
            };
            let failed = |error| (number, error);
            match step {
                Step::Tally(tally) => {
                    if let (true, Some(last)) = (precedes_tally, planned.last_mut()) {
                        last.tallies.push(tally);
                    }
                    continue;
                }
                Step::After(_) => {}
                Step::Audit(entry) => {
                    let (row, next) = head.link(entry);
                    *head = next;
                    // It is the store that numbers the records, so a number that is taken is no refusal.
                    planned.push(place(Held::Own(Box::new(row)), false));
                }
                Step::CreateTable(table) => {
                    let steps = changed.create_table(table).map_err(failed)?;
                    let steps = steps.into_iter().enumerate();
                    planned.extend(steps.map(|(position, step)| place(Held::Own(Box::new(step)), position == 0)));
                }
                Step::AddColumn { table, column } => {
                    // Checks the name and that it is nullable.
                    dialect.add_column(table, column).map_err(|error| failed(error.into()))?;
                    planned.push(place(Held::Own(Box::new(changed.add_column(table, column))), true));
                }
                Step::CreateIndex { table, index } => {
                    let step = changed.create_index(table, index).map_err(failed)?;
                    planned.extend(step.map(|step| place(Held::Own(Box::new(step)), false)));
                }
                Step::DropIndex { name } => planned.push(place(Held::Own(Box::new(changed.drop_index(name))), false)),
                Step::Require { .. }
                | Step::Forbid { .. }
                | Step::Insert { .. }
                | Step::InsertFrom { .. }
                | Step::Update { .. }
                | Step::Rewrite { .. }
                | Step::Delete { .. }
                | Step::Prune { .. } => planned.push(place(Held::Of(step), true)),
            }
            precedes_tally = changes_rows(step);
        }
    }
    Ok(planned)
}

fn changes_rows(step: &Step) -> bool {
    match step {
        Step::Insert { .. }
        | Step::InsertFrom { .. }
        | Step::Update { .. }
        | Step::Rewrite { .. }
        | Step::Delete { .. }
        | Step::Prune { .. }
        | Step::Audit(_) => true,
        Step::After(_)
        | Step::Require { .. }
        | Step::Forbid { .. }
        | Step::Tally(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. } => false,
    }
}

/// Returns whether the step changes exactly one row if it isn't refused.
fn changes_one_row(step: &Step) -> bool {
    matches!(
        step,
        Step::Insert { .. } | Step::Update { expect: Expect::One, .. } | Step::Delete { expect: Expect::One, .. }
    )
}

/// Returns the total changes of the counters of steps that change one row, in the order of their keys.
pub(super) fn totals(planned: &[Planned<'_>]) -> Vec<Tally> {
    let mut totals: Vec<Tally> = Vec::new();
    let of_one_row = planned.iter().filter(|planned| planned.as_step().is_some_and(changes_one_row));
    for tally in of_one_row.flat_map(|planned| &planned.tallies) {
        let is_same = |other: &&mut Tally| {
            (&other.table, &other.key, &other.counter) == (&tally.table, &tally.key, &tally.counter)
        };
        match totals.iter_mut().find(is_same) {
            Some(other) => other.by = other.by.saturating_add(tally.by),
            None => totals.push((*tally).clone()),
        }
    }
    totals.retain(|tally| tally.by != 0);
    // Two transactions lock the counters in the same order.
    totals.sort_by_cached_key(|tally| format!("{:?} {:?}", tally.table, tally.key));
    totals
}

/// Returns the statement of each step, then that of each counter.
pub(super) fn statements<'a>(
    planned: &'a [Planned<'a>],
    totals: &'a [Tally],
    dialect: Dialect,
    changed: &Changed,
) -> Result<Vec<Statement<'a>>, OfCommit> {
    let mut statements = Vec::with_capacity(planned.len().saturating_add(totals.len()));
    for one in planned {
        statements.push(statement(one, dialect, changed).map_err(|error| (one.commit, error))?);
    }
    let last = planned.last().map_or(0, |planned| planned.commit);
    for tally in totals {
        let counted = || {
            let definition = definition(changed, &tally.table)?;
            Statement::checked(dialect.tally(tally)?, &tally.table, &definition)
        };
        statements.push(counted().map_err(|error| (last, error))?);
    }
    Ok(statements)
}

fn definition(changed: &Changed, table: &str) -> Result<Arc<Definition>, PostgresError> {
    changed.definition(table).ok_or_else(|| PostgresError::NoTable { table: table.to_owned() })
}

fn statement<'a>(
    planned: &'a Planned<'a>,
    dialect: Dialect,
    changed: &Changed,
) -> Result<Statement<'a>, PostgresError> {
    let step = match &planned.held {
        Held::Of(step) => step,
        Held::Own(step) => &**step,
        Held::Lock(owner, is_held) => {
            static LEASES: Name = Name::Borrowed(LEASE);
            let require = Dialect::Postgres(*owner).require(&LEASES, is_held)?;
            return Statement::checked(require, LEASE, &built_in(LEASE).unwrap_or_default());
        }
    };
    let (table, sql, expect) = match step {
        Step::Require { table, rows } => (table, dialect.require(table, rows)?, Expect::Any),
        Step::Forbid { table, rows } => (table, dialect.forbid(table, rows)?, Expect::Any),
        Step::Insert { table, row } => (table, dialect.insert(table, row)?, Expect::Any),
        Step::InsertFrom { table, row, from, rows } => {
            check_row(table, row, &*definition(changed, table)?)?;
            (from, dialect.insert_from(table, row, from, rows)?, Expect::Any)
        }
        Step::Update { table, rows, set, expect } => (table, dialect.update(table, rows, set)?, *expect),
        Step::Rewrite { table, column, rows, set } => {
            let kind = definition(changed, table)?.kind(column);
            if kind != Some(ColumnType::Bytes) {
                return Err(PostgresError::WrongType { table: table.to_string(), column: column.to_string() });
            }
            (table, dialect.rewrite_all(table, column, rows, set)?, Expect::Any)
        }
        Step::Delete { table, rows, expect } => (table, dialect.delete(table, rows)?, *expect),
        Step::Prune { table, key, rows, at_most } => (table, dialect.prune(table, key, rows, *at_most)?, Expect::Any),
        // They became other steps.
        Step::After(_)
        | Step::Tally(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Audit(_) => return Err(PostgresError::Unchained),
    };
    let statement = Statement::checked(sql, table, &*definition(changed, table)?)?;
    let tallies = if changes_one_row(step) { &[][..] } else { &planned.tallies };
    for tally in tallies {
        // The same checks as for a counter alone.
        let definition = definition(changed, &tally.table)?;
        Statement::checked(dialect.tally(tally)?, &tally.table, &definition)?;
    }
    if expect == Expect::Any && tallies.is_empty() {
        return Ok(statement);
    }
    statement.continued(|step| dialect.counted(step, expect, tallies))
}

/// Checks the values of rows that are inserted from others.
fn check_row(table: &Name, row: &[(Name, Source)], definition: &Definition) -> Result<(), PostgresError> {
    let is_wrong = |(column, source): &&(Name, Source)| match (definition.kind(column), source) {
        (None, _) => true,
        (Some(kind), Source::Value(datum)) => datum.kind().is_some_and(|claimed| claimed != kind),
        (Some(_), Source::Column(_) | Source::Next(_)) => false,
    };
    match row.iter().find(is_wrong) {
        Some((column, _)) => Err(PostgresError::WrongType { table: table.to_string(), column: column.to_string() }),
        None => Ok(()),
    }
}

/// Returns whether a step changes the definitions.
pub(super) fn changes_definitions(step: &Step) -> bool {
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

/// Returns the table that a step reads or writes, and those of its counters.
pub(super) fn tables(step: &Step) -> impl Iterator<Item = &Name> {
    let (one, other) = match step {
        Step::Require { table, .. }
        | Step::Forbid { table, .. }
        | Step::Insert { table, .. }
        | Step::Update { table, .. }
        | Step::Rewrite { table, .. }
        | Step::Delete { table, .. }
        | Step::Prune { table, .. }
        | Step::Tally(Tally { table, .. }) => (Some(table), None),
        Step::InsertFrom { table, from, .. } => (Some(table), Some(from)),
        Step::After(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Audit(_) => (None, None),
    };
    one.into_iter().chain(other)
}
