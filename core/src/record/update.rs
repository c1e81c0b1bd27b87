//! Updates records: changes the attributes in a mask and leaves all others unchanged. A batch changes several in
//! one commit.
//!
//! The records are read, changed and written, on the condition that their revisions are unchanged. The result is
//! therefore exactly the stored records. Without an etag, the update is applied to the result of concurrent writes. With
//! an etag, a concurrent write refuses it. A repetition returns the current records, regardless of the first etags.
//!
//! Single updates of one record take turns only until they are handed over to the store. The next one builds on a
//! version that isn't durable yet, so that many updates of one record share one wait for the disk. Each still has its own
//! revision, its own records of the change and its own answer, after it is durable. A refusal because of a pending
//! version waits for that version, because its update may fail. A batch has the turns of all its records until it is
//! durable, and builds on durable versions only.

use std::sync::Arc;

use crate::{
    crypto::ring::KeyRing,
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    mask::ReadMask,
    metadata::changes::{Operation, RecordWrite},
    organization::pending::{Origin, Version},
    permit::Permit,
    policy,
    port::{KeyUse, Line},
    record::{
        check::{check_update, default_statuses},
        content::{Draft, Given, Record, Touched},
        error::{RecordError, exhausted, invalid_unless_empty, unless_refused},
        idempotency::{IdempotencyKey, ItemContent, Items, RequestContent, Shape, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{
            ATTEMPTS, Plan, Refusal, Refused, Required, count_cells, record_changes, remove_unreadable,
            require_references, require_ring, require_schema,
        },
        row::{Cells, holds, is_record, read_record, read_records, table_of},
        rules,
        seal::{sealing_ring, stored_datum},
        secret_writes::{self, Effect, SecretWrites},
        size::require_fitting,
        turns::take_turns,
    },
    schema::{
        entity::{Attribute, Entity},
        value::Value,
    },
    store::{Assignment, Condition, Datum, Expect, Step},
    table::record::RecordColumns,
    ticket,
};

/// A change of a record.
pub struct RecordChange {
    /// The record.
    pub id: RecordId,
    /// The input.
    pub draft: Draft,
    /// The attributes to change. A touched attribute without input becomes null.
    pub touched: Touched,
    /// The revision that the caller has seen, if the record must have it.
    pub etag_revision: Option<i64>,
}

/// The result of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The record after the update.
    pub record: Record,
    /// The names of the encrypted attributes that the update cleared automatically, because it changed the destination
    /// of their values.
    pub cleared: Vec<String>,
}

/// Updates a record. `line` is the caller's place among the callers that change this record.
///
/// # Errors
/// See [`RecordError`].
pub async fn update(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    change: &RecordChange,
    mode: Mode,
    line: &dyn Line,
) -> Result<Updated, RecordError> {
    let (place, caller) = (&permit.record(change.id), permit.caller());
    let changes = std::slice::from_ref(change);
    let idempotency = key(deployment, place, caller, changes, Shape::Single, mode)?;
    let outcome = match check(&place.entity, change) {
        Ok(()) => make(deployment, caller, place.clone(), change, mode, idempotency.as_ref(), line).await,
        // The first attempt may have succeeded, even if this one is invalid now.
        Err(refusal) => Err(refusal),
    };
    match (outcome, idempotency) {
        (Err(refusal), Some(idempotency)) => {
            let updated = answer(deployment, place, &idempotency, refusal).await;
            updated.map_err(RecordError::of_single)?.pop().ok_or_else(exhausted)
        }
        (outcome, _) => outcome,
    }
}

/// Updates different records, at most [`AMONG_MAX`](crate::store::AMONG_MAX), in one commit. `lines` are the caller's
/// places among the callers that change each of these records, in an order that all callers have in common.
///
/// # Errors
/// See [`RecordError`]. [`RecordError::Items`] if single updates are refused.
pub async fn update_batch(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    changes: &[RecordChange],
    mode: Mode,
    lines: &[&dyn Line],
) -> Result<Vec<Updated>, RecordError> {
    let Some(first) = changes.first() else { return Ok(Vec::new()) };
    let (place, caller) = (&permit.record(first.id), permit.caller());
    let idempotency = key(deployment, place, caller, changes, Shape::Batch, mode)?;
    let outcome = match check_all(&place.entity, changes) {
        Ok(()) => make_all(deployment, caller, place.clone(), changes, mode, idempotency.as_ref(), lines).await,
        Err(refusal) => Err(refusal),
    };
    match (outcome, idempotency) {
        (Err(refusal), Some(idempotency)) => answer(deployment, place, &idempotency, refusal).await,
        (outcome, _) => outcome,
    }
}

