//! Get a record.

use crate::{
    mask::ReadMask,
    policy::{self, Permit},
    record::{content::Record, error::RecordError, place::RecordPlace, row::read_fields},
};

/// The record without its encrypted attributes, as far as the mask wants it.
///
/// # Errors
/// [`RecordError::NotFound`], [`RecordError::Store`].
pub async fn get(
    _permit: Permit<policy::ReadRecords>,
    place: &RecordPlace,
    mask: &ReadMask,
) -> Result<Record, RecordError> {
    let (record, _) = read_fields(place, mask).await?.ok_or(RecordError::NotFound)?;
    Ok(record)
}
