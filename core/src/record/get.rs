//! Reads a record.

use std::sync::Arc;

use crate::{
    id::RecordId,
    mask::ReadMask,
    permit::Permit,
    policy,
    record::{content::Record, error::RecordError, row::read_fields},
    schema::entity::Entity,
};

/// Reads the record without its encrypted attributes, limited to the fields of the mask.
///
/// # Errors
/// [`RecordError::NotFound`], [`RecordError::Store`].
pub async fn get(
    permit: Permit<policy::ReadRecords>,
    entity: &Arc<Entity>,
    id: RecordId,
    mask: &ReadMask,
) -> Result<Record, RecordError> {
    let (record, _) = read_fields(&permit.record_of(entity, id), mask).await?.ok_or(RecordError::NotFound)?;
    Ok(record)
}
