//! Plans: the steps of one commit of a record, each with what its refusal means.
//!
//! A dry run is the same plan without its effects.

use std::sync::Arc;

use crate::{
    census::CellKind,
    crypto::ring::KeyRing,
    key::unreadable,
    metadata::changes::Written,
    organization::{handle::Organization, ring_rows},
    record::{content::Record, error::RecordError, mode::Mode, place::RecordPlace, row::is_record},
    schema::{entity::Kind, value::Value},
    store::{CommitError, Condition, Expect, Step, StoreFailure},
    table::record::RecordColumns,
    violation::{Problem, field_violation},
};

/// How often a write is tried again when the key ring, or the record, changed under it.
pub(crate) const ATTEMPTS: usize = 32;

/// A commit in the making: the steps, and what a refusal of each means.
#[derive(Default)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    refusals: Vec<Refusal>,
}

/// What it means that a step was refused.
pub(crate) enum Refusal {
    /// The ring the values were sealed under is no longer the one in place: seal again.
    StaleRing,
    /// The organization's metadata changed since the write was checked: check it again.
    StaleSchema,
    /// The record changed since it was read: read it again.
    Moved,
    /// The call is answered with this.
    Answer(RecordError),
}

impl Plan {
    pub(crate) fn step(&mut self, step: Step, refusal: Refusal) {
        self.steps.push(step);
        self.refusals.push(refusal);
    }

    /// Commits; `Ok(None)` if it took effect, or would have, `Ok(Some(refusal))` if it did not.
    pub(crate) async fn commit(self, organization: &Organization, mode: Mode) -> Result<Option<Refusal>, RecordError> {
        let Plan { steps, refusals } = match mode {
            Mode::Make | Mode::MakeOnce(_) => self,
            Mode::ValidateOnly => self.without_effects(),
        };
        match organization.commit(steps).await {
            Ok(()) => Ok(None),
            Err(CommitError::Refused { step }) => match refusals.into_iter().nth(step) {
                Some(refusal) => Ok(Some(refusal)),
                None => Err(RecordError::Store(StoreFailure::Unavailable(
                    "a step was refused that was not asked for".into(),
                ))),
            },
            Err(CommitError::Unavailable(cause)) => Err(RecordError::Store(StoreFailure::Unavailable(cause))),
            Err(CommitError::Unknown(cause)) => Err(RecordError::Store(StoreFailure::Unknown(cause))),
        }
    }
}

impl Plan {
    /// What the steps expect, without what they do.
    fn without_effects(self) -> Plan {
        let mut plan = Plan::default();
        for (step, refusal) in self.steps.into_iter().zip(self.refusals) {
            if let Some(step) = expectation(step) {
                plan.step(step, refusal);
            }
        }
        plan
    }
}

