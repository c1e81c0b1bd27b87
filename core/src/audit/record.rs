//! Records of the audit trail, and how they are chained.
//!
//! A chain per writer: `hash = SHA-256("sealward audit v1" | writer | sequence | previous hash | every field of the record)`, each part
//! with its length before it, so that no two records have one encoding. A changed, removed or reordered record breaks every hash after
//! it.
//!
//! Nothing here knows where a trail is kept. The committer of an entry links it: see [`ChainHead::link`].

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    audit::entry::AuditEntry,
    id::Timestamp,
    store::{
        Column, ColumnType, Condition, Datum, Direction, Index, Name, Reader, Row, Select, Step, Table, Unavailable,
    },
};

/// The table that holds a trail.
pub const AUDIT_TABLE: &str = "sealward_audit";

const LABEL: &[u8] = b"sealward audit v1";

/// The last record of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    writer: Uuid,
    sequence: i64,
    hash: [u8; 32],
}

impl ChainHead {
    /// The head of a chain that has no record yet.
    #[must_use]
    pub fn empty(writer: Uuid) -> Self {
        ChainHead { writer, sequence: 0, hash: [0; 32] }
    }

    /// The head of a chain whose last record has this sequence number and this hash.
    #[must_use]
    pub fn at(writer: Uuid, sequence: i64, hash: [u8; 32]) -> Self {
        ChainHead { writer, sequence, hash }
    }

    /// The place of the last record; 0 if there is none.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Chains `entry` to this head: the step that stores it, and the head after it.
    #[must_use]
    pub fn link(&self, entry: &AuditEntry) -> (Step, ChainHead) {
        let record = AuditRecord::unhashed(self, entry);
        let (writer, sequence, format) = (record.writer, record.sequence, record.format);
        let mut row = record.into_row();
        row.pop();
        let hash = hash_of(&row, format);
        row.push(Datum::Bytes(hash.to_vec()));
        let row = columns().into_iter().zip(row).collect();
        (Step::Insert { table: AUDIT_TABLE.into(), row }, ChainHead { writer, sequence, hash })
    }
}

/// The form of records that is written. Format 1 had no details.
const FORMAT: i64 = 2;

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Whose chain it is in.
    pub writer: Uuid,
    /// Its place there, from 1.
    pub sequence: i64,
    /// The hash of the record before it; zeros in the first.
    pub previous_hash: [u8; 32],
    /// When.
    pub time: Timestamp,
    /// Who; `None` for the service itself.
    pub identity: Option<String>,
    /// From where.
    pub peer: Option<String>,
    /// In which call.
    pub call_id: Option<String>,
    /// What.
    pub action: String,
    /// `done`, or why not.
    pub outcome: String,
    /// To what.
    pub subject: String,
    /// See [`AuditEntry::attributes`].
    pub attributes: Option<String>,
    /// See [`AuditEntry::purpose`].
    pub purpose: Option<String>,
    /// See [`AuditEntry::fingerprint`].
    pub fingerprint: Option<String>,
    /// See [`AuditEntry::key_version`].
    pub key_version: Option<i64>,
    /// See [`AuditEntry::details`].
    pub details: Option<String>,
    /// Which fields the hash covers.
    pub format: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl AuditRecord {
    /// The record of this entry after this head, without its hash.
    fn unhashed(head: &ChainHead, entry: &AuditEntry) -> Self {
        let caller = entry.caller.as_ref();
        AuditRecord {
            writer: head.writer,
            sequence: head.sequence.saturating_add(1),
            previous_hash: head.hash,
            time: entry.time,
            identity: caller.map(|caller| caller.identity.to_string()),
            peer: caller.and_then(|caller| caller.peer).map(|peer| peer.to_string()),
            call_id: caller.map(|caller| caller.call_id.clone()),
            action: entry.action.name().to_owned(),
            outcome: entry.outcome.to_owned(),
            subject: entry.subject.clone(),
            attributes: entry.attributes.clone(),
            purpose: entry.purpose.clone(),
            fingerprint: entry.fingerprint.clone(),
            key_version: entry.key_version.map(i64::from),
            details: entry.details.clone(),
            format: FORMAT,
            hash: [0; 32],
        }
    }

    /// The hash that a record with these fields has.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut row = self.clone().into_row();
        row.pop();
        hash_of(&row, self.format)
    }

    /// The values, in the order of [`COLUMNS`].
    fn into_row(self) -> Vec<Datum> {
        let text = |value: Option<String>| value.map_or(Datum::Null, Datum::Text);
        vec![
            Datum::Uuid(self.writer),
            Datum::Integer(self.sequence),
            Datum::Bytes(self.previous_hash.to_vec()),
            Datum::Time(self.time),
            text(self.identity),
            text(self.peer),
            text(self.call_id),
            Datum::Text(self.action),
            Datum::Text(self.outcome),
            Datum::Text(self.subject),
            text(self.attributes),
            text(self.purpose),
            text(self.fingerprint),
            self.key_version.map_or(Datum::Null, Datum::Integer),
            text(self.details),
            Datum::Integer(self.format),
            Datum::Bytes(self.hash.to_vec()),
        ]
    }

    /// Reads a row of [`COLUMNS`]; `None` if it is no record.
    pub(crate) fn from_row(row: Row) -> Option<Self> {
        let mut row = row.into_iter();
        let mut next = || row.next();
        let text = |datum: Option<Datum>| match datum? {
            Datum::Null => Some(None),
            Datum::Text(text) => Some(Some(text)),
            Datum::Boolean(_) | Datum::Integer(_) | Datum::Bytes(_) | Datum::Uuid(_) | Datum::Time(_) => None,
        };
        let integer = |datum: Option<Datum>| if let Datum::Integer(number) = datum? { Some(number) } else { None };
        let hash = |datum: Option<Datum>| if let Datum::Bytes(bytes) = datum? { bytes.try_into().ok() } else { None };
        Some(AuditRecord {
            writer: if let Datum::Uuid(writer) = next()? { writer } else { return None },
            sequence: integer(next())?,
            previous_hash: hash(next())?,
            time: if let Datum::Time(time) = next()? { time } else { return None },
            identity: text(next())?,
            peer: text(next())?,
            call_id: text(next())?,
            action: text(next())??,
            outcome: text(next())??,
            subject: text(next())??,
            attributes: text(next())?,
            purpose: text(next())?,
            fingerprint: text(next())?,
            key_version: next()
                .filter(|datum| *datum != Datum::Null)
                .map(|datum| integer(Some(datum)).ok_or(()))
                .transpose()
                .ok()?,
            details: text(next())?,
            format: integer(next())?,
            hash: hash(next())?,
        })
    }
}

