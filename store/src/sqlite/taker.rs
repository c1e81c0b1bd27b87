//! Passes the values of rows to a sink from inside SQLite.
//!
//! A function in SQL gets all values of a row in one call. Asking a result for each of its columns takes several calls
//! with checks of the connection, which took a quarter of the time of a page. The function has a side effect, so it is
//! only for statements that call it once for each row, in the order of the rows. This file knows no statement.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};
use sealward_core::store::{ColumnType, DatumRef, RowSink, Unavailable};

use super::{
    datum::{datum_ref, emptied},
    position::Position,
};
use crate::sql::TAKEN;

/// The taker of a connection.
#[derive(Clone, Default)]
pub(super) struct Taker(Arc<Mutex<Taking>>);

/// A statement that is being executed.
#[derive(Default)]
struct Taking {
    sink: Option<Arc<Mutex<dyn RowSink>>>,
    /// The types of the columns.
    kinds: Vec<ColumnType>,
    failure: Option<TakeError>,
    /// Records the rows that were taken, if the statement can be continued.
    position: Option<Position>,
    /// The memory for the values of a row.
    values: Vec<DatumRef<'static>>,
}

/// Why a row wasn't taken.
#[derive(Debug)]
pub(super) enum TakeError {
    /// The value in the column with this index doesn't fit the type of the column.
    Unreadable(usize),
    /// The sink refused the row.
    Refused(Unavailable),
}

impl Taker {
    /// Adds the function to a connection.
    pub(super) fn register(sqlite: &Connection) -> rusqlite::Result<Taker> {
        let taker = Taker::default();
        let of_function = taker.clone();
        // It isn't deterministic, so it is called for each row.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        sqlite.create_scalar_function(TAKEN, -1, flags, move |values| Ok(of_function.taking().take(values.iter())))?;
        Ok(taker)
    }

    /// Begins a statement whose columns have these types.
    pub(super) fn begin(
        &self,
        sink: &Arc<Mutex<dyn RowSink>>,
        kinds: impl Iterator<Item = ColumnType>,
        position: Option<Position>,
    ) {
        let mut taking = self.taking();
        taking.position = position;
        taking.sink = Some(Arc::clone(sink));
        taking.kinds.clear();
        taking.kinds.extend(kinds);
        taking.failure = None;
    }

    /// Ends the statement.
    ///
    /// # Errors
    /// If a row wasn't taken.
    pub(super) fn end(&self) -> Result<(), TakeError> {
        let mut taking = self.taking();
        taking.sink = None;
        taking.failure.take().map_or(Ok(()), Err)
    }

    fn taking(&self) -> MutexGuard<'_, Taking> {
        // After a panic, the next statement begins again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taking {
    /// Takes a row. Returns whether there can be more rows.
    fn take<'a>(&mut self, values: impl Iterator<Item = ValueRef<'a>>) -> bool {
        let Some(sink) = &self.sink else { return false };
        let mut row = emptied(std::mem::take(&mut self.values));
        for (index, (value, kind)) in values.zip(&self.kinds).enumerate() {
            let Some(datum) = datum_ref(value, *kind) else {
                self.failure = Some(TakeError::Unreadable(index));
                return false;
            };
            row.push(datum);
        }
        let taken = sink.lock().unwrap_or_else(PoisonError::into_inner).take(&row);
        self.values = emptied(row);
        // SQLite can stop the statement before it returns the row.
        self.position.iter().for_each(Position::row_was_taken);
        match taken {
            Ok(then) => then.is_continue(),
            Err(error) => {
                self.failure = Some(TakeError::Refused(error));
                false
            }
        }
    }
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taker").finish_non_exhaustive()
    }
}
