//! Plans: the steps of a commit for one record or several, each with the meaning of its refusal.
//!
//! A dry run uses the same plan without its effects.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    census::CellKind,
    crypto::ring::KeyRing,
    id::RecordId,
    key::unreadable,
    metadata::changes::RecordWrite,
    organization::{handle::Organization, ring_rows},
    record::{error::RecordError, mode::Mode, place::RecordPlace, row::is_record},
    schema::{
        entity::{Attribute, Kind},
        value::Value,
    },
    store::{Commit, CommitError, Condition, Expect, Name, Step, StoreFailure, Submitted},
    table::record::RecordColumns,
    ticket::Promise,
    violation::{Problem, Violation, field_violation},
};

/// The maximum number of attempts of a write, if the key ring or the record changes concurrently.
pub(crate) const ATTEMPTS: usize = 32;

/// A commit under construction: the steps, and the meaning of the refusal of each.
#[derive(Default)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    refusals: Vec<Refused>,
    /// The record that the next steps belong to, by its index in the request; `None` for steps of the whole commit.
    item: Option<usize>,
}

/// A refused step.
pub(crate) struct Refused {
    /// The record that the step belongs to, by its index in the request; `None` for a step of the whole commit.
    pub(crate) item: Option<usize>,
    /// The meaning of the refusal.
    pub(crate) refusal: Refusal,
}

impl Refused {
    /// Returns the error of the call: that of the record that the step belongs to, if it belongs to one.
    pub(crate) fn answer(item: Option<usize>, error: RecordError) -> RecordError {
        match item {
            Some(index) => RecordError::of_item(index, error),
            None => error,
        }
    }
}

/// The meaning of a refused step.
pub(crate) enum Refusal {
    /// The values were sealed under an outdated ring: seal them again.
    StaleRing,
    /// The metadata of the organization changed since the check: check again.
    StaleSchema,
    /// The record changed since it was read: read it again.
    Moved,
    /// The call fails with this error.
    Answer(RecordError),
}

impl Plan {
    pub(crate) fn step(&mut self, step: Step, refusal: Refusal) {
        self.steps.push(step);
        self.refusals.push(Refused { item: self.item, refusal });
    }

    /// The next steps belong to the record with this index in the request; with `None`, to the whole commit.
    pub(crate) fn begin_item(&mut self, item: impl Into<Option<usize>>) {
        self.item = item.into();
    }

    /// Commits the plan. See [`HandedOver::outcome`].
    pub(crate) async fn commit(self, organization: &Organization, mode: Mode) -> Result<Option<Refused>, RecordError> {
        self.hand_over(organization, mode, None).await.outcome().await
    }

    /// Hands the plan over to the organization's database, which applies it after all plans before.
    pub(crate) async fn hand_over(
        self,
        organization: &Organization,
        mode: Mode,
        promise: Option<Promise>,
    ) -> HandedOver {
        let Plan { steps, refusals, .. } = match mode {
            Mode::Execute | Mode::ExecuteOnce(_) => self,
            Mode::ValidateOnly => self.without_effects(),
        };
        let submitted = organization.submit(Commit { promise, ..Commit::of(steps) }).await;
        HandedOver { submitted, refusals }
    }
}

/// A plan that was handed over.
pub(crate) struct HandedOver {
    submitted: Submitted,
    refusals: Vec<Refused>,
}

impl HandedOver {
    /// Waits for the outcome. Returns `Ok(None)` if the plan took effect, or would have in a dry run, and
    /// `Ok(Some(refused))` if a step was refused.
    pub(crate) async fn outcome(self) -> Result<Option<Refused>, RecordError> {
        let HandedOver { submitted, refusals } = self;
        match submitted.outcome().await {
            Ok(()) => Ok(None),
            Err(CommitError::Refused { step }) => match refusals.into_iter().nth(step) {
                Some(refused) => Ok(Some(refused)),
                None => Err(RecordError::Store(StoreFailure::Unavailable("the store refused an unknown step".into()))),
            },
            Err(CommitError::Unavailable(cause)) => Err(RecordError::Store(StoreFailure::Unavailable(cause))),
            Err(CommitError::Unknown(cause)) => Err(RecordError::Store(StoreFailure::Unknown(cause))),
        }
    }
}

impl Plan {
    /// Returns a plan with the conditions of the steps, without their effects.
    fn without_effects(self) -> Plan {
        let mut plan = Plan::default();
        for (step, refused) in self.steps.into_iter().zip(self.refusals) {
            if let Some(step) = expectation(step) {
                plan.steps.push(step);
                plan.refusals.push(refused);
            }
        }
        plan
    }
}

