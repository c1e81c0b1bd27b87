//! Incremental reads of a chain, for a copy of the trail.
//!
//! This file doesn't know the destination of a copy, or when to read again.

use uuid::Uuid;

use crate::{
    store::{Comparison, Reader, Select, Unavailable},
    table::{
        audit::AuditRecord,
        declare::{Columns as _, TableRow as _},
    },
};

/// A position in a chain: that of the last record that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrailPosition {
    /// The position of the record; 0 before the first record.
    pub sequence: i64,
    /// The hash of the record.
    pub hash: [u8; 32],
}

/// How a record relates to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// The record is the next one.
    Next,
    /// Retention removed this number of records before it.
    AfterGap(i64),
    /// The record follows a record other than the one that was read: the trail was replaced.
    Replaced,
}

impl TrailPosition {
    /// Returns the position of this record.
    #[must_use]
    pub fn of(record: &AuditRecord) -> Self {
        TrailPosition { sequence: record.sequence, hash: record.hash }
    }

    /// Returns how the first record after this position relates to it. Before the first read, any record is the next
    /// one.
    #[must_use]
    pub fn continuation(&self, record: &AuditRecord) -> Continuation {
        let between = record.sequence.saturating_sub(self.sequence).saturating_sub(1);
        if self.sequence == 0 {
            Continuation::Next
        } else if between > 0 {
            Continuation::AfterGap(between)
        } else if record.previous_hash == self.hash {
            Continuation::Next
        } else {
            Continuation::Replaced
        }
    }
}

/// Reads up to `limit` records of a writer's chain after one position and through another, in order.
///
/// # Errors
/// If the database is unavailable or contains a malformed record.
pub async fn read_after(
    store: &dyn Reader,
    writer: Uuid,
    after: i64,
    through: i64,
    limit: u32,
) -> Result<Vec<AuditRecord>, Unavailable> {
    let sequence = AuditRecord::sequence;
    let rows = AuditRecord::writer()
        .is(writer)
        .and(sequence().exceeds(after))
        .and(sequence().compares(Comparison::LessOrEqual, through));
    let select = Select { order: vec![sequence().ascending()], limit, ..AuditRecord::all_columns().select(rows) };
    let rows = store.select(select).await?.into_iter();
    Ok(rows.map(|row| AuditRecord::all_columns().values(row)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            entry::{AuditAction, AuditEntry},
            record::{ChainHead, tests::linked},
        },
        id::Timestamp,
    };

    #[test]
    fn record_follows_the_record_whose_hash_it_contains() {
        let entry = AuditEntry::done(Timestamp::from_unix_micros(1), AuditAction::RetrieveKey, "organizations/a");
        let first = linked(&ChainHead::empty(Uuid::nil()), &entry);
        let second = linked(&ChainHead::at(Uuid::nil(), 1, first.hash), &entry);
        let fifth = linked(&ChainHead::at(Uuid::nil(), 4, [7; 32]), &entry);
        assert_eq!(TrailPosition::default().continuation(&first), Continuation::Next);
        assert_eq!(TrailPosition::of(&first).continuation(&second), Continuation::Next);
        assert_eq!(TrailPosition { sequence: 1, hash: [7; 32] }.continuation(&second), Continuation::Replaced);
        // Older records were removed. This isn't a gap before the first read, and a gap of 3 after one.
        assert_eq!(TrailPosition::default().continuation(&fifth), Continuation::Next);
        assert_eq!(TrailPosition::of(&first).continuation(&fifth), Continuation::AfterGap(3));
    }
}
