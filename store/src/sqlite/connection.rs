//! A connection: its settings, the conversion of values, and the column types that SQLite doesn't store.
//!
//! A `STRICT` table contains integers, texts and blobs. A table of the store records which integers are times and which
//! blobs are UUIDs. It is written when tables and columns are created. Every value is checked against it before it is
//! bound, because SQLite would silently convert the text `7` to a number. This file knows no transactions.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{
    CachedStatement, MAIN_DB, OpenFlags,
    blob::Blob,
    config::DbConfig,
    ffi,
    types::{Null, ToSql, ToSqlOutput, ValueRef},
};
use sealward_core::store::{
    Assignment, Cause, Column, ColumnRow, ColumnRows, ColumnScan, ColumnType, Condition, Datum, DatumRef, Lookup, Name,
    Rewrite, Row, RowNumber, RowSink, Scan, ScanEnd, Scanned, Select, Unavailable, row_bytes,
};
use uuid::Uuid;

use super::{
    datum::{datum, datum_ref, emptied},
    options::SqliteOptions,
    position::Position,
    stop::Stop,
    taker::{TakeError, Taker},
};
use crate::sql::{self, Dialect, Malformed, Sql, Value};

/// Why a statement was not executed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    #[error("SQLite refused a statement")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a statement is malformed")]
    Malformed(#[from] Malformed),
    #[error("a value for {table}.{column} has the wrong type, or the column does not exist")]
    WrongType { table: String, column: String },
    #[error("{table}.{column} contains a value of the wrong type, or does not exist")]
    Unreadable { table: String, column: String },
    #[error("an audit record is not chained")]
    Unchained,
    #[error("the file is not a database of this service")]
    Foreign,
    #[error("the database has store format {0}; this server supports only {FORMAT}")]
    Format(i32),
    #[error("the path {} isn't UTF-8", .0.display())]
    Path(PathBuf),
    #[error("the copy of the database is damaged: {0}")]
    NotWhole(String),
    #[error("the database does not support a write-ahead log")]
    NoLog,
    #[error("a reader of the write-ahead log prevents its truncation")]
    LogInUse,
    #[error("a row was refused")]
    Refused(#[source] Unavailable),
}

impl SqliteError {
    /// Returns whether the statement violated a unique constraint: another row has the same key or the same unique
    /// value.
    pub(super) fn is_duplicate(&self) -> bool {
        let SqliteError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        matches!(
            error.extended_code,
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_ROWID
        )
    }
}

impl SqliteError {
    /// Returns whether the statement was stopped. See [`Connection::stop_when`].
    pub(super) fn is_interrupted(&self) -> bool {
        let SqliteError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == rusqlite::ErrorCode::OperationInterrupted
    }
}

impl SqliteError {
    /// Returns whether a file can't be written: the disk is full, or the file system failed.
    pub(super) fn is_of_writing(&self) -> bool {
        let SqliteError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        matches!(error.code, rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::ReadOnly)
            || [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE]
                .contains(&error.extended_code)
    }
}

impl From<SqliteError> for Cause {
    fn from(error: SqliteError) -> Self {
        Cause(error.into())
    }
}

/// The types of a table's columns.
type Columns = HashMap<String, ColumnType>;

/// A connection with a cache of column types. Types never change, so the cache can be incomplete but not wrong.
#[derive(Debug)]
pub(super) struct Connection {
    sqlite: rusqlite::Connection,
    tables: HashMap<String, Arc<Columns>>,
    /// The types that the values of a statement must have, by its text. Statements whose text isn't in it have yet to be
    /// compared with the columns of their table.
    types: HashMap<String, Arc<Types>>,
    /// By the id of the lookup.
    lookups: HashMap<u64, Arc<PreparedLookup>>,
    /// Whether SQLite finds the rows of a statement in their order, by its text.
    is_in_order: HashMap<String, bool>,
    taker: Taker,
    /// The position of the current scan.
    position: Position,
    /// See [`stop_when`](Self::stop_when).
    stop: Option<Arc<Stop>>,
    page_time: Duration,
    /// By the table. Rows of a table have few different lists of columns.
    inserts: HashMap<Name, Vec<Arc<PreparedInsert>>>,
}

/// The types of the columns of a statement's values, by number of the placeholder. `None` if the value has no column.
/// The text of a statement determines its columns.
type Types = Vec<Option<ColumnType>>;

/// The text of a lookup, and the types of its key and its columns.
#[derive(Debug)]
struct PreparedLookup {
    text: String,
    key: ColumnType,
    columns: Vec<ColumnType>,
}

/// The text of an insert, and the types of its columns. To build and to hash the text for each row would take a tenth of
/// the time of a small commit.
#[derive(Debug)]
struct PreparedInsert {
    text: String,
    columns: Vec<(Name, ColumnType)>,
}

impl PreparedInsert {
    fn is_for(&self, row: &[(Name, Datum)]) -> bool {
        let columns = self.columns.iter().map(|(column, _)| column);
        columns.eq(row.iter().map(|(column, _)| column))
    }
}

impl Connection {
    /// Initializes an empty file as a database without tables.
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

    /// Opens a database for writing with a rollback journal. No other connection may have it open.
    pub(super) fn open_unlogged(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
        connection.recognize()?;
        Ok(connection)
    }

    /// Opens a database for writing.
    pub(super) fn open_writer(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::open_unlogged(path, options)?;
        let mode: String = connection.sqlite.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(SqliteError::NoLog);
        }
        connection.sqlite.pragma_update(None, "cache_size", WRITER_CACHE_KIB.saturating_neg())?;
        Ok(connection)
    }

    /// Opens a database for reading while a writer has it open.
    pub(super) fn open_reader(path: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let connection = Connection::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
        connection.recognize()?;
        Ok(connection)
    }

    /// Opens a database for reading that no other connection has open. Takes no lock and creates no log.
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
        // A file from elsewhere is untrusted data: it must not run functions or change SQLite's own tables, and a
        // quoted text must not be taken for a column.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        // Query plans don't depend on bound values. Otherwise, SQLite would compile a statement again for each set of
        // values.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        sqlite.execute_batch(
            // Each commit is on disk before its caller gets an answer, also on macOS.
            "PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON;
             PRAGMA secure_delete = ON;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 67108864;",
        )?;
        sqlite.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Connection {
            taker: Taker::register(&sqlite)?,
            position: Position::register(&sqlite)?,
            sqlite,
            tables: HashMap::new(),
            types: HashMap::new(),
            lookups: HashMap::new(),
            is_in_order: HashMap::new(),
            inserts: HashMap::new(),
            stop: None,
            page_time: options.page_time,
        })
    }

    fn recognize(&self) -> Result<(), SqliteError> {
        let pragma = |name| self.sqlite.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        match (pragma("application_id")?, pragma("user_version")?) {
            (APPLICATION_ID, FORMAT) => Ok(()),
            (APPLICATION_ID, format) => Err(SqliteError::Format(format)),
            _ => Err(SqliteError::Foreign),
        }
    }

    /// Executes a statement that has no values and returns no rows.
    pub(super) fn control(&self, text: &str) -> Result<(), SqliteError> {
        self.sqlite.prepare_cached(text)?.raw_execute()?;
        Ok(())
    }

    /// Executes a statement that changes rows of `table`. Returns the number of changed rows.
    pub(super) fn execute(&mut self, table: &str, sql: &Sql<'_>) -> Result<usize, SqliteError> {
        Ok(self.bound(table, sql)?.raw_execute()?)
    }

    /// Inserts a row.
    pub(super) fn insert(&mut self, table: &Name, row: &[(Name, Datum)]) -> Result<usize, SqliteError> {
        let prepared = self.prepared_insert(table, row)?;
        for ((_, datum), (column, kind)) in row.iter().zip(&prepared.columns) {
            if datum.kind().is_some_and(|claimed| claimed != *kind) {
                return Err(SqliteError::WrongType { table: table.to_string(), column: column.to_string() });
            }
            sql::check(datum)?;
        }
        let mut statement = self.sqlite.prepare_cached(&prepared.text)?;
        for (index, (_, datum)) in (1..).zip(row) {
            statement.raw_bind_parameter::<usize, _>(index, Bound(&Value::Literal(datum)))?;
        }
        Ok(statement.raw_execute()?)
    }

    /// Returns the text and the types of an insert of these columns, which are derived at its first use.
    fn prepared_insert(&mut self, table: &Name, row: &[(Name, Datum)]) -> Result<Arc<PreparedInsert>, SqliteError> {
        if let Some(prepared) = self.inserts.get(table).and_then(|known| known.iter().find(|known| known.is_for(row))) {
            return Ok(Arc::clone(prepared));
        }
        let text = DIALECT.insert(table, row)?.text;
        let types = self.columns(table, row.iter().map(|(column, _)| &**column))?;
        let kind = |(column, _): &(Name, Datum)| match types.get(&**column) {
            Some(kind) => Ok((column.clone(), *kind)),
            None => Err(SqliteError::WrongType { table: table.to_string(), column: column.to_string() }),
        };
        let columns = row.iter().map(kind).collect::<Result<_, _>>()?;
        let prepared = Arc::new(PreparedInsert { text, columns });
        let known = self.inserts.entry(table.clone()).or_default();
        // Callers can leave out any attributes of a record.
        if known.len() >= INSERTS_MAX {
            known.clear();
        }
        known.push(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Returns whether a statement returns a row.
    pub(super) fn exists(&mut self, table: &str, sql: &Sql<'_>) -> Result<bool, SqliteError> {
        let mut statement = self.bound(table, sql)?;
        Ok(statement.raw_query().next()?.is_some())
    }

    pub(super) fn count(&mut self, table: &Name, rows: &Condition) -> Result<u64, SqliteError> {
        let sql = DIALECT.count(table, rows)?;
        let mut statement = self.bound(table, &sql)?;
        let mut rows = statement.raw_query();
        let count: i64 = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
        Ok(count.unsigned_abs())
    }

    pub(super) fn select(&mut self, select: &Select) -> Result<Vec<Row>, SqliteError> {
        self.scan(select, usize::MAX).map(|scanned| scanned.rows)
    }

    /// Reads rows until their values have more than `bytes_max` bytes in total.
    pub(super) fn scan(&mut self, select: &Select, bytes_max: usize) -> Result<Scanned, SqliteError> {
        let mut kept = KeptRows { rows: Vec::new(), bytes: 0, bytes_max };
        self.pass(select, &DIALECT.select(select, |_| true)?, &mut kept)?;
        Ok(Scanned { is_cut: kept.bytes > bytes_max, rows: kept.rows })
    }

    /// Passes rows to a sink, until it has enough, or until the time of a page is over. A read of rows that SQLite has to
    /// sort can't be continued, so it isn't ended by that time.
    pub(super) fn scan_into(&mut self, scan: &Scan, sink: &Arc<Mutex<dyn RowSink>>) -> Result<ScanEnd, SqliteError> {
        let select = &scan.select;
        if select.columns.len() <= TAKEN_MAX {
            let sql = DIALECT.select_taken(scan)?;
            // SQLite would call the functions before it sorts the rows.
            if self.is_in_order(&sql.text)? {
                return self.take(scan, &sql, sink);
            }
        }
        self.pass(
            select,
            &DIALECT.select(select, |_| true)?,
            &mut *sink.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(ScanEnd::Complete)
    }

    /// Passes the rows of a statement to a sink, until it has enough. The statement calls [`TAKEN`](sql::TAKEN).
    fn take(
        &mut self,
        Scan { select, is_short }: &Scan,
        sql: &Sql<'_>,
        sink: &Arc<Mutex<dyn RowSink>>,
    ) -> Result<ScanEnd, SqliteError> {
        let (taker, position) = (self.taker.clone(), self.position.clone());
        position.restart();
        if let (false, Some(stop)) = (is_short, &self.stop) {
            stop.pause_at(Instant::now().checked_add(self.page_time));
        }
        let kinds = self.wanted(select)?.into_iter().map(|(_, kind)| kind);
        taker.begin(sink, kinds, (!is_short).then(|| position.clone()));
        let mut statement = self.bound(&select.table, sql)?;
        let mut found = statement.raw_query();
        let stepped = loop {
            match found.next() {
                Ok(Some(row)) if row.get_ref(0) == Ok(ValueRef::Integer(1)) => {}
                Ok(Some(_) | None) => break Ok(()),
                Err(error) => break Err(SqliteError::from(error)),
            }
        };
        drop(found);
        drop(statement);
        taker.end().map_err(|error| match error {
            TakeError::Unreadable(index) => {
                unreadable(&select.table, select.columns.get(index).map_or("", |column| &**column))
            }
            TakeError::Refused(error) => SqliteError::Refused(error),
        })?;
        match stepped {
            Err(error) if error.is_interrupted() && position.has_examined() => self.cut(select),
            stepped => stepped.map(|()| ScanEnd::Complete),
        }
    }

    /// Returns the end of a scan after the last row that was examined.
    fn cut(&mut self, select: &Select) -> Result<ScanEnd, SqliteError> {
        let columns = self.columns(&select.table, select.order.iter().map(|(name, _)| &**name))?;
        let keys = select.order.iter().zip(self.position.examined()).map(|((name, _), value)| {
            let kind = columns.get(&**name);
            kind.and_then(|kind| datum((&value).into(), *kind)).ok_or_else(|| unreadable(&select.table, name))
        });
        Ok(ScanEnd::Cut(keys.collect::<Result<_, _>>()?))
    }

    /// Returns whether SQLite finds the rows of a statement in their order, without sorting them.
    fn is_in_order(&mut self, text: &str) -> Result<bool, SqliteError> {
        if let Some(is_in_order) = self.is_in_order.get(text) {
            return Ok(*is_in_order);
        }
        // The plan doesn't depend on the values, see `SQLITE_DBCONFIG_ENABLE_QPSG`.
        let mut plan = self.sqlite.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
        let mut steps = plan.raw_query();
        let mut is_in_order = true;
        while let Some(step) = steps.next()? {
            let ValueRef::Text(detail) = step.get_ref("detail")? else { continue };
            is_in_order &= !String::from_utf8_lossy(detail).contains("TEMP B-TREE");
        }
        if self.is_in_order.len() >= STATEMENTS_MAX {
            self.is_in_order.clear();
        }
        self.is_in_order.insert(text.to_owned(), is_in_order);
        Ok(is_in_order)
    }

    /// Returns the columns of a read with their types.
    fn wanted<'a>(&mut self, select: &'a Select) -> Result<Vec<(&'a Name, ColumnType)>, SqliteError> {
        let columns = self.columns(&select.table, select.columns.iter().map(|name| &**name))?;
        let mut wanted = Vec::with_capacity(select.columns.len());
        for column in &select.columns {
            wanted.push((column, *columns.get(&**column).ok_or_else(|| unreadable(&select.table, column))?));
        }
        Ok(wanted)
    }

    /// Passes the rows of a statement to a sink, until it has enough.
    fn pass(&mut self, select: &Select, sql: &Sql<'_>, sink: &mut dyn RowSink) -> Result<(), SqliteError> {
        let wanted = self.wanted(select)?;
        let mut statement = self.bound(&select.table, sql)?;
        let mut found = statement.raw_query();
        let mut values = Vec::with_capacity(wanted.len());
        while let Some(row) = found.next()? {
            let mut datums = emptied(values);
            for (index, (column, kind)) in wanted.iter().enumerate() {
                let datum = datum_ref(row.get_ref(index)?, *kind);
                datums.push(datum.ok_or_else(|| unreadable(&select.table, column))?);
            }
            let then = sink.take(&datums).map_err(SqliteError::Refused)?;
            values = emptied(datums);
            if then.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads the row with this key.
    pub(super) fn look_up(&mut self, lookup: &Lookup, key: &Datum) -> Result<Option<Row>, SqliteError> {
        let prepared = self.prepared(lookup, key)?;
        if matches!(key, Datum::Text(text) if text.contains('\0')) {
            return Err(Malformed::NulCharacter.into());
        }
        match key.kind() {
            Some(kind) if kind == prepared.key => {}
            Some(_) => {
                let (table, column) = (lookup.table().to_string(), lookup.key().to_string());
                return Err(SqliteError::WrongType { table, column });
            }
            None => return Err(Malformed::NullComparison.into()),
        }
        let mut statement = self.sqlite.prepare_cached(&prepared.text)?;
        statement.raw_bind_parameter::<usize, _>(1, Bound(&Value::Literal(key)))?;
        let mut found = statement.raw_query();
        let Some(row) = found.next()? else { return Ok(None) };
        let mut datums = Vec::with_capacity(prepared.columns.len());
        for (index, (column, kind)) in lookup.columns().iter().zip(&prepared.columns).enumerate() {
            datums.push(datum(row.get_ref(index)?, *kind).ok_or_else(|| unreadable(lookup.table(), column))?);
        }
        Ok(Some(datums))
    }

    /// Returns the text and the types of a lookup, which are derived at its first use.
    fn prepared(&mut self, lookup: &Lookup, key: &Datum) -> Result<Arc<PreparedLookup>, SqliteError> {
        if let Some(prepared) = self.lookups.get(&lookup.id()) {
            return Ok(Arc::clone(prepared));
        }
        let wanted = || std::iter::once(lookup.key()).chain(lookup.columns());
        let columns = self.columns(lookup.table(), wanted().map(|name| &**name))?;
        let kind = |name: &Name| columns.get(&**name).copied().ok_or_else(|| unreadable(lookup.table(), name));
        let prepared = Arc::new(PreparedLookup {
            text: DIALECT.look_up(lookup, key)?.text,
            key: kind(lookup.key())?,
            columns: lookup.columns().iter().map(kind).collect::<Result<_, _>>()?,
        });
        // A change of metadata leaves lookups that are never used again.
        if self.lookups.len() >= STATEMENTS_MAX {
            self.lookups.clear();
        }
        self.lookups.insert(lookup.id(), Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Sets the maximum wait for the lock of another connection.
    pub(super) fn wait_at_most(&self, patience: Duration) -> Result<(), SqliteError> {
        Ok(self.sqlite.busy_timeout(patience)?)
    }

    /// Reads a column of bytes in the order of the row numbers.
    pub(super) fn scan_column(&mut self, scan: &ColumnScan) -> Result<ColumnRows, SqliteError> {
        let unreadable =
            |column: &Name| SqliteError::Unreadable { table: scan.table.to_string(), column: column.to_string() };
        let columns = self.columns(&scan.table, [&*scan.key, &*scan.column].into_iter())?;
        for (column, kind) in [(&scan.key, ColumnType::Uuid), (&scan.column, ColumnType::Bytes)] {
            if columns.get(&**column) != Some(&kind) {
                return Err(unreadable(column));
            }
        }
        let sql = DIALECT.scan_column(scan)?;
        let mut statement = self.bound(&scan.table, &sql)?;
        let mut found = statement.raw_query();
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while rows.len() < limit && bytes <= scan.bytes_max {
            let Some(row) = found.next()? else { return Ok(ColumnRows { rows, is_cut: false }) };
            let ValueRef::Blob(key) = row.get_ref(1)? else { return Err(unreadable(&scan.key)) };
            let ValueRef::Blob(value) = row.get_ref(2)? else { return Err(unreadable(&scan.column)) };
            bytes = bytes.saturating_add(value.len());
            rows.push(ColumnRow {
                number: RowNumber(row.get(0)?),
                key: Uuid::from_slice(key).map_err(|_| unreadable(&scan.key))?,
                value: value.to_vec(),
            });
            yield_after(rows.len());
        }
        Ok(ColumnRows { rows, is_cut: true })
    }

    /// Replaces the values of a column of bytes where rows still contain their former values. Returns the number of
    /// changed rows.
    pub(super) fn rewrite(
        &mut self,
        table: &Name,
        column: &Name,
        rows: &[Rewrite],
        set: &[Assignment],
    ) -> Result<usize, SqliteError> {
        self.check_types(table, [(&**column, ColumnType::Bytes)].into_iter())?;
        let mut changed = 0;
        let mut rows = rows.iter();
        while !rows.as_slice().is_empty() {
            // A value of the same length is replaced in its place, which costs a quarter of a statement.
            if set.is_empty() {
                changed += self.rewrite_in_place(table, column, &mut rows)?;
            }
            if let Some(row) = rows.next() {
                changed += self.execute(table, &DIALECT.rewrite(table, column, row, set)?)?;
            }
        }
        Ok(changed)
    }

    /// Replaces values up to the first row that has another length or is missing. Leaves that row and those after it.
    fn rewrite_in_place(
        &self,
        table: &str,
        column: &str,
        rows: &mut std::slice::Iter<'_, Rewrite>,
    ) -> Result<usize, SqliteError> {
        let (mut value, mut changed, mut stored) = (None, 0, Vec::new());
        while let Some(Rewrite { number, former, value: Some(new) }) = rows.as_slice().first()
            && former.len() == new.len()
        {
            let opened = match value.take() {
                None => self.sqlite.blob_open(MAIN_DB, table, column, number.0, false),
                Some(open) => reopened(open, number.0),
            };
            // A null, or no row with this number. Other errors happen again in the statement.
            let Ok(mut open) = opened else { return Ok(changed) };
            if open.len() == former.len() {
                stored.resize(former.len(), 0);
                open.read_at_exact(&mut stored, 0)?;
                if stored == *former {
                    open.write_at(new, 0)?;
                    changed += 1;
                }
            }
            value = Some(open);
            rows.next();
            yield_after(rows.len());
        }
        Ok(changed)
    }

    /// Makes every statement stop with [`SqliteError::is_interrupted`] when `stop` requires it; `None` removes the
    /// limit.
    pub(super) fn stop_when(&mut self, stop: Option<Arc<Stop>>) -> Result<(), SqliteError> {
        self.stop.clone_from(&stop);
        let position = self.position.clone();
        let handler = stop.map(|stop| move || stop.is_due(|| position.has_examined()));
        Ok(self.sqlite.progress_handler(OPERATIONS_BETWEEN_LOOKS, handler)?)
    }

    /// Returns whether the table exists.
    pub(super) fn has_table(&mut self, table: &str) -> Result<bool, SqliteError> {
        Ok(!self.columns(table, std::iter::empty())?.is_empty())
    }

    /// Returns whether the column exists.
    pub(super) fn has_column(&mut self, table: &str, column: &str) -> Result<bool, SqliteError> {
        Ok(self.columns(table, std::iter::once(column))?.contains_key(column))
    }

    /// Records the type of a new column.
    pub(super) fn declare(&mut self, table: &str, column: &Column) -> Result<(), SqliteError> {
        let mut insert = self.sqlite.prepare_cached(&format!("INSERT INTO \"{COLUMN_TYPE}\" VALUES ($1, $2, $3)"))?;
        insert.execute((table, &*column.name, column.kind.name()))?;
        Ok(())
    }

    /// Clears the cache of column types. The tables may have been created in a transaction that was rolled back.
    pub(super) fn forget_tables(&mut self) {
        self.tables.clear();
        self.types.clear();
        self.lookups.clear();
        self.is_in_order.clear();
        self.inserts.clear();
    }

    /// Copies the current state of the database to an empty file. The copy is one read transaction, so writes don't
    /// restart it. It doesn't contain deleted data.
    pub(super) fn copy_into(&self, path: &Path) -> Result<(), SqliteError> {
        let path = path.to_str().ok_or_else(|| SqliteError::Path(path.to_owned()))?;
        self.sqlite.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Checks that the file contains an undamaged database.
    ///
    /// # Errors
    /// [`SqliteError::NotWhole`] with the first problem.
    pub(super) fn check_whole(&self) -> Result<(), SqliteError> {
        let found: String = self.sqlite.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(SqliteError::NotWhole(found)) }
    }

    /// Begins a transaction that reads the current committed state. It ends with the connection.
    pub(super) fn begin_snapshot(&self) -> Result<(), SqliteError> {
        self.control("BEGIN")?;
        // The transaction's state is that of its first read.
        self.sqlite.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok(())
    }

    /// Returns a number that changes when another connection has changed the database.
    pub(super) fn data_version(&self) -> Result<i64, SqliteError> {
        Ok(self.sqlite.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.sqlite.is_autocommit()
    }

    /// Simulates a full disk at this number of pages, until the connection is closed.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.sqlite.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    /// Does a [`checkpoint`](Self::checkpoint) that waits for readers at most for this time.
    pub(super) fn checkpoint_within(&self, patience: Duration, usual: Duration) -> Result<(), SqliteError> {
        self.sqlite.busy_timeout(patience)?;
        let outcome = self.checkpoint();
        self.sqlite.busy_timeout(usual)?;
        outcome
    }

    /// Moves the log to the database, and truncates the log to zero length.
    pub(super) fn checkpoint(&self) -> Result<(), SqliteError> {
        let busy: bool = self.sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy { Err(SqliteError::LogInUse) } else { Ok(()) }
    }

    /// Returns the types of a table's columns. Reads them again if a column isn't in the cache.
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

    /// Checks that each of these columns has the type of its value.
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

    /// Prepares a statement, checks the types of its values and binds them.
    fn bound(&mut self, table: &str, sql: &Sql<'_>) -> Result<CachedStatement<'_>, SqliteError> {
        let types = self.types(table, sql)?;
        for (value, kind) in sql.values.iter().zip(&*types) {
            if let Some((column, claimed)) = value.claim()
                && Some(claimed) != *kind
            {
                return Err(SqliteError::WrongType { table: table.to_owned(), column: column.to_owned() });
            }
        }
        let mut statement = self.sqlite.prepare_cached(&sql.text)?;
        for (index, value) in (1..).zip(&sql.values) {
            statement.raw_bind_parameter::<usize, _>(index, Bound(value))?;
        }
        Ok(statement)
    }

    /// Returns the types of the columns of a statement's values.
    fn types(&mut self, table: &str, sql: &Sql<'_>) -> Result<Arc<Types>, SqliteError> {
        if let Some(types) = self.types.get(&sql.text) {
            return Ok(Arc::clone(types));
        }
        let named = || sql.values.iter().map(Value::column);
        let columns = self.columns(table, named().flatten())?;
        let types: Types = named().map(|column| columns.get(column?).copied()).collect();
        let types = Arc::new(types);
        // A text with a column that doesn't exist yet is compared again. Callers can filter in any number of ways.
        if named().zip(&*types).all(|(column, kind)| column.is_none() || kind.is_some()) {
            if self.types.len() >= STATEMENTS_MAX {
                self.types.clear();
            }
            self.types.insert(sql.text.clone(), Arc::clone(&types));
        }
        Ok(types)
    }
}

/// Moves an open value to another row.
fn reopened(mut value: Blob<'_>, row: i64) -> rusqlite::Result<Blob<'_>> {
    value.reopen(row)?;
    Ok(value)
}

/// Encodes a path for a URI (RFC 3986, section 2.1). Letters, digits and separators of folders and extensions stay
/// unchanged.
fn percent_encoded(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Binds a value in the form that SQLite stores.
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
            Value::Bytes(_, bytes) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes))),
            Value::Owner(owner) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(owner.0.as_bytes()))),
            Value::Row(number) => Ok(number.0.into()),
            Value::Limit(rows) => Ok((*rows).into()),
            Value::Each(..) => Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no arrays".into())),
        }
    }
}

fn unreadable(table: &str, column: &str) -> SqliteError {
    SqliteError::Unreadable { table: table.to_owned(), column: column.to_owned() }
}

/// Copies of rows, until their values have more than `bytes_max` bytes in total.
struct KeptRows {
    rows: Vec<Row>,
    bytes: usize,
    bytes_max: usize,
}

impl RowSink for KeptRows {
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable> {
        self.bytes = self.bytes.saturating_add(row_bytes(row.iter().copied()));
        self.rows.push(row.iter().map(|datum| (*datum).into()).collect());
        Ok(if self.bytes > self.bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}

/// Lets other threads use the processor after each [`ROWS_BETWEEN_YIELDS`] rows of work that no caller waits for.
fn yield_after(rows: usize) {
    if rows.is_multiple_of(ROWS_BETWEEN_YIELDS) {
        thread::yield_now();
    }
}

/// The rows of background work between yields: less than 0.1 ms of work. Without yields, the thread keeps a processor for a
/// slice of the scheduler, and calls that wait for it take several times as long.
const ROWS_BETWEEN_YIELDS: usize = 32;

const DIALECT: Dialect = Dialect::Sqlite;

/// The table of column types, which a `STRICT` table doesn't contain.
const COLUMN_TYPE: &str = "sealward_column_type";

/// Identifies files of this service: `SLWD`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"SLWD");

/// The format of the store. The data in it has its own formats.
pub const FORMAT: i32 = 1;

/// The number of SQLite's virtual machine steps between two checks of whether a statement must stop: some ten
/// microseconds.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1_000;

/// The maximum number of columns that a function gets. SQLite's limit is larger.
const TAKEN_MAX: usize = 100;

/// The maximum size of a writer's cache of pages. With SQLite's default of 2 MB, each update of one of 10,000 records reads
/// its page again, which takes a tenth of the time of the writer. A cache only grows as far as it is used.
const WRITER_CACHE_KIB: i64 = 8_192;

/// The maximum number of prepared statements per connection: enough for some dozen tables.
const STATEMENTS_MAX: usize = 128;

/// The maximum number of different lists of columns that are kept for the inserts of a table. Each insert compares its
/// columns with them, which is fast, because lists of another length differ at once.
const INSERTS_MAX: usize = 8;
