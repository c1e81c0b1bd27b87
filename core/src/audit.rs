//! The audit trail: what is recorded, and how records are chained.
//!
//! A chain per writer: `hash = SHA-256("fieldseal audit v1" | writer | sequence | previous hash | every field of the record)`, each part
//! with its length before it, so that no two records have one encoding. A changed, removed or reordered record breaks every hash after
//! it. A record names who, from where, when, what and with which outcome; never a secret, nor a value of an encrypted attribute.
//!
//! Nothing here knows where a trail is kept. Whoever commits an entry links it: see [`ChainHead::link`].

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    id::Timestamp,
    identity::Caller,
    store::{Column, ColumnType, Datum, Name, Step, Table},
};

/// The table that holds a trail.
pub const AUDIT_TABLE: &str = "fieldseal_audit";

const LABEL: &[u8] = b"fieldseal audit v1";

/// What was done or tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// An organization was created.
    CreateOrganization,
    /// An organization was exported.
    ExportOrganization,
    /// An organization was imported.
    ImportOrganization,
    /// An organization was deleted.
    DeleteOrganization,
    /// A database found without its configuration was registered.
    RegisterOrganization,
    /// The key text was retrieved.
    RetrieveKey,
    /// The key was changed.
    ChangeKey,
    /// The key was restored.
    RestoreKey,
    /// What a lost key had sealed was given up, and a new key set.
    AbandonEncryptedData,
    /// Every cell was sealed again under the new data key, and the old data keys were destroyed.
    CompleteReencryption,
    /// Every cell was opened, to see whether it does.
    VerifyCells,
    /// Data keys that were kept for unreadable cells were destroyed, because none of those is left.
    DestroyDataKeys,
    /// The organization's key texts were sealed again under the first root key.
    ResealKeyTexts,
    /// Encrypted attributes were revealed.
    RevealAttributes,
    /// A call was refused because its caller may not make it; the subject is the rpc.
    Call,
}

impl AuditAction {
    /// The word that is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AuditAction::CreateOrganization => "create-organization",
            AuditAction::ExportOrganization => "export-organization",
            AuditAction::ImportOrganization => "import-organization",
            AuditAction::DeleteOrganization => "delete-organization",
            AuditAction::RegisterOrganization => "register-organization",
            AuditAction::RetrieveKey => "retrieve-key",
            AuditAction::ChangeKey => "change-key",
            AuditAction::RestoreKey => "restore-key",
            AuditAction::AbandonEncryptedData => "abandon-encrypted-data",
            AuditAction::CompleteReencryption => "complete-reencryption",
            AuditAction::VerifyCells => "verify-cells",
            AuditAction::DestroyDataKeys => "destroy-data-keys",
            AuditAction::ResealKeyTexts => "reseal-key-texts",
            AuditAction::RevealAttributes => "reveal-attributes",
            AuditAction::Call => "call",
        }
    }
}

/// How it ended.
pub const OUTCOME_DONE: &str = "done";

/// One record, before it is chained. `None` where a field doesn't apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// Who; `None` for the service itself.
    pub caller: Option<Caller>,
    /// What.
    pub action: AuditAction,
    /// `done`, or the reason of the error that was answered.
    pub outcome: &'static str,
    /// The resource it was done to: a record's or an organization's name.
    pub subject: String,
    /// The attributes revealed, joined by commas.
    pub attributes: Option<String>,
    /// What the caller said it was for.
    pub purpose: Option<String>,
    /// The fingerprint of the key that is current after it.
    pub fingerprint: Option<String>,
    /// The key version that is current after it.
    pub key_version: Option<u32>,
}

impl AuditEntry {
    /// What the service did by itself, with nothing more to say of it.
    pub fn done(time: Timestamp, action: AuditAction, subject: impl Into<String>) -> Self {
        AuditEntry {
            time,
            caller: None,
            action,
            outcome: OUTCOME_DONE,
            subject: subject.into(),
            attributes: None,
            purpose: None,
            fingerprint: None,
            key_version: None,
        }
    }
}

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

    /// Chains `entry` to this head: the step that stores it, and the head after it.
    #[must_use]
    pub fn link(&self, entry: &AuditEntry) -> (Step, ChainHead) {
        let sequence = self.sequence.saturating_add(1);
        let mut row = vec![
            ("writer", Datum::Uuid(self.writer)),
            ("sequence", Datum::Integer(sequence)),
            ("previous_hash", Datum::Bytes(self.hash.to_vec())),
        ];
        row.extend(fields(entry));
        let hash = digest(row.iter().map(|(_, datum)| datum));
        row.push(("hash", Datum::Bytes(hash.to_vec())));
        let row = row.into_iter().map(|(column, datum)| (Name::from(column), datum)).collect();
        (Step::Insert { table: AUDIT_TABLE.into(), row }, ChainHead { writer: self.writer, sequence, hash })
    }
}

fn fields(entry: &AuditEntry) -> [(&'static str, Datum); 12] {
    let text = |value: Option<String>| value.map_or(Datum::Null, Datum::Text);
    let caller = entry.caller.as_ref();
    let peer = caller.and_then(|caller| caller.peer);
    [
        ("time", Datum::Time(entry.time)),
        ("identity", text(caller.map(|caller| caller.identity.to_string()))),
        ("peer", text(peer.map(|peer| peer.to_string()))),
        ("call_id", text(caller.map(|caller| caller.call_id.clone()))),
        ("action", Datum::Text(entry.action.name().to_owned())),
        ("outcome", Datum::Text(entry.outcome.to_owned())),
        ("subject", Datum::Text(entry.subject.clone())),
        ("attributes", text(entry.attributes.clone())),
        ("purpose", text(entry.purpose.clone())),
        ("fingerprint", text(entry.fingerprint.clone())),
        ("key_version", entry.key_version.map_or(Datum::Null, |version| Datum::Integer(version.into()))),
        ("format", Datum::Integer(1)),
    ]
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
    let column = |name: &'static str, kind, nullable| Column { name: name.into(), kind, nullable };
    Table {
        name: AUDIT_TABLE.into(),
        columns: vec![
            column("writer", ColumnType::Uuid, false),
            column("sequence", ColumnType::Integer, false),
            column("previous_hash", ColumnType::Bytes, false),
            column("time", ColumnType::Time, false),
            column("identity", ColumnType::Text, true),
            column("peer", ColumnType::Text, true),
            column("call_id", ColumnType::Text, true),
            column("action", ColumnType::Text, false),
            column("outcome", ColumnType::Text, false),
            column("subject", ColumnType::Text, false),
            column("attributes", ColumnType::Text, true),
            column("purpose", ColumnType::Text, true),
            column("fingerprint", ColumnType::Text, true),
            column("key_version", ColumnType::Integer, true),
            column("format", ColumnType::Integer, false),
            column("hash", ColumnType::Bytes, false),
        ],
        key: vec!["writer".into(), "sequence".into()],
        indexes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str) -> AuditEntry {
        AuditEntry {
            attributes: Some("password".to_owned()),
            ..AuditEntry::done(Timestamp::from_unix_micros(1), AuditAction::RevealAttributes, subject)
        }
    }

    #[test]
    fn each_record_carries_the_hash_of_the_one_before() {
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
    fn every_column_of_the_table_is_written() {
        let (step, _) = ChainHead::empty(Uuid::nil()).link(&entry("a"));
        let Step::Insert { row, .. } = step else { panic!("a link is an insert") };
        let written: Vec<_> = row.into_iter().map(|(name, _)| name).collect();
        let columns: Vec<_> = table().columns.into_iter().map(|column| column.name).collect();
        assert_eq!(written, columns);
    }
}
