//! Get a record.

use crate::{
    policy::{self, Permit},
    record::Record,
    records::{Place, RecordError, read_record},
};

/// The record, without its encrypted attributes.
///
/// # Errors
/// [`RecordError::NotFound`], [`RecordError::Unavailable`].
pub async fn get(_permit: Permit<policy::ReadRecords>, place: &Place) -> Result<Record, RecordError> {
    read_record(place).await?.ok_or(RecordError::NotFound)
}
