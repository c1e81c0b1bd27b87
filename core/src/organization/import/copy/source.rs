//! The source of a copy, as its file describes it: the organization, the key ring, and the heads of its audit trail.
//!
//! The file is untrusted. Everything that is held in memory has a bound. Nothing here is stored.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use uuid::Uuid;

use crate::{
    crypto::ring::stored::{RingUnread, StoredRing},
    id::OrganizationId,
    key::error::KeyError,
    name::OrganizationName,
    organization::{export::Exported, import::error::ImportError, keys::Obstacle, ring_rows::RingRows},
    store::{Column, Datum, Row},
    table::{
        audit::AuditRecord,
        declare::{Columns, TableRow as _},
        key::{DataKeyRow, KeyRingRow},
        organization::OrganizationRow,
    },
};

/// What a copy needs to know of its source.
pub(super) struct Source {
    pub(super) id: OrganizationId,
    name: Option<OrganizationName>,
    /// The organizations in the file; one, unless the file is invalid.
    organizations: Vec<OrganizationId>,
    ring: Vec<Row>,
    data_keys: Vec<Row>,
    /// The position and hash of the last record of each chain, by its writer.
    heads: BTreeMap<Uuid, (i64, [u8; 32])>,
}

impl Source {
    pub(super) fn new(exported: &Exported) -> Self {
        Source {
            id: exported.id,
            name: exported.name.clone(),
            organizations: Vec::new(),
            ring: Vec::new(),
            data_keys: Vec::new(),
            heads: BTreeMap::new(),
        }
    }

    /// Notes a row that isn't copied.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if the row is malformed, or if there are too many.
    pub(super) fn note(&mut self, table: &str, columns: &[Column], row: &[Datum]) -> Result<(), ImportError> {
        // Noted rows stay in memory until the end.
        let is_large = |datum: &Datum| match datum {
            Datum::Bytes(bytes) => bytes.len() > NOTED_BYTES_MAX,
            Datum::Text(text) => text.len() > NOTED_BYTES_MAX,
            Datum::Null | Datum::Integer(_) | Datum::Boolean(_) | Datum::Time(_) | Datum::Uuid(_) => false,
        };
        if [KeyRingRow::TABLE, DataKeyRow::TABLE].contains(&table) && row.iter().any(is_large) {
            return Err(ImportError::Invalid(format!("a value of {table} is too long")));
        }
        match table {
            OrganizationRow::TABLE => {
                self.organizations.push(values(&OrganizationRow::id(), columns, row)?);
                bounded(self.organizations.len(), 1, "organization")
            }
            KeyRingRow::TABLE => {
                self.ring.push(arranged(&KeyRingRow::all_columns(), columns, row));
                bounded(self.ring.len(), 1, "key ring")
            }
            DataKeyRow::TABLE => {
                self.data_keys.push(arranged(&DataKeyRow::all_columns(), columns, row));
                bounded(self.data_keys.len(), DATA_KEYS_MAX, "data keys")
            }
            AuditRecord::TABLE => {
                let wanted = (AuditRecord::writer(), AuditRecord::sequence(), AuditRecord::hash());
                let (writer, sequence, hash) = values(&wanted, columns, row)?;
                let head = self.heads.entry(writer).or_insert((sequence, hash));
                if head.0 < sequence {
                    *head = (sequence, hash);
                }
                bounded(self.heads.len(), CHAINS_MAX, "audit chains")
            }
            _ => Ok(()),
        }
    }

    /// Returns the key ring. The rows that were noted so far must contain it.
    ///
    /// # Errors
    /// [`KeyError::RingDamaged`] if it is missing, damaged or of another organization; [`KeyError::Inaccessible`] if a newer
    /// version wrote it.
    pub(super) fn ring(&self) -> Result<StoredRing, KeyError> {
        match RingRows::new(self.ring.clone(), self.data_keys.clone()).parse() {
            Ok(ring) if ring.organization == self.id => Ok(ring),
            Ok(_) | Err(RingUnread::Damaged(_)) => Err(KeyError::RingDamaged),
            Err(RingUnread::Newer { format }) => Err(KeyError::Inaccessible(Obstacle::NewerRing { format })),
        }
    }

    /// Checks that the organization in the tables is the one in the header.
    ///
    /// # Errors
    /// [`ImportError::Invalid`].
    pub(super) fn check(&self) -> Result<(), ImportError> {
        if self.organizations == [self.id] { Ok(()) } else { Err(ImportError::of_another_organization()) }
    }

    /// Returns the name and UUID of the source, for the details of an audit record.
    pub(super) fn named(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("{} ", name.resource_name())).unwrap_or_default();
        format!("copy of {name}{}", self.id)
    }

    /// Returns the source with the heads of its trail, for the details of an audit record. A head has the form that a
    /// verification of a trail prints.
    pub(super) fn described(&self) -> String {
        let heads = self.heads.iter();
        let heads: Vec<_> =
            heads.map(|(writer, (sequence, hash))| format!("{writer}:{sequence}:{}", HEXLOWER.encode(hash))).collect();
        let heads = if heads.is_empty() { "none".to_owned() } else { heads.join(" ") };
        format!("{}, head {heads}", self.named())
    }
}

/// The most bytes of a value of a key ring or a data key. The longest, a wrapped data key, has 72.
const NOTED_BYTES_MAX: usize = 256;

/// The maximum number of data keys: a ring has one, a second during a re-encryption, and one for each change that left
/// unreadable cells.
const DATA_KEYS_MAX: usize = 1_000;

