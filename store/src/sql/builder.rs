//! Builds the text of a statement, piece by piece.
//!
//! The only code that names the column of a shared table that contains the id of the row's database. This file doesn't
//! know whole statements.

use std::fmt::Write as _;

use sealward_core::store::{Assignment, Comparison, Condition, Datum, Direction, Select, Tally};

use super::statement::{Dialect, Malformed, Owner, SCHEMA, Sql, Value};

/// A statement that is being built.
pub(super) struct Builder<'a> {
    dialect: Dialect,
    sql: Sql<'a>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(dialect: Dialect, start: &str) -> Self {
        // Enough for the row of an entity with 30 attributes.
        let mut text = String::with_capacity(1_024);
        text.push_str(start);
        Builder { dialect, sql: Sql { text, values: Vec::with_capacity(PLACEHOLDERS.len()), columns: Vec::new() } }
    }

    /// Adds the text and the values of a statement that was built before. It must be the first one with values.
    pub(super) fn include(&mut self, other: Sql<'a>) {
        self.text(&other.text);
        self.sql.values.extend(other.values);
        self.sql.columns.extend(other.columns);
    }

    pub(super) fn finish(self) -> Sql<'a> {
        self.sql
    }

    pub(super) fn text(&mut self, text: &str) {
        self.sql.text.push_str(text);
    }

    /// The database whose rows the statement reads and writes; `None` if its tables contain no other rows.
    fn owner(&self) -> Option<Owner> {
        match self.dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres(owner) => Some(owner),
        }
    }

    /// Defines the column of the database's id, the first one of a table.
    pub(super) fn owner_definition(&mut self) {
        if self.owner().is_some() {
            self.text(OWNER);
            self.text(" uuid NOT NULL, ");
        }
    }

    /// Begins a list of columns with that of the database's id.
    pub(super) fn owner_column(&mut self) {
        if self.owner().is_some() {
            self.text(OWNER);
            self.text(", ");
        }
    }

    /// Begins a list of values with the database's id.
    pub(super) fn owner_value(&mut self) -> Result<(), Malformed> {
        if let Some(owner) = self.owner() {
            self.value(Value::Owner(owner))?;
            self.text(", ");
        }
        Ok(())
    }

    /// The column of the database's id.
    pub(super) fn owner_name(&mut self) {
        self.text(OWNER);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sql.text.is_empty()
    }

    /// Begins a condition, which follows.
    pub(super) fn where_owned(&mut self) -> Result<(), Malformed> {
        self.text(" WHERE ");
        if let Some(owner) = self.owner() {
            self.text(OWNER);
            self.text(" = ");
            self.value(Value::Owner(owner))?;
            self.text(" AND ");
        }
        Ok(())
    }

    /// The name of a table.
    pub(super) fn table(&mut self, name: &str) -> Result<(), Malformed> {
        if self.owner().is_some() {
            self.text(SCHEMA);
            self.text(".");
        }
        self.name(name)
    }

    /// The name of a column.
    pub(super) fn column(&mut self, name: &'a str) -> Result<(), Malformed> {
        if self.owner().is_some() {
            self.sql.columns.push(name);
        }
        self.name(name)
    }

    /// PostgreSQL truncates names longer than 63 bytes.
    pub(super) fn name(&mut self, name: &str) -> Result<(), Malformed> {
        let starts = name.as_bytes().first().is_some_and(|first| !first.is_ascii_digit());
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !(starts && is_plain && name.len() <= 63) {
            return Err(Malformed::Name);
        }
        self.text("\"");
        self.text(name);
        self.text("\"");
        Ok(())
    }

    pub(super) fn value(&mut self, value: Value<'a>) -> Result<(), Malformed> {
        let text = match &value {
            Value::Datum(_, Datum::Text(text)) | Value::Literal(Datum::Text(text)) => text,
            Value::Bound(_, text) => text.as_ref(),
            Value::Datum(..)
            | Value::Literal(_)
            | Value::Increment(..)
            | Value::Bytes(..)
            | Value::Owner(_)
            | Value::Row(_)
            | Value::Each(..)
            | Value::Limit(_) => "",
        };
        if text.contains('\0') {
            return Err(Malformed::NulCharacter);
        }
        self.sql.values.push(value);
        // Formatting each number would take half of the time to build a text.
        match PLACEHOLDERS.get(self.sql.values.len()) {
            Some(placeholder) => self.text(placeholder),
            None => {
                let _ = write!(self.sql.text, "${}", self.sql.values.len());
            }
        }
        Ok(())
    }

    pub(super) fn list<T>(
        &mut self,
        items: &'a [T],
        separator: &str,
        mut each: impl FnMut(&mut Self, &'a T) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text(separator);
            }
            each(self, item)?;
        }
        Ok(())
    }

    pub(super) fn assignment(&mut self, assignment: &'a Assignment) -> Result<(), Malformed> {
        let (Assignment::Set(column, _) | Assignment::Add(column, _)) = assignment;
        self.column(column)?;
        self.text(" = ");
        match assignment {
            Assignment::Set(_, datum) => self.value(Value::Datum(column, datum)),
            Assignment::Add(_, by) => {
                self.column(column)?;
                self.text(" + ");
                self.value(Value::Increment(column, *by))
            }
        }
    }

    pub(super) fn order_and_limit(
        &mut self,
        select: &'a Select,
        is_nullable: impl Fn(&str) -> bool,
    ) -> Result<(), Malformed> {
        if !select.order.is_empty() {
            self.text(" ORDER BY ");
            self.list(&select.order, ", ", |sql, (column, direction)| {
                sql.column(column)?;
                // PostgreSQL would not use an index without nulls, such as that of a key, for an order with them.
                sql.text(match (direction, is_nullable(column)) {
                    (Direction::Ascending, true) => " ASC NULLS FIRST",
                    (Direction::Descending, true) => " DESC NULLS LAST",
                    (Direction::Ascending, false) => " ASC",
                    (Direction::Descending, false) => " DESC",
                });
                Ok(())
            })?;
        }
        self.text(" LIMIT ");
        self.value(Value::Limit(select.limit))
    }

    pub(super) fn filter(&mut self, rows: &'a Condition) -> Result<(), Malformed> {
        if self.owner().is_none() && *rows == Condition::EVERYTHING {
            return Ok(());
        }
        self.where_owned()?;
        self.condition(rows)
    }

    /// Adds the value to the counter of a row that exists.
    pub(super) fn or_add(&mut self, Tally { table, key, counter, .. }: &'a Tally) -> Result<(), Malformed> {
        self.text(" ON CONFLICT (");
        self.owner_column();
        self.list(key, ", ", |sql, (column, _)| sql.column(column))?;
        self.text(") DO UPDATE SET ");
        self.column(counter)?;
        self.text(" = ");
        self.name(table)?;
        self.text(".");
        self.column(counter)?;
        self.text(" + excluded.");
        self.column(counter)
    }

    pub(super) fn condition(&mut self, condition: &'a Condition) -> Result<(), Malformed> {
        match condition {
            Condition::Compare { value: Datum::Null, .. } => Err(Malformed::NullComparison),
            Condition::Compare { column, comparison, value } => {
                self.column(column)?;
                self.text(match comparison {
                    Comparison::Equal => " = ",
                    Comparison::Less => " < ",
                    Comparison::LessOrEqual => " <= ",
                    Comparison::Greater => " > ",
                    Comparison::GreaterOrEqual => " >= ",
                });
                self.value(Value::Datum(column, value))
            }
            Condition::Among { values, .. } if values.is_empty() => {
                self.text("FALSE");
                Ok(())
            }
            Condition::Among { column, values } => {
                self.column(column)?;
                self.text(" IN (");
                self.list(values, ", ", |sql, value| match value {
                    Datum::Null => Err(Malformed::NullComparison),
                    Datum::Boolean(_)
                    | Datum::Integer(_)
                    | Datum::Text(_)
                    | Datum::Bytes(_)
                    | Datum::Uuid(_)
                    | Datum::Time(_) => sql.value(Value::Datum(column, value)),
                })?;
                self.text(")");
                Ok(())
            }
            // A range can use an index. LIKE ignores case in one dialect and not in the other.
            Condition::BeginsWith { column, prefix } => {
                self.text("(");
                self.column(column)?;
                self.text(" >= ");
                self.value(Value::Bound(column, prefix.into()))?;
                if let Some(end) = after_prefix(prefix) {
                    self.text(" AND ");
                    self.column(column)?;
                    self.text(" < ");
                    self.value(Value::Bound(column, end.into()))?;
                }
                self.text(")");
                Ok(())
            }
            // The element is in the list if removing it changes the text. For a null column, the expression is null,
            // which is not true.
            Condition::Lists { column, element } => {
                self.text("(replace(',' || ");
                self.column(column)?;
                self.text(" || ',', ");
                self.value(Value::Bound(column, format!(",{element},").into()))?;
                self.text(", '') <> ',' || ");
                self.column(column)?;
                self.text(" || ',')");
                Ok(())
            }
            Condition::IsNull(column) => {
                self.column(column)?;
                self.text(" IS NULL");
                Ok(())
            }
            Condition::All(conditions) => self.joined(conditions, " AND ", "TRUE"),
            Condition::Any(conditions) => self.joined(conditions, " OR ", "FALSE"),
            // NOT of null would be null. A condition that isn't true must be false.
            Condition::Not(condition) => {
                self.text("((");
                self.condition(condition)?;
                self.text(") IS NOT TRUE)");
                Ok(())
            }
        }
    }

    /// The column is not null and doesn't begin with these bytes. Two comparisons, because a function would cost more
    /// than the rest of the read. A value that begins with the header isn't before it, and is before every value with a
    /// greater beginning. For a null column, both comparisons are null, which is not true.
    pub(super) fn begins_otherwise(&mut self, column: &'a str, header: &'a [u8]) -> Result<(), Malformed> {
        self.text("(");
        self.column(column)?;
        self.text(" < ");
        self.value(Value::Bytes(column, header.into()))?;
        if let Some(end) = after_header(header) {
            self.text(" OR ");
            self.column(column)?;
            self.text(" >= ");
            self.value(Value::Bytes(column, end.into()))?;
        }
        self.text(")");
        Ok(())
    }

    fn joined(&mut self, conditions: &'a [Condition], word: &str, none: &str) -> Result<(), Malformed> {
        if conditions.is_empty() {
            self.text(none);
            return Ok(());
        }
        self.text("(");
        self.list(conditions, word, Self::condition)?;
        self.text(")");
        Ok(())
    }
}

/// The column of a shared table that contains the id of the row's database. No other column has this name, because names
/// of columns don't begin with `_`.
const OWNER: &str = "_organization_id";

/// The text of the first placeholders, by number.
const PLACEHOLDERS: [&str; 33] = [
    "$0", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$16", "$17",
    "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$28", "$29", "$30", "$31", "$32",
];

/// Returns the smallest text after all texts with this prefix, by code point. `None` if there is no such text: the
/// prefix is empty or contains only the last code point.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let kept = prefix.trim_end_matches(char::MAX);
    let last = kept.chars().next_back()?;
    let mut end = kept.strip_suffix(last)?.to_owned();
    // A range of characters skips the surrogates, which aren't characters.
    end.extend((last..=char::MAX).nth(1));
    Some(end)
}

/// Returns the smallest bytes after all bytes that begin with this header. `None` if there are no such bytes: the header
/// is empty or contains only the last byte.
pub(super) fn after_header(header: &[u8]) -> Option<Vec<u8>> {
    let last = header.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = header.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}
