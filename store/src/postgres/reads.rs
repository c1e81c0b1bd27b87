//! The reads of one database. Each is a transaction, which takes one round trip.
//!
//! Behind its data, a transaction reads the guard of the database. A database that was deleted or moved in the meantime
//! makes the read fail, instead of returning rows that are no longer those of the database.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use sealward_core::store::{
    Cause, ColumnRow, ColumnRows, ColumnScan, ColumnType, Condition, DatumRef, Name, Pending, Reader, Row, RowNumber,
    RowSink, Scan, ScanEnd, ScanError, Scanned, Select, Unavailable, row_bytes,
};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::error::SqlState;

use super::{
    connection::{Begin, Scope},
    definitions::{self, Definitions, GUARD, TABLE, is_current},
    error::PostgresError,
    options::PostgresLimits,
    pool::{Pool, Pooled},
    statement::{Definition, Statement, datum_ref, datums},
};
use crate::sql::{Dialect, Owner, Sql};

/// The reads of a database.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pool: Pool,
    owner: Owner,
    epoch: i64,
    definitions: Arc<Definitions>,
    /// Shared by all databases of the pool.
    scans: Arc<Semaphore>,
    /// The snapshot that is read; `None` for the current state.
    snapshot: Option<Arc<Snapshot>>,
}

/// A transaction that reads one state. It ends when it is dropped.
struct Snapshot {
    connection: AsyncMutex<Pooled>,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Takes a row, or `None` if the rows are read again from the first one.
type TakeDatums<'a> = dyn FnMut(Option<&[DatumRef<'_>]>) -> Result<ControlFlow<()>, Unavailable> + Send + 'a;

/// The number of attempts of a read. A connection that was idle may have been closed by the server.
const ATTEMPTS: usize = 2;

impl Reads {
    pub(super) fn new(
        pool: Pool,
        owner: Owner,
        epoch: i64,
        definitions: Arc<Definitions>,
        scans: Arc<Semaphore>,
    ) -> Self {
        Reads { pool, owner, epoch, definitions, scans, snapshot: None }
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres(self.owner)
    }

    fn limits(&self) -> &PostgresLimits {
        self.pool.limits()
    }

    fn scope(&self, begin: Begin, is_scan: bool) -> Scope {
        let limits = self.limits();
        let statement_time_max = if is_scan { limits.scan_time_max } else { limits.statement_time_max };
        let idle_max = match begin {
            Begin::Snapshot => limits.snapshot_idle_max,
            Begin::Read | Begin::Write => limits.statement_time_max,
        };
        Scope { begin, owner: self.owner, statement_time_max, idle_max }
    }

    /// Begins a snapshot.
    pub(super) async fn snapshot(&self) -> Result<Reads, PostgresError> {
        let place = self.place().await?;
        let rows = is_current(self.epoch);
        let guard = self.guard(&rows)?;
        // Known before the snapshot, because definitions are added later.
        self.load().await?;
        for attempt in 1.. {
            let mut connection = self.pool.get().await?;
            match connection.begin_snapshot(self.scope(Begin::Snapshot, true), &guard).await {
                Ok(()) => {
                    let snapshot = Snapshot { connection: AsyncMutex::new(connection), _place: place };
                    return Ok(Reads { snapshot: Some(Arc::new(snapshot)), ..self.clone() });
                }
                Err(error) if attempt < ATTEMPTS && error.is_of_connection() => {
                    drop(connection);
                    self.pool.close_idle();
                }
                Err(error) => return Err(gone(error)),
            }
        }
        Err(PostgresError::Gone)
    }

    /// Waits for a place among the scans.
    async fn place(&self) -> Result<OwnedSemaphorePermit, PostgresError> {
        let wait_max = self.limits().connection_wait_max;
        match tokio::time::timeout(wait_max, Arc::clone(&self.scans).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(PostgresError::Busy { wait_max }),
        }
    }

