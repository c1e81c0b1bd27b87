//! Converts values of the port to SQL text: one text for every dialect, with `$1`, `$2` … used once each and in order.
//!
//! Where dialects have different defaults, the text is explicit (for example, the position of nulls in an order), or
//! [`Dialect`] names the difference. Every value is bound, never part of the text. Every name is checked and quoted.
//! This file knows no connection and no existing tables.

use std::{borrow::Cow, fmt::Write as _};

use sealward_core::store::{
    Assignment, Column, ColumnScan, ColumnType, Comparison, Condition, Datum, Direction, Index, Lookup, Name, Rewrite,
    RowNumber, Scan, Select, Source, Table, Tally,
};

/// A statement: its text, and the values of its placeholders, in order.
#[derive(Debug)]
pub(crate) struct Sql<'a> {
    pub(crate) text: String,
    pub(crate) values: Vec<Value<'a>>,
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
    /// The number of a row.
    Row(RowNumber),
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
            Value::Limit(_) | Value::Literal(_) | Value::Row(_) => None,
        }
    }

    /// Returns the column of this value and its required type; `None` if the value has no column.
    pub(crate) fn claim(&self) -> Option<(&'a str, ColumnType)> {
        match *self {
            Value::Datum(column, datum) => datum.kind().map(|kind| (column, kind)),
            Value::Bound(column, _) => Some((column, ColumnType::Text)),
            Value::Increment(column, _) => Some((column, ColumnType::Integer)),
            Value::Bytes(column, _) => Some((column, ColumnType::Bytes)),
            Value::Limit(_) | Value::Literal(_) | Value::Row(_) => None,
        }
    }
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

/// The SQL dialects, which differ in these methods.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    Sqlite,
}

