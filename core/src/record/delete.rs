//! Delete a record: links to it are cleared, or hold it back, as the schema says.

use crate::{
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    metadata::changes::{Operation, Written, cleared},
    permit::Permit,
    policy,
    record::{
        error::{RecordError, exhausted},
        idempotency::{Asked, Once, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{ATTEMPTS, Plan, Refusal, count_cells, healed, record_changes, require_schema},
        row::{holds, is_record, read_record, table_of},
        secret_writes::{Effect, SecretWrites},
    },
    schema::{
        entity::{Attribute, Entity, OnDelete},
        value::Value,
    },
    store::{Assignment, Comparison, Condition, Datum, Expect, Step},
    table::record::RecordColumns,
};

/// Deletes the record. `etag_revision` is the revision the caller has seen.
///
/// # Errors
/// See [`RecordError`].
pub async fn delete(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    id: RecordId,
    etag_revision: Option<i64>,
    mode: Mode,
) -> Result<(), RecordError> {
    let (place, caller) = (&permit.record(id), permit.caller());
    let asked = Asked {
        verb: Verb::Delete,
        organization: place.organization.id,
        entity: &place.entity,
        named: Some(place.id),
        etag_revision,
        attributes: Vec::new(),
    };
    let once = Once::of(deployment, mode, caller, &asked)?;
    match (make(deployment, caller, place.clone(), etag_revision, mode, once.as_ref()).await, once) {
        (Err(refusal), Some(once)) => once.earlier(deployment, place, refusal).await.map(drop),
        (outcome, _) => outcome,
    }
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    etag_revision: Option<i64>,
    mode: Mode,
    once: Option<&Once>,
) -> Result<(), RecordError> {
    for _ in 0..ATTEMPTS {
        // Read only to be counted and recorded: the delete takes away what was read, or is tried again.
        let found = if is_read(&place) { Some(read_record(&place).await?.ok_or(RecordError::NotFound)?) } else { None };
        let mut plan = Plan::default();
        if let Some(once) = once {
            once.remember(&mut plan, place.id, &[]);
        }
        require_schema(&mut plan, &place);
        expect_record(&mut plan, &place, etag_revision);
        let mut unmoved = is_record(place.id);
        let cell = |index| found.as_ref().and_then(|(_, cells)| cells.get(&index));
        let encrypted = place.entity.attributes.iter().enumerate().filter(|(_, attribute)| attribute.encrypted);
        let cells: Vec<_> = encrypted.map(|(index, attribute)| (attribute, cell(index))).collect();
        for (attribute, cell) in &cells {
            unmoved = unmoved.and(holds(&attribute.storage_name, *cell));
        }
        let deleted = Deleted { place: &place, time: deployment.now(), caller };
        let is_audited = place.entity.attributes.iter().any(|attribute| attribute.is_audited);
        if is_audited && let Some((record, _)) = &found {
            unmoved = unmoved.and(RecordColumns::revision().is(record.revision));
        }
        // Before the links are touched, so that what moved is found first.
        plan.step(Step::Delete { table: table_of(&place.entity), rows: unmoved, expect: Expect::One }, Refusal::Moved);
        for (attribute, cell) in &cells {
            count_cells(&mut plan, &place, &attribute.storage_name, *cell, None);
        }
        let mut writes = SecretWrites::default();
        for (attribute, _) in cells.iter().filter(|(_, cell)| cell.is_some()) {
            healed(&mut plan, &place, &attribute.storage_name);
            writes.add(Effect::Deleted, attribute);
        }
        if let Some((record, _)) = &found {
            let written = Written {
                entity: &place.entity,
                id: place.id,
                operation: Operation::Delete,
                revision: record.revision,
                time: deleted.time.max(record.update_time),
                caller,
            };
            record_changes(&mut plan, &written, Some(record), None);
        }
        writes.record(&mut plan, deployment, &place, caller, deleted.time, mode)?;
        deleted.let_links_go(&mut plan);
        match plan.commit(&place.organization, mode).await? {
            None => return Ok(()),
            Some(Refusal::Answer(error)) => return Err(error),
            Some(Refusal::StaleSchema) => {
                place.organization.load_schema(deployment).await?;
                place = place.renewed();
            }
            Some(Refusal::StaleRing | Refusal::Moved) => {}
        }
    }
    Err(exhausted())
}

/// Whether there is something of the record to know before it goes.
fn is_read(place: &RecordPlace) -> bool {
    place.entity.attributes.iter().any(|attribute| attribute.encrypted || attribute.is_audited)
}

/// The steps that hold a delete against the record being there, and being the one that the caller has seen.
fn expect_record(plan: &mut Plan, place: &RecordPlace, etag_revision: Option<i64>) {
    let require = |rows| Step::Require { table: table_of(&place.entity), rows };
    plan.step(require(is_record(place.id)), Refusal::Answer(RecordError::NotFound));
    if let Some(revision) = etag_revision {
        let seen = is_record(place.id).and(RecordColumns::revision().is(revision));
        plan.step(require(seen), Refusal::Answer(RecordError::EtagMismatch));
    }
}

/// A record that goes.
struct Deleted<'a> {
    place: &'a RecordPlace,
    time: Timestamp,
    caller: &'a Caller,
}

impl Deleted<'_> {
    /// The steps that clear the links to the record, or hold it back for them.
    fn let_links_go(&self, plan: &mut Plan) {
        let place = self.place;
        for (entity, attribute, on_delete) in place.schema.schema.references_to(&place.entity.collection) {
            let mut linked = Condition::equal(attribute.storage_name.clone(), Datum::Uuid(place.id.uuid()));
            if entity.storage_name == place.entity.storage_name {
                // A record's link to itself goes with it, and is there still where the delete is only tried.
                linked = linked.and(is_another_record(place.id));
            }
            match on_delete {
                OnDelete::Clear => {
                    if attribute.is_audited {
                        let link = Value::Reference(place.id);
                        let record = cleared(self.time, self.caller, (entity, attribute), &link, linked.clone());
                        plan.step(record, Refusal::Moved);
                    }
                    plan.step(self.clear(entity, attribute, linked), Refusal::Moved);
                }
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

    fn clear(&self, entity: &Entity, attribute: &Attribute, rows: Condition) -> Step {
        Step::Update {
            table: table_of(entity),
            rows,
            set: vec![
                Assignment::Set(attribute.storage_name.clone().into(), Datum::Null),
                RecordColumns::revision().add(1),
                RecordColumns::update_time().set(self.time),
                RecordColumns::modified_by().set(Some(self.caller.identity.to_string())),
            ],
            expect: Expect::Any,
        }
    }
}

fn is_another_record(id: RecordId) -> Condition {
    let compare = |comparison| RecordColumns::id().compares(comparison, id);
    Condition::Any(vec![compare(Comparison::Less), compare(Comparison::Greater)])
}
