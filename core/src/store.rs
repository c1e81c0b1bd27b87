//! The store port: the operations that a database must support, as values.
//!
//! A write is a [`Commit`]: a list of steps with expectations. It is applied as a whole, or refused with the index of
//! the first step that failed. A read is a [`Select`]; its rows are returned, or passed to a [`RowSink`]. The contract
//! contains no connections or SQL, so one conformance suite tests every store. It defines what SQL dialects leave open:
//! text compares by code point and case-sensitively, nulls come first in an ascending order, text never contains U+0000,
//! and times are in microseconds.
//!
//! This file knows no records, keys or audit trails, except that the store chains an [`AuditEntry`] when it commits it.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    future::Future,
    num::NonZeroU64,
    ops::ControlFlow,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use crate::{
    audit::entry::AuditEntry,
    id::{OrganizationId, Timestamp},
    ticket::{Promise, Ticket},
};

/// The name of a table or a column.
pub type Name = Cow<'static, str>;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `true` or `false`.
    Boolean,
    /// A signed 64-bit integer.
    Integer,
    /// UTF-8 without U+0000.
    Text,
    /// Any bytes.
    Bytes,
    /// 16 bytes, ordered as bytes.
    Uuid,
    /// Microseconds since the Unix epoch.
    Time,
}

impl ColumnType {
    /// Every type.
    pub const ALL: [ColumnType; 6] = [
        ColumnType::Boolean,
        ColumnType::Integer,
        ColumnType::Text,
        ColumnType::Bytes,
        ColumnType::Uuid,
        ColumnType::Time,
    ];

    /// Returns the name that the catalog of columns stores.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Boolean => "boolean",
            ColumnType::Integer => "integer",
            ColumnType::Text => "text",
            ColumnType::Bytes => "bytes",
            ColumnType::Uuid => "uuid",
            ColumnType::Time => "time",
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, unique in the table.
    pub name: Name,
    /// The type.
    pub kind: ColumnType,
    /// Whether null is allowed. A column that is added to an existing table is nullable.
    pub nullable: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name, unique in the database.
    pub name: Name,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The columns of the primary key, which is also the order of a full scan.
    pub key: Vec<Name>,
    /// The indexes that are created with the table. A migration doesn't add them to an existing table, but a
    /// [`Step::CreateIndex`] can.
    pub indexes: Vec<Index>,
}

/// An index of a table. Reads and steps with a condition on its first columns read no other rows. It never changes a
/// result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The name, unique in the database among tables and indexes.
    pub name: Name,
    /// The columns, in order.
    pub columns: Vec<Name>,
}

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Null.
    Null,
    /// A value of a boolean column.
    Boolean(bool),
    /// A value of an integer column.
    Integer(i64),
    /// A value of a text column.
    Text(String),
    /// A value of a bytes column.
    Bytes(Vec<u8>),
    /// A value of a UUID column.
    Uuid(Uuid),
    /// A value of a time column.
    Time(Timestamp),
}

impl Datum {
    /// Returns the type of the columns that can contain it; `None` for null, which any nullable column can contain.
    #[must_use]
    pub fn kind(&self) -> Option<ColumnType> {
        DatumRef::from(self).kind()
    }
}

/// A value of a row that is being read. It is valid until the next row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatumRef<'a> {
    /// Null.
    Null,
    /// A value of a boolean column.
    Boolean(bool),
    /// A value of an integer column.
    Integer(i64),
    /// A value of a text column.
    Text(&'a str),
    /// A value of a bytes column.
    Bytes(&'a [u8]),
    /// A value of a UUID column.
    Uuid(Uuid),
    /// A value of a time column.
    Time(Timestamp),
}

impl DatumRef<'_> {
    /// Returns the type of the columns that can contain it; `None` for null, which any nullable column can contain.
    #[must_use]
    pub fn kind(&self) -> Option<ColumnType> {
        match self {
            DatumRef::Null => None,
            DatumRef::Boolean(_) => Some(ColumnType::Boolean),
            DatumRef::Integer(_) => Some(ColumnType::Integer),
            DatumRef::Text(_) => Some(ColumnType::Text),
            DatumRef::Bytes(_) => Some(ColumnType::Bytes),
            DatumRef::Uuid(_) => Some(ColumnType::Uuid),
            DatumRef::Time(_) => Some(ColumnType::Time),
        }
    }
}

