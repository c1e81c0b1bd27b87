//! Deletes records. According to the schema, links to them are cleared, or prevent the deletion. A single deletion is a
//! batch of one.

use std::collections::BTreeMap;

use crate::{
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    mask::ReadMask,
    metadata::changes::{Operation, RecordWrite, cleared},
    permit::Permit,
    policy,
    port::Line,
    record::{
        content::Record,
        error::{RecordError, exhausted, unless_refused},
        idempotency::{IdempotencyKey, ItemContent, Items, RequestContent, Shape, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{ATTEMPTS, Plan, Refusal, Refused, count_cells, record_changes, remove_unreadable, require_schema},
        row::{Cells, holds, is_record, read_record, read_records, table_of},
        secret_writes::{self, Effect, SecretWrites},
        turns::take_turns,
    },
    schema::{
        entity::{Attribute, Entity, OnDelete},
        value::Value,
    },
    store::{Assignment, Condition, Datum, Expect, Select, Step, Unavailable},
    table::{declare::Columns as _, record::RecordColumns},
};

/// A record to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The record.
    pub id: RecordId,
    /// The revision that the caller has seen, if the record must have it.
    pub etag_revision: Option<i64>,
}

/// Deletes a record. `line` is the caller's place among the callers that change this record.
///
/// # Errors
/// See [`RecordError`].
pub async fn delete(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    deletion: Deletion,
    mode: Mode,
    line: &dyn Line,
) -> Result<(), RecordError> {
    delete_all(deployment, permit, &[deletion], Shape::Single, mode, &[line]).await.map_err(RecordError::of_single)
}

/// Deletes different records, at most [`AMONG_MAX`](crate::store::AMONG_MAX), in one commit. `lines` are the caller's
/// places among the callers that change each of these records, in an order that all callers have in common.
///
/// # Errors
/// See [`RecordError`]. [`RecordError::Items`] if single deletions are refused.
pub async fn delete_batch(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    deletions: &[Deletion],
    mode: Mode,
    lines: &[&dyn Line],
) -> Result<(), RecordError> {
    delete_all(deployment, permit, deletions, Shape::Batch, mode, lines).await
}

async fn delete_all(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    deletions: &[Deletion],
    shape: Shape,
    mode: Mode,
    lines: &[&dyn Line],
) -> Result<(), RecordError> {
    let Some(first) = deletions.first() else { return Ok(()) };
    let (place, caller) = (&permit.record(first.id), permit.caller());
    let item = |deletion: &Deletion| ItemContent {
        named: Some(deletion.id),
        etag_revision: deletion.etag_revision,
        attributes: Vec::new(),
    };
    let idempotency = IdempotencyKey::of(deployment, mode, caller, || {
        let items = Items::of(shape, deletions.iter().map(item).collect());
        RequestContent { verb: Verb::Delete, organization: place.organization.id, entity: &place.entity, items }
    })?;
    // Until the records are deleted: no update builds on a version of them.
    let _turns = take_turns(place, deletions.iter().map(|deletion| deletion.id), lines).await;
    match (make(deployment, caller, place.clone(), deletions, mode, idempotency.as_ref()).await, idempotency) {
        (Err(refusal), Some(idempotency)) => idempotency.earlier(deployment, place, refusal).await.map(drop),
        (outcome, _) => outcome,
    }
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    deletions: &[Deletion],
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
) -> Result<(), RecordError> {
    let ids: Vec<RecordId> = deletions.iter().map(|deletion| deletion.id).collect();
    for _ in 0..ATTEMPTS {
        // Read only for the cell counts and the records of the change. The delete requires that they are unchanged.
        let found = if is_read(&place) { Some(read(deployment, &place, &ids).await?) } else { None };
        let mut plan = Plan::default();
        if let Some(idempotency) = idempotency {
            idempotency.remember(&mut plan, &ids, &[]);
        }
        require_schema(&mut plan, &place);
        let deleted = Deleted { place: &place, ids: &ids, time: deployment.now(), caller };
        let mut writes = Vec::new();
        for (index, deletion) in deletions.iter().enumerate() {
            plan.begin_item(index);
            let found = found.as_ref().and_then(|found| found.get(index));
            writes.push((deletion.id, deleted.delete(&mut plan, *deletion, found)));
        }
        secret_writes::record(&mut plan, deployment, &place, caller, deleted.time, mode, &writes)?;
        // After all deletions, so that a changed record is detected first, and links between deleted records are gone.
        plan.begin_item(None);
        deleted.clear_links(&mut plan);
        match plan.commit(&place.organization, mode).await? {
            None => return Ok(()),
            Some(Refused { refusal: Refusal::Answer(error), item }) => {
                if deletions.len() > 1 {
                    // The store returns only the first refusal.
                    unless_refused(refusals(&place, deletions, &error).await?)?;
                }
                return Err(Refused::answer(item, error));
            }
            Some(Refused { refusal: Refusal::StaleSchema, .. }) => {
                place.organization.load_schema(deployment).await?;
                place = place.renewed();
            }
            Some(Refused { refusal: Refusal::StaleRing | Refusal::Moved, .. }) => {}
        }
    }
    Err(exhausted())
}

