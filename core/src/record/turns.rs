//! The turns of a call that changes several records, or a record without building on a pending version.

use crate::{id::RecordId, port::Line, record::place::RecordPlace};

/// Waits for the turns of these lines, in their order, and until the versions of these records are durable. The turns end
/// when the returned values are dropped. Meanwhile, no update builds on a version of these records.
pub(super) async fn take_turns(
    place: &RecordPlace,
    ids: impl Iterator<Item = RecordId>,
    lines: &[&dyn Line],
) -> Vec<Box<dyn Send>> {
    let mut turns = Vec::with_capacity(lines.len());
    for line in lines {
        turns.push(line.turn().await);
    }
    for id in ids {
        if let Some(version) = place.organization.pending.last(&place.entity.storage_name, id) {
            version.origin.ticket.is_durable().await;
        }
    }
    turns
}
