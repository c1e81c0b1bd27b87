//! Delete a record: links to it are cleared, or hold it back, as the schema says.

use crate::{
    deployment::Deployment,
    id::RecordId,
    policy::{self, Permit},
    records::{
        ATTEMPTS, Place, Plan, RecordError, Refusal, count_cells, exhausted, healed, holds, is_record, read_cells,
        repetition::{Asked, Mode, Once, Verb},
        table_of,
    },
    schema::OnDelete,
    store::{Assignment, Comparison, Condition, Datum, Expect, Step},
};

/// Deletes the record. `etag_revision` is the revision the caller has seen.
///
/// # Errors
/// See [`RecordError`].
pub async fn delete(
    deployment: &Deployment,
    _permit: Permit<policy::WriteRecords>,
    place: &Place,
    etag_revision: Option<i64>,
    mode: Mode<'_>,
) -> Result<(), RecordError> {
    let asked = Asked {
        verb: Verb::Delete,
        organization: place.organization.id,
        entity: &place.entity,
        named: Some(place.id),
        etag_revision,
        attributes: Vec::new(),
    };
    let once = Once::of(deployment, mode, &asked)?;
    match (make(deployment, place, etag_revision, mode, once.as_ref()).await, once) {
        (Err(refusal), Some(once)) => once.earlier(deployment, place, refusal).await.map(drop),
        (outcome, _) => outcome,
    }
}

async fn make(
    deployment: &Deployment,
    place: &Place,
    etag_revision: Option<i64>,
    mode: Mode<'_>,
    once: Option<&Once>,
) -> Result<(), RecordError> {
    let encrypted: Vec<_> = place.entity.attributes.iter().filter(|attribute| attribute.encrypted).collect();
    for _ in 0..ATTEMPTS {
        // Read only to be counted: the delete takes away the cells that were read, or is tried again.
        let cells = if encrypted.is_empty() { None } else { read_cells(place, &encrypted).await? };
        let cells = cells.unwrap_or_else(|| vec![Datum::Null; encrypted.len()]);
        let cells: Vec<_> = encrypted.iter().zip(cells).map(|(attribute, cell)| (attribute, bytes(cell))).collect();
        let mut plan = Plan::default();
        if let Some(once) = once {
            once.remember(&mut plan, place.id);
        }
        expect_record(&mut plan, place, etag_revision);
        let unmoved = cells.iter().fold(is_record(place.id), |rows, (attribute, cell)| {
            rows.and(holds(&attribute.storage_name, cell.as_ref()))
        });
        // Before the links are touched, so that what moved is found first.
        plan.step(Step::Delete { table: table_of(&place.entity), rows: unmoved, expect: Expect::One }, Refusal::Moved);
        for (attribute, cell) in &cells {
            count_cells(&mut plan, place, &attribute.storage_name, cell.as_ref(), None);
        }
        for (attribute, _) in cells.iter().filter(|(_, cell)| cell.is_some()) {
            healed(&mut plan, place, &attribute.storage_name);
        }
        let_links_go(&mut plan, deployment, place);
        match plan.commit(&place.organization, mode).await? {
            None => return Ok(()),
            Some(Refusal::Answer(error)) => return Err(error),
            Some(Refusal::StaleRing | Refusal::Moved) => {}
        }
    }
    Err(exhausted())
}

fn bytes(datum: Datum) -> Option<Vec<u8>> {
    if let Datum::Bytes(cell) = datum { Some(cell) } else { None }
}

/// The steps that hold a delete against the record being there, and being the one that the caller has seen.
fn expect_record(plan: &mut Plan, place: &Place, etag_revision: Option<i64>) {
    let require = |rows| Step::Require { table: table_of(&place.entity), rows };
    plan.step(require(is_record(place.id)), Refusal::Answer(RecordError::NotFound));
    if let Some(revision) = etag_revision {
        let seen = is_record(place.id).and(Condition::equal("revision", Datum::Integer(revision)));
        plan.step(require(seen), Refusal::Answer(RecordError::EtagMismatch));
    }
}

/// The steps that clear the links to a record that goes, or hold it back for them.
fn let_links_go(plan: &mut Plan, deployment: &Deployment, place: &Place) {
    for (entity, attribute, on_delete) in deployment.schema.references_to(&place.entity.collection) {
        let column = attribute.storage_name.clone();
        let mut linked = Condition::equal(column.clone(), Datum::Uuid(place.id.uuid()));
        if entity.storage_name == place.entity.storage_name {
            // A record's link to itself goes with it, and is there still where the delete is only tried.
            linked = linked.and(is_another_record(place.id));
        }
        match on_delete {
            OnDelete::Clear => plan.step(
                Step::Update {
                    table: table_of(entity),
                    rows: linked,
                    set: vec![
                        Assignment::Set(column.into(), Datum::Null),
                        Assignment::Add("revision".into(), 1),
                        Assignment::Set("update_time".into(), Datum::Time(deployment.now())),
                    ],
                    expect: Expect::Any,
                },
                Refusal::Moved,
            ),
            OnDelete::Refuse => plan.step(
                Step::Forbid { table: table_of(entity), rows: linked },
                Refusal::Answer(RecordError::ReferenceInUse {
                    entity: entity.name.clone(),
                    attribute: attribute.name.clone(),
                }),
            ),
        }
    }
}

fn is_another_record(id: RecordId) -> Condition {
    let compare = |comparison| Condition::Compare { column: "id".into(), comparison, value: Datum::Uuid(id.uuid()) };
    Condition::Any(vec![compare(Comparison::Less), compare(Comparison::Greater)])
}
