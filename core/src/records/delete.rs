//! Delete a record: links to it are cleared, or hold it back, as the schema says.

use crate::{
    deployment::Deployment,
    id::RecordId,
    policy::{self, Permit},
    records::{
        Place, Plan, RecordError, Refusal, exhausted, is_record,
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
    let table = table_of(&place.entity);
    let mut plan = Plan::default();
    if let Some(once) = once {
        once.remember(&mut plan, place.id);
    }
    plan.step(
        Step::Require { table: table.clone(), rows: is_record(place.id) },
        Refusal::Answer(RecordError::NotFound),
    );
    let mut rows = is_record(place.id);
    if let Some(revision) = etag_revision {
        rows = rows.and(Condition::equal("revision", Datum::Integer(revision)));
    }
    // Before the links are touched, so that a stale etag is refused as such and not for a link.
    plan.step(Step::Delete { table, rows, expect: Expect::One }, Refusal::Answer(RecordError::EtagMismatch));
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
    match plan.commit(&place.organization, mode).await? {
        None => Ok(()),
        Some(Refusal::Answer(error)) => Err(error),
        Some(Refusal::StaleRing | Refusal::Moved) => Err(exhausted()),
    }
}

fn is_another_record(id: RecordId) -> Condition {
    let compare = |comparison| Condition::Compare { column: "id".into(), comparison, value: Datum::Uuid(id.uuid()) };
    Condition::Any(vec![compare(Comparison::Less), compare(Comparison::Greater)])
}