/// Returns whether the records must be read before they are deleted.
fn is_read(place: &RecordPlace) -> bool {
    place.entity.attributes.iter().any(|attribute| attribute.encrypted || attribute.is_audited)
}

/// Reads the records, which must exist.
async fn read(
    deployment: &Deployment,
    place: &RecordPlace,
    ids: &[RecordId],
) -> Result<Vec<(Record, Cells)>, RecordError> {
    if let [only] = ids {
        let found = read_record(&place.at(*only)).await?;
        return Ok(vec![found.ok_or(RecordError::of_item(0, RecordError::NotFound))?]);
    }
    let mut found = read_records(place, ids, &ReadMask::default(), deployment.page_bytes_max).await?;
    let (mut records, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
    for (index, id) in ids.iter().enumerate() {
        match found.remove(id) {
            Some(found) => records.push(found),
            None => missing.push((index, RecordError::NotFound)),
        }
    }
    unless_refused(missing)?;
    Ok(records)
}

/// Returns the deletions that fail for the same reason as the commit, if it belongs to single records.
async fn refusals(
    place: &RecordPlace,
    deletions: &[Deletion],
    error: &RecordError,
) -> Result<Vec<(usize, RecordError)>, RecordError> {
    let columns = (RecordColumns::id(), RecordColumns::revision());
    let rows = RecordColumns::id().is_among(deletions.iter().map(|deletion| deletion.id));
    let select = Select { table: table_of(&place.entity), ..columns.select(rows) };
    let found = place.organization.store.select(select).await?.into_iter().map(|row| columns.values(row));
    let revisions: BTreeMap<RecordId, i64> = found.collect::<Result<_, _>>().map_err(Unavailable::from)?;
    let refusal = |(index, deletion): (usize, &Deletion)| match (revisions.get(&deletion.id), error) {
        (None, RecordError::NotFound) => Some((index, RecordError::NotFound)),
        (Some(revision), RecordError::EtagMismatch) if deletion.etag_revision.is_some_and(|seen| seen != *revision) => {
            Some((index, RecordError::EtagMismatch))
        }
        (_, _) => None,
    };
    Ok(deletions.iter().enumerate().filter_map(refusal).collect())
}

/// Adds the steps that require that the record exists and has the revision that the caller has seen.
fn expect_record(plan: &mut Plan, place: &RecordPlace, Deletion { id, etag_revision }: Deletion) {
    let require = |rows| Step::Require { table: table_of(&place.entity), rows };
    plan.step(require(is_record(id)), Refusal::Answer(RecordError::NotFound));
    if let Some(revision) = etag_revision {
        let seen = is_record(id).and(RecordColumns::revision().is(revision));
        plan.step(require(seen), Refusal::Answer(RecordError::EtagMismatch));
    }
}

/// Records that are being deleted.
struct Deleted<'a> {
    place: &'a RecordPlace,
    ids: &'a [RecordId],
    time: Timestamp,
    caller: &'a Caller,
}