fn key(
    deployment: &Deployment,
    place: &RecordPlace,
    caller: &Caller,
    changes: &[RecordChange],
    shape: Shape,
    mode: Mode,
) -> Result<Option<IdempotencyKey>, RecordError> {
    IdempotencyKey::of(deployment, mode, caller, || {
        let items = Items::of(shape, changes.iter().map(|change| content(&place.entity, change)).collect());
        RequestContent { verb: Verb::Update, organization: place.organization.id, entity: &place.entity, items }
    })
}

/// Returns the result of a repetition, or the refusal if there was no earlier update.
async fn answer(
    deployment: &Deployment,
    place: &RecordPlace,
    idempotency: &IdempotencyKey,
    refusal: RecordError,
) -> Result<Vec<Updated>, RecordError> {
    let records = idempotency.answer(deployment, place, refusal).await?;
    Ok(records.into_iter().map(|(record, cleared)| Updated { record, cleared }).collect())
}

fn content<'a>(entity: &'a Entity, change: &'a RecordChange) -> ItemContent<'a> {
    let attribute = |index: &usize| Some((entity.attributes.get(*index)?, change.draft.given.get(index)));
    ItemContent {
        named: Some(change.id),
        etag_revision: change.etag_revision,
        attributes: change.touched.iter().filter_map(attribute).collect(),
    }
}

fn check(entity: &Entity, change: &RecordChange) -> Result<(), RecordError> {
    invalid_unless_empty(check_update(entity, &change.draft, &change.touched))
}

fn check_all(entity: &Entity, changes: &[RecordChange]) -> Result<(), RecordError> {
    let checked = changes.iter().enumerate().map(|(index, change)| (index, check(entity, change)));
    unless_refused(checked.filter_map(|(index, checked)| Some((index, checked.err()?))).collect())
}

fn seals(change: &RecordChange) -> bool {
    change.touched.iter().any(|index| matches!(change.draft.given.get(index), Some(Given::Secret(_))))
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    change: &RecordChange,
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
    line: &dyn Line,
) -> Result<Updated, RecordError> {
    let seals = seals(change);
    let organization = Arc::clone(&place.organization);
    for _ in 0..ATTEMPTS {
        // Until the plan is handed over: no other update of the record is in between, and the next one builds on it.
        let turn = line.turn().await;
        let ring = if seals { Some(sealing_ring(deployment, &organization).await?) } else { None };
        let base = Base::of(&place).await?;
        let writer = Writer { deployment, caller, place: &place, mode, ring: ring.as_ref() };
        let sealing = if seals { deployment.begin(KeyUse::Seal) } else { None };
        let planned = writer.plan_one(&base, change, idempotency);
        drop(sealing);
        let Planned { plan, mut updated, cells } = match planned {
            Ok(planned) => planned,
            Err(refusal) => {
                drop(turn);
                if base.is_durable().await {
                    return Err(refusal);
                }
                continue;
            }
        };
        let Some(updated) = updated.pop() else { return Err(exhausted()) };
        let (promise, ticket) = ticket::promise();
        let handed_over = plan.hand_over(&organization, mode, Some(promise)).await;
        let added = match mode {
            Mode::Execute | Mode::ExecuteOnce(_) => {
                let key = (place.entity.storage_name.clone(), place.id);
                Some(organization.pending.add(key, base.pending.as_ref(), updated.record.clone(), cells, ticket))
            }
            Mode::ValidateOnly => None,
        };
        drop(turn);
        let outcome = handed_over.outcome().await;
        if !matches!(outcome, Ok(None))
            && let Some(added) = added
        {
            added.failed();
        }
        match outcome?.map(|refused| refused.refusal) {
            None => return Ok(updated),
            Some(Refusal::StaleRing) => {
                organization.load_keys(deployment).await?;
            }
            Some(Refusal::StaleSchema) => {
                organization.load_schema(deployment).await?;
                place = place.renewed();
                check(&place.entity, change)?;
            }
            Some(Refusal::Moved) => {}
            Some(Refusal::Answer(error)) => return Err(error),
        }
    }
    Err(exhausted())
}

