//! The position of a database: what the row of its lane contains between two transactions.
//!
//! The row says which servers made the last transactions, each with the number of its own last one. A server whose
//! transaction has an unknown outcome finds its number there, or not, even if others have written since.

use sealward_core::{
    audit::ChainHead,
    store::{Assignment, ColumnType, Condition, Datum, Name, Select},
};
use uuid::Uuid;

use super::{
    definitions::{EPOCH, LANE},
    error::PostgresError,
};

/// What a lane contains.
#[derive(Clone, Debug)]
pub(super) struct Position {
    fence: i64,
    commit_seq: i64,
    /// The last record of the audit chain of this deployment. `None` if the lane doesn't contain it, because no server of
    /// this deployment has written one yet: the trail may be imported, or continue that of a lost configuration.
    head: Option<ChainHead>,
    writers: Writers,
}

/// Whether a transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    NotCommitted,
    /// So many other servers have written since that the lane no longer says.
    Forgotten,
}

/// The columns of a lane, in the order of [`Position::parse`].
pub(super) const COLUMNS: [Name; 6] = [
    Name::Borrowed(FENCE),
    Name::Borrowed(COMMIT_SEQ),
    Name::Borrowed(AUDIT_WRITER),
    Name::Borrowed(AUDIT_SEQUENCE),
    Name::Borrowed(AUDIT_HASH),
    Name::Borrowed(WRITERS),
];

/// The types of the columns.
pub(super) const KINDS: [ColumnType; 6] = [
    ColumnType::Integer,
    ColumnType::Integer,
    ColumnType::Uuid,
    ColumnType::Integer,
    ColumnType::Bytes,
    ColumnType::Bytes,
];

const FENCE: &str = "fence";
const COMMIT_SEQ: &str = "commit_seq";
const AUDIT_WRITER: &str = "audit_writer";
const AUDIT_SEQUENCE: &str = "audit_sequence";
const AUDIT_HASH: &str = "audit_hash";
const WRITERS: &str = "writers";

/// The read of a lane; of no row if the database was deleted.
pub(super) fn select(epoch: i64) -> Select {
    Select { table: LANE.into(), columns: COLUMNS.to_vec(), rows: is_lane(epoch), order: Vec::new(), limit: 1 }
}

/// The condition for the lane of this epoch.
pub(super) fn is_lane(epoch: i64) -> Condition {
    Condition::All(vec![
        Condition::equal("lane", Datum::Integer(LANE_NUMBER)),
        Condition::equal(EPOCH, Datum::Integer(epoch)),
    ])
}

/// The row of a new lane.
pub(super) fn first_row(epoch: i64) -> Vec<(Name, Datum)> {
    let integers = [("lane", LANE_NUMBER), (FENCE, 0), (COMMIT_SEQ, 0), (EPOCH, epoch)];
    integers.map(|(name, value)| (Name::Borrowed(name), Datum::Integer(value))).to_vec()
}

/// The change after which no transaction that was prepared before can commit.
pub(super) fn raised_fence() -> Assignment {
    Assignment::Add(FENCE.into(), 1)
}

/// The number of a database's lane. There is one: the servers pass it in turn.
const LANE_NUMBER: i64 = 0;

impl Position {
    /// Parses the columns [`COLUMNS`] of a lane. `writer` writes the audit chain.
    pub(super) fn parse(row: Vec<Datum>, writer: Uuid) -> Result<Self, PostgresError> {
        let differs = || PostgresError::Differs { difference: LANE.to_owned() };
        let row = <[Datum; 6]>::try_from(row).map_err(|_| differs())?;
        let [Datum::Integer(fence), Datum::Integer(commit_seq), of, Datum::Integer(sequence), hash, writers] = row
        else {
            return Err(differs());
        };
        let head = if let Datum::Bytes(hash) = hash
            && of == Datum::Uuid(writer)
        {
            Some(ChainHead::at(writer, sequence, hash.try_into().map_err(|_| differs())?))
        } else {
            None
        };
        let writers = if let Datum::Bytes(bytes) = writers { Writers::parse(&bytes) } else { Writers::default() };
        Ok(Position { fence, commit_seq, head, writers })
    }

    /// Returns the last audit record, if the lane contains it.
    pub(super) fn head(&self) -> Option<&ChainHead> {
        self.head.as_ref()
    }

    /// Sets the last audit record, as the trail contains it.
    pub(super) fn set_head(&mut self, head: ChainHead) {
        self.head = Some(head);
    }

    /// Returns the number of transactions that have passed the lane.
    pub(super) fn commits(&self) -> i64 {
        self.commit_seq
    }

    /// The condition that no transaction has passed the lane since.
    pub(super) fn is_unchanged(&self, epoch: i64) -> Condition {
        is_lane(epoch)
            .and(Condition::equal(FENCE, Datum::Integer(self.fence)))
            .and(Condition::equal(COMMIT_SEQ, Datum::Integer(self.commit_seq)))
    }

    /// Returns whether the last transaction was this server's.
    pub(super) fn is_of(&self, server: Uuid) -> bool {
        self.writers.0.first().is_none_or(|(last, _)| *last == server)
    }

