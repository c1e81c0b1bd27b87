//! Reads a record, or a batch of records.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    id::RecordId,
    mask::ReadMask,
    permit::Permit,
    policy,
    record::{
        content::Record,
        error::{RecordError, unless_refused},
        row::{read_fields, read_records},
        size::require_fitting,
    },
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

/// Reads these different records without their encrypted attributes, limited to the fields of the mask, in this order.
///
/// # Errors
/// [`RecordError::Items`] with each [`RecordError::NotFound`], [`RecordError::BatchTooLarge`], [`RecordError::Store`].
pub async fn get_batch(
    deployment: &Deployment,
    permit: Permit<policy::ReadRecords>,
    entity: &Arc<Entity>,
    ids: &[RecordId],
    mask: &ReadMask,
) -> Result<Vec<Record>, RecordError> {
    let Some(first) = ids.first() else { return Ok(Vec::new()) };
    let place = permit.record_of(entity, *first);
    let mut found = read_records(&place, ids, mask, deployment.page_bytes_max).await?;
    let mut records = Vec::with_capacity(ids.len());
    let mut missing = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        match found.remove(id) {
            Some((record, _)) => records.push(record),
            None => missing.push((index, RecordError::NotFound)),
        }
    }
    unless_refused(missing)?;
    require_fitting(deployment, &place.entity, &records)?;
    Ok(records)
}