async fn make_all(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    changes: &[RecordChange],
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
    lines: &[&dyn Line],
) -> Result<Vec<Updated>, RecordError> {
    let seals = changes.iter().any(seals);
    let organization = Arc::clone(&place.organization);
    let _turns = take_turns(&place, changes.iter().map(|change| change.id), lines).await;
    for _ in 0..ATTEMPTS {
        let ring = if seals { Some(sealing_ring(deployment, &organization).await?) } else { None };
        let before = read(deployment, &place, changes).await?;
        let writer = Writer { deployment, caller, place: &place, mode, ring: ring.as_ref() };
        let sealing = if seals { deployment.begin(KeyUse::Seal) } else { None };
        let Planned { plan, updated, .. } = writer.plan_all(changes, &before, idempotency)?;
        drop(sealing);
        match plan.commit(&organization, mode).await? {
            None => return Ok(updated),
            Some(Refused { refusal: Refusal::StaleRing, .. }) => {
                organization.load_keys(deployment).await?;
            }
            Some(Refused { refusal: Refusal::StaleSchema, .. }) => {
                organization.load_schema(deployment).await?;
                place = place.renewed();
                check_all(&place.entity, changes)?;
            }
            Some(Refused { refusal: Refusal::Moved, .. }) => {}
            Some(Refused { refusal: Refusal::Answer(error), item }) => return Err(Refused::answer(item, error)),
        }
    }
    Err(exhausted())
}

/// The version of a record that an update changes.
struct Base {
    stored: (Record, Cells),
    /// The origin of the version, if it wasn't read from the store.
    pending: Option<Origin>,
}

impl Base {
    /// Returns the last pending version of the record, or the stored one.
    async fn of(place: &RecordPlace) -> Result<Self, RecordError> {
        if let Some(version) = place.organization.pending.last(&place.entity.storage_name, place.id) {
            let Version { record, cells, origin } = version;
            return Ok(Base { stored: (record, cells), pending: Some(origin) });
        }
        let stored = read_record(place).await?.ok_or(RecordError::NotFound)?;
        Ok(Base { stored, pending: None })
    }

    /// Waits for the commit of the version. Returns `false` if the version doesn't exist, and neither does a reason to
    /// refuse an update because of it.
    async fn is_durable(&self) -> bool {
        match &self.pending {
            Some(origin) => origin.ticket.is_durable().await,
            None => true,
        }
    }
}

/// Updates that are ready to be committed.
struct Planned {
    plan: Plan,
    updated: Vec<Updated>,
    /// The cells of the last record after the update.
    cells: Cells,
}

/// What updates need beside the records and the changes.
struct Writer<'a> {
    deployment: &'a Deployment,
    caller: &'a Caller,
    place: &'a RecordPlace,
    mode: Mode,
    ring: Option<&'a Arc<KeyRing>>,
}