impl<'a> From<&'a Datum> for DatumRef<'a> {
    fn from(datum: &'a Datum) -> Self {
        match datum {
            Datum::Null => DatumRef::Null,
            Datum::Boolean(value) => DatumRef::Boolean(*value),
            Datum::Integer(value) => DatumRef::Integer(*value),
            Datum::Text(value) => DatumRef::Text(value),
            Datum::Bytes(value) => DatumRef::Bytes(value),
            Datum::Uuid(value) => DatumRef::Uuid(*value),
            Datum::Time(value) => DatumRef::Time(*value),
        }
    }
}

impl From<DatumRef<'_>> for Datum {
    fn from(datum: DatumRef<'_>) -> Self {
        match datum {
            DatumRef::Null => Datum::Null,
            DatumRef::Boolean(value) => Datum::Boolean(value),
            DatumRef::Integer(value) => Datum::Integer(value),
            DatumRef::Text(value) => Datum::Text(value.to_owned()),
            DatumRef::Bytes(value) => Datum::Bytes(value.to_vec()),
            DatumRef::Uuid(value) => Datum::Uuid(value),
            DatumRef::Time(value) => Datum::Time(value),
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A condition on rows. A row either meets a condition or doesn't; there is no third result. A row whose column is null
/// meets no [`Compare`], [`Among`], [`BeginsWith`] or [`Lists`] of that column, and therefore meets every [`Not`] of one.
///
/// [`Compare`]: Condition::Compare
/// [`Among`]: Condition::Among
/// [`BeginsWith`]: Condition::BeginsWith
/// [`Lists`]: Condition::Lists
/// [`Not`]: Condition::Not
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The column compares with this value, which is not null.
    Compare {
        /// The column.
        column: Name,
        /// The operator.
        comparison: Comparison,
        /// The value, of the column's type.
        value: Datum,
    },
    /// The column equals one of these values, which are not null; no row if the list is empty.
    Among {
        /// The column.
        column: Name,
        /// The values, of the column's type, at most [`AMONG_MAX`].
        values: Vec<Datum>,
    },
    /// The text column is not null and begins with this text, case-sensitively and by code point. Every text begins
    /// with "".
    BeginsWith {
        /// The column.
        column: Name,
        /// The prefix.
        prefix: String,
    },
    /// The text column is not null, and its comma-separated list contains this element, case-sensitively. The element
    /// contains no comma.
    Lists {
        /// The column.
        column: Name,
        /// The element.
        element: String,
    },
    /// The column is null.
    IsNull(Name),
    /// All conditions are met; every row if the list is empty.
    All(Vec<Condition>),
    /// At least one condition is met; no row if the list is empty.
    Any(Vec<Condition>),
    /// The condition is not met.
    Not(Box<Condition>),
}

impl Condition {
    /// The condition that every row meets.
    pub const EVERYTHING: Condition = Condition::All(Vec::new());

    /// The column equals this value, which is not null.
    pub fn equal(column: impl Into<Name>, value: Datum) -> Condition {
        Condition::Compare { column: column.into(), comparison: Comparison::Equal, value }
    }

    /// The column is greater than this value.
    pub fn greater(column: impl Into<Name>, value: Datum) -> Condition {
        Condition::Compare { column: column.into(), comparison: Comparison::Greater, value }
    }

    /// The row comes after the row with these values, in the ascending order of these columns.
    #[must_use]
    pub fn later(columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        Self::beyond(Comparison::Greater, columns)
    }

    /// The row comes after the row with these values, in the descending order of these columns.
    #[must_use]
    pub fn earlier(columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        Self::beyond(Comparison::Less, columns)
    }

    fn beyond(comparison: Comparison, columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        let mut same: Vec<Condition> = Vec::new();
        let mut beyond = Vec::new();
        let mut reaches = None;
        for (column, value) in columns {
            let compared = |comparison| Condition::Compare { column: column.clone(), comparison, value: value.clone() };
            // Redundant, but a range of the first column, which an index has. No store finds one in the alternatives.
            reaches.get_or_insert_with(|| {
                compared(match comparison {
                    Comparison::Greater | Comparison::GreaterOrEqual => Comparison::GreaterOrEqual,
                    Comparison::Less | Comparison::LessOrEqual | Comparison::Equal => Comparison::LessOrEqual,
                })
            });
            beyond.push(Condition::All(same.iter().cloned().chain([compared(comparison)]).collect()));
            same.push(Condition::equal(column, value));
        }
        match reaches {
            Some(reaches) if beyond.len() > 1 => Condition::All(vec![reaches, Condition::Any(beyond)]),
            Some(_) | None => Condition::Any(beyond),
        }
    }

    /// Returns the negation of the condition.
    #[must_use]
    pub fn negated(self) -> Condition {
        Condition::Not(Box::new(self))
    }

    /// Returns the condition that both conditions are met.
    #[must_use]
    pub fn and(self, other: Condition) -> Condition {
        match self {
            Condition::All(mut conditions) => {
                conditions.push(other);
                Condition::All(conditions)
            }
            Condition::Compare { .. }
            | Condition::Among { .. }
            | Condition::BeginsWith { .. }
            | Condition::Lists { .. }
            | Condition::IsNull(_)
            | Condition::Any(_)
            | Condition::Not(_) => Condition::All(vec![self, other]),
        }
    }
}

/// The maximum number of values of a [`Condition::Among`]. Every database can bind this many in one statement, and it is
/// the maximum number of records in a batch.
pub const AMONG_MAX: usize = 1_000;

/// A change of a column in an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Sets the column to this value.
    Set(Name, Datum),
    /// Adds this number to an integer column.
    Add(Name, i64),
}

