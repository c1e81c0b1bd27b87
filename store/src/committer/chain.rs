//! The last record of a writer's audit chain.

use sealward_core::{
    audit::{AuditRecord, ChainHead},
    store::{Cause, Row, Select},
    table::Columns as _,
};
use uuid::Uuid;

/// The read of the last record of this writer.
pub(crate) fn last_record(writer: Uuid) -> Select {
    let columns = (AuditRecord::sequence(), AuditRecord::hash());
    let order = vec![AuditRecord::sequence().descending()];
    Select { order, limit: 1, ..columns.select(AuditRecord::writer().is(writer)) }
}

/// Returns the head of the chain with this last record.
pub(crate) fn head(writer: Uuid, last_record: Vec<Row>) -> Result<ChainHead, Cause> {
    let columns = (AuditRecord::sequence(), AuditRecord::hash());
    match last_record.into_iter().next().map(|row| columns.values(row)) {
        None => Ok(ChainHead::empty(writer)),
        Some(Ok((sequence, hash))) => Ok(ChainHead::at(writer, sequence, hash)),
        Some(Err(damage)) => Err(Cause(Box::new(damage))),
    }
}