/// The maximum number of chains in a trail: one for each deployment that the organization has been in. They are all named
/// in one audit record.
const CHAINS_MAX: usize = 100;

fn bounded(count: usize, limit: usize, what: &str) -> Result<(), ImportError> {
    if count <= limit { Ok(()) } else { Err(ImportError::Invalid(format!("it has more than {limit} {what}"))) }
}

/// Returns the values of these columns in a row of the file.
fn values<C: Columns>(wanted: &C, columns: &[Column], row: &[Datum]) -> Result<C::Values, ImportError> {
    wanted.values(arranged(wanted, columns, row)).map_err(|damage| ImportError::Invalid(damage.to_string()))
}

/// Returns the stored values of these columns in a row of the file; null for a column that the file doesn't have.
fn arranged<C: Columns>(wanted: &C, columns: &[Column], row: &[Datum]) -> Row {
    let datum = |name| columns.iter().position(|column| column.name == name).and_then(|position| row.get(position));
    wanted.names().into_iter().map(|name| datum(name).cloned().unwrap_or(Datum::Null)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{
            kek::{KdfParameters, derive},
            ring::KeyRing,
            secret::KeyText,
        },
        id::Timestamp,
        organization::ring_rows,
        random::testing::SeededRandom,
        store::{ColumnType, Name, Step},
    };

    const ID: OrganizationId = OrganizationId::from_bytes([7; 16]);

    fn source(id: OrganizationId) -> Source {
        let (create_time, export_time) = (Timestamp::from_unix_micros(1), Timestamp::from_unix_micros(2));
        let name = Some("contoso".parse().unwrap());
        Source::new(&Exported { id, name, create_time, export_time, fingerprint: String::new() })
    }

    /// Notes the rows that these steps insert, with their columns in the reverse order.
    fn note(source: &mut Source, steps: Vec<Step>) -> Result<(), ImportError> {
        for step in steps {
            let Step::Insert { table, row } = step else { panic!("{step:?}") };
            let column = |name: &Name| Column { name: name.clone(), kind: ColumnType::Bytes, nullable: true };
            let columns: Vec<Column> = row.iter().rev().map(|(name, _)| column(name)).collect();
            let row: Row = row.into_iter().rev().map(|(_, datum)| datum).collect();
            source.note(&table, &columns, &row)?;
        }
        Ok(())
    }

    fn ring_steps() -> Vec<Step> {
        let random = SeededRandom::new(1);
        let kdf = KdfParameters { iterations: 100_000, salt: [2; 16] };
        let kek = derive(&KeyText::new("a key".to_owned()), &kdf).unwrap();
        let ring = KeyRing::create(ID, &kek, kdf, Timestamp::from_unix_micros(3), &random).ok().unwrap();
        ring_rows::insert(ring.stored())
    }

    #[test]
    fn ring_is_read_from_rows_with_columns_in_any_order() {
        let mut of_file = source(ID);
        assert!(matches!(of_file.ring(), Err(KeyError::RingDamaged)));
        note(&mut of_file, ring_steps()).unwrap();
        assert_eq!(of_file.ring().ok().map(|ring| (ring.organization, ring.keys.len())), Some((ID, 1)));
        let mut other = source(OrganizationId::from_bytes([8; 16]));
        note(&mut other, ring_steps()).unwrap();
        assert!(matches!(other.ring(), Err(KeyError::RingDamaged)));
    }

    #[test]
    fn rows_in_memory_are_bounded() {
        let mut twice = source(ID);
        note(&mut twice, ring_steps()).unwrap();
        assert!(note(&mut twice, ring_steps()).is_err());
        let mut many = source(ID);
        let key = |version: usize| DataKeyRow { version: i64::try_from(version).unwrap(), wrapped: vec![1] }.insert();
        note(&mut many, (0..DATA_KEYS_MAX).map(key).collect()).unwrap();
        assert!(note(&mut many, vec![key(DATA_KEYS_MAX)]).is_err());
        let organization = |id| {
            let name = "contoso".parse().unwrap();
            OrganizationRow { id, name, create_time: Timestamp::from_unix_micros(1) }.insert()
        };
        let mut one = source(ID);
        assert!(one.check().is_err());
        note(&mut one, vec![organization(ID)]).unwrap();
        assert!(one.check().is_ok());
        assert!(note(&mut one, vec![organization(ID)]).is_err());
    }

    #[test]
    fn last_record_of_each_chain_is_its_head() {
        let mut of_file = source(ID);
        assert_eq!(of_file.described(), format!("copy of organizations/contoso {ID}, head none"));
        let names = ["writer", "sequence", "hash"];
        let columns: Vec<Column> =
            names.map(|name| Column { name: name.into(), kind: ColumnType::Bytes, nullable: false }).into();
        for (writer, sequence) in [(1, 1), (1, 3), (2, 5), (1, 2)] {
            let hash = Datum::Bytes(vec![u8::try_from(sequence).unwrap(); 32]);
            let row = [Datum::Uuid(Uuid::from_bytes([writer; 16])), Datum::Integer(sequence), hash];
            of_file.note(AuditRecord::TABLE, &columns, &row).unwrap();
        }
        let head = |writer: u8, sequence: u8| {
            format!("{}:{sequence}:{}", Uuid::from_bytes([writer; 16]), HEXLOWER.encode(&[sequence; 32]))
        };
        let heads = format!("{} {}", head(1, 3), head(2, 5));
        assert_eq!(of_file.described(), format!("copy of organizations/contoso {ID}, head {heads}"));
    }
}