/// The source of a value in a row that is created from another row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This value.
    Value(Datum),
    /// The value in this column of the other row.
    Column(Name),
    /// The value in this integer column of the other row, plus one.
    Next(Name),
}

impl From<Datum> for Source {
    fn from(datum: Datum) -> Self {
        Source::Value(datum)
    }
}

/// The number of rows that an update or a delete must affect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exactly one. Otherwise the commit is refused.
    One,
    /// Any number.
    Any,
}

/// A change of a counter: an integer column in the row with this key. The row is created if it doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The table, whose primary key consists of the columns of `key`.
    pub table: Name,
    /// The key of the row, column by column.
    pub key: Vec<(Name, Datum)>,
    /// The counter column. The table has no columns except this and the key.
    pub counter: Name,
    /// The change per row.
    pub by: i64,
}

/// The number of a row in its table, which the store assigns. Numbers are unique, and a row keeps its number while the
/// table isn't rebuilt. A rebuild by other means, such as SQLite's `VACUUM`, may renumber the rows: a number says where
/// to look, and never proves which row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowNumber(pub i64);

/// A new value of a row's column of bytes.
#[derive(Debug)]
pub struct Rewrite {
    /// The row.
    pub number: RowNumber,
    /// The value that was read, which the row must still contain.
    pub former: Vec<u8>,
    /// The new value; `None` for null.
    pub value: Option<Vec<u8>>,
}

