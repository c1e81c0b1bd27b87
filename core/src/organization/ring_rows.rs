//! The key ring in its tables: one row for the ring, one for each data key.

use crate::{
    crypto::ring::stored::{RingDamage, RingRow, StoredRing},
    id::RingRevision,
    layout::{DATA_KEY, KEY_RING},
    store::{Assignment, Condition, Datum, Expect, Name, Reader, Step, Unavailable, rows},
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

/// Reads the ring: the outer error is the store's, the inner one says what is damaged.
///
/// # Errors
/// If the store doesn't answer.
pub async fn read(store: &dyn Reader) -> Result<Result<StoredRing, RingDamage>, Unavailable> {
    // The ring row before the keys, and once more after them: a ring written in between is read again.
    loop {
        let before = rows(store, KEY_RING, &COLUMNS, Condition::EVERYTHING).await?;
        let keys = rows(store, DATA_KEY, &["version", "wrapped"], Condition::EVERYTHING).await?;
        let after = rows(store, KEY_RING, &COLUMNS, Condition::EVERYTHING).await?;
        if before == after {
            return Ok(before
                .into_iter()
                .next()
                .and_then(|row| parse(row, keys))
                .map_or(Err(RingDamage::Column { name: "row" }), StoredRing::try_from));
        }
    }
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
