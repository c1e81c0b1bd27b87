//! Values of attributes that aren't encrypted, and how a store holds them.

use crate::{
    id::{RecordId, Timestamp},
    store::Datum,
};

pub(crate) fn datum_of(value: &Value) -> Datum {
    match value {
        Value::Boolean(value) => Datum::Boolean(*value),
        Value::Integer(value) => Datum::Integer(*value),
        Value::Text(value) => Datum::Text(value.clone()),
        Value::Bytes(value) => Datum::Bytes(value.clone()),
        Value::Time(value) => Datum::Time(*value),
        Value::Reference(id) => Datum::Uuid(id.uuid()),
    }
}

/// The value of an attribute that isn't encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a boolean attribute.
    Boolean(bool),
    /// Of an integer or a choice.
    Integer(i64),
    /// Of a text.
    Text(String),
    /// Of bytes.
    Bytes(Vec<u8>),
    /// Of a time.
    Time(Timestamp),
    /// Of a reference.
    Reference(RecordId),
}