/// One step of a commit.
#[derive(Debug)]
pub enum Step {
    /// Requires that the commit with this ticket has been applied before this one, by the same store. It precedes all
    /// steps of other kinds.
    After(Ticket),
    /// Requires that at least one row meets the condition, and still does when the commit takes effect.
    Require {
        /// The table.
        table: Name,
        /// The condition.
        rows: Condition,
    },
    /// Requires that no row meets the condition.
    Forbid {
        /// The table.
        table: Name,
        /// The condition.
        rows: Condition,
    },
    /// Inserts a row. Refused if its key or another unique value exists.
    Insert {
        /// The table.
        table: Name,
        /// The values, column by column. Omitted columns are null.
        row: Vec<(Name, Datum)>,
    },
    /// Inserts a row for each row of another table that meets a condition. Refused if any of the keys exists.
    InsertFrom {
        /// The table.
        table: Name,
        /// The values, column by column. Omitted columns are null.
        row: Vec<(Name, Source)>,
        /// The other table.
        from: Name,
        /// The condition on the other table's rows.
        rows: Condition,
    },
    /// Updates rows.
    Update {
        /// The table.
        table: Name,
        /// The condition.
        rows: Condition,
        /// The changes.
        set: Vec<Assignment>,
        /// The required number of rows.
        expect: Expect,
    },
    /// Replaces the values of one column of bytes in many rows. A row that no longer contains its former value stays
    /// unchanged, so former values must tell rows apart.
    Rewrite {
        /// The table.
        table: Name,
        /// The column.
        column: Name,
        /// The new values.
        rows: Vec<Rewrite>,
        /// Further changes of each row.
        set: Vec<Assignment>,
    },
    /// Deletes rows.
    Delete {
        /// The table.
        table: Name,
        /// The condition.
        rows: Condition,
        /// The required number of rows.
        expect: Expect,
    },
    /// Deletes at most `at_most` rows, so that other commits don't wait long. The store chooses which.
    Prune {
        /// The table.
        table: Name,
        /// The columns of its primary key.
        key: Vec<Name>,
        /// The condition.
        rows: Condition,
        /// The maximum number of rows.
        at_most: u32,
    },
    /// Changes a counter once for each row that the preceding step inserted, updated or deleted. Other tallies in
    /// between don't count as the preceding step. The counter is updated when the commit is applied, regardless of
    /// later steps, so no later step of the commit may read it.
    Tally(Tally),
    /// Creates a table with its indexes. Refused if it exists.
    CreateTable(Table),
    /// Adds a nullable column to an existing table.
    AddColumn {
        /// The table.
        table: Name,
        /// The column.
        column: Column,
    },
    /// Creates an index of an existing table. An index with the same name stays unchanged. Writes wait meanwhile.
    CreateIndex {
        /// The table.
        table: Name,
        /// The index.
        index: Index,
    },
    /// Drops an index if it exists.
    DropIndex {
        /// The name of the index.
        name: Name,
    },
    /// Appends a record to the writer's chain of the audit trail.
    Audit(AuditEntry),
}

/// A write: either all steps are applied in order, or none.
#[derive(Debug, Default)]
pub struct Commit {
    /// The steps.
    pub steps: Vec<Step>,
    /// The promise of the outcome, for commits that build on this one. The store settles it before the caller gets the
    /// outcome.
    pub promise: Option<Promise>,
    /// The organization whose lock this server must still have when the commit takes effect. Otherwise the commit is
    /// unavailable. For changes that another server's work could make wrong, and that no condition on rows prevents.
    pub under_lock_of: Option<OrganizationId>,
}

impl Commit {
    /// Creates a commit of these steps.
    #[must_use]
    pub fn of(steps: Vec<Step>) -> Self {
        Commit { steps, promise: None, under_lock_of: None }
    }

    /// Creates a commit of these steps, for work under the lock of an organization.
    #[must_use]
    pub fn under_lock(organization: OrganizationId, steps: Vec<Step>) -> Self {
        Commit { under_lock_of: Some(organization), ..Commit::of(steps) }
    }
}

/// A read of one table.
#[derive(Clone, Debug)]
pub struct Select {
    /// The table.
    pub table: Name,
    /// The columns to return, in this order.
    pub columns: Vec<Name>,
    /// The condition.
    pub rows: Condition,
    /// The sort order. If empty, the order of the rows is unspecified.
    pub order: Vec<(Name, Direction)>,
    /// The maximum number of rows.
    pub limit: u32,
}

/// A read of one table whose rows are taken one by one.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The rows and their columns.
    pub select: Select,
    /// Whether the store finds the rows without reading many others, and they are few. It may then read them on the
    /// calling thread.
    pub is_short: bool,
}

/// How a scan into a sink ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// All rows were passed, or the sink has enough.
    Complete,
    /// The time of a page is over. All rows up to the one with these values in the columns of the order were examined,
    /// and no later one was passed. A scan that begins after it continues this one.
    Cut(Row),
}