impl<'a> Deleted<'a> {
    /// Adds the steps that delete a record, as it was found. Returns the effect on its encrypted attributes.
    fn delete(&self, plan: &mut Plan, deletion: Deletion, found: Option<&(Record, Cells)>) -> SecretWrites<'a> {
        let (entity, place) = (&self.place.entity, &self.place.at(deletion.id));
        expect_record(plan, place, deletion);
        let mut unmoved = is_record(deletion.id);
        let cell = |index| found.and_then(|(_, cells)| cells.get(&index));
        let encrypted = entity.attributes.iter().enumerate().filter(|(_, attribute)| attribute.encrypted);
        let cells: Vec<_> = encrypted.map(|(index, attribute)| (attribute, cell(index))).collect();
        for (attribute, cell) in &cells {
            unmoved = unmoved.and(holds(&attribute.storage_name, *cell));
        }
        let is_audited = entity.attributes.iter().any(|attribute| attribute.is_audited);
        if is_audited && let Some((record, _)) = found {
            unmoved = unmoved.and(RecordColumns::revision().is(record.revision));
        }
        plan.step(Step::Delete { table: table_of(entity), rows: unmoved, expect: Expect::One }, Refusal::Moved);
        for (attribute, cell) in &cells {
            count_cells(plan, place, &attribute.storage_name, *cell, None);
        }
        let mut writes = SecretWrites::default();
        for (attribute, _) in cells.iter().filter(|(_, cell)| cell.is_some()) {
            remove_unreadable(plan, place, &attribute.storage_name);
            writes.add(Effect::Deleted, attribute);
        }
        if let Some((record, _)) = found {
            let write = RecordWrite {
                entity,
                id: place.id,
                operation: Operation::Delete,
                revision: record.revision,
                time: self.time.max(record.update_time),
                caller: self.caller,
            };
            record_changes(plan, &write, &record.values, &[]);
        }
        writes
    }

    /// Adds the steps that clear the links to the records, or refuse the deletion because of them.
    fn clear_links(&self, plan: &mut Plan) {
        let place = self.place;
        for (entity, attribute, on_delete) in place.schema.schema.references_to(&place.entity.collection) {
            let among_others = |links: Condition| {
                if entity.storage_name == place.entity.storage_name {
                    // A link from a deleted record is deleted with it. In a dry run it still exists.
                    links.and(RecordColumns::id().is_among(self.ids.iter().copied()).negated())
                } else {
                    links
                }
            };
            let linked = among_others(is_one_of(&attribute.storage_name, self.ids));
            match on_delete {
                OnDelete::Clear => {
                    if attribute.is_audited {
                        for id in self.ids {
                            let rows = among_others(is_one_of(&attribute.storage_name, &[*id]));
                            let link = Value::Reference(*id);
                            let record = cleared(self.time, self.caller, (entity, attribute), &link, rows);
                            plan.step(record, Refusal::Moved);
                        }
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
                Assignment::Set(attribute.storage_name.clone(), Datum::Null),
                RecordColumns::revision().add(1),
                RecordColumns::update_time().set(self.time),
                RecordColumns::modified_by().set(Some(self.caller.identity.to_string())),
            ],
            expect: Expect::Any,
        }
    }
}

/// Returns the condition that a column refers to one of these records.
fn is_one_of(column: &str, ids: &[RecordId]) -> Condition {
    let datum = |id: &RecordId| Datum::Uuid(id.uuid());
    match ids {
        [only] => Condition::equal(column.to_owned(), datum(only)),
        several => Condition::Among { column: column.to_owned().into(), values: several.iter().map(datum).collect() },
    }
}
