//! Values of attributes that aren't encrypted, and their stored form.

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
    /// The value of a boolean attribute.
    Boolean(bool),
    /// The value of an integer attribute or a choice.
    Integer(i64),
    /// The value of a text attribute.
    Text(String),
    /// The value of a bytes attribute.
    Bytes(Vec<u8>),
    /// The value of a time attribute.
    Time(Timestamp),
    /// The value of a reference.
    Reference(RecordId),
}

/// A [`Value`] that borrows its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// The value of a boolean attribute.
    Boolean(bool),
    /// The value of an integer attribute or a choice.
    Integer(i64),
    /// The value of a text attribute.
    Text(&'a str),
    /// The value of a bytes attribute.
    Bytes(&'a [u8]),
    /// The value of a time attribute.
    Time(Timestamp),
    /// The value of a reference.
    Reference(RecordId),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Boolean(value) => ValueRef::Boolean(*value),
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value),
            Value::Bytes(value) => ValueRef::Bytes(value),
            Value::Time(value) => ValueRef::Time(*value),
            Value::Reference(id) => ValueRef::Reference(*id),
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Boolean(value) => Value::Boolean(value),
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Text(value) => Value::Text(value.to_owned()),
            ValueRef::Bytes(value) => Value::Bytes(value.to_vec()),
            ValueRef::Time(value) => Value::Time(value),
            ValueRef::Reference(id) => Value::Reference(id),
        }
    }
}
