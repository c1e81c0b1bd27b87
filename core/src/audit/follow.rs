//! A chain followed as it grows: read on from a place, by whoever copies it elsewhere.
//!
//! Nothing here knows where a copy goes, or when to look again.

use uuid::Uuid;

use crate::{
    store::{Comparison, Reader, Select, Unavailable},
    table::{
        audit::AuditRecord,
        declare::{Columns as _, TableRow as _},
    },
};

/// A place in a chain: that of the last record that was taken from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrailPosition {
    /// The record's place; 0 before the first.
    pub sequence: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// How a record stands to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// It is the next one.
    Next,
    /// So many records that lay between are gone, as retention removes them.
    After(i64),
    /// It follows another record than the one that was taken: the trail was replaced by another one since.
    Another,
}

impl TrailPosition {
    /// The place of this record.
    #[must_use]
    pub fn of(record: &AuditRecord) -> Self {
        TrailPosition { sequence: record.sequence, hash: record.hash }
    }

    /// How the first record that was found after this place stands to it. What a trail begins with is next to nothing.
    #[must_use]
    pub fn followed_by(&self, record: &AuditRecord) -> Follows {
        let between = record.sequence.saturating_sub(self.sequence).saturating_sub(1);
        if self.sequence == 0 {
            Follows::Next
        } else if between > 0 {
            Follows::After(between)
        } else if record.previous_hash == self.hash {
            Follows::Next
        } else {
            Follows::Another
        }
    }
}

/// The records of a writer's chain after one place and up to another, in their order, at most so many.
///
/// # Errors
/// If the database doesn't answer, or holds something that is no record.
pub async fn read_on(
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
    let select = Select { order: vec![sequence().ascending()], limit, ..AuditRecord::whole().select(rows) };
    let rows = store.select(select).await?.into_iter();
    Ok(rows.map(|row| AuditRecord::whole().values(row)).collect::<Result<_, _>>()?)
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
        assert_eq!(TrailPosition::default().followed_by(&first), Follows::Next);
        assert_eq!(TrailPosition::of(&first).followed_by(&second), Follows::Next);
        assert_eq!(TrailPosition { sequence: 1, hash: [7; 32] }.followed_by(&second), Follows::Another);
        // Older records were removed: no gap for who has none yet, and one of so many for who has.
        assert_eq!(TrailPosition::default().followed_by(&fifth), Follows::Next);
        assert_eq!(TrailPosition::of(&first).followed_by(&fifth), Follows::After(3));
    }
}