/// The columns of a trail: name, type, whether null is allowed, and the first format that has it. The hash covers all but itself, in
/// this order.
const COLUMNS: [(&str, ColumnType, bool, i64); 17] = [
    ("writer", ColumnType::Uuid, false, 1),
    ("sequence", ColumnType::Integer, false, 1),
    ("previous_hash", ColumnType::Bytes, false, 1),
    ("time", ColumnType::Time, false, 1),
    ("identity", ColumnType::Text, true, 1),
    ("peer", ColumnType::Text, true, 1),
    ("call_id", ColumnType::Text, true, 1),
    ("action", ColumnType::Text, false, 1),
    ("outcome", ColumnType::Text, false, 1),
    ("subject", ColumnType::Text, false, 1),
    ("attributes", ColumnType::Text, true, 1),
    ("purpose", ColumnType::Text, true, 1),
    ("fingerprint", ColumnType::Text, true, 1),
    ("key_version", ColumnType::Integer, true, 1),
    ("details", ColumnType::Text, true, 2),
    ("format", ColumnType::Integer, false, 1),
    ("hash", ColumnType::Bytes, false, 1),
];

/// The hash over the values of a record's columns but the hash itself, as far as its format has them.
fn hash_of(row: &[Datum], format: i64) -> [u8; 32] {
    digest(COLUMNS.iter().zip(row).filter(|((.., since), _)| *since <= format).map(|(_, datum)| datum))
}

fn digest<'a>(parts: impl Iterator<Item = &'a Datum>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    for part in parts {
        // A type byte and a length before each part keep the encoding injective; null has a type and no length.
        let (kind, bytes): (u8, Vec<u8>) = match part {
            Datum::Null => (0, Vec::new()),
            Datum::Boolean(value) => (1, vec![u8::from(*value)]),
            Datum::Integer(value) => (2, value.to_be_bytes().to_vec()),
            Datum::Text(value) => (3, value.as_bytes().to_vec()),
            Datum::Bytes(value) => (4, value.clone()),
            Datum::Uuid(value) => (5, value.as_bytes().to_vec()),
            Datum::Time(value) => (6, value.unix_micros().to_be_bytes().to_vec()),
        };
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(&bytes);
    }
    hash.finalize().into()
}

/// The table of a trail.
#[must_use]
pub fn table() -> Table {
    let column = |(name, kind, nullable, _)| Column { name: Name::Borrowed(name), kind, nullable };
    Table {
        name: AUDIT_TABLE.into(),
        columns: COLUMNS.map(column).to_vec(),
        key: vec!["writer".into(), "sequence".into()],
        indexes: vec![Index {
            name: "sealward_audit_by_time".into(),
            columns: ORDER.map(|(column, _)| Name::from(column)).to_vec(),
        }],
    }
}