/// Takes the rows of a scan, on the thread that reads them. It copies only what it needs of them.
pub trait RowSink: Send {
    /// Takes a row, whose values are in the order of the selected columns. The scan ends after [`ControlFlow::Break`].
    ///
    /// # Errors
    /// If the row is malformed. The scan then fails with the error.
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable>;

    /// Drops the rows that were taken, because the store reads them again from the first one.
    fn clear(&mut self);
}

/// A read of one row by its key, for any key. It is created once and used for many reads, so that a store can keep what
/// it derives from the columns.
#[derive(Debug)]
pub struct Lookup {
    id: u64,
    table: Name,
    columns: Vec<Name>,
    key: Name,
}

impl Lookup {
    /// Creates a read of these columns. `key` is the only column of the table's primary key.
    #[must_use]
    pub fn new(table: Name, columns: Vec<Name>, key: Name) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Lookup { id: NEXT.fetch_add(1, Ordering::Relaxed), table, columns, key }
    }

    /// Returns a number that no other lookup of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the table.
    #[must_use]
    pub fn table(&self) -> &Name {
        &self.table
    }

    /// Returns the columns to return, in order.
    #[must_use]
    pub fn columns(&self) -> &[Name] {
        &self.columns
    }

    /// Returns the column of the key.
    #[must_use]
    pub fn key(&self) -> &Name {
        &self.key
    }

    /// Returns the read for one key, which is not null.
    #[must_use]
    pub fn select(&self, key: Datum) -> Select {
        let (table, columns) = (self.table.clone(), self.columns.clone());
        let rows = Condition::equal(self.key.clone(), key);
        Select { table, columns, rows, order: Vec::new(), limit: 1 }
    }
}

/// A read of one column of bytes, in the order of the row numbers. Nulls are left out.
#[derive(Clone, Debug)]
pub struct ColumnScan {
    /// The table.
    pub table: Name,
    /// The column of UUIDs that is the key of the table.
    pub key: Name,
    /// The column of bytes.
    pub column: Name,
    /// The row after which the read begins; `None` for the first row.
    pub after: Option<RowNumber>,
    /// Leaves out the values that begin with these bytes, at most 16.
    pub except_header: Option<Vec<u8>>,
    /// The maximum number of rows.
    pub limit: u32,
    /// The total size of values in bytes at which the read ends. The row that exceeds it is the last one.
    pub bytes_max: usize,
}

/// A row of a [`ColumnScan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRow {
    /// The number of the row.
    pub number: RowNumber,
    /// The key.
    pub key: Uuid,
    /// The value.
    pub value: Vec<u8>,
}

/// The result of a [`ColumnScan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnRows {
    /// The rows.
    pub rows: Vec<ColumnRow>,
    /// Whether the read ended at a limit. There may be more rows then.
    pub is_cut: bool,
}

/// A sort direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first. Nulls come first.
    Ascending,
    /// Largest first. Nulls come last.
    Descending,
}

/// A row of a result, in the order of the selected columns.
pub type Row = Vec<Datum>;

/// Why a store failed. The text is for the log, never for a caller.
#[derive(Debug)]
pub struct Cause(pub Box<dyn Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<&'static str> for Cause {
    fn from(text: &'static str) -> Self {
        Cause(text.into())
    }
}

/// The database did not answer a read, or contains unreadable data.
#[derive(Debug, thiserror::Error)]
#[error("the store is unavailable")]
pub struct Unavailable(#[source] pub Cause);

/// Why a store ended a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotEnded {
    /// The snapshot kept the write-ahead log from being truncated, and the log has reached its maximum size.
    #[error("the store ended the snapshot, because it kept the database's log from being truncated")]
    LogFull,
    /// The snapshot blocked a [`scrub`](Store::scrub).
    #[error("the store ended the snapshot, because it kept deleted data in the database's files")]
    BlocksScrub,
}

