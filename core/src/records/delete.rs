//! Delete a record: links to it are cleared, or hold it back, as the schema says.

use crate::{
    deployment::Deployment,
    policy::{self, Permit},
    records::{Place, Plan, RecordError, Refusal, exhausted, is_record, table_of},
    schema::OnDelete,
    store::{Assignment, Condition, Datum, Expect, Step},
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
) -> Result<(), RecordError> {
    let table = table_of(&place.entity);
    let mut plan = Plan::default();
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
        let linked = Condition::equal(column.clone(), Datum::Uuid(place.id.uuid()));
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
    match plan.commit(&place.organization).await? {
        None => Ok(()),
        Some(Refusal::Answer(error)) => Err(error),
        Some(Refusal::StaleRing | Refusal::Moved) => Err(exhausted()),
    }
}