impl Writer<'_> {
    /// Plans the change of this version of a record.
    fn plan_one(
        &self,
        base: &Base,
        change: &RecordChange,
        idempotency: Option<&IdempotencyKey>,
    ) -> Result<Planned, RecordError> {
        if change.etag_revision.is_some_and(|revision| revision != base.stored.0.revision) {
            return Err(RecordError::EtagMismatch);
        }
        let mut plan = Plan::default();
        if let Some(origin) = &base.pending {
            // The condition on the revision isn't enough: if the pending version fails, another commit can make a
            // version with the same revision.
            plan.step(Step::After(origin.ticket.clone()), Refusal::Moved);
        }
        let prepared = vec![self.prepare(change, &base.stored)?];
        self.finish(plan, std::slice::from_ref(change), std::slice::from_ref(&base.stored), prepared, idempotency)
    }

    /// Plans the changes of these records.
    fn plan_all(
        &self,
        changes: &[RecordChange],
        before: &[(Record, Cells)],
        idempotency: Option<&IdempotencyKey>,
    ) -> Result<Planned, RecordError> {
        let prepared = changes.iter().zip(before).map(|(change, before)| self.prepare(change, before)).collect();
        let prepared = all_or_refusals(prepared)?;
        require_fitting(self.deployment, &self.place.entity, prepared.iter().map(|change| &change.record))?;
        self.finish(Plan::default(), changes, before, prepared, idempotency)
    }

    /// Adds the steps of prepared changes to a plan.
    fn finish(
        &self,
        mut plan: Plan,
        changes: &[RecordChange],
        before: &[(Record, Cells)],
        prepared: Vec<Prepared<'_>>,
        idempotency: Option<&IdempotencyKey>,
    ) -> Result<Planned, RecordError> {
        let &Writer { deployment, caller, place, mode, ring } = self;
        if let Some(idempotency) = idempotency {
            let ids: Vec<RecordId> = changes.iter().map(|change| change.id).collect();
            let cleared: Vec<_> = prepared.iter().map(|change| change.writes.cleared_automatically()).collect();
            idempotency.remember(&mut plan, &ids, &cleared);
        }
        require_schema(&mut plan, place);
        require_ring(&mut plan, ring);
        let mut required = Required::new();
        let (mut updated, mut writes) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
        let (mut time, mut cells) = (Timestamp::from_unix_micros(i64::MIN), Cells::new());
        for (index, ((change, (before, _)), prepared)) in changes.iter().zip(before).zip(prepared).enumerate() {
            plan.begin_item(index);
            time = time.max(prepared.record.update_time);
            let cleared = prepared.writes.cleared_automatically();
            let (record, effect, new_cells) = prepared.add_to(&mut plan, place, caller, change, before, &mut required);
            updated.push(Updated { record, cleared });
            writes.push((change.id, effect));
            cells = new_cells;
        }
        secret_writes::record(&mut plan, deployment, place, caller, time, mode, &writes)?;
        Ok(Planned { plan, updated, cells })
    }

    /// Prepares the change of a record that was read.
    fn prepare<'b>(
        &'b self,
        RecordChange { id, draft, touched, .. }: &RecordChange,
        (before, cells): &'b (Record, Cells),
    ) -> Result<Prepared<'b>, RecordError> {
        let &Writer { deployment, caller, ring, .. } = self;
        let entity = &self.place.entity;
        let place = &self.place.at(*id);
        let mut unmoved = is_record(*id).and(RecordColumns::revision().is(before.revision));
        let mut record = before.clone();
        record.revision = record.revision.saturating_add(1);
        record.update_time = deployment.now().max(record.update_time);
        record.modified_by = Some(caller.identity.to_string());
        let mut set = vec![
            RecordColumns::revision().set(record.revision),
            RecordColumns::update_time().set(record.update_time),
            RecordColumns::modified_by().set(record.modified_by.clone()),
        ];
        let mut new_cells = cells.clone();
        let mut replaced = Vec::new();
        let mut writes = SecretWrites::default();
        let statuses = default_statuses(entity, before, draft, touched);
        let given_for = |index: &usize| statuses.given.get(index).or_else(|| draft.given.get(index));
        let mut affected = with_redirected_secrets(entity, before, draft, touched);
        affected.extend(statuses.given.keys());
        for index in &affected {
            let Some(attribute) = entity.attributes.get(*index) else { continue };
            let given = given_for(index);
            let random = &*deployment.ports.random;
            let datum = stored_datum(place, attribute, given, ring.map(|ring| &**ring), random)?;
            if attribute.encrypted {
                // A re-encryption replaces cells without changing the revision, so the cell that was read is required
                // too.
                unmoved = unmoved.and(holds(&attribute.storage_name, cells.get(index)));
                replaced.push((attribute, cells.get(index), datum.clone()));
                if let Datum::Bytes(cell) = &datum {
                    new_cells.insert(*index, cell.clone());
                } else {
                    new_cells.remove(index);
                }
                if given.is_some() {
                    writes.add(Effect::Set, attribute);
                } else if cells.contains_key(index) {
                    let is_requested = touched.contains(index);
                    writes.add(if is_requested { Effect::Cleared } else { Effect::ClearedAutomatically }, attribute);
                }
            }
            set.push(Assignment::Set(attribute.storage_name.clone(), datum));
            apply(entity, &mut record, *index, given);
        }
        invalid_unless_empty(rules::check_update(entity, &record, &affected))?;
        Ok(Prepared { record, unmoved, set, replaced, affected, writes, cells: new_cells })
    }
}

/// A change of a record that was read.
struct Prepared<'a> {
    /// The record after the change.
    record: Record,
    /// The condition that the record is unchanged.
    unmoved: Condition,
    set: Vec<Assignment>,
    /// The encrypted attributes that change, each with the cell before and after.
    replaced: Vec<(&'a Attribute, Option<&'a Vec<u8>>, Datum)>,
    /// The attributes that change.
    affected: Touched,
    writes: SecretWrites<'a>,
    /// The cells of the record after the change.
    cells: Cells,
}