/// Returns why the store ended the snapshot, if a read failed for that reason. The read can be repeated with another
/// snapshot.
#[must_use]
pub fn snapshot_ended(cause: &Cause) -> Option<SnapshotEnded> {
    let mut next: Option<&(dyn Error + 'static)> = Some(&*cause.0);
    while let Some(error) = next {
        if let Some(ended) = error.downcast_ref::<SnapshotEnded>() {
            return Some(*ended);
        }
        next = error.source();
    }
    None
}

/// Why a commit did not take effect, or may not have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The expectation of a step was not met. Nothing changed.
    #[error("step {step} of the commit was refused")]
    Refused {
        /// The index of the first step that failed, from 0.
        step: usize,
    },
    /// The store could not apply the commit. Nothing changed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The commit was sent, but its outcome is unknown. It may have taken effect, as a whole.
    #[error("the outcome of the commit is unknown")]
    Unknown(#[source] Cause),
}

/// Why a use case failed although its request was valid: a failure of a database, the root key or the audit trail.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// The audit record can't be written. Nothing was disclosed or changed.
    #[error("the audit record can't be written")]
    AuditUnavailable(#[source] Cause),
    /// A database or the root key did not answer. Nothing changed.
    #[error("a database is unavailable")]
    Unavailable(#[source] Cause),
    /// The outcome of a commit is unknown.
    #[error("the outcome is unknown")]
    Unknown(#[source] Cause),
}

impl StoreFailure {
    /// Returns the failure of a commit that contains only an audit record.
    pub(crate) fn unaudited(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => StoreFailure::AuditUnavailable("an audit record was refused".into()),
            CommitError::Unavailable(cause) | CommitError::Unknown(cause) => StoreFailure::AuditUnavailable(cause),
        }
    }

    /// Returns a failure inside the service that no input explains.
    pub(crate) fn internal(error: impl Error + Send + Sync + 'static) -> Self {
        StoreFailure::Unavailable(Cause(Box::new(error)))
    }
}

impl From<Unavailable> for StoreFailure {
    fn from(Unavailable(cause): Unavailable) -> Self {
        StoreFailure::Unavailable(cause)
    }
}

impl From<CommitError> for StoreFailure {
    /// For a commit that can't be refused, because its conditions were read under the organization's lock.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => StoreFailure::Unavailable("a commit under the lock was refused".into()),
            CommitError::Unavailable(cause) => StoreFailure::Unavailable(cause),
            CommitError::Unknown(cause) => StoreFailure::Unknown(cause),
        }
    }
}

/// Why an organization's database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database doesn't exist.
    #[error("the organization has no database")]
    Missing,
    /// The database exists but can't be read.
    #[error("the organization's database can't be opened")]
    Unavailable(#[source] Cause),
    /// The database contains another organization's id, or a name that differs from the earlier one.
    #[error("the database belongs to another organization")]
    WrongOrganization,
}

/// A readable database, or a snapshot of one.
///
/// [`select`](Reader::select) and [`count`](Reader::count) are for reads whose work the service limits: a record by its
/// id, a small table, a batch. [`scan`](Reader::scan) and [`scan_count`](Reader::scan_count) are for reads whose work a
/// caller determines, such as a list with a filter. A store separates them, so that the first kind never waits for the
/// second.
pub trait Reader: Send + Sync {
    /// Reads rows.
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>>;

    /// Reads the row with this key, which is not null; `None` if there is no such row. A store may do it on the calling
    /// thread if that takes microseconds.
    fn look_up(&self, lookup: &Arc<Lookup>, key: Datum) -> Pending<'_, Result<Option<Row>, Unavailable>> {
        let select = lookup.select(key);
        Box::pin(async move { Ok(self.select(select).await?.into_iter().next()) })
    }

    /// Counts the rows of `table` that meet the condition.
    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>>;

    /// Reads rows until their values have more than `bytes_max` bytes in total. The row that exceeds the limit is the
    /// last one. Dropping the future stops the scan, and so does the store's time limit for scans, if it has one.
    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(async move { Ok(Scanned::cut(self.select(select).await?, bytes_max)) })
    }

    /// Passes rows to a sink, which nothing else uses meanwhile, until the sink has enough. The limits are those of
    /// [`scan`](Reader::scan). A store that finds the rows in their order may end the scan before: see [`ScanEnd::Cut`].
    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        Box::pin(async move {
            let rows = self.select(scan.select).await?;
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            for row in &rows {
                let row: Vec<DatumRef<'_>> = row.iter().map(DatumRef::from).collect();
                if sink.take(&row)?.is_break() {
                    break;
                }
            }
            Ok(ScanEnd::Complete)
        })
    }

    /// Counts rows as [`count`](Reader::count) does, within the limits of [`scan`](Reader::scan).
    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(async move { Ok(self.count(table, rows).await?) })
    }

    /// Reads a column of many rows. The service limits its work, so it belongs to the first kind.
    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>>;
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether the scan ended at the byte limit. There may be more rows then.
    pub is_cut: bool,
}