/// What a step expects of the rows that are there; `None` if it takes them as they come.
fn expectation(step: Step) -> Option<Step> {
    match step {
        Step::Require { .. } | Step::Forbid { .. } => Some(step),
        Step::Insert { table, row } => {
            let id = row.into_iter().find(|(column, _)| *column == RecordColumns::id().as_str());
            id.map(|(column, id)| Step::Forbid { table, rows: Condition::equal(column, id) })
        }
        Step::Update { table, rows, expect: Expect::One, .. } | Step::Delete { table, rows, expect: Expect::One } => {
            Some(Step::Require { table, rows })
        }
        Step::InsertFrom { .. }
        | Step::Update { expect: Expect::Any, .. }
        | Step::Delete { expect: Expect::Any, .. }
        | Step::Prune { .. }
        | Step::Tally(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Audit(_) => None,
    }
}

/// Steps that hold every given reference against the record it names.
pub(crate) fn require_references(plan: &mut Plan, place: &RecordPlace, given: impl Iterator<Item = (usize, Value)>) {
    for (index, value) in given {
        let Some(attribute) = place.entity.attributes.get(index) else { continue };
        let (Kind::Reference { collection, .. }, Value::Reference(id)) = (&attribute.kind, &value) else { continue };
        let Some(target) = place.schema.schema.by_collection(collection) else { continue };
        let violation = field_violation(&place.entity, attribute, Problem::ReferenceMissing);
        plan.step(
            Step::Require { table: target.storage_name.clone().into(), rows: is_record(*id) },
            Refusal::Answer(RecordError::Invalid(vec![violation])),
        );
    }
}

/// The step that holds a write against the metadata that it was checked by.
pub(crate) fn require_schema(plan: &mut Plan, place: &RecordPlace) {
    plan.step(place.schema.require(), Refusal::StaleSchema);
}

/// Records what a write changed of audited attributes, in its own commit.
pub(crate) fn record_changes(plan: &mut Plan, written: &Written<'_>, before: Option<&Record>, after: Option<&Record>) {
    for step in written.steps(before, after) {
        plan.step(step, Refusal::Moved);
    }
}

/// The step that holds a write of cells against the ring they were sealed under.
pub(crate) fn require_ring(plan: &mut Plan, ring: Option<&Arc<KeyRing>>) {
    if let Some(ring) = ring {
        plan.step(ring_rows::require(ring.revision()), Refusal::StaleRing);
    }
}

/// Counts what the step before did to a record's column: it put `new` in the place of `old`.
pub(crate) fn count_cells(
    plan: &mut Plan,
    place: &RecordPlace,
    column: &str,
    old: Option<&Vec<u8>>,
    new: Option<&[u8]>,
) {
    let table = &place.entity.storage_name;
    for (cell, by) in [(old.map(Vec::as_slice), -1), (new, 1)] {
        if let Some(cell) = cell {
            plan.step(CellKind::of(table, column, cell).tally(by), Refusal::Moved);
        }
    }
}

/// The step that forgets about the unreadable cell in a record's column, if there was one.
pub(crate) fn healed(plan: &mut Plan, place: &RecordPlace, column: &str) {
    let step = unreadable::forget(&place.entity.storage_name, column, place.id);
    plan.step(step, Refusal::Moved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Assignment, Datum, Name};

    #[test]
    fn dry_run_has_the_conditions_and_refusals_of_the_write() {
        let id = || Datum::Uuid(uuid::Uuid::from_u128(7));
        let table = || Name::from("Mailbox");
        let rows = || Condition::equal("id", id());
        let steps = vec![
            Step::Prune { table: table(), key: vec!["id".into()], rows: rows(), at_most: 1 },
            CellKind::of("Mailbox", "password", &[]).tally(1),
            Step::Require { table: table(), rows: rows() },
            Step::Insert { table: table(), row: vec![("name".into(), Datum::Null), ("id".into(), id())] },
            Step::Update { table: table(), rows: rows(), set: Vec::new(), expect: Expect::One },
            Step::Update {
                table: table(),
                rows: rows(),
                set: vec![Assignment::Add("revision".into(), 1)],
                expect: Expect::Any,
            },
            Step::Delete { table: table(), rows: rows(), expect: Expect::One },
            Step::Forbid { table: table(), rows: rows() },
        ];
        let mut plan = Plan::default();
        for (index, step) in steps.into_iter().enumerate() {
            let attribute = index.to_string();
            let answer = RecordError::ReferenceInUse { entity: String::new(), attribute };
            plan.step(step, Refusal::Answer(answer));
        }
        let Plan { steps, refusals } = plan.without_effects();
        let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
        let require = format!("{:?}", Step::Require { table: table(), rows: rows() });
        let forbid = format!("{:?}", Step::Forbid { table: table(), rows: rows() });
        assert_eq!(steps, [&require, &forbid, &require, &require, &forbid].map(String::as_str));
        let answers = refusals.iter().map(|refusal| match refusal {
            Refusal::Answer(RecordError::ReferenceInUse { attribute, .. }) => attribute.as_str(),
            Refusal::Answer(_) | Refusal::Moved | Refusal::StaleRing | Refusal::StaleSchema => "",
        });
        assert_eq!(answers.collect::<Vec<_>>(), ["2", "3", "4", "6", "7"]);
    }
}
