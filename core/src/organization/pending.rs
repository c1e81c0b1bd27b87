//! Pending versions: records as the updates that were handed over to the store, but aren't durable yet, will leave them.
//!
//! The next update of a record builds on its pending version instead of waiting until that is on disk. It requires in its
//! commit that the update that made the version was applied. If that one fails, all updates that build on it fail with
//! it, and each of them reads the record again.
//!
//! Versions that build on one another have the same lineage. A failed update ends its lineage: no later update builds on
//! it. This file doesn't know how records are read or changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{id::RecordId, record::content::Record, store::Name, ticket::Ticket};

/// The pending versions of an organization's records, at most one for each record: the last.
#[derive(Debug, Default)]
pub(crate) struct PendingVersions(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    versions: HashMap<Key, Version>,
    lineages: u64,
}

/// The table and the id of a record.
type Key = (Name, RecordId);

/// A pending version of a record.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The record.
    pub(crate) record: Record,
    /// The cells of the record, by index of their attributes.
    pub(crate) cells: BTreeMap<usize, Vec<u8>>,
    /// The origin of the version.
    pub(crate) origin: Origin,
}

/// The origin of a pending version.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The ticket of the commit that makes the version.
    pub(crate) ticket: Ticket,
    lineage: u64,
}

impl PendingVersions {
    /// Returns the last pending version of a record. The caller has the record's turn.
    pub(crate) fn last(&self, table: &Name, id: RecordId) -> Option<Version> {
        let pending = self.pending();
        // Nothing is pending most of the time.
        if pending.versions.is_empty() {
            return None;
        }
        pending.versions.get(&(table.clone(), id)).filter(|version| !version.origin.ticket.has_failed()).cloned()
    }

    /// Adds the version that a commit with this ticket makes. `base` is the origin of the pending version that it builds
    /// on. The caller has the record's turn.
    pub(crate) fn add(
        &self,
        key: Key,
        base: Option<&Origin>,
        record: Record,
        cells: BTreeMap<usize, Vec<u8>>,
        ticket: Ticket,
    ) -> Added<'_> {
        let mut pending = self.pending();
        let lineage = base.map_or_else(
            || {
                pending.lineages = pending.lineages.wrapping_add(1);
                pending.lineages
            },
            |base| base.lineage,
        );
        let origin = Origin { ticket, lineage };
        pending.versions.insert(key.clone(), Version { record, cells, origin: origin.clone() });
        Added { of: self, key, origin }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // No operation under this lock can leave the versions inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending().versions.is_empty()
    }
}

/// A version that a caller has added. It is pending until this is dropped, unless another one has replaced it.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    of: &'a PendingVersions,
    key: Key,
    origin: Origin,
}

impl Added<'_> {
    /// Ends the lineage of this version, because its update has failed.
    pub(crate) fn failed(self) {
        self.remove_if(|last| last.origin.lineage == self.origin.lineage);
    }

    fn remove_if(&self, condition: impl FnOnce(&Version) -> bool) {
        let mut pending = self.of.pending();
        if pending.versions.get(&self.key).is_some_and(condition) {
            pending.versions.remove(&self.key);
        }
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        self.remove_if(|last| last.origin.ticket.is(&self.origin.ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::Timestamp,
        ticket::{Promise, promise},
    };

    const ID: RecordId = RecordId::from_bytes([7; 16]);

    fn add<'a>(of: &'a PendingVersions, base: Option<&Version>, revision: i64) -> (Added<'a>, Promise) {
        let (promise, ticket) = promise();
        let time = Timestamp::from_unix_micros(0);
        let record = Record {
            id: ID,
            revision,
            create_time: time,
            update_time: time,
            created_by: None,
            modified_by: None,
            values: Vec::new(),
        };
        (of.add(("t".into(), ID), base.map(|base| &base.origin), record, BTreeMap::new(), ticket), promise)
    }

    fn last(of: &PendingVersions) -> Option<i64> {
        of.last(&"t".into(), ID).map(|version| version.record.revision)
    }

    #[test]
    fn last_version_is_pending_until_its_caller_leaves() {
        let pending = PendingVersions::default();
        let (first, _one) = add(&pending, None, 2);
        assert_eq!(last(&pending), Some(2));
        assert!(
            pending.last(&"other".into(), ID).is_none()
                && pending.last(&"t".into(), RecordId::from_bytes([8; 16])).is_none()
        );
        let (second, _two) = add(&pending, pending.last(&"t".into(), ID).as_ref(), 3);
        drop(first);
        assert_eq!(last(&pending), Some(3));
        drop(second);
        assert!(pending.is_empty());
    }

    #[test]
    fn failed_update_ends_its_lineage_only() {
        let pending = PendingVersions::default();
        let (first, _one) = add(&pending, None, 2);
        let (second, _two) = add(&pending, pending.last(&"t".into(), ID).as_ref(), 3);
        first.failed();
        assert_eq!(last(&pending), None);
        let (third, _three) = add(&pending, None, 2);
        second.failed();
        assert_eq!(last(&pending), Some(2));
        third.failed();
        assert!(pending.is_empty());
    }

    #[test]
    fn version_of_a_failed_commit_is_not_returned() {
        let pending = PendingVersions::default();
        let (_added, promise) = add(&pending, None, 2);
        promise.set_applied(true);
        assert_eq!(last(&pending), Some(2));
        promise.settle(false);
        assert_eq!(last(&pending), None);
    }
}