impl Dialect {
    fn column_type(self, kind: ColumnType) -> &'static str {
        match self {
            // STRICT tables have only these types. The store remembers the type of each column.
            Dialect::Sqlite => match kind {
                ColumnType::Boolean | ColumnType::Integer | ColumnType::Time => "INTEGER",
                ColumnType::Text => "TEXT",
                ColumnType::Bytes | ColumnType::Uuid => "BLOB",
            },
        }
    }

    /// Returns the options after a table's columns.
    ///
    /// SQLite: without a rowid, a lookup reads one tree instead of two. But a row longer than a quarter of a page then
    /// occupies an overflow page: at 1,500 bytes per row, this doubles the size and leaves a fifth of the updates per
    /// second. Tables whose only key is a UUID contain records, which may be that long. The rows of all other tables
    /// are short.
    fn table_options(self, table: &Table) -> &'static str {
        let of_key = |name: &Name| table.columns.iter().find(|column| column.name == *name).map(|column| column.kind);
        let records = matches!(&table.key[..], [only] if of_key(only) == Some(ColumnType::Uuid));
        match self {
            Dialect::Sqlite if records => " STRICT",
            Dialect::Sqlite => " STRICT, WITHOUT ROWID",
        }
    }

    /// Returns the clause that keeps a required row unchanged until the transaction ends.
    fn hold(self) -> &'static str {
        match self {
            // There is only one writer, so nothing changes between its statements.
            Dialect::Sqlite => "",
        }
    }

    /// Returns the name of the column that contains the numbers of the rows. No other column has this name, because names
    /// of columns don't begin with `_`.
    fn row_number(self) -> &'static str {
        match self {
            Dialect::Sqlite => "_rowid_",
        }
    }

    /// Selects whether [`TAKEN`] wants more rows after each row. It gets the values of the row. Before, [`EXAMINED`] gets
    /// the values of the order's columns, also of rows that don't meet the condition, unless the scan is short.
    pub(crate) fn select_taken(self, Scan { select, is_short }: &Scan) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new("SELECT ");
        sql.text(match self {
            Dialect::Sqlite => TAKEN,
        });
        sql.text("(");
        sql.list(&select.columns, ", ", |sql, column| sql.name(column))?;
        sql.text(") FROM ");
        sql.name(&select.table)?;
        if *is_short {
            sql.filter(&select.rows)?;
        } else {
            sql.text(" WHERE ");
            sql.text(match self {
                Dialect::Sqlite => EXAMINED,
            });
            sql.text("(");
            sql.list(&select.order, ", ", |sql, (column, _)| sql.name(column))?;
            sql.text(") AND ");
            sql.condition(&select.rows)?;
        }
        sql.order_and_limit(select)?;
        Ok(sql.finish())
    }

    /// Selects row number, key and value of a column.
    pub(crate) fn scan_column(self, scan: &ColumnScan) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new("SELECT ");
        sql.text(self.row_number());
        sql.text(", ");
        sql.name(&scan.key)?;
        sql.text(", ");
        sql.name(&scan.column)?;
        sql.text(" FROM ");
        sql.name(&scan.table)?;
        sql.text(" WHERE ");
        if let Some(after) = scan.after {
            sql.text(self.row_number());
            sql.text(" > ");
            sql.value(Value::Row(after))?;
            sql.text(" AND ");
        }
        match &scan.except_header {
            Some(header) => sql.begins_otherwise(&scan.column, header)?,
            None => {
                sql.name(&scan.column)?;
                sql.text(" IS NOT NULL");
            }
        }
        sql.text(" ORDER BY ");
        sql.text(self.row_number());
        sql.text(" LIMIT ");
        sql.value(Value::Limit(scan.limit))?;
        Ok(sql.finish())
    }

    /// Replaces the value of a column in one row, if the row contains the former value, and makes further changes.
    pub(crate) fn rewrite<'a>(
        self,
        table: &'a Name,
        column: &'a Name,
        row: &'a Rewrite,
        set: &'a [Assignment],
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new("UPDATE ");
        sql.name(table)?;
        sql.text(" SET ");
        sql.name(column)?;
        sql.text(" = ");
        match &row.value {
            Some(value) => sql.value(Value::Bytes(column, value.into()))?,
            None => sql.text("NULL"),
        }
        for assignment in set {
            sql.text(", ");
            sql.assignment(assignment)?;
        }
        sql.text(" WHERE ");
        sql.text(self.row_number());
        sql.text(" = ");
        sql.value(Value::Row(row.number))?;
        sql.text(" AND ");
        sql.name(column)?;
        sql.text(" = ");
        sql.value(Value::Bytes(column, (&row.former).into()))?;
        Ok(sql.finish())
    }

    /// Creates a table.
    pub(crate) fn create_table(self, table: &Table) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new("CREATE TABLE ");
        sql.name(&table.name)?;
        sql.text(" (");
        for column in &table.columns {
            sql.name(&column.name)?;
            sql.text(" ");
            sql.text(self.column_type(column.kind));
            // Keys need it too: SQLite allows null in the key of a table with a rowid.
            if !column.nullable || table.key.contains(&column.name) {
                sql.text(" NOT NULL");
            }
            sql.text(", ");
        }
        sql.text("PRIMARY KEY (");
        sql.list(&table.key, ", ", |sql, name| sql.name(name))?;
        sql.text("))");
        sql.text(self.table_options(table));
        Ok(sql.finish())
    }

    /// Creates an index of a new table.
    pub(crate) fn create_index<'a>(self, table: &'a Name, index: &'a Index) -> Result<Sql<'a>, Malformed> {
        self.index("CREATE INDEX ", table, index)
    }

    /// Creates an index of a table, unless an index with its name exists.
    pub(crate) fn ensure_index<'a>(self, table: &'a Name, index: &'a Index) -> Result<Sql<'a>, Malformed> {
        self.index("CREATE INDEX IF NOT EXISTS ", table, index)
    }

    /// Drops an index if it exists.
    pub(crate) fn drop_index(self, name: &Name) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new("DROP INDEX IF EXISTS ");
        sql.name(name)?;
        Ok(sql.finish())
    }

    fn index<'a>(self, create: &str, table: &'a Name, index: &'a Index) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(create);
        sql.name(&index.name)?;
        sql.text(" ON ");
        sql.name(table)?;
        sql.text(" (");
        sql.list(&index.columns, ", ", |sql, name| sql.name(name))?;
        sql.text(")");
        Ok(sql.finish())
    }

    /// Adds a column to an existing table.
    pub(crate) fn add_column<'a>(self, table: &'a Name, column: &'a Column) -> Result<Sql<'a>, Malformed> {
        if !column.nullable {
            return Err(Malformed::NewColumnNotNullable);
        }
        let mut sql = Builder::new("ALTER TABLE ");
        sql.name(table)?;
        sql.text(" ADD COLUMN ");
        sql.name(&column.name)?;
        sql.text(" ");
        sql.text(self.column_type(column.kind));
        Ok(sql.finish())
    }

    /// Returns one row if a row meets the condition, and keeps that row until the transaction ends. Otherwise returns
    /// no row.
    pub(crate) fn exists<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new("SELECT 1 FROM ");
        sql.name(table)?;
        sql.filter(rows)?;
        sql.text(" LIMIT 1");
        sql.text(self.hold());
        Ok(sql.finish())
    }
}