    fn guard<'a>(&self, rows: &'a Condition) -> Result<Statement<'a>, PostgresError> {
        static GUARDS: Name = Name::Borrowed(GUARD);
        let definition = self.definitions.get(GUARD, std::iter::empty()).unwrap_or_default();
        Statement::checked(self.dialect().require(&GUARDS, rows)?, GUARD, &definition)
    }

    /// Reads the definitions of the database's tables.
    pub(super) async fn load(&self) -> Result<(), PostgresError> {
        self.definitions.set(definitions::parse(self.rows_of(TABLE).await?)?);
        Ok(())
    }

    /// Reads a table of the store itself.
    pub(super) async fn rows_of(&self, table: &'static str) -> Result<Vec<Row>, PostgresError> {
        let select = definitions::select(table);
        let kinds = vec![ColumnType::Text; select.columns.len()];
        let definition = self.definitions.get(table, std::iter::empty()).unwrap_or_default();
        let statement = Statement::checked(self.dialect().select(&select, |_| true)?, table, &definition)?;
        let current = Reads { snapshot: None, ..self.clone() };
        let mut rows = Vec::new();
        let mut failed = None;
        current
            .run(statement, false, &mut |row| match row {
                None => {
                    rows.clear();
                    ControlFlow::Continue(())
                }
                Some(row) => keep(datums(row, &kinds).map(|row| rows.push(row)), &mut failed),
            })
            .await?;
        failed.map_or(Ok(rows), Err)
    }

    /// Returns the definition of a table with these columns. Reads the definitions again if it isn't in memory.
    async fn definition(&self, table: &str, columns: &[&str]) -> Result<Arc<Definition>, PostgresError> {
        let find = || self.definitions.get(table, columns.iter().copied());
        if let Some(definition) = find() {
            return Ok(definition);
        }
        self.load().await?;
        // A missing column is found when the statement is checked.
        let found = find().or_else(|| self.definitions.get(table, std::iter::empty()));
        found.ok_or_else(|| PostgresError::NoTable { table: table.to_owned() })
    }

    /// Executes a statement that reads. `take` gets each row, and `None` if the rows are read again from the first one.
    async fn run(
        &self,
        statement: Statement<'_>,
        is_scan: bool,
        take: &mut (dyn FnMut(Option<&tokio_postgres::Row>) -> ControlFlow<()> + Send),
    ) -> Result<(), PostgresError> {
        if let Some(snapshot) = &self.snapshot {
            let mut connection = snapshot.connection.lock().await;
            return connection.read_snapshot(&statement, &mut |row| take(Some(row))).await;
        }
        let _place = if is_scan { Some(self.place().await?) } else { None };
        let rows = is_current(self.epoch);
        let pair = [statement, self.guard(&rows)?];
        for attempt in 1.. {
            let mut connection = self.pool.get().await?;
            match connection.read(self.scope(Begin::Read, is_scan), &pair, &mut |row| take(Some(row))).await {
                Ok(()) => return Ok(()),
                Err(failed) => match failed.into_error() {
                    error if attempt < ATTEMPTS && error.is_of_connection() => {
                        drop(connection);
                        self.pool.close_idle();
                        let _from_the_first_one = take(None);
                    }
                    error => return Err(gone(error)),
                },
            }
        }
        Err(PostgresError::Gone)
    }

    /// Reads rows of these columns.
    async fn read(&self, select: &Select, is_scan: bool, take: &mut TakeDatums<'_>) -> Result<(), Refused> {
        let wanted: Vec<&str> = select.columns.iter().map(|name| &**name).collect();
        let definition = self.definition(&select.table, &wanted).await?;
        let is_nullable = |column: &str| definition.is_nullable(column);
        let sql = self.dialect().select(select, is_nullable).map_err(PostgresError::from)?;
        let definition = match self.definition(&select.table, &sql.columns).await {
            Ok(definition) => definition,
            Err(error) => return Err(error.into()),
        };
        let statement = Statement::checked(sql, &select.table, &definition)?;
        let kinds: Vec<ColumnType> = wanted.iter().filter_map(|column| definition.kind(column)).collect();
        let mut failed: Option<Refused> = None;
        let outcome = self
            .run(statement, is_scan, &mut |row| {
                let Some(row) = row else {
                    failed = None;
                    return take(None).unwrap_or(ControlFlow::Break(()));
                };
                let datums = kinds.iter().enumerate().map(|(index, kind)| datum_ref(row, index, *kind));
                let taken = match datums.collect::<Result<Vec<_>, _>>() {
                    Ok(datums) => take(Some(&datums)).map_err(Refused::Sink),
                    Err(error) => Err(Refused::Store(error)),
                };
                taken.unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    ControlFlow::Break(())
                })
            })
            .await;
        match failed {
            Some(refused) => Err(refused),
            None => Ok(outcome?),
        }
    }

    async fn read_all(&self, select: &Select, is_scan: bool, bytes_max: usize) -> Result<Scanned, Refused> {
        let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
        self.read(select, is_scan, &mut |row| {
            let Some(row) = row else {
                rows.clear();
                bytes = 0;
                return Ok(ControlFlow::Continue(()));
            };
            bytes = bytes.saturating_add(row_bytes(row.iter().copied()));
            rows.push(row.iter().map(|datum| (*datum).into()).collect());
            Ok(if bytes > bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .await?;
        Ok(Scanned { is_cut: bytes > bytes_max, rows })
    }

    async fn count_all(&self, table: &Name, rows: &Condition, is_scan: bool) -> Result<u64, PostgresError> {
        let sql: Sql<'_> = self.dialect().count(table, rows)?;
        let definition = self.definition(table, &sql.columns).await?;
        let statement = Statement::checked(sql, table, &definition)?;
        let (mut count, mut failed) = (0, None);
        self.run(statement, is_scan, &mut |row| match row {
            None => ControlFlow::Continue(()),
            Some(row) => keep(row.try_get(0).map(|found| count = found).map_err(PostgresError::from), &mut failed),
        })
        .await?;
        failed.map_or(Ok(i64::unsigned_abs(count)), Err)
    }

    async fn scan_bytes(&self, scan: &ColumnScan) -> Result<ColumnRows, PostgresError> {
        let sql = self.dialect().scan_column(scan)?;
        let definition = self.definition(&scan.table, &sql.columns).await?;
        for (column, kind) in [(&scan.key, ColumnType::Uuid), (&scan.column, ColumnType::Bytes)] {
            if definition.kind(column) != Some(kind) {
                let (table, column) = (scan.table.to_string(), column.to_string());
                return Err(PostgresError::WrongType { table, column });
            }
        }
        let statement = Statement::checked(sql, &scan.table, &definition)?;
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        let (mut rows, mut bytes, mut failed): (Vec<ColumnRow>, usize, Option<PostgresError>) = (Vec::new(), 0, None);
        self.run(statement, false, &mut |row| {
            let Some(row) = row else {
                rows.clear();
                bytes = 0;
                return ControlFlow::Continue(());
            };
            let read = || -> Result<ColumnRow, tokio_postgres::Error> {
                let (number, key, value) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                Ok(ColumnRow { number: RowNumber(number), key, value })
            };
            keep(
                read().map_err(PostgresError::from).map(|row| {
                    bytes = bytes.saturating_add(row.value.len());
                    rows.push(row);
                }),
                &mut failed,
            )?;
            if bytes > scan.bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        match failed {
            Some(error) => Err(error),
            None => Ok(ColumnRows { is_cut: rows.len() >= limit || bytes > scan.bytes_max, rows }),
        }
    }

    fn scan_error(&self, error: PostgresError) -> ScanError {
        if error.is(&SqlState::QUERY_CANCELED) {
            let limit_ms = u64::try_from(self.limits().scan_time_max.as_millis()).unwrap_or(u64::MAX);
            ScanError::TooLong { limit_ms }
        } else {
            ScanError::Unavailable(unavailable(error))
        }
    }
}

/// Remembers the first error, after which no row is read.
fn keep(outcome: Result<(), PostgresError>, failed: &mut Option<PostgresError>) -> ControlFlow<()> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed.get_or_insert(error);
            ControlFlow::Break(())
        }
    }
}

/// The guard raises an error if the database isn't the one that was opened.
fn gone(error: PostgresError) -> PostgresError {
    if error.is(&SqlState::DIVISION_BY_ZERO) { PostgresError::Gone } else { error }
}

fn unavailable(error: PostgresError) -> Unavailable {
    Unavailable(Cause::from(error))
}

/// Why rows were not read.
enum Refused {
    Store(PostgresError),
    /// The sink refused a row.
    Sink(Unavailable),
}

impl From<PostgresError> for Refused {
    fn from(error: PostgresError) -> Self {
        Refused::Store(error)
    }
}

impl From<Refused> for Unavailable {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => unavailable(error),
            Refused::Sink(error) => error,
        }
    }
}

