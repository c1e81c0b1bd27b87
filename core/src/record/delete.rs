//! Deletes a record. According to the schema, links to it are cleared, or prevent the deletion.

use crate::{
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    metadata::changes::{Operation, RecordWrite, cleared},
    permit::Permit,
    policy,
    port::Line,
    record::{
        error::{RecordError, exhausted},
        idempotency::{IdempotencyKey, RequestContent, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{ATTEMPTS, Plan, Refusal, count_cells, record_changes, remove_unreadable, require_schema},
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

/// Deletes the record. `etag_revision` is the revision that the caller has seen. `line` is the caller's place among the
/// callers that change this record.
///
/// # Errors
/// See [`RecordError`].
pub async fn delete(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    id: RecordId,
    etag_revision: Option<i64>,
    mode: Mode,
    line: &dyn Line,
) -> Result<(), RecordError> {
    let (place, caller) = (&permit.record(id), permit.caller());
    let content = RequestContent {
        verb: Verb::Delete,
        organization: place.organization.id,
        entity: &place.entity,
        named: Some(place.id),
        etag_revision,
        attributes: Vec::new(),
    };
    let idempotency = IdempotencyKey::of(deployment, mode, caller, &content)?;
    // Until the record is deleted: no update builds on a version of it.
    let _turn = line.turn().await;
    if let Some(version) = place.organization.pending.last(&place.entity.storage_name, place.id) {
        version.origin.ticket.is_durable().await;
    }
    match (make(deployment, caller, place.clone(), etag_revision, mode, idempotency.as_ref()).await, idempotency) {
        (Err(refusal), Some(idempotency)) => idempotency.earlier(deployment, place, refusal).await.map(drop),
        (outcome, _) => outcome,
    }
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    etag_revision: Option<i64>,
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
) -> Result<(), RecordError> {
    for _ in 0..ATTEMPTS {
        // Read only for the cell counts and the records of the change. The delete requires that it is unchanged.
        let found = if is_read(&place) { Some(read_record(&place).await?.ok_or(RecordError::NotFound)?) } else { None };
        let mut plan = Plan::default();
        if let Some(idempotency) = idempotency {
            idempotency.remember(&mut plan, place.id, &[]);
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
        // Before the links, so that a changed record is detected first.
        plan.step(Step::Delete { table: table_of(&place.entity), rows: unmoved, expect: Expect::One }, Refusal::Moved);
        for (attribute, cell) in &cells {
            count_cells(&mut plan, &place, &attribute.storage_name, *cell, None);
        }
        let mut writes = SecretWrites::default();
        for (attribute, _) in cells.iter().filter(|(_, cell)| cell.is_some()) {
            remove_unreadable(&mut plan, &place, &attribute.storage_name);
            writes.add(Effect::Deleted, attribute);
        }
        if let Some((record, _)) = &found {
            let write = RecordWrite {
                entity: &place.entity,
                id: place.id,
                operation: Operation::Delete,
                revision: record.revision,
                time: deleted.time.max(record.update_time),
                caller,
            };
            record_changes(&mut plan, &write, Some(record), None);
        }
        writes.record(&mut plan, deployment, &place, caller, deleted.time, mode)?;
        deleted.clear_links(&mut plan);
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

/// Returns whether the record must be read before it is deleted.
fn is_read(place: &RecordPlace) -> bool {
    place.entity.attributes.iter().any(|attribute| attribute.encrypted || attribute.is_audited)
}

/// Adds the steps that require that the record exists and has the revision that the caller has seen.
fn expect_record(plan: &mut Plan, place: &RecordPlace, etag_revision: Option<i64>) {
    let require = |rows| Step::Require { table: table_of(&place.entity), rows };
    plan.step(require(is_record(place.id)), Refusal::Answer(RecordError::NotFound));
    if let Some(revision) = etag_revision {
        let seen = is_record(place.id).and(RecordColumns::revision().is(revision));
        plan.step(require(seen), Refusal::Answer(RecordError::EtagMismatch));
    }
}

/// A record that is being deleted.
struct Deleted<'a> {
    place: &'a RecordPlace,
    time: Timestamp,
    caller: &'a Caller,
}

impl Deleted<'_> {
    /// Adds the steps that clear the links to the record, or refuse the deletion because of them.
    fn clear_links(&self, plan: &mut Plan) {
        let place = self.place;
        for (entity, attribute, on_delete) in place.schema.schema.references_to(&place.entity.collection) {
            let mut linked = Condition::equal(attribute.storage_name.clone(), Datum::Uuid(place.id.uuid()));
            if entity.storage_name == place.entity.storage_name {
                // A link from the record to itself is deleted with it. In a dry run it still exists.
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