/// Checks that every store can contain the value.
pub(crate) fn check(datum: &Datum) -> Result<(), Malformed> {
    match datum {
        Datum::Text(text) if text.contains('\0') => Err(Malformed::NulCharacter),
        Datum::Text(_)
        | Datum::Null
        | Datum::Boolean(_)
        | Datum::Integer(_)
        | Datum::Bytes(_)
        | Datum::Uuid(_)
        | Datum::Time(_) => Ok(()),
    }
}

/// Inserts a row.
pub(crate) fn insert<'a>(table: &'a Name, row: &'a [(Name, Datum)]) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("INSERT INTO ");
    sql.name(table)?;
    sql.text(" (");
    sql.list(row, ", ", |sql, (column, _)| sql.name(column))?;
    sql.text(") VALUES (");
    sql.list(row, ", ", |sql, (column, datum)| sql.value(Value::Datum(column, datum)))?;
    sql.text(")");
    Ok(sql.finish())
}

/// Inserts a row for each matching row of another table.
pub(crate) fn insert_from<'a>(
    table: &'a Name,
    row: &'a [(Name, Source)],
    from: &'a Name,
    rows: &'a Condition,
) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("INSERT INTO ");
    sql.name(table)?;
    sql.text(" (");
    sql.list(row, ", ", |sql, (column, _)| sql.name(column))?;
    sql.text(") SELECT ");
    sql.list(row, ", ", |sql, (_, source)| match source {
        Source::Value(datum) => sql.value(Value::Literal(datum)),
        Source::Column(column) => sql.name(column),
        Source::Next(column) => {
            sql.name(column)?;
            sql.text(" + 1");
            Ok(())
        }
    })?;
    sql.text(" FROM ");
    sql.name(from)?;
    sql.filter(rows)?;
    Ok(sql.finish())
}

/// Updates rows.
pub(crate) fn update<'a>(table: &'a Name, rows: &'a Condition, set: &'a [Assignment]) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("UPDATE ");
    sql.name(table)?;
    sql.text(" SET ");
    sql.list(set, ", ", Builder::assignment)?;
    sql.filter(rows)?;
    Ok(sql.finish())
}

/// Deletes rows.
pub(crate) fn delete<'a>(table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("DELETE FROM ");
    sql.name(table)?;
    sql.filter(rows)?;
    Ok(sql.finish())
}

/// Deletes a limited number of rows. No dialect supports a limit in DELETE.
pub(crate) fn prune<'a>(
    table: &'a Name,
    key: &'a [Name],
    rows: &'a Condition,
    at_most: u32,
) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("DELETE FROM ");
    sql.name(table)?;
    sql.text(" WHERE (");
    sql.list(key, ", ", |sql, name| sql.name(name))?;
    sql.text(") IN (SELECT ");
    sql.list(key, ", ", |sql, name| sql.name(name))?;
    sql.text(" FROM ");
    sql.name(table)?;
    sql.filter(rows)?;
    sql.text(" LIMIT ");
    sql.value(Value::Limit(at_most))?;
    sql.text(")");
    Ok(sql.finish())
}

/// Updates a counter.
pub(crate) fn tally(tally: &Tally) -> Result<Sql<'_>, Malformed> {
    let Tally { table, key, counter, by } = tally;
    let mut sql = Builder::new("INSERT INTO ");
    sql.name(table)?;
    sql.text(" (");
    sql.list(key, ", ", |sql, (column, _)| sql.name(column))?;
    sql.text(", ");
    sql.name(counter)?;
    sql.text(") VALUES (");
    sql.list(key, ", ", |sql, (column, datum)| sql.value(Value::Datum(column, datum)))?;
    sql.text(", ");
    sql.value(Value::Increment(counter, *by))?;
    sql.text(") ON CONFLICT (");
    sql.list(key, ", ", |sql, (column, _)| sql.name(column))?;
    sql.text(") DO UPDATE SET ");
    sql.name(counter)?;
    sql.text(" = ");
    sql.name(table)?;
    sql.text(".");
    sql.name(counter)?;
    sql.text(" + excluded.");
    sql.name(counter)?;
    Ok(sql.finish())
}