impl<'a> Prepared<'a> {
    /// Adds the steps of the change. Returns the record, the effect on its encrypted attributes, and its cells.
    fn add_to(
        self,
        plan: &mut Plan,
        place: &RecordPlace,
        caller: &Caller,
        change: &RecordChange,
        before: &Record,
        required: &mut Required,
    ) -> (Record, SecretWrites<'a>, Cells) {
        let Prepared { record, unmoved, set, replaced, affected, writes, cells } = self;
        let place = &place.at(change.id);
        require_references(plan, place, touched_values(&change.draft, &affected), required);
        let update = Step::Update { table: table_of(&place.entity), rows: unmoved, set, expect: Expect::One };
        plan.step(update, Refusal::Moved);
        for (attribute, old, new) in &replaced {
            let new = if let Datum::Bytes(cell) = new { Some(cell.as_slice()) } else { None };
            count_cells(plan, place, &attribute.storage_name, *old, new);
        }
        for (attribute, ..) in replaced.iter().filter(|(_, old, _)| old.is_some()) {
            remove_unreadable(plan, place, &attribute.storage_name);
        }
        let write = RecordWrite {
            entity: &place.entity,
            id: place.id,
            operation: Operation::Update,
            revision: record.revision,
            time: record.update_time,
            caller,
        };
        record_changes(plan, &write, &before.values, &record.values);
        (record, writes, cells)
    }
}

/// Reads the records, which must exist and have the revisions that the caller has seen.
async fn read(
    deployment: &Deployment,
    place: &RecordPlace,
    changes: &[RecordChange],
) -> Result<Vec<(Record, Cells)>, RecordError> {
    let ids: Vec<RecordId> = changes.iter().map(|change| change.id).collect();
    let mut found = read_records(place, &ids, &ReadMask::default(), deployment.page_bytes_max).await?;
    let (mut before, mut missing, mut changed) = (Vec::with_capacity(changes.len()), Vec::new(), Vec::new());
    for (index, change) in changes.iter().enumerate() {
        match found.remove(&change.id) {
            None => missing.push((index, RecordError::NotFound)),
            Some((record, _)) if change.etag_revision.is_some_and(|revision| revision != record.revision) => {
                changed.push((index, RecordError::EtagMismatch));
            }
            Some(found) => before.push(found),
        }
    }
    unless_refused(missing)?;
    unless_refused(changed)?;
    Ok(before)
}

/// Returns all values, or all refusals by index.
fn all_or_refusals<T>(results: Vec<Result<T, RecordError>>) -> Result<Vec<T>, RecordError> {
    let (mut values, mut refused) = (Vec::with_capacity(results.len()), Vec::new());
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => values.push(value),
            Err(error) => refused.push((index, error)),
        }
    }
    unless_refused(refused)?;
    Ok(values)
}

/// Returns the touched attributes, and the encrypted attributes whose destination changes. The update clears the
/// latter.
fn with_redirected_secrets(entity: &Entity, before: &Record, draft: &Draft, touched: &Touched) -> Touched {
    let attributes = &entity.attributes;
    let is_changed = |name: &String| {
        let index = entity.position(name);
        index.filter(|index| touched.contains(index)).is_some_and(|index| {
            let after = match draft.given.get(&index) {
                Some(Given::Clear(value)) => Some(value),
                Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
            };
            after != before.values.get(index).and_then(Option::as_ref)
        })
    };
    let is_redirected =
        |index: &usize| attributes.get(*index).is_some_and(|attribute| attribute.sent_to.iter().any(is_changed));
    let redirected = (0..attributes.len()).filter(|index| !touched.contains(index)).filter(is_redirected);
    touched.iter().copied().chain(redirected).collect()
}

fn apply(entity: &Entity, record: &mut Record, index: usize, given: Option<&Given>) {
    let Some(attribute) = entity.attributes.get(index) else { return };
    if attribute.encrypted {
        for (other, value) in entity.attributes.iter().zip(&mut record.values) {
            if other.reports_set() == Some(&attribute.name) {
                *value = Some(Value::Boolean(given.is_some()));
            }
        }
    } else if let Some(slot) = record.values.get_mut(index) {
        *slot = match given {
            Some(Given::Clear(value)) => Some(value.clone()),
            Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
        };
    }
}

fn touched_values<'a>(draft: &'a Draft, touched: &'a Touched) -> impl Iterator<Item = (usize, &'a Value)> + 'a {
    touched.iter().filter_map(|index| match draft.given.get(index) {
        Some(Given::Clear(value)) => Some((*index, value)),
        Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
    })
}
