//! What a statement consists of, and the dialects it can have.
//!
//! This file builds no text.

use std::borrow::Cow;

use sealward_core::store::{ColumnType, Datum, Rewrite, RowNumber};
use uuid::Uuid;

/// A statement: its text, and the values of its placeholders, in order.
#[derive(Debug, Default)]
pub(crate) struct Sql<'a> {
    pub(crate) text: String,
    pub(crate) values: Vec<Value<'a>>,
    /// The columns in the text. Only in shared tables, which may have columns that this database doesn't have.
    pub(crate) columns: Vec<&'a str>,
}

/// The value of a placeholder. It contains the name of its column, so that its type can be checked.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// A datum that is stored in this column or compared with it.
    Datum(&'a str, &'a Datum),
    /// A limit on the text of this column.
    Bound(&'a str, Cow<'a, str>),
    /// A number that is added to this integer column.
    Increment(&'a str, i64),
    /// Bytes that are stored in this column, or a limit on them.
    Bytes(&'a str, Cow<'a, [u8]>),
    /// The database whose rows a shared table contains.
    Owner(Owner),
    /// The number of a row.
    Row(RowNumber),
    /// A value of each row, as an array. Only PostgreSQL has arrays.
    Each(Each, &'a [Rewrite]),
    /// A limit on the number of rows.
    Limit(u32),
    /// A value of a row that is created from another table's row. The store checks its type separately.
    Literal(&'a Datum),
}

impl<'a> Value<'a> {
    /// Returns the column of this value; `None` if it has no column.
    pub(crate) fn column(&self) -> Option<&'a str> {
        match *self {
            Value::Datum(column, _)
            | Value::Bound(column, _)
            | Value::Increment(column, _)
            | Value::Bytes(column, _) => Some(column),
            Value::Limit(_) | Value::Literal(_) | Value::Owner(_) | Value::Row(_) | Value::Each(..) => None,
        }
    }

    /// Returns the column of this value and its required type; `None` if the value has no column.
    pub(crate) fn claim(&self) -> Option<(&'a str, ColumnType)> {
        match *self {
            Value::Datum(column, datum) => datum.kind().map(|kind| (column, kind)),
            Value::Bound(column, _) => Some((column, ColumnType::Text)),
            Value::Increment(column, _) => Some((column, ColumnType::Integer)),
            Value::Bytes(column, _) => Some((column, ColumnType::Bytes)),
            Value::Limit(_) | Value::Literal(_) | Value::Owner(_) | Value::Row(_) | Value::Each(..) => None,
        }
    }
}

/// How an index contains a column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexed {
    /// Whether the index says that nulls are first, as reads do.
    pub(crate) is_nullable: bool,
    /// The number of characters of a text that the index contains; `None` for all.
    pub(crate) prefix: Option<u32>,
}

/// A value of a [`Rewrite`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Each {
    Number,
    Former,
    Value,
}

/// An invalid request to a store. It is a bug of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The name of a table or a column is invalid.
    #[error("the name of a table or a column must be 1 to 63 letters, digits and underscores")]
    Name,
    /// A comparison with null, which no row meets.
    #[error("a condition compares with null")]
    NullComparison,
    /// A text that some stores can't contain.
    #[error("a text contains U+0000")]
    NulCharacter,
    /// A new column without nulls, which existing rows have no value for.
    #[error("a column added to a table must be nullable")]
    NewColumnNotNullable,
}

/// The id of a database in shared tables: that of an organization, or zeros for the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner(pub(crate) Uuid);

/// The SQL dialects, which differ in these methods.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    Sqlite,
    /// The rows of one database in shared tables.
    Postgres(Owner),
}

/// The schema of all tables of PostgreSQL.
pub(crate) const SCHEMA: &str = "sealward";