impl Reads {
    fn refused_scan(&self, refused: Refused) -> ScanError {
        match refused {
            Refused::Store(error) => self.scan_error(error),
            Refused::Sink(error) => ScanError::Unavailable(error),
        }
    }
}

impl Reader for Reads {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        Box::pin(async move { Ok(self.read_all(&select, false, usize::MAX).await?.rows) })
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.count_all(&table, &rows, false).await.map_err(unavailable) })
    }

    fn scan(&self, select: Select, bytes_max: usize) -> Pending<'_, Result<Scanned, ScanError>> {
        Box::pin(
            async move { self.read_all(&select, true, bytes_max).await.map_err(|refused| self.refused_scan(refused)) },
        )
    }

    fn scan_into(&self, scan: Scan, sink: Arc<Mutex<dyn RowSink>>) -> Pending<'_, Result<ScanEnd, ScanError>> {
        Box::pin(async move {
            let mut take = |row: Option<&[DatumRef<'_>]>| {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                match row {
                    Some(row) => sink.take(row),
                    None => {
                        sink.clear();
                        Ok(ControlFlow::Continue(()))
                    }
                }
            };
            let read = self.read(&scan.select, !scan.is_short, &mut take).await;
            read.map_err(|refused| self.refused_scan(refused))?;
            Ok(ScanEnd::Complete)
        })
    }

    fn scan_count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, ScanError>> {
        Box::pin(async move { self.count_all(&table, &rows, true).await.map_err(|error| self.scan_error(error)) })
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        Box::pin(async move { self.scan_bytes(&scan).await.map_err(unavailable) })
    }
}
