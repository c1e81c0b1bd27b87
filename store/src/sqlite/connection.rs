//! A connection: how it is set up, how values go in and come out, and the types of columns that SQLite itself doesn't know.
//!
//! A `STRICT` table has integers, texts and blobs; which integer is a time and which blob a UUID stands in a table of the store's own,
//! written when tables and columns are made. With it every value is checked before it goes in, because SQLite would turn the text
//! `7` into the number without a word. Nothing here knows transactions.

use std::{
    collections::HashMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{
    CachedStatement, OpenFlags,
    config::DbConfig,
    ffi,
    types::{Null, ToSql, ToSqlOutput, ValueRef},
};
use sealward_core::{
    id::Timestamp,
    store::{Cause, Column, ColumnType, Condition, Datum, Name, Row, Scanned, Select, row_bytes},
};
use uuid::Uuid;

use super::{options::SqliteOptions, stop::Stop};
use crate::sql::{self, Malformed, Sql, Value};

/// Why a statement was not executed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    #[error("SQLite refused a statement")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a statement is malformed")]
    Malformed(#[from] Malformed),
    #[error("a value for {table}.{column} is not of the column's type, or there is no such column")]
    WrongType { table: String, column: String },
    #[error("{table}.{column} holds something that is not of its type, or there is no such column")]
    Unreadable { table: String, column: String },
    #[error("an audit record was not chained before it came here")]
    Unchained,
    #[error("the file is not a database of this service")]
    Foreign,
    #[error("the database has store format {0}, and this server knows {FORMAT} only")]
    Format(i32),
    #[error("the path {} isn't UTF-8", .0.display())]
    Path(PathBuf),
    #[error("the copy of the database isn't whole: {0}")]
    NotWhole(String),
    #[error("the database can't keep a write-ahead log")]
    NoLog,
    #[error("somebody reads from the write-ahead log, which can't be cut off yet")]
    LogInUse,
}

impl SqliteError {
    /// Whether a row has a key, or another value, that another row has and must not have.
    pub(super) fn is_duplicate(&self) -> bool {
        let SqliteError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        matches!(
            error.extended_code,
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_ROWID
        )
    }
}

impl SqliteError {
    /// Whether a statement was stopped; see [`Connection::stop_when`].
    pub(super) fn is_interrupted(&self) -> bool {
        let SqliteError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == rusqlite::ErrorCode::OperationInterrupted
    }
}

impl From<SqliteError> for Cause {
    fn from(error: SqliteError) -> Self {
        Cause(error.into())
    }
}

/// The types of a table's columns.
type Columns = HashMap<String, ColumnType>;

/// A connection, with the column types it has met. They never change, so that what is remembered is at most incomplete.
#[derive(Debug)]
pub(super) struct Connection {
    sqlite: rusqlite::Connection,
    tables: HashMap<String, Arc<Columns>>,
}

impl Connection {
    /// Turns an empty file into a database without tables.
    pub(super) fn create(path: &Path, options: SqliteOptions) -> Result<(), SqliteError> {
        let connection = Connection::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
        connection.sqlite.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {FORMAT};
             CREATE TABLE \"{COLUMN_TYPE}\"
                (\"table_name\" TEXT NOT NULL, \"column_name\" TEXT NOT NULL, \"type\" TEXT NOT NULL, PRIMARY KEY (\"table_name\", \"column_name\"))
                STRICT, WITHOUT ROWID;
             COMMIT"
        ))?;
        connection.sqlite.close().map_err(|(_, error)| SqliteError::Sqlite(error))
    }

    /// Opens a database to write to it, with a rollback journal: for one that nobody else has open.
    pub(super) fn open_unlogged(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
        connection.recognize()?;
        Ok(connection)
    }

    /// Opens a database to write to it.
    pub(super) fn open_writer(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::open_unlogged(path, options)?;
        let mode: String = connection.sqlite.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode == "wal" { Ok(connection) } else { Err(SqliteError::NoLog) }
    }

    /// Opens a database to read it, while it is open to be written to.
    pub(super) fn open_reader(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
        connection.recognize()?;
        Ok(connection)
    }

    /// Opens a database that nobody has open, to read it: no lock is taken, and no log is made beside it.
    pub(super) fn open_at_rest(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let address = format!("file:{}?immutable=1", percent_encoded(path));
        let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::connect(Path::new(&address), access, options)?;
        connection.recognize()?;
        Ok(connection)
    }

    fn connect(path: &Path, access: OpenFlags, options: SqliteOptions) -> Result<Self, SqliteError> {
        let sqlite = rusqlite::Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        sqlite.busy_timeout(options.busy_timeout)?;
        // A file from elsewhere is data: nothing in it may run functions, change SQLite's own tables, or pass for a column when it is
        // a text.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        // Plans don't depend on the values bound; else SQLite compiles a statement anew each time that it is run with others.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        sqlite.execute_batch(
            // Each commit is on disk before it is answered, on macOS too.
            "PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON;
             PRAGMA secure_delete = ON;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 67108864;",
        )?;
        sqlite.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Connection { sqlite, tables: HashMap::new() })
    }

    fn recognize(&self) -> Result<(), SqliteError> {
        let pragma = |name| self.sqlite.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        match (pragma("application_id")?, pragma("user_version")?) {
            (APPLICATION_ID, FORMAT) => Ok(()),
            (APPLICATION_ID, format) => Err(SqliteError::Format(format)),
            _ => Err(SqliteError::Foreign),
        }
    }

    /// Executes a statement that answers with no rows, and has no values.
    pub(super) fn control(&self, text: &str) -> Result<(), SqliteError> {
        self.sqlite.prepare_cached(text)?.raw_execute()?;
        Ok(())
    }

    /// Executes a statement that changes rows of `table`: how many.
    pub(super) fn execute(&mut self, table: &str, sql: &Sql<'_>) -> Result<usize, SqliteError> {
        Ok(self.bound(table, sql)?.raw_execute()?)
    }

    /// Whether a statement answers with a row.
    pub(super) fn exists(&mut self, table: &str, sql: &Sql<'_>) -> Result<bool, SqliteError> {
        let mut statement = self.bound(table, sql)?;
        Ok(statement.raw_query().next()?.is_some())
    }

    pub(super) fn count(&mut self, table: &Name, rows: &Condition) -> Result<u64, SqliteError> {
        let sql = sql::count(table, rows)?;
        let mut statement = self.bound(table, &sql)?;
        let mut rows = statement.raw_query();
        let count: i64 = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
        Ok(count.unsigned_abs())
    }

    pub(super) fn select(&mut self, select: &Select) -> Result<Vec<Row>, SqliteError> {
        self.scan(select, usize::MAX).map(|scanned| scanned.rows)
    }

    /// Reads rows until their values have more than `bytes_max` bytes together.
    pub(super) fn scan(&mut self, select: &Select, bytes_max: usize) -> Result<Scanned, SqliteError> {
        let columns = self.columns(&select.table, select.columns.iter().map(|name| &**name))?;
        let unreadable =
            |column: &Name| SqliteError::Unreadable { table: select.table.to_string(), column: column.to_string() };
        let mut wanted = Vec::with_capacity(select.columns.len());
        for column in &select.columns {
            wanted.push((column, *columns.get(&**column).ok_or_else(|| unreadable(column))?));
        }
        let sql = sql::select(select)?;
        let mut statement = self.bound(&select.table, &sql)?;
        let mut found = statement.raw_query();
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while bytes <= bytes_max {
            let Some(row) = found.next()? else { return Ok(Scanned { rows, is_cut: false }) };
            let mut datums = Vec::with_capacity(wanted.len());
            for (index, (column, kind)) in wanted.iter().enumerate() {
                datums.push(datum(row.get_ref(index)?, *kind).ok_or_else(|| unreadable(column))?);
            }
            bytes = bytes.saturating_add(row_bytes(&datums));
            rows.push(datums);
        }
        Ok(Scanned { rows, is_cut: true })
    }

    /// Has every statement stop with [`SqliteError::is_interrupted`] once this says so; `None` lets them run again.
    pub(super) fn stop_when(&mut self, stop: Option<Arc<Stop>>) -> Result<(), SqliteError> {
        let handler = stop.map(|stop| move || stop.is_due());
        Ok(self.sqlite.progress_handler(OPERATIONS_BETWEEN_LOOKS, handler)?)
    }

    /// Whether there is such a table.
    pub(super) fn has_table(&mut self, table: &str) -> Result<bool, SqliteError> {
        Ok(!self.columns(table, std::iter::empty())?.is_empty())
    }

    /// Whether there is such a column.
    pub(super) fn has_column(&mut self, table: &str, column: &str) -> Result<bool, SqliteError> {
        Ok(self.columns(table, std::iter::once(column))?.contains_key(column))
    }

    /// Remembers the type of a column that was made.
    pub(super) fn declare(&mut self, table: &str, column: &Column) -> Result<(), SqliteError> {
        let mut insert = self.sqlite.prepare_cached(&format!("INSERT INTO \"{COLUMN_TYPE}\" VALUES ($1, $2, $3)"))?;
        insert.execute((table, &*column.name, column.kind.name()))?;
        Ok(())
    }

    /// Forgets which tables there are: some of them may have been made in vain.
    pub(super) fn forget_tables(&mut self) {
        self.tables.clear();
    }

    /// Copies the database, as it is now, into an empty file: all of it within one read transaction, so that it never begins again
    /// because somebody writes. What was deleted isn't in the copy.
    pub(super) fn copy_into(&self, path: &Path) -> Result<(), SqliteError> {
        let path = path.to_str().ok_or_else(|| SqliteError::Path(path.to_owned()))?;
        self.sqlite.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Whether what is in the file is a whole database.
    ///
    /// # Errors
    /// [`SqliteError::NotWhole`] with what is wrong first.
    pub(super) fn check_whole(&self) -> Result<(), SqliteError> {
        let found: String = self.sqlite.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(SqliteError::NotWhole(found)) }
    }

    /// Begins a transaction that sees what is committed now. It ends with the connection.
    pub(super) fn begin_snapshot(&self) -> Result<(), SqliteError> {
        self.control("BEGIN")?;
        // A transaction sees what is there at its first read.
        self.sqlite.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok(())
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.sqlite.is_autocommit()
    }

    /// Makes the disk full at this many pages, until the connection is closed.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.sqlite.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    /// As [`checkpoint`](Self::checkpoint), but waits for readers no longer than this.
    pub(super) fn checkpoint_within(&self, patience: Duration, usual: Duration) -> Result<(), SqliteError> {
        self.sqlite.busy_timeout(patience)?;
        let outcome = self.checkpoint();
        self.sqlite.busy_timeout(usual)?;
        outcome
    }

    /// Moves everything from the log to the database, and cuts the log to nothing.
    pub(super) fn checkpoint(&self) -> Result<(), SqliteError> {
        let busy: bool = self.sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy { Err(SqliteError::LogInUse) } else { Ok(()) }
    }

    /// The types of a table's columns, read again if these columns are not all among those remembered.
    fn columns<'a>(
        &mut self,
        table: &str,
        mut wanted: impl Iterator<Item = &'a str>,
    ) -> Result<Arc<Columns>, SqliteError> {
        if let Some(columns) = self.tables.get(table)
            && !columns.is_empty()
            && wanted.all(|column| columns.contains_key(column))
        {
            return Ok(Arc::clone(columns));
        }
        let text = format!("SELECT \"column_name\", \"type\" FROM \"{COLUMN_TYPE}\" WHERE \"table_name\" = $1");
        let mut statement = self.sqlite.prepare_cached(&text)?;
        let mut rows = statement.query([table])?;
        let mut columns = Columns::new();
        while let Some(row) = rows.next()? {
            let (column, name): (String, String) = (row.get(0)?, row.get(1)?);
            let kind = ColumnType::ALL.into_iter().find(|kind| kind.name() == name);
            let kind =
                kind.ok_or_else(|| SqliteError::Unreadable { table: table.to_owned(), column: column.clone() })?;
            columns.insert(column, kind);
        }
        let columns = Arc::new(columns);
        self.tables.insert(table.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }

    /// Checks that each of these columns of a table is of the type that a value for it has.
    pub(super) fn check_types<'a>(
        &mut self,
        table: &str,
        claims: impl Iterator<Item = (&'a str, ColumnType)> + Clone,
    ) -> Result<(), SqliteError> {
        let columns = self.columns(table, claims.clone().map(|(column, _)| column))?;
        match claims.into_iter().find(|(column, kind)| columns.get(*column) != Some(kind)) {
            Some((column, _)) => Err(SqliteError::WrongType { table: table.to_owned(), column: column.to_owned() }),
            None => Ok(()),
        }
    }

    /// A statement with its values, each checked to be of its column's type.
    fn bound(&mut self, table: &str, sql: &Sql<'_>) -> Result<CachedStatement<'_>, SqliteError> {
        self.check_types(table, sql.values.iter().filter_map(Value::claim))?;
        let mut statement = self.sqlite.prepare_cached(&sql.text)?;
        for (index, value) in (1..).zip(&sql.values) {
            statement.raw_bind_parameter::<usize, _>(index, Bound(value))?;
        }
        Ok(statement)
    }
}

/// A path as it stands in an address (RFC 3986, section 2.1): all but letters, digits and what separates folders and extensions.
fn percent_encoded(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A value as SQLite stores it.
struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            Value::Datum(_, datum) | Value::Literal(datum) => match datum {
                Datum::Null => Null.to_sql(),
                Datum::Boolean(value) => Ok(i64::from(*value).into()),
                Datum::Integer(value) => Ok((*value).into()),
                Datum::Text(value) => value.to_sql(),
                Datum::Bytes(value) => value.to_sql(),
                Datum::Uuid(value) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(value.as_bytes()))),
                Datum::Time(value) => Ok(value.unix_micros().into()),
            },
            Value::Increment(_, by) => Ok((*by).into()),
            Value::Bound(_, text) => text.to_sql(),
            Value::Header(_, bytes) => bytes.to_sql(),
            Value::Limit(rows) => Ok((*rows).into()),
        }
    }
}