/// Returns a step with only the condition of this step on existing rows; `None` if it has no condition.
fn expectation(step: Step) -> Option<Step> {
    match step {
        Step::After(_) | Step::Require { .. } | Step::Forbid { .. } => Some(step),
        Step::Insert { table, row } => {
            let id = row.into_iter().find(|(column, _)| *column == RecordColumns::id().as_str());
            id.map(|(column, id)| Step::Forbid { table, rows: Condition::equal(column, id) })
        }
        Step::Update { table, rows, expect: Expect::One, .. } | Step::Delete { table, rows, expect: Expect::One } => {
            Some(Step::Require { table, rows })
        }
        Step::InsertFrom { .. }
        | Step::Update { expect: Expect::Any, .. }
        | Step::Rewrite { .. }
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

/// The references that a commit requires already, by the storage name of the target.
pub(crate) type Required = BTreeSet<(Name, RecordId)>;

/// Adds steps that require that the target of each reference exists, unless they are in `required` already.
pub(crate) fn require_references<'v>(
    plan: &mut Plan,
    place: &RecordPlace,
    given: impl Iterator<Item = (usize, &'v Value)>,
    required: &mut Required,
) {
    for Reference { attribute, table, id } in references(place, given) {
        if required.insert((table.clone(), id)) {
            plan.step(
                Step::Require { table, rows: is_record(id) },
                Refusal::Answer(RecordError::Invalid(vec![reference_missing(place, attribute)])),
            );
        }
    }
}

/// A reference of a record.
pub(crate) struct Reference<'a> {
    pub(crate) attribute: &'a Attribute,
    /// The table of the referenced record.
    pub(crate) table: Name,
    pub(crate) id: RecordId,
}

/// Returns the references among these values, by index of the entity's attributes.
pub(crate) fn references<'a, 'v>(
    place: &'a RecordPlace,
    given: impl Iterator<Item = (usize, &'v Value)>,
) -> impl Iterator<Item = Reference<'a>> {
    given.filter_map(move |(index, value)| {
        let attribute = place.entity.attributes.get(index)?;
        let (Kind::Reference { collection, .. }, Value::Reference(id)) = (&attribute.kind, value) else { return None };
        let target = place.schema.schema.by_collection(collection)?;
        Some(Reference { attribute, table: target.storage_name.clone(), id: *id })
    })
}

/// Returns the violation of a reference to a record that doesn't exist.
pub(crate) fn reference_missing(place: &RecordPlace, attribute: &Attribute) -> Violation {
    field_violation(&place.entity, attribute, Problem::ReferenceMissing)
}

/// Adds the step that requires that the metadata is unchanged since the check.
pub(crate) fn require_schema(plan: &mut Plan, place: &RecordPlace) {
    plan.step(place.schema.require(), Refusal::StaleSchema);
}

/// Adds steps that record the changes of audited attributes, in the same commit. See [`RecordWrite::steps`].
pub(crate) fn record_changes(
    plan: &mut Plan,
    write: &RecordWrite<'_>,
    before: &[Option<Value>],
    after: &[Option<Value>],
) {
    for step in write.steps(before, after) {
        plan.step(step, Refusal::Moved);
    }
}

/// Adds the step that requires that the ring is unchanged since the cells were sealed.
pub(crate) fn require_ring(plan: &mut Plan, ring: Option<&Arc<KeyRing>>) {
    if let Some(ring) = ring {
        plan.step(ring_rows::require(ring.revision()), Refusal::StaleRing);
    }
}

/// Adds the steps that update the cell counts after the previous step replaced `old` with `new` in a record's column.
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

/// Adds the step that removes the entry of the unreadable cell in this record's column, if there is one.
pub(crate) fn remove_unreadable(plan: &mut Plan, place: &RecordPlace, column: &str) {
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
        let Plan { steps, refusals, .. } = plan.without_effects();
        let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
        let require = format!("{:?}", Step::Require { table: table(), rows: rows() });
        let forbid = format!("{:?}", Step::Forbid { table: table(), rows: rows() });
        assert_eq!(steps, [&require, &forbid, &require, &require, &forbid].map(String::as_str));
        let answers = refusals.iter().map(|refused| match &refused.refusal {
            Refusal::Answer(RecordError::ReferenceInUse { attribute, .. }) => attribute.as_str(),
            Refusal::Answer(_) | Refusal::Moved | Refusal::StaleRing | Refusal::StaleSchema => "",
        });
        assert_eq!(answers.collect::<Vec<_>>(), ["2", "3", "4", "6", "7"]);
    }
}