impl Scanned {
    /// Returns these rows up to and including the row that exceeds `bytes_max`.
    fn cut(mut rows: Vec<Row>, bytes_max: usize) -> Self {
        let mut bytes = 0_usize;
        let exceeds = rows.iter().position(|row| {
            bytes = bytes.saturating_add(row_bytes(row));
            bytes > bytes_max
        });
        let is_cut = exceeds.is_some();
        if let Some(last) = exceeds {
            rows.truncate(last.saturating_add(1));
        }
        Scanned { rows, is_cut }
    }
}

/// Returns the size of a row's values in bytes: the lengths of texts and bytes, and 16 for any other value.
#[must_use]
pub fn row_bytes<'a, D: Into<DatumRef<'a>>>(row: impl IntoIterator<Item = D>) -> usize {
    row.into_iter().map(|datum| datum_bytes(datum.into())).fold(0, usize::saturating_add)
}

fn datum_bytes(datum: DatumRef<'_>) -> usize {
    match datum {
        DatumRef::Text(text) => text.len(),
        DatumRef::Bytes(bytes) => bytes.len(),
        DatumRef::Null | DatumRef::Boolean(_) | DatumRef::Integer(_) | DatumRef::Uuid(_) | DatumRef::Time(_) => 16,
    }
}

/// Why a scan failed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The scan exceeded the store's time limit.
    #[error("the scan took longer than {limit_ms} ms")]
    TooLong {
        /// The time limit.
        limit_ms: u64,
    },
    /// The database did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Identifies a state of a database in this process. No two states have the same generation, even if the database is
/// closed and opened again. Data that was read between two equal generations is still current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub NonZeroU64);

/// A database. Reads return the last commit or a later state.
pub trait Store: Reader {
    /// Applies a commit. Returns after the commit is durable.
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>>;

    /// Hands over a commit, and returns when it has its place in the order of commits. It is applied after all commits
    /// that were handed over before, even if the outcome isn't awaited.
    fn submit(&self, commit: Commit) -> Pending<'_, Submitted> {
        Box::pin(async move {
            let outcome = self.commit(commit).await;
            Submitted::new(async { outcome })
        })
    }

    /// Takes a snapshot: the database as it is now. Later commits are invisible in it. Writes continue, but the files
    /// can't shrink, and a [`scrub`](Store::scrub) waits until the snapshot is dropped: don't hold a snapshot for long.
    /// A store may end a blocking snapshot. Reads of it then fail, and [`snapshot_ended`] returns the reason.
    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>>;

    /// Returns the generation of the database's content, which identifies the state that reads return now. `None` while
    /// a commit is about to change it, while the database is closed, and for a store that other processes write to:
    /// then nothing that was read can be kept.
    fn generation(&self) -> Option<Generation> {
        None
    }

    /// Removes deleted and overwritten data from the database's files, as far as the store can.
    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>>;
}

/// A commit that was handed over.
pub struct Submitted(Pending<'static, Result<(), CommitError>>);

impl Submitted {
    /// Creates the value from the future of the outcome.
    pub fn new(outcome: impl Future<Output = Result<(), CommitError>> + Send + 'static) -> Self {
        Submitted(Box::pin(outcome))
    }

    /// Returns the outcome after the commit is durable or has failed.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn outcome(self) -> Result<(), CommitError> {
        self.0.await
    }
}

/// The future that an asynchronous port returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
