//! Records of the audit trail and their hash chains.
//!
//! Each writer has its own chain: `hash = SHA-256("sealward audit v1" | writer | sequence | previous hash | all other
//! fields of the record)`. Each part is preceded by its type and length, so that different records never have the same
//! encoding. A changed, removed or reordered record breaks the chain.
//!
//! This file doesn't know where a trail is stored. The committer of an entry calls [`ChainHead::link`].

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    audit::entry::AuditEntry,
    store::{ColumnType, DatumRef, Reader, Select, Step, Unavailable},
    table::{
        audit::AuditRecord,
        declare::{Columns as _, Damage, TableRow as _},
    },
};

const LABEL: &[u8] = b"sealward audit v1";

/// The last record of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    writer: Uuid,
    sequence: i64,
    hash: [u8; 32],
}

impl ChainHead {
    /// Returns the head of a chain without records.
    #[must_use]
    pub fn empty(writer: Uuid) -> Self {
        ChainHead { writer, sequence: 0, hash: [0; 32] }
    }

    /// Returns the head of a chain whose last record has this position and hash.
    #[must_use]
    pub fn at(writer: Uuid, sequence: i64, hash: [u8; 32]) -> Self {
        ChainHead { writer, sequence, hash }
    }

    /// Returns the writer of the chain.
    #[must_use]
    pub fn writer(&self) -> Uuid {
        self.writer
    }

    /// Returns the position of the last record; 0 if there is none.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Returns the hash of the last record; zeros for an empty chain.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Appends `entry` to the chain. Returns the step that stores the record, and the new head.
    #[must_use]
    pub fn link(&self, entry: &AuditEntry) -> (Step, ChainHead) {
        let mut record = AuditRecord::unhashed(self, entry);
        record.hash = record.digest();
        let AuditRecord { writer, sequence, hash, .. } = record;
        (record.insert(), ChainHead { writer, sequence, hash })
    }
}

/// The format of new records.
pub(crate) const FORMAT: i64 = FORMAT_WITH_HOP;

/// The first format whose hash covers the details.
const FORMAT_WITH_DETAILS: i64 = 2;

/// The first format whose hash covers the records.
const FORMAT_WITH_RECORDS: i64 = 3;

/// The first format whose hash covers the hop.
const FORMAT_WITH_HOP: i64 = 4;

impl AuditRecord {
    /// Returns the next record after this head for an entry, without its hash.
    fn unhashed(head: &ChainHead, entry: &AuditEntry) -> Self {
        let caller = entry.caller.as_ref();
        AuditRecord {
            writer: head.writer,
            sequence: head.sequence.saturating_add(1),
            previous_hash: head.hash,
            time: entry.time,
            identity: caller.map(|caller| caller.identity.to_string()),
            peer: caller.and_then(|caller| caller.peer).map(|peer| peer.to_string()),
            call_id: caller.map(|caller| caller.call_id.to_string()),
            action: entry.action.name().to_owned(),
            outcome: entry.outcome.to_owned(),
            subject: entry.subject.clone(),
            attributes: entry.attributes.clone(),
            purpose: entry.purpose.clone(),
            fingerprint: entry.fingerprint.clone(),
            key_version: entry.key_version.map(i64::from),
            details: entry.details.clone(),
            records: entry.records.clone(),
            hop: caller.and_then(|caller| caller.hop.as_deref()).map(str::to_owned),
            format: FORMAT,
            hash: [0; 32],
        }
    }

    /// Computes the hash of the record's fields.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut encoded = Vec::with_capacity(ENCODED_BYTES);
        encode(&self.as_row(), &mut encoded);
        // One long update costs half as much as many short ones.
        Sha256::digest(encoded).into()
    }

    /// Returns the values of the columns, in order.
    fn as_row(&self) -> RecordRow<'_> {
        fn text(text: &Option<String>) -> DatumRef<'_> {
            text.as_deref().map_or(DatumRef::Null, DatumRef::Text)
        }
        // Names all fields, so that a new one isn't forgotten.
        let AuditRecord {
            writer,
            sequence,
            previous_hash,
            time,
            identity,
            peer,
            call_id,
            action,
            outcome,
            subject,
            attributes,
            purpose,
            fingerprint,
            key_version,
            details,
            format,
            hash,
            records,
            hop,
        } = self;
        [
            DatumRef::Uuid(*writer),
            DatumRef::Integer(*sequence),
            DatumRef::Bytes(previous_hash),
            DatumRef::Time(*time),
            text(identity),
            text(peer),
            text(call_id),
            DatumRef::Text(action),
            DatumRef::Text(outcome),
            DatumRef::Text(subject),
            text(attributes),
            text(purpose),
            text(fingerprint),
            key_version.map_or(DatumRef::Null, DatumRef::Integer),
            text(details),
            DatumRef::Integer(*format),
            DatumRef::Bytes(hash),
            text(records),
            text(hop),
        ]
    }
}

/// The values of a record's columns, in order.
pub(super) type RecordRow<'a> = [DatumRef<'a>; AuditRecord::COLUMNS.len()];