/// The last record of a writer's chain: its place and its hash. `None` if there is no record.
pub(crate) async fn head(store: &dyn Reader, writer: Uuid) -> Result<Option<(i64, Vec<u8>)>, Unavailable> {
    let select = Select {
        table: AUDIT_TABLE.into(),
        columns: ["sequence", "hash"].map(Name::from).into(),
        rows: Condition::equal("writer", Datum::Uuid(writer)),
        order: vec![("sequence".into(), Direction::Descending)],
        limit: 1,
    };
    Ok(match store.select(select).await?.into_iter().next().as_deref() {
        Some([Datum::Integer(sequence), Datum::Bytes(hash)]) => Some((*sequence, hash.clone())),
        Some(_) | None => None,
    })
}

/// The columns of a trail, to be read with [`AuditRecord::from_row`].
pub(crate) fn columns() -> Vec<Name> {
    COLUMNS.iter().map(|(name, ..)| Name::from(*name)).collect()
}

/// What records are ordered by, all of it descending.
pub(super) const ORDER: [(&str, ColumnType); 3] =
    [("time", ColumnType::Time), ("sequence", ColumnType::Integer), ("writer", ColumnType::Uuid)];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{audit::entry::AuditAction, hex::hex, identity::Caller};

    fn entry(subject: &str) -> AuditEntry {
        AuditEntry {
            attributes: Some("password".to_owned()),
            ..AuditEntry::done(Timestamp::from_unix_micros(1), AuditAction::RevealAttributes, subject)
        }
    }

    /// The record of this entry after this head, as it is stored.
    pub(crate) fn linked(head: &ChainHead, entry: &AuditEntry) -> AuditRecord {
        let (Step::Insert { row, .. }, _) = head.link(entry) else { panic!("a link is an insert") };
        AuditRecord::from_row(row.into_iter().map(|(_, datum)| datum).collect()).unwrap()
    }

    #[test]
    fn each_record_contains_the_hash_of_the_previous_one() {
        let start = ChainHead::empty(Uuid::nil());
        let (_, first) = start.link(&entry("a"));
        let (step, second) = first.link(&entry("b"));
        assert_eq!((first.sequence, second.sequence), (1, 2));
        let Step::Insert { row, .. } = step else { panic!("a link is an insert") };
        assert!(row.contains(&("previous_hash".into(), Datum::Bytes(first.hash.to_vec()))));
        assert_ne!(first.hash, second.hash);
    }

    #[test]
    fn a_text_that_moves_to_another_field_changes_the_hash() {
        let start = ChainHead::empty(Uuid::nil());
        let mut moved = entry("a");
        moved.purpose = moved.attributes.take();
        assert_ne!(start.link(&entry("a")).1, start.link(&moved).1);
    }

    #[test]
    fn every_column_of_the_table_is_written_and_read_back() {
        let mut full = entry("a");
        full.caller = Some(Caller {
            identity: crate::identity::Identity::CommonName("ada".to_owned()).into(),
            peer: Some("192.0.2.1:7".parse().unwrap()),
            call_id: "c".to_owned(),
        });
        (full.purpose, full.fingerprint, full.key_version) = (Some("p".to_owned()), Some("f".to_owned()), Some(3));
        full.details = Some("d".to_owned());
        for entry in [full, entry("a")] {
            let (step, head) = ChainHead::empty(Uuid::nil()).link(&entry);
            let Step::Insert { row, .. } = step else { panic!("a link is an insert") };
            let (written, row): (Vec<_>, Vec<_>) = row.into_iter().unzip();
            assert_eq!(written, table().columns.into_iter().map(|column| column.name).collect::<Vec<_>>());
            let record = AuditRecord::from_row(row).unwrap();
            assert_eq!(record.hash, head.hash);
            assert_eq!(record.digest(), head.hash);
            assert_eq!(AuditRecord::from_row(record.clone().into_row()), Some(record));
        }
    }

    #[test]
    fn a_hash_of_either_format_never_changes() {
        let mut record = linked(&ChainHead::empty(Uuid::nil()), &entry("a"));
        let hex = |record: &AuditRecord| hex(&record.digest());
        assert_eq!(hex(&record), "c2472601821c9e7564b57a8bf45ee73006b877957397a7a8939975ec32e7cb41");
        record.format = 1;
        assert_eq!(hex(&record), "eb825ecec7e40009cb4f53830d7f6a242b944a3210af96bcca807360332a186f");
    }
}
