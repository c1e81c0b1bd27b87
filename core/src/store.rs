//! The store port: what a database must be able to do, as values.
//!
//! Writes are [`Commit`]s: lists of steps with expectations, applied whole or refused with the index of the first step that failed.
//! Reads are [`Select`]s. There is no closure, no connection and no SQL in this contract, so that one conformance suite serves every
//! store. What dialects decide silently is decided here: text compares by code point and case-sensitively, nulls come first in an
//! ascending order, no text holds U+0000, and times are microseconds.
//!
//! Nothing here knows records, keys or audit trails, but that an [`AuditEntry`] is chained by whoever commits it.

use std::{borrow::Cow, error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use uuid::Uuid;

use crate::{audit::entry::AuditEntry, id::Timestamp};

/// The name of a table or a column.
pub type Name = Cow<'static, str>;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// true or false
    Boolean,
    /// 64 bits, signed
    Integer,
    /// UTF-8 without U+0000
    Text,
    /// any bytes
    Bytes,
    /// 16 bytes, ordered as such
    Uuid,
    /// microseconds since the Unix epoch
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

    /// The name that the catalog of columns stores.
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
    /// Its name, unique in the table.
    pub name: Name,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether null is allowed. A column added to a table that exists is nullable.
    pub nullable: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, unique in the database.
    pub name: Name,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns of its primary key: the order of a full scan.
    pub key: Vec<Name>,
    /// What else rows are looked for by. They come with the table; a migration adds none to a table that exists, but a
    /// [`Step::CreateIndex`] can.
    pub indexes: Vec<Index>,
}

/// An index of a table: reads and steps whose condition bears on its first columns look at no other rows. Changes no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique in the database among tables and indexes.
    pub name: Name,
    /// Its columns, in order.
    pub columns: Vec<Name>,
}

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Nothing.
    Null,
    /// In a boolean column.
    Boolean(bool),
    /// In an integer column.
    Integer(i64),
    /// In a text column.
    Text(String),
    /// In a bytes column.
    Bytes(Vec<u8>),
    /// In a UUID column.
    Uuid(Uuid),
    /// In a time column.
    Time(Timestamp),
}

impl Datum {
    /// The type of the columns that can hold it; `None` for null, which any may.
    #[must_use]
    pub fn kind(&self) -> Option<ColumnType> {
        match self {
            Datum::Null => None,
            Datum::Boolean(_) => Some(ColumnType::Boolean),
            Datum::Integer(_) => Some(ColumnType::Integer),
            Datum::Text(_) => Some(ColumnType::Text),
            Datum::Bytes(_) => Some(ColumnType::Bytes),
            Datum::Uuid(_) => Some(ColumnType::Uuid),
            Datum::Time(_) => Some(ColumnType::Time),
        }
    }
}

/// How two values compare.
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

/// Which rows. A row meets a condition or it doesn't, there is no third answer: a row whose column is null meets no [`Compare`],
/// [`BeginsWith`], [`Lists`] or [`HeaderDiffers`] of it, and therefore every [`Not`] of one.
///
/// [`Compare`]: Condition::Compare
/// [`BeginsWith`]: Condition::BeginsWith
/// [`Lists`]: Condition::Lists
/// [`HeaderDiffers`]: Condition::HeaderDiffers
/// [`Not`]: Condition::Not
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The column's value compares so with this one, which is not null.
    Compare {
        /// The column.
        column: Name,
        /// How.
        comparison: Comparison,
        /// With what; of the column's type.
        value: Datum,
    },
    /// The column, of text, is not null and begins with this text: case-sensitive, code point by code point. Every text begins with "".
    BeginsWith {
        /// The column.
        column: Name,
        /// The text.
        prefix: String,
    },
    /// The column, of text, is not null and is a list, joined by commas, that has this element: case-sensitive. The element has no comma.
    Lists {
        /// The column.
        column: Name,
        /// The element.
        element: String,
    },
    /// The column is null.
    IsNull(Name),
    /// The column, of bytes, is not null and doesn't begin with these bytes. A shorter value doesn't begin with them.
    HeaderDiffers {
        /// The column.
        column: Name,
        /// The bytes, at most 16.
        header: Vec<u8>,
    },
    /// All of these; every row if there are none.
    All(Vec<Condition>),
    /// At least one of these; no row if there are none.
    Any(Vec<Condition>),
    /// Every row that doesn't meet this one.
    Not(Box<Condition>),
}

impl Condition {
    /// Every row.
    pub const EVERYTHING: Condition = Condition::All(Vec::new());

    /// The column has this value, which is not null.
    pub fn equal(column: impl Into<Name>, value: Datum) -> Condition {
        Condition::Compare { column: column.into(), comparison: Comparison::Equal, value }
    }

    /// The column is greater than this value.
    pub fn greater(column: impl Into<Name>, value: Datum) -> Condition {
        Condition::Compare { column: column.into(), comparison: Comparison::Greater, value }
    }

    /// Every row that comes after the one with these values, in the ascending order of these columns.
    #[must_use]
    pub fn later(columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        Self::beyond(Comparison::Greater, columns)
    }