    /// Returns the position after a transaction of this server, whose last audit record is `head`.
    pub(super) fn next(&self, server: Uuid, head: Option<ChainHead>) -> Position {
        let commit_seq = self.commit_seq.saturating_add(1);
        Position { fence: self.fence, commit_seq, head, writers: self.writers.with(server, commit_seq) }
    }

    /// The changes of the lane by the transaction that leads to this position.
    pub(super) fn changes(&self, before: &Position) -> Vec<Assignment> {
        let mut changes = vec![
            Assignment::Add(COMMIT_SEQ.into(), 1),
            Assignment::Set(WRITERS.into(), Datum::Bytes(self.writers.to_bytes())),
        ];
        if let Some(head) = self.head.as_ref().filter(|_| self.has_later_record(before)) {
            changes.extend([
                Assignment::Set(AUDIT_WRITER.into(), Datum::Uuid(head.writer())),
                Assignment::Set(AUDIT_SEQUENCE.into(), Datum::Integer(head.sequence())),
                Assignment::Set(AUDIT_HASH.into(), Datum::Bytes(head.hash().to_vec())),
            ]);
        }
        changes
    }

    /// Returns whether an audit record was written since.
    pub(super) fn has_later_record(&self, before: &Position) -> bool {
        self.head.as_ref().map(ChainHead::sequence) != before.head.as_ref().map(ChainHead::sequence)
    }

    /// Returns what became of this server's transaction that led from `before`, if none can arrive any more.
    pub(super) fn fate(&self, server: Uuid, before: &Position) -> Fate {
        let own = before.commit_seq.saturating_add(1);
        match self.writers.0.iter().find(|(other, _)| *other == server) {
            Some((_, last)) if *last >= own => Fate::Committed,
            Some(_) => Fate::NotCommitted,
            None if self.writers.0.len() < WRITERS_MAX => Fate::NotCommitted,
            None => Fate::Forgotten,
        }
    }
}

/// The servers that made the last transactions, the latest one first, each with the number of its last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Writers(Vec<(Uuid, i64)>);

/// The maximum number of servers that a lane names. More than this number have to write between the loss of a connection
/// and the next one before an outcome is forgotten.
const WRITERS_MAX: usize = 16;

/// The size of an entry in bytes.
const WRITER_BYTES: usize = 24;

impl Writers {
    fn parse(bytes: &[u8]) -> Self {
        let entry = |entry: &[u8]| {
            let (id, number) = entry.split_first_chunk::<16>()?;
            Some((Uuid::from_bytes(*id), i64::from_be_bytes(number.try_into().ok()?)))
        };
        Writers(bytes.chunks_exact(WRITER_BYTES).filter_map(entry).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(id, number)| id.into_bytes().into_iter().chain(number.to_be_bytes())).collect()
    }

    fn with(&self, server: Uuid, number: i64) -> Self {
        let others = self.0.iter().copied().filter(|(other, _)| *other != server);
        Writers(std::iter::once((server, number)).chain(others).take(WRITERS_MAX).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn first() -> Position {
        let chain = Uuid::nil();
        Position::parse(
            vec![Datum::Integer(3), Datum::Integer(7), Datum::Null, Datum::Integer(0), Datum::Null, Datum::Null],
            chain,
        )
        .unwrap()
    }

    #[test]
    fn stored_writers_are_those_that_are_read() {
        let writers = Writers::default().with(server(1), 1).with(server(2), i64::MAX);
        assert_eq!(Writers::parse(&writers.to_bytes()), writers);
        assert_eq!(writers.0, [(server(2), i64::MAX), (server(1), 1)]);
    }

    #[test]
    fn head_of_another_chain_is_not_continued() {
        let [chain, other] = [server(7), server(8)];
        let row = || {
            let hash = Datum::Bytes(vec![5; 32]);
            vec![Datum::Integer(3), Datum::Integer(7), Datum::Uuid(chain), Datum::Integer(9), hash, Datum::Null]
        };
        assert_eq!(Position::parse(row(), chain).unwrap().head(), Some(&ChainHead::at(chain, 9, [5; 32])));
        assert_eq!(Position::parse(row(), other).unwrap().head(), None);
        assert_eq!(first().head(), None);
    }

    #[test]
    fn outcome_is_known_although_others_have_written_since() {
        let before = first();
        let pass = |position: &Position, by| position.next(by, None);
        // Neither has written.
        assert_eq!(before.fate(server(1), &before), Fate::NotCommitted);
        let own = pass(&before, server(1));
        assert_eq!(own.fate(server(1), &before), Fate::Committed);
        // The other one has written instead, with the number that this one's would have had.
        let instead = pass(&before, server(2));
        assert_eq!(instead.fate(server(1), &before), Fate::NotCommitted);
        // An earlier transaction of this server isn't the one in question.
        let later = pass(&own, server(2));
        assert_eq!(later.fate(server(1), &before), Fate::Committed);
        assert_eq!(pass(&later, server(2)).fate(server(1), &later), Fate::NotCommitted);
    }

    #[test]
    fn outcome_is_forgotten_only_after_many_other_writers() {
        let before = first();
        let mut now = before.next(server(0), None);
        for other in 1..16 {
            now = now.next(server(other), None);
            assert_eq!(now.fate(server(0), &before), Fate::Committed, "{other}");
        }
        now = now.next(server(16), None);
        assert_eq!(now.fate(server(0), &before), Fate::Forgotten);
    }
}
