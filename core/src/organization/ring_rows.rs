//! The key ring in its tables: one row for the ring, one for each data key.

use crate::{
    crypto::ring::{
        KeyRing,
        stored::{RingDamage, RingRow, RingUnread, StoredRing, check_format},
    },
    id::RingRevision,
    layout::{DATA_KEY, KEY_CHANGE, KEY_RING},
    store::{Assignment, Condition, Datum, Expect, Name, Reader, Row, Step, Unavailable, rows},
};

const COLUMNS: [&str; 10] = [
    "format",
    "organization",
    "revision",
    "kdf_iterations",
    "salt",
    "key_check_value",
    "reencryption_state",
    "reencryption_target",
    "key_change_time",
    "mac",
];

const KEY_COLUMNS: [&str; 2] = ["version", "wrapped"];

/// The rows of a ring at one moment, whether they make one or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RingRows {
    ring: Vec<Row>,
    keys: Vec<Row>,
}

impl RingRows {
    /// Reads what there is.
    pub(crate) async fn read(store: &dyn Reader) -> Result<Self, Unavailable> {
        // The ring row before the keys, and once more after them: a ring written in between is read again.
        loop {
            let ring = rows(store, KEY_RING, &COLUMNS, Condition::EVERYTHING).await?;
            let keys = rows(store, DATA_KEY, &KEY_COLUMNS, Condition::EVERYTHING).await?;
            let after = rows(store, KEY_RING, &COLUMNS, Condition::EVERYTHING).await?;
            if ring == after {
                return Ok(RingRows { ring, keys });
            }
        }
    }

    /// The ring that they make.
    pub(crate) fn parse(&self) -> Result<StoredRing, RingUnread> {
        let row = self.ring.first().ok_or(RingDamage::Column { name: "row" })?;
        // First of all: what else a newer format has is not known here.
        if let Some(Datum::Integer(format)) = row.first() {
            check_format(*format)?;
        }
        let row = parse(row.clone(), self.keys.clone()).ok_or(RingDamage::Column { name: "row" })?;
        StoredRing::try_from(row)
    }

    /// The steps that hold a commit against these very rows being there still.
    pub(crate) fn require(&self) -> Vec<Step> {
        let is_there = |columns: &[&'static str], row: &Row| {
            let equal = |(column, datum): (&&'static str, &Datum)| {
                if *datum == Datum::Null {
                    Condition::IsNull(Name::from(*column))
                } else {
                    Condition::equal(*column, datum.clone())
                }
            };
            Condition::All(columns.iter().zip(row).map(equal).collect())
        };
        let of_table = |table: &'static str, columns: &[&'static str], found: &[Row]| -> Vec<Step> {
            if found.is_empty() {
                return vec![Step::Forbid { table: table.into(), rows: Condition::EVERYTHING }];
            }
            found.iter().map(|row| Step::Require { table: table.into(), rows: is_there(columns, row) }).collect()
        };
        let mut steps = of_table(KEY_RING, &COLUMNS, &self.ring);
        steps.extend(of_table(DATA_KEY, &KEY_COLUMNS, &self.keys));
        steps
    }
}

/// Reads the ring: the outer error is the store's, the inner one says why there is none.
///
/// # Errors
/// If the store doesn't answer.
pub async fn read(store: &dyn Reader) -> Result<Result<StoredRing, RingUnread>, Unavailable> {
    Ok(RingRows::read(store).await?.parse())
}

/// Whether the ring that is stored has this revision.
pub(crate) async fn has(store: &dyn Reader, revision: RingRevision) -> Result<bool, Unavailable> {
    Ok(store.count(KEY_RING.into(), is(revision)).await? == 1)
}

fn parse(row: Vec<Datum>, keys: Vec<Vec<Datum>>) -> Option<RingRow> {
    let [
        Datum::Integer(format),
        Datum::Uuid(organization),
        Datum::Bytes(revision),
        Datum::Integer(kdf_iterations),
        Datum::Bytes(kdf_salt),
        Datum::Bytes(check),
        Datum::Text(reencryption_state),
        target,
        Datum::Time(key_change_time),
        Datum::Bytes(mac),
    ] = <[Datum; 10]>::try_from(row).ok()?
    else {
        return None;
    };
    let reencryption_target = match target {
        Datum::Null => None,
        Datum::Integer(version) => Some(version),
        Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Uuid(_) | Datum::Time(_) => return None,
    };
    let keys = keys
        .into_iter()
        .map(|row| match <[Datum; 2]>::try_from(row) {
            Ok([Datum::Integer(version), Datum::Bytes(wrapped)]) => Some((version, wrapped)),
            Ok(_) | Err(_) => None,
        })
        .collect::<Option<Vec<_>>>()?;
    Some(RingRow {
        format,
        organization: organization.as_bytes().to_vec(),
        revision,
        kdf_iterations,
        kdf_salt,
        check,
        key_change_time_us: key_change_time.unix_micros(),
        keys,
        reencryption_state,
        reencryption_target,
        mac,
    })
}

