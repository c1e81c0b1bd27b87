//! The texts that only PostgreSQL has: expectations and counters inside a statement.
//!
//! A commit is sent as a whole, so no statement can depend on the result of an earlier one. A statement whose
//! expectation isn't met therefore raises an error, which ends the transaction: a division by zero, because it needs no
//! function in the database. No other statement divides. This file doesn't know what is sent together.

use sealward_core::store::{Assignment, Column, ColumnType, Condition, Expect, Index, Name, Rewrite, Tally};

use super::{
    builder::Builder,
    statement::{Dialect, Each, Indexed, Malformed, Sql, Value},
};

impl Dialect {
    /// Raises an error unless a row meets the condition.
    pub(crate) fn require<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        self.raise("SELECT 1 / count(*) FROM (", self.exists(table, rows)?)
    }

    /// Raises an error if a row meets the condition.
    pub(crate) fn forbid<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        self.raise("SELECT 1 / (1 - count(*)) FROM (", self.exists(table, rows)?)
    }

    fn raise<'a>(self, start: &str, exists: Sql<'a>) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, start);
        sql.include(exists);
        sql.text(") AS \"found\"");
        Ok(sql.finish())
    }

    /// Executes a statement that changes rows, and raises an error unless it changes the expected number. Adds to each
    /// counter once per changed row.
    pub(crate) fn counted<'a>(
        self,
        step: Sql<'a>,
        expect: Expect,
        tallies: &[&'a Tally],
    ) -> Result<Sql<'a>, Malformed> {
        if expect == Expect::Any && tallies.is_empty() {
            return Ok(step);
        }
        let mut sql = Builder::new(self, "WITH \"step\" AS (");
        sql.include(step);
        sql.text(" RETURNING 1)");
        for (number, tally) in tallies.iter().enumerate() {
            let Tally { table, key, counter, by } = tally;
            sql.text(&format!(", \"tally_{number}\" AS (INSERT INTO "));
            sql.table(table)?;
            sql.text(" (");
            sql.owner_column();
            sql.list(key, ", ", |sql, (column, _)| sql.name(column))?;
            sql.text(", ");
            sql.name(counter)?;
            sql.text(") SELECT ");
            sql.owner_value()?;
            sql.list(key, ", ", |sql, (_, datum)| sql.value(Value::Literal(datum)))?;
            sql.text(", count(*) * ");
            sql.value(Value::Increment(counter, *by))?;
            sql.text(" FROM \"step\" HAVING count(*) > 0");
            sql.or_add(tally)?;
            sql.text(")");
        }
        sql.text(match expect {
            Expect::One => " SELECT 1 / (CASE WHEN count(*) = 1 THEN 1 ELSE 0 END) FROM \"step\"",
            Expect::Any => " SELECT 1",
        });
        Ok(sql.finish())
    }

    /// Locks the rows that a read returns until the transaction ends.
    pub(crate) fn locked(self, select: Sql<'_>) -> Sql<'_> {
        let mut sql = Builder::new(self, "");
        sql.include(select);
        sql.text(" FOR UPDATE");
        sql.finish()
    }

    /// Updates rows, and records the time by the clock of the database in this column.
    pub(crate) fn update_with_time<'a>(
        self,
        table: &'a Name,
        rows: &'a Condition,
        set: &'a [Assignment],
        time: &str,
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "UPDATE ");
        sql.table(table)?;
        sql.text(" SET ");
        sql.list(set, ", ", Builder::assignment)?;
        sql.text(", ");
        sql.name(time)?;
        sql.text(" = clock_timestamp()");
        sql.filter(rows)?;
        Ok(sql.finish())
    }

    /// Updates rows, and returns columns of them.
    pub(crate) fn update_returning<'a>(
        self,
        table: &'a Name,
        rows: &'a Condition,
        set: &'a [Assignment],
        returned: &'a [Name],
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "");
        sql.include(self.update(table, rows, set)?);
        sql.text(" RETURNING ");
        sql.list(returned, ", ", |sql, column| sql.column(column))?;
        Ok(sql.finish())
    }

    /// Returns a row if any table has one.
    pub(crate) fn any(self, table: &str) -> Result<Sql<'static>, Malformed> {
        let mut sql = Builder::new(self, "SELECT 1 FROM ");
        sql.table(table)?;
        sql.where_owned()?;
        sql.text("TRUE LIMIT 1");
        Ok(sql.finish())
    }

    /// Deletes up to this number of rows of any table.
    pub(crate) fn delete_some(self, table: &str, at_most: u32) -> Result<Sql<'static>, Malformed> {
        let mut sql = Builder::new(self, "DELETE FROM ");
        sql.table(table)?;
        sql.where_owned()?;
        sql.text("ctid = ANY (ARRAY(SELECT ctid FROM ");
        sql.table(table)?;
        sql.where_owned()?;
        sql.text("TRUE LIMIT ");
        sql.value(Value::Limit(at_most))?;
        sql.text("))");
        Ok(sql.finish())
    }

    /// Replaces the values of a column in the rows that contain their former values, and makes further changes.
    pub(crate) fn rewrite_all<'a>(
        self,
        table: &'a Name,
        column: &'a Name,
        rows: &'a [Rewrite],
        set: &'a [Assignment],
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "UPDATE ");
        sql.table(table)?;
        sql.text(" SET ");
        sql.column(column)?;
        sql.text(" = \"_new\"");
        for assignment in set {
            sql.text(", ");
            sql.assignment(assignment)?;
        }
        sql.text(" FROM unnest(");
        for (position, each) in [Each::Number, Each::Former, Each::Value].into_iter().enumerate() {
            sql.text(if position == 0 { "" } else { ", " });
            sql.value(Value::Each(each, rows))?;
        }
        sql.text(") AS \"_rewrites\" (\"_number\", \"_former\", \"_new\")");
        sql.where_owned()?;
        sql.text(self.row_number());
        sql.text(" = \"_number\" AND ");
        sql.column(column)?;
        sql.text(" = \"_former\"");
        Ok(sql.finish())
    }

    /// Lets transactions access only the rows of the database that they have set: without a setting, they fail. This is
    /// the second barrier; the first one is the condition of each statement. The owner of the table is restricted too.
    pub(crate) fn protect(self, table: &str) -> Result<Sql<'static>, Malformed> {
        let mut sql = Builder::new(self, "");
        for text in [
            " ENABLE ROW LEVEL SECURITY; ALTER TABLE ",
            " FORCE ROW LEVEL SECURITY; CREATE POLICY \"_organization\" ON ",
        ] {
            if sql.is_empty() {
                sql.text("ALTER TABLE ");
            }
            sql.table(table)?;
            sql.text(text);
        }
        sql.table(table)?;
        sql.text(" USING (");
        sql.owner_name();
        sql.text(" = current_setting('sealward.organization')::uuid)");
        Ok(sql.finish())
    }

    /// Creates the index of the row numbers of a shared table.
    pub(crate) fn number_rows(self, table: &str) -> Result<Sql<'static>, Malformed> {
        let mut sql = Builder::new(self, "CREATE INDEX ON ");
        sql.table(table)?;
        sql.text(" (");
        sql.owner_column();
        sql.text(self.row_number());
        sql.text(")");
        Ok(sql.finish())
    }

    /// Stores the values of a column of bytes as they are, because encrypted data can't be compressed. `None` for a
    /// column of another type.
    pub(crate) fn uncompressed(self, table: &str, column: &Column) -> Result<Option<Sql<'static>>, Malformed> {
        if column.kind != ColumnType::Bytes {
            return Ok(None);
        }
        let mut sql = Builder::new(self, "ALTER TABLE ");
        sql.table(table)?;
        sql.text(" ALTER COLUMN ");
        sql.name(&column.name)?;
        sql.text(" SET STORAGE EXTERNAL");
        Ok(Some(sql.finish()))
    }

    /// Returns the type of a column as the catalog of PostgreSQL names it.
    pub(crate) fn bare_type(self, kind: ColumnType) -> &'static str {
        self.column_type(kind).split(' ').next().unwrap_or_default()
    }

    /// Creates an index of a shared table, unless an index with its name exists. Its order of nulls is that of reads.
    pub(crate) fn create_shared_index<'a>(
        self,
        table: &'a Name,
        index: &'a Index,
        piece: impl Fn(&str) -> Indexed,
    ) -> Result<Sql<'a>, Malformed> {
        self.index("CREATE INDEX IF NOT EXISTS ", table, index, piece)
    }
}