/// Appends what the hash of a record covers.
pub(super) fn encode(row: &RecordRow<'_>, buffer: &mut Vec<u8>) {
    // The columns up to the version of the key are in every format.
    let [always @ .., details, format, _hash, records, hop] = row;
    let always: &[DatumRef<'_>; 14] = always;
    let number = if let DatumRef::Integer(number) = format { *number } else { 0 };
    let since = [(FORMAT_WITH_DETAILS, details), (FORMAT_WITH_RECORDS, records), (FORMAT_WITH_HOP, hop)];
    let of_format = since.into_iter().filter(|(first, _)| number >= *first).map(|(_, field)| field);
    buffer.extend_from_slice(LABEL);
    always.iter().chain(of_format).chain([format]).for_each(|field| encode_field(field, buffer));
}

/// Appends a field: a byte for the type, the length and the bytes, which make the encoding injective. Null has the length
/// 0.
fn encode_field(field: &DatumRef<'_>, buffer: &mut Vec<u8>) {
    let mut put = |kind: u8, bytes: &[u8]| {
        buffer.push(kind);
        buffer.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        buffer.extend_from_slice(bytes);
    };
    match field {
        DatumRef::Null => put(0, &[]),
        DatumRef::Boolean(value) => put(1, &[u8::from(*value)]),
        DatumRef::Integer(value) => put(2, &value.to_be_bytes()),
        DatumRef::Text(value) => put(3, value.as_bytes()),
        DatumRef::Bytes(value) => put(4, value),
        DatumRef::Uuid(value) => put(5, value.as_bytes()),
        DatumRef::Time(value) => put(6, &value.unix_micros().to_be_bytes()),
    }
}

/// A usual length of an encoded record in bytes.
const ENCODED_BYTES: usize = 1_024;

/// Reads the position and hash of the last record of a writer's chain. Returns `None` if there is no record.
pub(crate) async fn head(
    store: &dyn Reader,
    writer: Uuid,
) -> Result<Option<Result<(i64, [u8; 32]), Damage>>, Unavailable> {
    let columns = (AuditRecord::sequence(), AuditRecord::hash());
    let order = vec![AuditRecord::sequence().descending()];
    let select = Select { order, limit: 1, ..columns.select(AuditRecord::writer().is(writer)) };
    let last = store.select(select).await?.into_iter().next();
    Ok(last.map(|row| columns.values(row)))
}

/// The order of records in lists, all columns descending.
pub(super) const ORDER: [(&str, ColumnType); 3] = [
    AuditRecord::time().name_and_type(),
    AuditRecord::sequence().name_and_type(),
    AuditRecord::writer().name_and_type(),
];

#[cfg(test)]
pub(crate) mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::{audit::entry::AuditAction, id::Timestamp, identity::Caller, store::Datum};

    fn entry(subject: &str) -> AuditEntry {
        AuditEntry {
            attributes: Some("password".to_owned()),
            ..AuditEntry::done(Timestamp::from_unix_micros(1), AuditAction::RevealAttributes, subject)
        }
    }

    /// Returns the stored record of this entry after this head.
    pub(crate) fn linked(head: &ChainHead, entry: &AuditEntry) -> AuditRecord {
        let (Step::Insert { row, .. }, _) = head.link(entry) else { panic!("a link is an insert") };
        AuditRecord::all_columns().values(row.into_iter().map(|(_, datum)| datum).collect()).unwrap()
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
    fn text_moved_to_another_field_changes_the_hash() {
        let start = ChainHead::empty(Uuid::nil());
        let mut moved = entry("a");
        moved.purpose = moved.attributes.take();
        assert_ne!(start.link(&entry("a")).1, start.link(&moved).1);
    }

    #[test]
    fn all_columns_are_written_and_read_back() {
        let mut full = entry("a");
        full.caller = Some(Caller {
            identity: crate::identity::Identity::CommonName("ada".to_owned()).into(),
            peer: Some("192.0.2.1:7".parse().unwrap()),
            hop: Some("ingress".into()),
            call_id: "c".into(),
        });
        (full.purpose, full.fingerprint, full.key_version) = (Some("p".to_owned()), Some("f".to_owned()), Some(3));
        (full.details, full.records) = (Some("d".to_owned()), Some("r".to_owned()));
        for entry in [full, entry("a")] {
            let (step, head) = ChainHead::empty(Uuid::nil()).link(&entry);
            let Step::Insert { row, .. } = step else { panic!("a link is an insert") };
            let (written, row): (Vec<_>, Vec<_>) = row.into_iter().unzip();
            assert_eq!(written, AuditRecord::names());
            let record = AuditRecord::all_columns().values(row).unwrap();
            assert_eq!(record.hash, head.hash);
            assert_eq!(record.digest(), head.hash);
            let data = record.clone().into_row().into_iter().map(|(_, datum)| datum).collect();
            assert_eq!(AuditRecord::all_columns().values(data), Ok(record));
        }
    }

    #[test]
    fn hashes_of_all_formats_never_change() {
        let mut record = linked(&ChainHead::empty(Uuid::nil()), &entry("a"));
        let hashes = [
            (1, "eb825ecec7e40009cb4f53830d7f6a242b944a3210af96bcca807360332a186f"),
            (2, "c2472601821c9e7564b57a8bf45ee73006b877957397a7a8939975ec32e7cb41"),
            (3, "bc86a1747401b71a862d9bebc8f6305e7a7c5be952d304b90fc02463dc96d794"),
            (4, "ffaea137dd483d73fe0c286d4d9e05ab0b0a5f479c56a4daeb92bd90fad411d4"),
        ];
        for (format, hash) in hashes {
            record.format = format;
            assert_eq!(HEXLOWER.encode(&record.digest()), hash, "format {format}");
        }
    }
}