    /// Every row that comes after the one with these values, in the descending order of these columns.
    #[must_use]
    pub fn earlier(columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        Self::beyond(Comparison::Less, columns)
    }

    fn beyond(comparison: Comparison, columns: impl IntoIterator<Item = (Name, Datum)>) -> Condition {
        let mut same: Vec<Condition> = Vec::new();
        let mut beyond = Vec::new();
        for (column, value) in columns {
            let compared = Condition::Compare { column: column.clone(), comparison, value: value.clone() };
            beyond.push(Condition::All(same.iter().cloned().chain([compared]).collect()));
            same.push(Condition::equal(column, value));
        }
        Condition::Any(beyond)
    }

    /// Every row that doesn't meet this condition.
    #[must_use]
    pub fn negated(self) -> Condition {
        Condition::Not(Box::new(self))
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Condition) -> Condition {
        match self {
            Condition::All(mut conditions) => {
                conditions.push(other);
                Condition::All(conditions)
            }
            Condition::Compare { .. }
            | Condition::BeginsWith { .. }
            | Condition::Lists { .. }
            | Condition::IsNull(_)
            | Condition::HeaderDiffers { .. }
            | Condition::Any(_)
            | Condition::Not(_) => Condition::All(vec![self, other]),
        }
    }
}

/// What an update does to a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// The column becomes this.
    Set(Name, Datum),
    /// The column, an integer, grows by this much.
    Add(Name, i64),
}

/// Where a value of a new row comes from, that is made of another row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is this one.
    Value(Datum),
    /// It is that of the other row's column.
    Column(Name),
    /// It is one more than that of the other row's column, an integer.
    Next(Name),
}

impl From<Datum> for Source {
    fn from(datum: Datum) -> Self {
        Source::Value(datum)
    }
}

/// How many rows an update or a delete must touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exactly one, or the commit is refused.
    One,
    /// As many as there are.
    Any,
}

/// How far a counter moves: an integer column in the row of this key, which is made if it isn't there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The table, whose key is that of `key`.
    pub table: Name,
    /// The row, column by column.
    pub key: Vec<(Name, Datum)>,
    /// The column that counts; the only one beside the key.
    pub counter: Name,
    /// How far.
    pub by: i64,
}

/// One step of a commit.
#[derive(Debug)]
pub enum Step {
    /// At least one row meets the condition, and will still do so when the commit takes effect.
    Require {
        /// In this table.
        table: Name,
        /// Which rows.
        rows: Condition,
    },
    /// No row meets the condition.
    Forbid {
        /// In this table.
        table: Name,
        /// Which rows.
        rows: Condition,
    },
    /// A new row; refused if its key, or another value that must be unique, exists.
    Insert {
        /// Into this table.
        table: Name,
        /// Column by column; those left out are null.
        row: Vec<(Name, Datum)>,
    },
    /// A new row for each row of another table that meets a condition; refused if the key of one exists.
    InsertFrom {
        /// Into this table.
        table: Name,
        /// Column by column; those left out are null.
        row: Vec<(Name, Source)>,
        /// Of the rows of this table.
        from: Name,
        /// That meet this.
        rows: Condition,
    },
    /// A change of rows.
    Update {
        /// In this table.
        table: Name,
        /// Which rows.
        rows: Condition,
        /// What changes.
        set: Vec<Assignment>,
        /// How many.
        expect: Expect,
    },
    /// Rows go.
    Delete {
        /// From this table.
        table: Name,
        /// Which rows.
        rows: Condition,
        /// How many.
        expect: Expect,
    },
    /// Rows go, some of them if there are many, so that no commit has to wait for long; which ones is the store's choice.
    Prune {
        /// From this table.
        table: Name,
        /// The columns of its key.
        key: Vec<Name>,
        /// Which rows.
        rows: Condition,
        /// No more than this many.
        at_most: u32,
    },
    /// A counter moves for each row that the last step before it which is no tally has inserted, changed or taken away. It has moved when
    /// the commit is made, whichever steps follow; none of them should look at it.
    Tally(Tally),
    /// A new table, with its indexes; refused if it exists.
    CreateTable(Table),
    /// A new, nullable column of a table that exists.
    AddColumn {
        /// The table.
        table: Name,
        /// The column.
        column: Column,
    },
    /// An index of a table that exists; one of the same name stays as it is. Writes wait while it is made.
    CreateIndex {
        /// The table.
        table: Name,
        /// The index.
        index: Index,
    },
    /// An index goes, if it is there.
    DropIndex {
        /// Its name.
        name: Name,
    },
    /// The next record of the audit trail's chain of this writer.
    Audit(AuditEntry),
}

