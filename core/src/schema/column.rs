//! Columns of attributes: their types, and the conversion of a stored datum to a value.

use crate::{
    id::RecordId,
    schema::{
        entity::Kind,
        value::{Value, ValueRef},
    },
    store::{ColumnType, Datum, DatumRef},
};

/// Returns the type of the column of an attribute of this kind, unless the column contains cells.
pub(crate) fn column_type(kind: &Kind) -> ColumnType {
    match kind {
        Kind::Boolean | Kind::ReportsSet { .. } => ColumnType::Boolean,
        Kind::Integer32 | Kind::Integer64 | Kind::Choice(_) => ColumnType::Integer,
        Kind::Text => ColumnType::Text,
        Kind::Bytes => ColumnType::Bytes,
        Kind::Time => ColumnType::Time,
        Kind::Reference { .. } => ColumnType::Uuid,
    }
}

/// Converts the datum in a column of this kind to a value; the inner `None` is null. Returns the outer `None` if the
/// datum has the wrong type.
pub(crate) fn value_of(kind: &Kind, datum: Datum) -> Option<Option<Value>> {
    Some(Some(match (kind, datum) {
        (_, Datum::Null) => return Some(None),
        (Kind::Boolean, Datum::Boolean(value)) => Value::Boolean(value),
        (Kind::Integer32 | Kind::Integer64 | Kind::Choice(_), Datum::Integer(value)) => Value::Integer(value),
        (Kind::Text, Datum::Text(value)) => Value::Text(value),
        (Kind::Bytes, Datum::Bytes(value)) => Value::Bytes(value),
        (Kind::Time, Datum::Time(value)) => Value::Time(value),
        (Kind::Reference { .. }, Datum::Uuid(value)) => Value::Reference(RecordId::from_uuid(value)),
        _ => return None,
    }))
}

/// Returns the value of a stored datum that isn't null, for an attribute whose column has this type. Returns `None` if
/// the datum has another type.
pub(crate) fn value_in(column: ColumnType, datum: DatumRef<'_>) -> Option<ValueRef<'_>> {
    Some(match (column, datum) {
        (ColumnType::Boolean, DatumRef::Boolean(value)) => ValueRef::Boolean(value),
        (ColumnType::Integer, DatumRef::Integer(value)) => ValueRef::Integer(value),
        (ColumnType::Text, DatumRef::Text(value)) => ValueRef::Text(value),
        (ColumnType::Bytes, DatumRef::Bytes(value)) => ValueRef::Bytes(value),
        (ColumnType::Time, DatumRef::Time(value)) => ValueRef::Time(value),
        (ColumnType::Uuid, DatumRef::Uuid(value)) => ValueRef::Reference(RecordId::from_uuid(value)),
        _ => return None,
    })
}