/// Selects rows.
pub(crate) fn select(select: &Select) -> Result<Sql<'_>, Malformed> {
    let mut sql = Builder::new("SELECT ");
    sql.list(&select.columns, ", ", |sql, column| sql.name(column))?;
    sql.text(" FROM ");
    sql.name(&select.table)?;
    sql.filter(&select.rows)?;
    sql.order_and_limit(select)?;
    Ok(sql.finish())
}

/// The function in SQL that takes the values of a row, and returns whether there can be more rows.
pub(crate) const TAKEN: &str = "sealward_taken";

/// The function in SQL that records a row as examined, and is true.
pub(crate) const EXAMINED: &str = "sealward_examined";

/// Returns the text of a lookup. Its only placeholder is the key.
pub(crate) fn look_up(lookup: &Lookup) -> Result<String, Malformed> {
    let mut sql = Builder::new("SELECT ");
    sql.list(lookup.columns(), ", ", |sql, column| sql.name(column))?;
    sql.text(" FROM ");
    sql.name(lookup.table())?;
    sql.text(" WHERE ");
    sql.name(lookup.key())?;
    sql.text(" = $1");
    Ok(sql.finish().text)
}

/// Counts rows.
pub(crate) fn count<'a>(table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
    let mut sql = Builder::new("SELECT count(*) FROM ");
    sql.name(table)?;
    sql.filter(rows)?;
    Ok(sql.finish())
}

struct Builder<'a>(Sql<'a>);

impl<'a> Builder<'a> {
    fn new(start: &str) -> Self {
        // Enough for the row of an entity with 30 attributes.
        let mut text = String::with_capacity(1_024);
        text.push_str(start);
        Builder(Sql { text, values: Vec::with_capacity(PLACEHOLDERS.len()) })
    }