/// A write: all of these steps in this order, or none.
#[derive(Debug, Default)]
pub struct Commit {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Commit {
    /// A commit of these steps.
    #[must_use]
    pub fn of(steps: Vec<Step>) -> Self {
        Commit { steps }
    }
}

/// A read of one table.
#[derive(Clone, Debug)]
pub struct Select {
    /// The table.
    pub table: Name,
    /// The columns wanted, in this order.
    pub columns: Vec<Name>,
    /// Which rows.
    pub rows: Condition,
    /// By what they are ordered; without it in no order.
    pub order: Vec<(Name, Direction)>,
    /// At most this many.
    pub limit: u32,
}

/// A direction of ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first, nulls before all.
    Ascending,
    /// Largest first, nulls after all.
    Descending,
}

/// One row of an answer, in the order of the columns asked for.
pub type Row = Vec<Datum>;

/// Why a store could not answer; the text is for the log, never for a caller.
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

/// The database did not answer a read, or holds something that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the store is unavailable")]
pub struct Unavailable(#[source] pub Cause);

/// Why a store ended a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotEnded {
    /// It kept the log of writes from being cut, which is as large as it may be.
    #[error("the snapshot was ended: it kept the database's log from being cut")]
    LogFull,
    /// It kept a [`scrub`](Store::scrub) from being done.
    #[error("the snapshot was ended: it kept deleted data in the database's files")]
    InTheWay,
}

/// Whether a read failed because the store ended its snapshot: it can be begun again with another.
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

/// Why a commit did not take effect, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A step's expectation was not met. Nothing changed.
    #[error("step {step} of the commit was refused")]
    Refused {
        /// The first step that failed, from 0.
        step: usize,
    },
    /// The store could not do it. Nothing changed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The commit was sent and its outcome is not known: it may have taken effect, whole.
    #[error("the outcome of the commit is unknown")]
    Unknown(#[source] Cause),
}

/// Why a use case failed although its request was valid: a database, the root key or the audit trail failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// The audit record can't be written; nothing was disclosed or done.
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
    /// Why a commit that has only an audit record failed.
    pub(crate) fn unaudited(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => StoreFailure::AuditUnavailable("an audit record was refused".into()),
            CommitError::Unavailable(cause) | CommitError::Unknown(cause) => StoreFailure::AuditUnavailable(cause),
        }
    }

    /// A failure inside the service that no input explains.
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
    /// For a commit that nothing can refuse, because its conditions are read under the organization's lock.
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
    /// There is none.
    #[error("the organization has no database")]
    Missing,
    /// It is there, and can't be read.
    #[error("the organization's database can't be opened")]
    Unavailable(#[source] Cause),
    /// It is another organization's inside, or has another name there than it had before.
    #[error("the database is another organization's inside")]
    OtherInside,
}

/// What can be read: a database, or a snapshot of one.
///
/// [`select`](Reader::select) and [`count`](Reader::count) are for reads whose work the service bounds: a record by its id, a small
/// table, a batch. [`scan`](Reader::scan) and [`scan_count`](Reader::scan_count) are for reads whose work a caller chooses, such as a
/// list with a filter. A store keeps them apart, so that the first never wait for the second.
pub trait Reader: Send + Sync {
    /// Reads rows.
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>>;

    /// How many rows of `table` meet the condition.
    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>>;

    /// Reads rows until their values have more than `bytes_max` bytes together; the row that exceeds it is the last one. Stops
    /// when the answer is dropped, and where the store bounds the time of a scan, when that has passed.
    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(async move { Ok(Scanned::cut(self.select(select).await?, bytes_max)) })
    }

    /// As [`count`](Reader::count), under the bounds of [`scan`](Reader::scan).
    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(async move { Ok(self.count(table, rows).await?) })
    }
}

/// The rows that a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether the scan ended because of the bytes, so that there may be more rows.
    pub is_cut: bool,
}

impl Scanned {
    /// These rows, up to and including the one that exceeds `bytes_max`.
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

/// How many bytes the values of a row have: those of texts and bytes, and 16 for any other value.
#[must_use]
pub fn row_bytes(row: &[Datum]) -> usize {
    row.iter().map(datum_bytes).fold(0, usize::saturating_add)
}

fn datum_bytes(datum: &Datum) -> usize {
    match datum {
        Datum::Text(text) => text.len(),
        Datum::Bytes(bytes) => bytes.len(),
        Datum::Null | Datum::Boolean(_) | Datum::Integer(_) | Datum::Uuid(_) | Datum::Time(_) => 16,
    }
}

/// Why a scan gave no rows.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It took longer than the store lets a scan take.
    #[error("the scan took longer than {limit_ms} ms")]
    TooLong {
        /// How long it may take.
        limit_ms: u64,
    },
    /// The database did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A database. It reads what was committed last, or later.
pub trait Store: Reader {
    /// Applies a commit, and answers once it is durable.
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>>;

    /// The database as it is now, for as long as the snapshot is held: whatever is committed meanwhile doesn't show in it. Writes go on,
    /// but the files can't shrink and a [`scrub`](Store::scrub) can't be done before the snapshot is dropped: don't hold one for long.
    /// A store may end a snapshot that is in the way; reads of it then fail with a cause in which [`snapshot_ended`] finds why.
    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>>;

    /// Makes what was deleted or overwritten before disappear from the database's files, as far as the store can say.
    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>>;
}

/// What an asynchronous port answers with.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
