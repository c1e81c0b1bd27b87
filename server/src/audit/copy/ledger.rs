//! The ledger of copied records: the end of each trail, and the end of its copy.

use std::collections::{BTreeMap, BTreeSet};

use sealward_core::{audit::follow::TrailPosition, id::OrganizationId};

/// The owner of a trail: an organization, or `None` for the deployment.
pub(crate) type Trail = Option<OrganizationId>;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    trails: BTreeMap<Trail, Known>,
    /// The trails whose copies are behind.
    behind: BTreeSet<Trail>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The place of the last record. `None` if the database was not open yet, or was deleted.
    end: Option<i64>,
    copied: TrailPosition,
}

impl Ledger {
    /// Loads the positions of a former process.
    pub(super) fn remember(&mut self, copied: impl IntoIterator<Item = (Trail, TrailPosition)>) {
        copied.into_iter().for_each(|(trail, place)| self.copied(trail, place));
    }

    /// Sets the end of a trail.
    pub(super) fn goes_to(&mut self, trail: Trail, end: i64) {
        self.change(trail, |known| known.end = Some(end));
    }

    /// Sets the end of its copy.
    pub(super) fn copied(&mut self, trail: Trail, place: TrailPosition) {
        self.change(trail, |known| known.copied = place);
    }

    /// Notes that the copy contains the record at this place.
    pub(super) fn found(&mut self, trail: Trail, place: TrailPosition) {
        self.change(trail, |known| {
            if place.sequence > known.copied.sequence {
                known.copied = place;
            }
        });
    }

    /// Removes a deleted trail, and returns the number of records that were not copied.
    pub(super) fn gone(&mut self, trail: Trail) -> u64 {
        let lost = self.records_behind_of(trail);
        self.change(trail, |known| known.end = None);
        lost
    }

    /// The trails whose copies are behind.
    pub(super) fn behind(&self) -> BTreeSet<Trail> {
        self.behind.clone()
    }

    pub(super) fn is_behind(&self, trail: Trail) -> bool {
        self.behind.contains(&trail)
    }

    /// The end of the copy and the end of the trail. `None` if there is nothing to copy.
    pub(super) fn to_copy(&self, trail: Trail) -> Option<(TrailPosition, i64)> {
        let known = self.trails.get(&trail).filter(|_| self.is_behind(trail))?;
        Some((known.copied, known.end?))
    }

    /// The known number of records that are not copied.
    pub(super) fn records_behind(&self) -> u64 {
        self.behind.iter().map(|trail| self.records_behind_of(*trail)).sum()
    }

    /// The end of the copy of each trail.
    pub(super) fn places(&self) -> impl Iterator<Item = (Trail, TrailPosition)> {
        self.trails.iter().map(|(trail, known)| (*trail, known.copied)).filter(|(_, place)| place.sequence > 0)
    }

    /// A trail that is shorter than its copy was replaced: all its records count.
    fn records_behind_of(&self, trail: Trail) -> u64 {
        let Some((copied, end)) = self.to_copy(trail) else { return 0 };
        let records = if end < copied.sequence { end } else { end.saturating_sub(copied.sequence) };
        u64::try_from(records).unwrap_or_default()
    }

    fn change(&mut self, trail: Trail, change: impl FnOnce(&mut Known)) {
        let known = self.trails.entry(trail).or_default();
        change(known);
        if known.end.is_some_and(|end| end != known.copied.sequence) {
            self.behind.insert(trail);
        } else {
            self.behind.remove(&trail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Trail = None;
    const OTHER: Trail = Some(OrganizationId::from_bytes([7; 16]));

    fn place(sequence: i64) -> TrailPosition {
        TrailPosition { sequence, hash: [1; 32] }
    }

    #[test]
    fn trail_is_behind_until_its_copy_is_complete() {
        let mut ledger = Ledger::default();
        ledger.remember([(OWN, place(4))]);
        assert!(ledger.behind().is_empty());
        ledger.goes_to(OWN, 4);
        ledger.goes_to(OTHER, 0);
        assert_eq!((ledger.behind(), ledger.records_behind()), ([].into(), 0));
        ledger.goes_to(OWN, 6);
        ledger.goes_to(OTHER, 3);
        assert_eq!((ledger.behind(), ledger.records_behind()), ([OWN, OTHER].into(), 5));
        assert_eq!(ledger.to_copy(OWN), Some((place(4), 6)));
        ledger.copied(OWN, place(6));
        ledger.found(OTHER, place(2));
        ledger.found(OTHER, place(1));
        assert_eq!((ledger.behind(), ledger.records_behind()), ([OTHER].into(), 1));
        assert_eq!((ledger.gone(OTHER), ledger.records_behind()), (1, 0));
        assert_eq!(ledger.places().collect::<Vec<_>>(), [(OWN, place(6)), (OTHER, place(2))]);
    }

    #[test]
    fn trail_shorter_than_its_copy_is_behind_from_its_start() {
        let mut ledger = Ledger::default();
        ledger.remember([(OWN, place(9))]);
        ledger.goes_to(OWN, 4);
        assert_eq!((ledger.to_copy(OWN), ledger.records_behind()), (Some((place(9), 4)), 4));
        ledger.copied(OWN, TrailPosition::default());
        assert_eq!(ledger.to_copy(OWN), Some((TrailPosition::default(), 4)));
    }
}