/// A stored value as a column of this type has it; `None` if it can't have it.
fn datum(stored: ValueRef<'_>, kind: ColumnType) -> Option<Datum> {
    match (kind, stored) {
        (_, ValueRef::Null) => Some(Datum::Null),
        (ColumnType::Boolean, ValueRef::Integer(0)) => Some(Datum::Boolean(false)),
        (ColumnType::Boolean, ValueRef::Integer(1)) => Some(Datum::Boolean(true)),
        (ColumnType::Integer, ValueRef::Integer(value)) => Some(Datum::Integer(value)),
        (ColumnType::Time, ValueRef::Integer(micros)) => Some(Datum::Time(Timestamp::from_unix_micros(micros))),
        (ColumnType::Text, ValueRef::Text(text)) => Some(Datum::Text(str::from_utf8(text).ok()?.to_owned())),
        (ColumnType::Bytes, ValueRef::Blob(bytes)) => Some(Datum::Bytes(bytes.to_vec())),
        (ColumnType::Uuid, ValueRef::Blob(bytes)) => Some(Datum::Uuid(Uuid::from_slice(bytes).ok()?)),
        _ => None,
    }
}

/// The table of column types: what a `STRICT` table doesn't tell.
const COLUMN_TYPE: &str = "sealward_column_type";

/// Tells our files from others: `SLWD`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"SLWD");

/// The format of the store, which is not that of what is stored in it.
pub(crate) const FORMAT: i32 = 1;

/// After how many of SQLite's own steps a statement looks whether it is to stop: some ten microseconds.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1_000;

/// Prepared statements kept by a connection: those of some dozen tables.
const STATEMENTS_MAX: usize = 128;