    fn finish(self) -> Sql<'a> {
        self.0
    }

    fn text(&mut self, text: &str) {
        self.0.text.push_str(text);
    }

    /// PostgreSQL truncates names longer than 63 bytes.
    fn name(&mut self, name: &str) -> Result<(), Malformed> {
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

    fn value(&mut self, value: Value<'a>) -> Result<(), Malformed> {
        let text = match &value {
            Value::Datum(_, Datum::Text(text)) | Value::Literal(Datum::Text(text)) => text,
            Value::Bound(_, text) => text.as_ref(),
            Value::Datum(..)
            | Value::Literal(_)
            | Value::Increment(..)
            | Value::Bytes(..)
            | Value::Row(_)
            | Value::Limit(_) => "",
        };
        if text.contains('\0') {
            return Err(Malformed::NulCharacter);
        }
        self.0.values.push(value);
        // Formatting each number would take half of the time to build a text.
        match PLACEHOLDERS.get(self.0.values.len()) {
            Some(placeholder) => self.text(placeholder),
            None => {
                let _ = write!(self.0.text, "${}", self.0.values.len());
            }
        }
        Ok(())
    }

    fn list<T>(
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

    fn assignment(&mut self, assignment: &'a Assignment) -> Result<(), Malformed> {
        let (Assignment::Set(column, _) | Assignment::Add(column, _)) = assignment;
        self.name(column)?;
        self.text(" = ");
        match assignment {
            Assignment::Set(_, datum) => self.value(Value::Datum(column, datum)),
            Assignment::Add(_, by) => {
                self.name(column)?;
                self.text(" + ");
                self.value(Value::Increment(column, *by))
            }
        }
    }

    fn order_and_limit(&mut self, select: &'a Select) -> Result<(), Malformed> {
        if !select.order.is_empty() {
            self.text(" ORDER BY ");
            self.list(&select.order, ", ", |sql, (column, direction)| {
                sql.name(column)?;
                sql.text(match direction {
                    Direction::Ascending => " ASC NULLS FIRST",
                    Direction::Descending => " DESC NULLS LAST",
                });
                Ok(())
            })?;
        }
        self.text(" LIMIT ");
        self.value(Value::Limit(select.limit))
    }

    fn filter(&mut self, rows: &'a Condition) -> Result<(), Malformed> {
        if *rows == Condition::EVERYTHING {
            return Ok(());
        }
        self.text(" WHERE ");
        self.condition(rows)
    }

    fn condition(&mut self, condition: &'a Condition) -> Result<(), Malformed> {
        match condition {
            Condition::Compare { value: Datum::Null, .. } => Err(Malformed::NullComparison),
            Condition::Compare { column, comparison, value } => {
                self.name(column)?;
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
                self.name(column)?;
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
                self.name(column)?;
                self.text(" >= ");
                self.value(Value::Bound(column, prefix.into()))?;
                if let Some(end) = after_prefix(prefix) {
                    self.text(" AND ");
                    self.name(column)?;
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
                self.name(column)?;
                self.text(" || ',', ");
                self.value(Value::Bound(column, format!(",{element},").into()))?;
                self.text(", '') <> ',' || ");
                self.name(column)?;
                self.text(" || ',')");
                Ok(())
            }
            Condition::IsNull(column) => {
                self.name(column)?;
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
    fn begins_otherwise(&mut self, column: &'a str, header: &'a [u8]) -> Result<(), Malformed> {
        self.text("(");
        self.name(column)?;
        self.text(" < ");
        self.value(Value::Bytes(column, header.into()))?;
        if let Some(end) = after_header(header) {
            self.text(" OR ");
            self.name(column)?;
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

/// The text of the first placeholders, by number.
const PLACEHOLDERS: [&str; 33] = [
    "$0", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$16", "$17",
    "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$28", "$29", "$30", "$31", "$32",
];

/// Returns the smallest text after all texts with this prefix, by code point. `None` if there is no such text: the
/// prefix is empty or contains only the last code point.
fn after_prefix(prefix: &str) -> Option<String> {
    let kept = prefix.trim_end_matches(char::MAX);
    let last = kept.chars().next_back()?;
    let mut end = kept.strip_suffix(last)?.to_owned();
    // A range of characters skips the surrogates, which aren't characters.
    end.extend((last..=char::MAX).nth(1));
    Some(end)
}

/// Returns the smallest bytes after all bytes that begin with this header. `None` if there are no such bytes: the header
/// is empty or contains only the last byte.
fn after_header(header: &[u8]) -> Option<Vec<u8>> {
    let last = header.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = header.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Select {
        Select {
            table: "Mailbox".into(),
            columns: vec![name.into()],
            rows: Condition::EVERYTHING,
            order: Vec::new(),
            limit: 1,
        }
    }

    #[test]
    fn placeholders_are_used_once_each_and_in_order() {
        let set = [Assignment::Set("a".into(), Datum::Null), Assignment::Add("revision".into(), 1)];
        let rows = Condition::equal("id", Datum::Integer(7)).and(Condition::Any(vec![
            Condition::IsNull("b".into()),
            Condition::BeginsWith { column: "c".into(), prefix: "x".to_owned() },
        ]));
        let table = Name::from("Mailbox");
        let sql = update(&table, &rows, &set).unwrap();
        assert_eq!(
            sql.text,
            r#"UPDATE "Mailbox" SET "a" = $1, "revision" = "revision" + $2 WHERE ("id" = $3 AND ("b" IS NULL OR ("c" >= $4 AND "c" < $5)))"#
        );
        assert_eq!(sql.values.len(), 5);
    }

    #[test]
    fn header_is_a_range_of_bytes() {
        for (header, end) in
            [(&[][..], None), (&[1, 0], Some(&[1, 1][..])), (&[1, 0xFF, 0xFF], Some(&[2])), (&[0xFF, 0xFF], None)]
        {
            assert_eq!(after_header(header).as_deref(), end, "{header:?}");
        }
    }

    #[test]
    fn column_is_scanned_in_the_order_of_row_numbers() {
        let scan = ColumnScan {
            table: "Mailbox".into(),
            key: "id".into(),
            column: "a".into(),
            after: Some(RowNumber(7)),
            except_header: Some(vec![1]),
            limit: 3,
            bytes_max: 100,
        };
        let sql = Dialect::Sqlite.scan_column(&scan).unwrap();
        assert_eq!(
            sql.text,
            r#"SELECT _rowid_, "id", "a" FROM "Mailbox" WHERE _rowid_ > $1 AND ("a" < $2 OR "a" >= $3) ORDER BY _rowid_ LIMIT $4"#
        );
        let all = ColumnScan { after: None, except_header: None, ..scan };
        assert_eq!(
            Dialect::Sqlite.scan_column(&all).unwrap().text,
            r#"SELECT _rowid_, "id", "a" FROM "Mailbox" WHERE "a" IS NOT NULL ORDER BY _rowid_ LIMIT $1"#
        );
    }

    #[test]
    fn order_of_nulls_is_explicit() {
        let mut read = named("id");
        read.order = vec![("a".into(), Direction::Ascending), ("b".into(), Direction::Descending)];
        assert_eq!(
            select(&read).unwrap().text,
            r#"SELECT "id" FROM "Mailbox" ORDER BY "a" ASC NULLS FIRST, "b" DESC NULLS LAST LIMIT $1"#
        );
    }

    #[test]
    fn a_name_that_could_end_its_quotes_is_refused() {
        for name in ["", "1a", "a b", "a\"b", "a\0", "é", "a-b", &"x".repeat(64)] {
            assert_eq!(Builder::new("").name(name), Err(Malformed::Name), "{name}");
        }
        for name in ["a", "_a1", "EmailServerProfile", &"x".repeat(63)] {
            assert_eq!(Builder::new("").name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn null_is_never_compared_and_no_text_holds_u_0000() {
        let mut read = named("id");
        read.rows = Condition::equal("a", Datum::Null);
        assert_eq!(select(&read).unwrap_err(), Malformed::NullComparison);
        read.rows = Condition::equal("a", Datum::Text("a\0b".to_owned()));
        assert_eq!(select(&read).unwrap_err(), Malformed::NulCharacter);
    }

    #[test]
    fn a_negation_is_true_of_null() {
        let mut read = named("id");
        read.rows = Condition::equal("a", Datum::Integer(1)).negated();
        assert_eq!(
            select(&read).unwrap().text,
            r#"SELECT "id" FROM "Mailbox" WHERE (("a" = $1) IS NOT TRUE) LIMIT $2"#
        );
    }

    #[test]
    fn a_prefix_is_a_range_of_code_points() {
        for (prefix, end) in [
            ("", None),
            ("a", Some("b")),
            ("ab", Some("ac")),
            ("a\u{10FFFF}\u{10FFFF}", Some("b")),
            ("\u{10FFFF}", None),
            ("\u{D7FF}", Some("\u{E000}")),
            ("\u{7F}", Some("\u{80}")),
            ("\u{FFFF}", Some("\u{10000}")),
            ("*%_", Some("*%`")),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
        let mut read = named("id");
        read.rows = Condition::BeginsWith { column: "a".into(), prefix: "x".to_owned() };
        assert_eq!(
            select(&read).unwrap().text,
            r#"SELECT "id" FROM "Mailbox" WHERE ("a" >= $1 AND "a" < $2) LIMIT $3"#
        );
        read.rows = Condition::Lists { column: "a".into(), element: "x".to_owned() };
        assert_eq!(
            select(&read).unwrap().text,
            r#"SELECT "id" FROM "Mailbox" WHERE (replace(',' || "a" || ',', $1, '') <> ',' || "a" || ',') LIMIT $2"#
        );
        read.rows = Condition::BeginsWith { column: "a".into(), prefix: "x\0".to_owned() };
        assert_eq!(select(&read).unwrap_err(), Malformed::NulCharacter);
    }

    #[test]
    fn only_tables_of_records_have_a_rowid() {
        let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: true };
        let table = |kind| Table {
            name: "t".into(),
            columns: vec![column("id", kind)],
            key: vec!["id".into()],
            indexes: Vec::new(),
        };
        let text = |table: &Table| Dialect::Sqlite.create_table(table).unwrap().text;
        assert_eq!(
            text(&table(ColumnType::Uuid)),
            r#"CREATE TABLE "t" ("id" BLOB NOT NULL, PRIMARY KEY ("id")) STRICT"#
        );
        assert_eq!(
            text(&table(ColumnType::Integer)),
            r#"CREATE TABLE "t" ("id" INTEGER NOT NULL, PRIMARY KEY ("id")) STRICT, WITHOUT ROWID"#
        );
    }
}
