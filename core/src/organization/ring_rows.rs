//! The stored form of the key ring: one row for the ring, and one row per data key.

use crate::{
    crypto::ring::{
        KeyRing,
        stored::{RingDamage, RingRow, RingUnread, StoredRing, check_format},
    },
    id::RingRevision,
    store::{Condition, Datum, Expect, Reader, Row, Step, Unavailable},
    table::{
        declare::{Columns as _, Damage, TableRow as _},
        key::{DataKeyRow, KeyChangeRow, KeyRingRow},
    },
};

/// The rows of a ring at one moment, valid or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RingRows {
    ring: Vec<Row>,
    keys: Vec<Row>,
}

impl RingRows {
    /// Returns the rows of a ring from elsewhere, complete and in the order of the columns.
    pub(crate) fn new(ring: Vec<Row>, keys: Vec<Row>) -> Self {
        RingRows { ring, keys }
    }

    /// Reads the rows.
    pub(crate) async fn read(store: &dyn Reader) -> Result<Self, Unavailable> {
        // Reads the ring row before and after the keys. If the ring was written in between, reads again.
        loop {
            let ring = store.select(KeyRingRow::all_columns().select(Condition::EVERYTHING)).await?;
            let keys = store.select(DataKeyRow::all_columns().select(Condition::EVERYTHING)).await?;
            let after = store.select(KeyRingRow::all_columns().select(Condition::EVERYTHING)).await?;
            if ring == after {
                return Ok(RingRows { ring, keys });
            }
        }
    }

    /// Converts the rows to a ring.
    pub(crate) fn parse(&self) -> Result<StoredRing, RingUnread> {
        let row = self.ring.first().ok_or(RingDamage::Column { name: "row" })?;
        // The format comes first, because the rest of a newer format is unknown.
        if let Some(Datum::Integer(format)) = KeyRingRow::format().datum_in(row) {
            check_format(*format)?;
        }
        let row = parse(row, &self.keys).map_err(|damage| RingDamage::Column { name: damage.column })?;
        StoredRing::try_from(row)
    }

    /// Returns the steps that require that these rows are unchanged.
    pub(crate) fn require(&self) -> Vec<Step> {
        let mut steps = KeyRingRow::require_unchanged(&self.ring, Condition::EVERYTHING);
        steps.extend(DataKeyRow::require_unchanged(&self.keys, Condition::EVERYTHING));
        steps
    }
}

/// Reads the ring. The outer error is that of the store. The inner error is the reason why there is no ring.
///
/// # Errors
/// If the store is unavailable.
pub async fn read(store: &dyn Reader) -> Result<Result<StoredRing, RingUnread>, Unavailable> {
    Ok(RingRows::read(store).await?.parse())
}

/// Returns whether the stored ring has this revision.
pub(crate) async fn has(store: &dyn Reader, revision: RingRevision) -> Result<bool, Unavailable> {
    Ok(store.count(KeyRingRow::TABLE.into(), is(revision)).await? == 1)
}

fn parse(row: &Row, keys: &[Row]) -> Result<RingRow, Damage> {
    let row = KeyRingRow::all_columns().values(row.clone())?;
    let keys = keys.iter().map(|row| DataKeyRow::all_columns().values(row.clone()));
    let keys = keys.map(|row| row.map(|DataKeyRow { version, wrapped }| (version, wrapped)));
    Ok(RingRow {
        format: row.format,
        organization: row.organization.as_bytes().to_vec(),
        revision: row.revision,
        kdf_iterations: row.kdf_iterations,
        kdf_salt: row.salt,
        check: row.key_check_value,
        key_change_time_us: row.key_change_time.unix_micros(),
        keys: keys.collect::<Result<_, _>>()?,
        reencryption_state: row.reencryption_state,
        reencryption_target: row.reencryption_target,
        mac: row.mac,
    })
}

/// Returns the row of a ring, without its data keys.
fn row(ring: &StoredRing) -> KeyRingRow {
    let row = RingRow::from(ring);
    KeyRingRow {
        slot: 1,
        format: row.format,
        organization: ring.organization,
        revision: row.revision,
        kdf_iterations: row.kdf_iterations,
        salt: row.kdf_salt,
        key_check_value: row.check,
        reencryption_state: row.reencryption_state,
        reencryption_target: row.reencryption_target,
        key_change_time: ring.key_change_time,
        mac: row.mac,
    }
}

/// Returns the steps that store the first ring of a database.
pub(crate) fn insert(ring: &StoredRing) -> Vec<Step> {
    std::iter::once(row(ring).insert()).chain(insert_keys(ring)).collect()
}

/// Returns the steps that replace the ring of this revision with `ring`. The first step is refused if the stored ring
/// has another revision.
pub(crate) fn replace(revision: RingRevision, ring: &StoredRing) -> Vec<Step> {
    let mut steps = vec![
        KeyRingRow::update(is(revision), row(ring).into_assignments(), Expect::One),
        DataKeyRow::delete(Condition::EVERYTHING),
    ];
    steps.extend(insert_keys(ring));
    steps
}

/// Returns the step that requires the stored ring to have this revision. Each write of a cell contains it.
pub(crate) fn require(revision: RingRevision) -> Step {
    KeyRingRow::require(is(revision))
}

fn is(revision: RingRevision) -> Condition {
    KeyRingRow::revision().is(revision.as_bytes().to_vec())
}

fn insert_keys(ring: &StoredRing) -> impl Iterator<Item = Step> {
    ring.keys.iter().map(|key| DataKeyRow { version: key.version.get().into(), wrapped: key.wrapped.clone() }.insert())
}

/// Returns the step that records a change of the key. Version 1 is the first key of an organization.
pub(crate) fn key_change_row(ring: &KeyRing) -> Step {
    let change = KeyChangeRow {
        key_version: ring.version().get().into(),
        time: ring.stored().key_change_time,
        fingerprint: ring.fingerprint().to_string(),
    };
    change.insert()
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
        let ring = vec![Datum::Integer(1), Datum::Integer(1), Datum::Null];
        let damaged = RingRows { ring: vec![ring], keys: vec![key(1), key(2)] };
        assert!(matches!(damaged.parse(), Err(RingUnread::Damaged(_))));
        let steps = damaged.require();
        assert_eq!(requires(&steps), [(KeyRingRow::TABLE, true), (DataKeyRow::TABLE, true), (DataKeyRow::TABLE, true)]);
        let Some(Step::Require { rows: Condition::All(conditions), .. }) = steps.first() else { panic!("{steps:?}") };
        let expected = [
            Condition::equal("slot", Datum::Integer(1)),
            Condition::equal("format", Datum::Integer(1)),
            Condition::IsNull("organization".into()),
        ];
        assert_eq!(conditions[..], expected);
    }

    #[test]
    fn missing_ring_is_required_to_be_missing() {
        let missing = RingRows { ring: Vec::new(), keys: Vec::new() };
        assert!(matches!(missing.parse(), Err(RingUnread::Damaged(_))));
        assert_eq!(requires(&missing.require()), [(KeyRingRow::TABLE, false), (DataKeyRow::TABLE, false)]);
    }

    #[test]
    fn format_of_a_ring_is_read_first() {
        let newer = vec![Datum::Integer(1), Datum::Integer(2), Datum::Text("another form".to_owned())];
        let newer = RingRows { ring: vec![newer], keys: Vec::new() };
        assert_eq!(newer.parse(), Err(RingUnread::Newer { format: 2 }));
    }
}
