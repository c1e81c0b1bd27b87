//! The size of records in an answer, which is checked before anything is done.
//!
//! The size is an upper bound, because core doesn't know the wire format.

use crate::{
    deployment::Deployment,
    record::{content::Record, error::RecordError},
    schema::{
        entity::{Entity, Kind},
        value::Value,
    },
};

/// The size of a field's tag and length, at most.
pub(crate) const FIELD: usize = 8;

/// The size of a time, at most.
pub(crate) const TIME: usize = 20 + FIELD;

/// Returns the maximum size of a record's name in bytes: `organizations/{63}/{collection}/{36}`.
pub(crate) fn name_bytes_max(collection: &str) -> usize {
    14 + 63 + 1 + collection.len() + 1 + 36 + FIELD
}

/// Returns the maximum size of the fields that every record in an answer has, without the identities: the record itself,
/// its name, etag and two times, and the attributes that report whether a secret is set.
pub(crate) fn fixed_bytes_max(entity: &Entity) -> usize {
    FIELD + name_bytes_max(&entity.collection) + 20 + FIELD + 2 * TIME + entity.attributes.len() * 3
}

/// Fails if these records may not fit in one answer.
///
/// # Errors
/// [`RecordError::BatchTooLarge`].
pub(crate) fn require_fitting<'a>(
    deployment: &Deployment,
    entity: &Entity,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<(), RecordError> {
    let bytes = records.into_iter().map(|record| bytes_max(entity, record)).fold(0, usize::saturating_add);
    let limit_bytes = deployment.page_bytes_max;
    if bytes > limit_bytes { Err(RecordError::BatchTooLarge { limit_bytes }) } else { Ok(()) }
}

/// Returns the maximum size of a record in an answer, in bytes.
fn bytes_max(entity: &Entity, record: &Record) -> usize {
    let identity = |identity: &Option<String>| identity.as_ref().map_or(0, |identity| identity.len() + FIELD + 2);
    let fixed = fixed_bytes_max(entity) + identity(&record.created_by) + identity(&record.modified_by);
    entity.attributes.iter().zip(&record.values).fold(fixed, |bytes, (attribute, value)| {
        let value = match (value, &attribute.kind) {
            (None, _) => 0,
            (Some(Value::Text(text)), _) => text.len() + FIELD,
            (Some(Value::Bytes(data)), _) => data.len() + FIELD,
            (Some(Value::Time(_)), _) => TIME,
            (Some(Value::Reference(_)), Kind::Reference { collection, .. }) => name_bytes_max(collection),
            (Some(Value::Reference(_)), _) => 36 + FIELD,
            (Some(Value::Boolean(_) | Value::Integer(_)), _) => 10 + FIELD,
        };
        bytes.saturating_add(value)
    })
}
