//! Converts values of the port to SQL text: one text for every dialect, with `$1`, `$2` … used once each and in order.
//!
//! Where dialects have different defaults, the text is explicit (for example, the position of nulls in an order), or
//! [`Dialect`] names the difference. Every value is bound, never part of the text. Every name is checked and quoted.
//! In SQLite, a database is a file. In PostgreSQL, the tables contain the rows of all databases, and a statement reads
//! and writes the rows of one: [`Dialect::Postgres`] contains its id, and the builder adds it to every statement. This
//! module knows no connection and no existing tables.

mod builder;
mod postgres;
mod statement;
#[cfg(test)]
mod tests;

use sealward_core::store::{
    Assignment, Column, ColumnScan, ColumnType, Condition, Datum, Index, Lookup, Name, Rewrite, Scan, Select, Source,
    Table, Tally,
};

use self::builder::Builder;
pub(crate) use self::statement::{Dialect, Each, Indexed, Malformed, Owner, SCHEMA, Sql, Value};

impl Dialect {
    fn column_type(self, kind: ColumnType) -> &'static str {
        match self {
            // STRICT tables have only these types. The store remembers the type of each column.
            Dialect::Sqlite => match kind {
                ColumnType::Boolean | ColumnType::Integer | ColumnType::Time => "INTEGER",
                ColumnType::Text => "TEXT",
                ColumnType::Bytes | ColumnType::Uuid => "BLOB",
            },
            // Times are integers: PostgreSQL's own type ends in the year 294276, and has values for infinity.
            Dialect::Postgres(_) => match kind {
                ColumnType::Boolean => "boolean",
                ColumnType::Integer | ColumnType::Time => "bigint",
                ColumnType::Text => "text COLLATE \"C\"",
                ColumnType::Bytes => "bytea",
                ColumnType::Uuid => "uuid",
            },
        }
    }

    /// Returns the options after a table's columns.
    ///
    /// SQLite: without a rowid, a lookup reads one tree instead of two. But a row longer than a quarter of a page then
    /// occupies an overflow page: at 1,500 bytes per row, this doubles the size and leaves a fifth of the updates per
    /// second. Tables whose only key is a UUID contain records, which may be that long. The rows of all other tables
    /// are short.
    ///
    /// PostgreSQL: an update writes the row again. In the free half of its page, it changes no index: a re-encryption
    /// of a table with less free space rewrites all its indexes too.
    fn table_options(self, table: &Table) -> &'static str {
        let records = contains_records(table);
        match self {
            Dialect::Sqlite if records => " STRICT",
            Dialect::Sqlite => " STRICT, WITHOUT ROWID",
            Dialect::Postgres(_) if records => " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)",
            Dialect::Postgres(_) => "",
        }
    }

    /// Returns the name of the column that contains the numbers of the rows. No other column has this name, because names
    /// of columns don't begin with `_`.
    fn row_number(self) -> &'static str {
        match self {
            Dialect::Sqlite => "_rowid_",
            Dialect::Postgres(_) => "_row_number",
        }
    }

    /// Selects whether [`TAKEN`] wants more rows after each row. It gets the values of the row. Before, [`EXAMINED`] gets
    /// the values of the order's columns, also of rows that don't meet the condition, unless the scan is short. Only
    /// SQLite has such functions.
    pub(crate) fn select_taken(self, Scan { select, is_short }: &Scan) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new(self, "SELECT ");
        sql.text(TAKEN);
        sql.text("(");
        sql.list(&select.columns, ", ", |sql, column| sql.column(column))?;
        sql.text(") FROM ");
        sql.table(&select.table)?;
        if *is_short {
            sql.filter(&select.rows)?;
        } else {
            sql.text(" WHERE ");
            sql.text(EXAMINED);
            sql.text("(");
            sql.list(&select.order, ", ", |sql, (column, _)| sql.column(column))?;
            sql.text(") AND ");
            sql.condition(&select.rows)?;
        }
        sql.order_and_limit(select, |_| true)?;
        Ok(sql.finish())
    }

    /// Selects row number, key and value of a column.
    pub(crate) fn scan_column(self, scan: &ColumnScan) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new(self, "SELECT ");
        sql.text(self.row_number());
        sql.text(", ");
        sql.column(&scan.key)?;
        sql.text(", ");
        sql.column(&scan.column)?;
        sql.text(" FROM ");
        sql.table(&scan.table)?;
        sql.where_owned()?;
        if let Some(after) = scan.after {
            sql.text(self.row_number());
            sql.text(" > ");
            sql.value(Value::Row(after))?;
            sql.text(" AND ");
        }
        match &scan.except_header {
            Some(header) => sql.begins_otherwise(&scan.column, header)?,
            None => {
                sql.column(&scan.column)?;
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
        let mut sql = Builder::new(self, "UPDATE ");
        sql.table(table)?;
        sql.text(" SET ");
        sql.column(column)?;
        sql.text(" = ");
        match &row.value {
            Some(value) => sql.value(Value::Bytes(column, value.into()))?,
            None => sql.text("NULL"),
        }
        for assignment in set {
            sql.text(", ");
            sql.assignment(assignment)?;
        }
        sql.where_owned()?;
        sql.text(self.row_number());
        sql.text(" = ");
        sql.value(Value::Row(row.number))?;
        sql.text(" AND ");
        sql.column(column)?;
        sql.text(" = ");
        sql.value(Value::Bytes(column, (&row.former).into()))?;
        Ok(sql.finish())
    }

    /// Creates a table.
    pub(crate) fn create_table(self, table: &Table) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new(self, "CREATE TABLE ");
        sql.table(&table.name)?;
        sql.text(" (");
        sql.owner_definition();
        for column in &table.columns {
            sql.column(&column.name)?;
            sql.text(" ");
            sql.text(self.column_type(column.kind));
            // Keys need it too: SQLite allows null in the key of a table with a rowid.
            if !column.nullable || table.key.contains(&column.name) {
                sql.text(" NOT NULL");
            }
            sql.text(", ");
        }
        if let (Dialect::Postgres(_), true) = (self, contains_records(table)) {
            sql.text(self.row_number());
            sql.text(" bigint GENERATED ALWAYS AS IDENTITY, ");
        }
        sql.text("PRIMARY KEY (");
        sql.owner_column();
        sql.list(&table.key, ", ", |sql, name| sql.column(name))?;
        sql.text("))");
        sql.text(self.table_options(table));
        Ok(sql.finish())
    }

    /// Creates an index of a new table.
    pub(crate) fn create_index<'a>(self, table: &'a Name, index: &'a Index) -> Result<Sql<'a>, Malformed> {
        self.index("CREATE INDEX ", table, index, |_| Indexed::default())
    }

    /// Creates an index of a table, unless an index with its name exists.
    pub(crate) fn ensure_index<'a>(self, table: &'a Name, index: &'a Index) -> Result<Sql<'a>, Malformed> {
        self.index("CREATE INDEX IF NOT EXISTS ", table, index, |_| Indexed::default())
    }

    /// Drops an index if it exists.
    pub(crate) fn drop_index(self, name: &Name) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new(self, "DROP INDEX IF EXISTS ");
        sql.name(name)?;
        Ok(sql.finish())
    }

    fn index<'a>(
        self,
        create: &str,
        table: &'a Name,
        index: &'a Index,
        piece: impl Fn(&str) -> Indexed,
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, create);
        sql.name(&index.name)?;
        sql.text(" ON ");
        sql.table(table)?;
        sql.text(" (");
        sql.owner_column();
        sql.list(&index.columns, ", ", |sql, name| {
            let Indexed { is_nullable, prefix } = piece(name);
            if prefix.is_some() {
                sql.text("left(");
            }
            sql.column(name)?;
            if let Some(characters) = prefix {
                sql.text(&format!(", {characters})"));
            }
            sql.text(if is_nullable { " NULLS FIRST" } else { "" });
            Ok(())
        })?;
        sql.text(")");
        Ok(sql.finish())
    }

    /// Adds a column to an existing table.
    pub(crate) fn add_column<'a>(self, table: &'a Name, column: &'a Column) -> Result<Sql<'a>, Malformed> {
        if !column.nullable {
            return Err(Malformed::NewColumnNotNullable);
        }
        let mut sql = Builder::new(self, "ALTER TABLE ");
        sql.table(table)?;
        sql.text(" ADD COLUMN ");
        sql.column(&column.name)?;
        sql.text(" ");
        sql.text(self.column_type(column.kind));
        Ok(sql.finish())
    }

    /// Returns one row if a row meets the condition, otherwise no row.
    ///
    /// The row needs no lock: only one transaction at a time writes to a database. In SQLite, it is the only writer. In
    /// PostgreSQL, its first statement locks the database's lane.
    pub(crate) fn exists<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "SELECT 1 FROM ");
        sql.table(table)?;
        sql.filter(rows)?;
        sql.text(" LIMIT 1");
        Ok(sql.finish())
    }

    /// Inserts a row.
    pub(crate) fn insert<'a>(self, table: &'a Name, row: &'a [(Name, Datum)]) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "INSERT INTO ");
        sql.table(table)?;
        sql.text(" (");
        sql.owner_column();
        sql.list(row, ", ", |sql, (column, _)| sql.column(column))?;
        sql.text(") VALUES (");
        sql.owner_value()?;
        sql.list(row, ", ", |sql, (column, datum)| sql.value(Value::Datum(column, datum)))?;
        sql.text(")");
        Ok(sql.finish())
    }

    /// Inserts a row for each matching row of another table.
    pub(crate) fn insert_from<'a>(
        self,
        table: &'a Name,
        row: &'a [(Name, Source)],
        from: &'a Name,
        rows: &'a Condition,
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "INSERT INTO ");
        sql.table(table)?;
        sql.text(" (");
        sql.owner_column();
        sql.list(row, ", ", |sql, (column, _)| sql.name(column))?;
        sql.text(") SELECT ");
        sql.owner_value()?;
        sql.list(row, ", ", |sql, (_, source)| match source {
            Source::Value(Datum::Null) => {
                sql.text("NULL");
                Ok(())
            }
            Source::Value(datum) => sql.value(Value::Literal(datum)),
            Source::Column(column) => sql.column(column),
            Source::Next(column) => {
                sql.column(column)?;
                sql.text(" + 1");
                Ok(())
            }
        })?;
        sql.text(" FROM ");
        sql.table(from)?;
        sql.filter(rows)?;
        Ok(sql.finish())
    }

    /// Updates rows.
    pub(crate) fn update<'a>(
        self,
        table: &'a Name,
        rows: &'a Condition,
        set: &'a [Assignment],
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "UPDATE ");
        sql.table(table)?;
        sql.text(" SET ");
        sql.list(set, ", ", Builder::assignment)?;
        sql.filter(rows)?;
        Ok(sql.finish())
    }

    /// Deletes rows.
    pub(crate) fn delete<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "DELETE FROM ");
        sql.table(table)?;
        sql.filter(rows)?;
        Ok(sql.finish())
    }

    /// Deletes a limited number of rows. No dialect supports a limit in DELETE.
    pub(crate) fn prune<'a>(
        self,
        table: &'a Name,
        key: &'a [Name],
        rows: &'a Condition,
        at_most: u32,
    ) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "DELETE FROM ");
        sql.table(table)?;
        sql.where_owned()?;
        sql.text("(");
        sql.list(key, ", ", |sql, name| sql.column(name))?;
        sql.text(") IN (SELECT ");
        sql.list(key, ", ", |sql, name| sql.column(name))?;
        sql.text(" FROM ");
        sql.table(table)?;
        sql.filter(rows)?;
        sql.text(" LIMIT ");
        sql.value(Value::Limit(at_most))?;
        sql.text(")");
        Ok(sql.finish())
    }

    /// Updates a counter.
    pub(crate) fn tally(self, tally: &Tally) -> Result<Sql<'_>, Malformed> {
        let Tally { table, key, counter, by } = tally;
        let mut sql = Builder::new(self, "INSERT INTO ");
        sql.table(table)?;
        sql.text(" (");
        sql.owner_column();
        sql.list(key, ", ", |sql, (column, _)| sql.column(column))?;
        sql.text(", ");
        sql.column(counter)?;
        sql.text(") VALUES (");
        sql.owner_value()?;
        sql.list(key, ", ", |sql, (column, datum)| sql.value(Value::Datum(column, datum)))?;
        sql.text(", ");
        sql.value(Value::Increment(counter, *by))?;
        sql.text(")");
        sql.or_add(tally)?;
        Ok(sql.finish())
    }

    /// Selects rows. An order says where nulls are, for the columns that may contain them.
    pub(crate) fn select(self, select: &Select, is_nullable: impl Fn(&str) -> bool) -> Result<Sql<'_>, Malformed> {
        let mut sql = Builder::new(self, "SELECT ");
        sql.list(&select.columns, ", ", |sql, column| sql.column(column))?;
        sql.text(" FROM ");
        sql.table(&select.table)?;
        sql.filter(&select.rows)?;
        sql.order_and_limit(select, is_nullable)?;
        Ok(sql.finish())
    }

    /// Selects the row with this key.
    pub(crate) fn look_up<'a>(self, lookup: &'a Lookup, key: &'a Datum) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "SELECT ");
        sql.list(lookup.columns(), ", ", |sql, column| sql.column(column))?;
        sql.text(" FROM ");
        sql.table(lookup.table())?;
        sql.where_owned()?;
        sql.column(lookup.key())?;
        sql.text(" = ");
        sql.value(Value::Literal(key))?;
        Ok(sql.finish())
    }

    /// Counts rows.
    pub(crate) fn count<'a>(self, table: &'a Name, rows: &'a Condition) -> Result<Sql<'a>, Malformed> {
        let mut sql = Builder::new(self, "SELECT count(*) FROM ");
        sql.table(table)?;
        sql.filter(rows)?;
        Ok(sql.finish())
    }
}

/// The function in SQL that takes the values of a row, and returns whether there can be more rows.
pub(crate) const TAKEN: &str = "sealward_taken";

/// The function in SQL that records a row as examined, and is true.
pub(crate) const EXAMINED: &str = "sealward_examined";

/// Returns whether the rows of a table are numbered: those of an entity, whose only key is a UUID.
pub(crate) fn contains_records(table: &Table) -> bool {
    let of_key = |name: &Name| table.columns.iter().find(|column| column.name == *name).map(|column| column.kind);
    matches!(&table.key[..], [only] if of_key(only) == Some(ColumnType::Uuid))
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
