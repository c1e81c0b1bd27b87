//! The conversion of SQLite's values. This file knows no statement.

use rusqlite::types::ValueRef;
use sealward_core::{
    id::Timestamp,
    store::{ColumnType, Datum, DatumRef},
};
use uuid::Uuid;

/// Converts a stored value to a datum of this type. Returns `None` if the value doesn't fit the type.
pub(super) fn datum(stored: ValueRef<'_>, kind: ColumnType) -> Option<Datum> {
    datum_ref(stored, kind).map(Datum::from)
}

/// Like [`datum`], without a copy of the value.
pub(super) fn datum_ref(stored: ValueRef<'_>, kind: ColumnType) -> Option<DatumRef<'_>> {
    match (kind, stored) {
        (_, ValueRef::Null) => Some(DatumRef::Null),
        (ColumnType::Boolean, ValueRef::Integer(0)) => Some(DatumRef::Boolean(false)),
        (ColumnType::Boolean, ValueRef::Integer(1)) => Some(DatumRef::Boolean(true)),
        (ColumnType::Integer, ValueRef::Integer(value)) => Some(DatumRef::Integer(value)),
        (ColumnType::Time, ValueRef::Integer(micros)) => Some(DatumRef::Time(Timestamp::from_unix_micros(micros))),
        (ColumnType::Text, ValueRef::Text(text)) => Some(DatumRef::Text(str::from_utf8(text).ok()?)),
        (ColumnType::Bytes, ValueRef::Blob(bytes)) => Some(DatumRef::Bytes(bytes)),
        (ColumnType::Uuid, ValueRef::Blob(bytes)) => Some(DatumRef::Uuid(Uuid::from_slice(bytes).ok()?)),
        _ => None,
    }
}

/// Returns an empty list with the memory of this one, for the values of another row.
pub(super) fn emptied<'a>(mut values: Vec<DatumRef<'_>>) -> Vec<DatumRef<'a>> {
    values.clear();
    values.into_iter().map(|_| DatumRef::Null).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_list_keeps_its_memory() {
        let text = "text".to_owned();
        let mut values = Vec::with_capacity(40);
        values.push(DatumRef::Text(&text));
        let values: Vec<DatumRef<'static>> = emptied(values);
        assert_eq!((values.len(), values.capacity()), (0, 40));
    }
}
