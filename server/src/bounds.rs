//! Limits on long calls, and on calls to the same resource. All handlers share them.

pub(crate) mod in_flight;
pub(crate) mod keyed_rate;
pub(crate) mod one_at_a_time;
pub(crate) mod rates;
pub(crate) mod turns;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::Quota;
use sealward_core::id::{OrganizationId, RecordId};
use sealward_store::SCANS_MAX;

use crate::{
    audit::verifications::Verifications,
    bounds::{in_flight::InFlight, keyed_rate::KeyedRate, turns::Turns},
    config::limits::Limits,
    status::Refusal,
    telemetry::shed::Shed,
};

/// The bounds of a server.
pub(crate) struct Bounded {
    /// Lists, and other calls whose caller decides how many rows they read.
    pub(crate) lists: Arc<InFlight>,
    /// Streams, in either direction.
    pub(crate) streams: Arc<InFlight>,
    /// Writes of one record.
    pub(crate) records: Arc<Turns<(OrganizationId, RecordId)>>,
    /// Writes of an organization's metadata.
    pub(crate) metadata: Arc<Turns<OrganizationId>>,
    /// Verifications of audit trails.
    pub(crate) verifications: Arc<Verifications>,
    /// Changes of indexes.
    pub(crate) index_switches: IndexSwitches,
}

impl Bounded {
    pub(crate) fn new(limits: &Limits, shed: Shed) -> Self {
        // Half of a database's readers: the other half remains for other identities.
        let lists_at_once = usize::try_from(SCANS_MAX.div_ceil(2)).unwrap_or(1);
        let streams_max = limits.streams_per_identity_max;
        Bounded {
            lists: InFlight::new("lists_per_identity_max", limits.lists_per_identity_max, lists_at_once, shed.clone()),
            streams: InFlight::new("streams_per_identity_max", streams_max, 1, shed.clone()),
            records: Turns::new("writes_per_record_max", limits.writes_per_record_max, shed.clone()),
            metadata: Turns::new("writes_per_record_max", limits.writes_per_record_max, shed.clone()),
            verifications: Verifications::new(),
            index_switches: IndexSwitches::new(limits.index_switches_per_hour, shed),
        }
    }
}

/// The rate at which indexes of an organization may be created or dropped, since its writes wait meanwhile.
pub(crate) struct IndexSwitches {
    changes: Option<KeyedRate<OrganizationId>>,
    limit: u32,
    shed: Shed,
}

impl IndexSwitches {
    fn new(limit: u32, shed: Shed) -> Self {
        let changes = NonZeroU32::new(limit).map(|limit| KeyedRate::new(Quota::per_hour(limit)));
        IndexSwitches { changes, limit, shed }
    }

    /// Counts a change of an index in this organization.
    ///
    /// # Errors
    /// [`Refusal::TooManyIndexSwitches`]
    pub(crate) fn admit(&self, organization: OrganizationId) -> Result<(), Refusal> {
        let Some(changes) = &self.changes else { return Ok(()) };
        changes.admit(&organization).map_err(|time| {
            self.shed.count("index_switches_per_hour");
            Refusal::TooManyIndexSwitches { limit: self.limit, retry_after: time.max(Duration::from_secs(1)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use sealward_core::{
        id::Timestamp,
        mask::ReadMask,
        metadata::setting::LENGTH_MAX,
        record::list::record_bytes_max,
        schema::{Attribute, Kind},
        store::Datum,
        table::{RecordColumns, TableRow as _},
    };

    use super::*;
    use crate::config::limits::LIMITS;

    const ID: OrganizationId = OrganizationId::from_bytes([1; 16]);

    #[test]
    fn index_changes_are_limited() {
        let shed = Shed::default();
        let switches = IndexSwitches::new(2, shed.clone());
        switches.admit(ID).unwrap();
        switches.admit(ID).unwrap();
        let refused = switches.admit(ID).unwrap_err();
        assert!(matches!(refused, Refusal::TooManyIndexSwitches { limit: 2, .. }), "{refused:?}");
        assert_eq!(shed.refused_by("index_switches_per_hour"), 1);
        switches.admit(OrganizationId::from_bytes([2; 16])).unwrap();
        let unlimited = IndexSwitches::new(0, Shed::default());
        assert!((0..1_000).all(|_| unlimited.admit(ID).is_ok()));
    }

    #[test]
    fn the_smallest_message_has_room_for_the_largest_record() {
        let served = crate::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let smallest = LIMITS.iter().find(|limit| limit.name == "message_size_max_bytes").unwrap();
        let limits = Limits { message_size_max_bytes: smallest.minimum, ..Limits::default() };
        let room = limits.page_bytes_max();
        for entity in served.schema.entities() {
            let datum = |attribute: &Attribute| {
                let length = attribute.max_length.map(|length| length.max(LENGTH_MAX));
                match &attribute.kind {
                    // Four bytes per character. An encrypted attribute in a request is as long as any other in a response.
                    Kind::Text => Datum::Text("x".repeat(usize::try_from(length.unwrap() * 4).unwrap())),
                    Kind::Bytes => Datum::Bytes(vec![0; usize::try_from(length.unwrap()).unwrap()]),
                    Kind::Reference { .. } => Datum::Uuid(uuid::Uuid::nil()),
                    Kind::Boolean | Kind::Integer32 | Kind::Integer64 | Kind::Choice(_) => Datum::Integer(-1),
                    Kind::Time => Datum::Time(Timestamp::from_unix_micros(0)),
                    Kind::ReportsSet { .. } => Datum::Null,
                }
            };
            let mut row = vec![Datum::Null; RecordColumns::COLUMNS.len()];
            row.extend(entity.attributes.iter().filter(|attribute| attribute.stored()).map(datum));
            let bytes = record_bytes_max(entity, &ReadMask::default(), &row);
            assert!(bytes <= room, "{}: {bytes} of {room}", entity.name);
        }
    }
}