/// The steps that store the first ring of a database.
pub(crate) fn insert(ring: &StoredRing) -> Vec<Step> {
    let mut row = columns(ring);
    row.push(("slot".into(), Datum::Integer(1)));
    let mut steps = vec![Step::Insert { table: KEY_RING.into(), row }];
    steps.extend(insert_keys(ring));
    steps
}

/// The steps that put `ring` in the place of the one of this revision. The first is refused if another stands there.
pub(crate) fn replace(revision: RingRevision, ring: &StoredRing) -> Vec<Step> {
    let mut steps = vec![
        Step::Update {
            table: KEY_RING.into(),
            rows: is(revision),
            set: columns(ring).into_iter().map(|(name, datum)| Assignment::Set(name, datum)).collect(),
            expect: Expect::One,
        },
        Step::Delete { table: DATA_KEY.into(), rows: Condition::EVERYTHING, expect: Expect::Any },
    ];
    steps.extend(insert_keys(ring));
    steps
}

/// The step that holds every write of a cell against the ring it was sealed under.
pub(crate) fn require(revision: RingRevision) -> Step {
    Step::Require { table: KEY_RING.into(), rows: is(revision) }
}

fn is(revision: RingRevision) -> Condition {
    Condition::equal("revision", Datum::Bytes(revision.as_bytes().to_vec()))
}

fn columns(ring: &StoredRing) -> Vec<(Name, Datum)> {
    let row = RingRow::from(ring);
    let data = [
        Datum::Integer(row.format),
        Datum::Uuid(ring.organization.uuid()),
        Datum::Bytes(row.revision),
        Datum::Integer(row.kdf_iterations),
        Datum::Bytes(row.kdf_salt),
        Datum::Bytes(row.check),
        Datum::Text(row.reencryption_state),
        row.reencryption_target.map_or(Datum::Null, Datum::Integer),
        Datum::Time(ring.key_change_time),
        Datum::Bytes(row.mac),
    ];
    COLUMNS.into_iter().map(Name::from).zip(data).collect()
}

fn insert_keys(ring: &StoredRing) -> impl Iterator<Item = Step> {
    ring.keys.iter().map(|key| Step::Insert {
        table: DATA_KEY.into(),
        row: vec![
            ("version".into(), Datum::Integer(key.version.get().into())),
            ("wrapped".into(), Datum::Bytes(key.wrapped.clone())),
        ],
    })
}

/// The row that remembers a change of the key; version 1 is the key an organization begins with.
pub(crate) fn key_change_row(ring: &KeyRing) -> Step {
    Step::Insert {
        table: KEY_CHANGE.into(),
        row: vec![
            ("key_version".into(), Datum::Integer(ring.version().get().into())),
            ("time".into(), Datum::Time(ring.stored().key_change_time)),
            ("fingerprint".into(), Datum::Text(ring.fingerprint().to_string())),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requires(steps: &[Step]) -> Vec<(&str, bool)> {
        steps
            .iter()
            .map(|step| {
                if let Step::Require { table, .. } = step {
                    (&**table, true)
                } else if let Step::Forbid { table, .. } = step {
                    (&**table, false)
                } else {
                    panic!("{step:?}")
                }
            })
            .collect()
    }

    #[test]
    fn rows_of_a_malformed_ring_are_required_one_by_one() {
        let key = |version| vec![Datum::Integer(version), Datum::Bytes(vec![7; 72])];
        let ring = vec![Datum::Integer(1), Datum::Null];
        let damaged = RingRows { ring: vec![ring], keys: vec![key(1), key(2)] };
        assert!(matches!(damaged.parse(), Err(RingUnread::Damaged(_))));
        let steps = damaged.require();
        assert_eq!(requires(&steps), [(KEY_RING, true), (DATA_KEY, true), (DATA_KEY, true)]);
        let Some(Step::Require { rows: Condition::All(conditions), .. }) = steps.first() else { panic!("{steps:?}") };
        let expected = [Condition::equal("format", Datum::Integer(1)), Condition::IsNull(Name::from("organization"))];
        assert_eq!(conditions[..], expected);
    }

    #[test]
    fn a_ring_that_is_missing_is_required_to_be_missing() {
        let missing = RingRows { ring: Vec::new(), keys: Vec::new() };
        assert!(matches!(missing.parse(), Err(RingUnread::Damaged(_))));
        assert_eq!(requires(&missing.require()), [(KEY_RING, false), (DATA_KEY, false)]);
    }

    #[test]
    fn format_of_a_ring_is_read_first() {
        let newer =
            RingRows { ring: vec![vec![Datum::Integer(2), Datum::Text("another form".to_owned())]], keys: Vec::new() };
        assert_eq!(newer.parse(), Err(RingUnread::Newer { format: 2 }));
    }
}
