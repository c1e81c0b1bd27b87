//! The position of a scan: the keys of the last row that it has examined, whether or not the row met its condition.
//!
//! SQLite doesn't return the rows that don't meet a condition, and a scan may examine millions of them. A function in the
//! condition of the statement therefore records each row. A row has been examined when the next one begins, or when it
//! is taken. This file doesn't know why a scan ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{
    Connection,
    functions::FunctionFlags,
    types::{Value, ValueRef},
};

use crate::sql::EXAMINED;

/// The position of the current scan of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Position(Arc<Mutex<Keys>>);

#[derive(Debug, Default)]
struct Keys {
    /// The keys of the row that is being examined; empty at the start.
    begun: Vec<Value>,
    /// The keys of the row before it; empty if it is the first.
    examined: Vec<Value>,
}

impl Position {
    /// Adds the function to a connection.
    pub(super) fn register(sqlite: &Connection) -> rusqlite::Result<Position> {
        let position = Position::default();
        let recorder = position.clone();
        // It isn't deterministic, so it is called for each row.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        sqlite.create_scalar_function(EXAMINED, -1, flags, move |keys| {
            recorder.keys().begin(keys.iter());
            Ok(true)
        })?;
        Ok(position)
    }

    /// Begins a scan.
    pub(super) fn restart(&self) {
        let mut keys = self.keys();
        keys.begun.clear();
        keys.examined.clear();
    }

    /// Records that the current row meets the condition and was taken.
    pub(super) fn row_was_taken(&self) {
        let keys = &mut *self.keys();
        keys.examined.clone_from(&keys.begun);
    }

    /// Returns whether the scan has examined a row.
    pub(super) fn has_examined(&self) -> bool {
        !self.keys().examined.is_empty()
    }

    /// Returns the keys of the last row that was examined; none if there is no such row.
    pub(super) fn examined(&self) -> Vec<Value> {
        self.keys().examined.clone()
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        // No operation under this lock can leave the keys inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn begin<'a>(&mut self, row: impl Iterator<Item = ValueRef<'a>>) {
        std::mem::swap(&mut self.begun, &mut self.examined);
        // The memory of the row before the last is used again: this is called for every row.
        for (index, value) in row.enumerate() {
            match (self.begun.get_mut(index), value) {
                (Some(Value::Blob(place)), ValueRef::Blob(bytes)) => {
                    place.clear();
                    place.extend_from_slice(bytes);
                }
                (Some(place), value) => *place = owned(value),
                (None, value) => self.begun.push(owned(value)),
            }
        }
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        // Text that isn't UTF-8 is refused where the row is read.
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_is_examined_when_the_next_one_begins_or_it_is_taken() {
        let position = Position::default();
        let begin = |number: i64, text: &str| {
            position.keys().begin([ValueRef::Integer(number), ValueRef::Blob(text.as_bytes())].into_iter());
        };
        let keys = |number, text: &str| vec![Value::Integer(number), Value::Blob(text.into())];
        for _ in 0..2 {
            position.restart();
            assert!(!position.has_examined());
            begin(1, "a");
            assert_eq!(position.examined(), []);
            begin(2, "bb");
            assert_eq!(position.examined(), keys(1, "a"));
            begin(3, "");
            assert_eq!(position.examined(), keys(2, "bb"));
            position.row_was_taken();
            assert_eq!(position.examined(), keys(3, ""));
            begin(4, "d");
            assert_eq!(position.examined(), keys(3, ""));
            assert!(position.has_examined());
        }
    }
}
