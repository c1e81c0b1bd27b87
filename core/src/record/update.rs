//! Updates a record: changes the attributes in the mask and leaves all others unchanged.
//!
//! The record is read, changed and written, on the condition that its revision is unchanged. The result is therefore
//! exactly the stored record. Without an etag, the update is applied to the result of concurrent writes. With an etag,
//! a concurrent write refuses it. A repetition returns the current record, regardless of the first etag.
//!
//! Updates of one record take turns only until they are handed over to the store. The next one builds on a version that
//! isn't durable yet, so that many updates of one record share one wait for the disk. Each still has its own revision,
//! its own records of the change and its own answer, after it is durable. A refusal because of a pending version waits
//! for that version, because its update may fail.

use std::sync::Arc;

use crate::{
    crypto::ring::KeyRing,
    deployment::Deployment,
    id::RecordId,
    identity::Caller,
    metadata::changes::{Operation, RecordWrite},
    organization::pending::{Origin, Version},
    permit::Permit,
    policy,
    port::Line,
    record::{
        check::{check_update, default_statuses},
        content::{Draft, Given, Record, Touched},
        error::{RecordError, exhausted, invalid_unless_empty},
        idempotency::{IdempotencyKey, RequestContent, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{
            ATTEMPTS, Plan, Refusal, count_cells, record_changes, remove_unreadable, require_references, require_ring,
            require_schema,
        },
        row::{Cells, holds, is_record, read_record, table_of},
        rules,
        seal::{sealing_ring, stored_datum},
        secret_writes::{Effect, SecretWrites},
    },
    schema::value::Value,
    store::{Assignment, Datum, Expect, Step},
    table::record::RecordColumns,
    ticket,
};

/// The result of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The record after the update.
    pub record: Record,
    /// The names of the encrypted attributes that the update cleared automatically, because it changed the destination
    /// of their values.
    pub cleared: Vec<String>,
}

/// Updates the touched attributes. A touched attribute without input becomes null. `etag_revision` is the revision that
/// the caller has seen. `line` is the caller's place among the callers that change this record.
///
/// # Errors
/// See [`RecordError`].
pub async fn update(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    id: RecordId,
    (draft, touched): (&Draft, &Touched),
    etag_revision: Option<i64>,
    mode: Mode,
    line: &dyn Line,
) -> Result<Updated, RecordError> {
    let (place, caller) = (&permit.record(id), permit.caller());
    let attribute = |index: &usize| Some((place.entity.attributes.get(*index)?, draft.given.get(index)));
    let content = RequestContent {
        verb: Verb::Update,
        organization: place.organization.id,
        entity: &place.entity,
        named: Some(place.id),
        etag_revision,
        attributes: touched.iter().filter_map(attribute).collect(),
    };
    let idempotency = IdempotencyKey::of(deployment, mode, caller, &content)?;
    let change = Change { draft, touched, etag_revision };
    let outcome = match invalid_unless_empty(check_update(&place.entity, draft, touched)) {
        Ok(()) => make(deployment, caller, place.clone(), &change, mode, idempotency.as_ref(), line).await,
        // The first attempt may have succeeded, even if this one is invalid now.
        Err(refusal) => Err(refusal),
    };
    match (outcome, idempotency) {
        (Err(refusal), Some(idempotency)) => {
            let (record, cleared) = idempotency.answer(deployment, place, refusal).await?;
            Ok(Updated { record, cleared })
        }
        (outcome, _) => outcome,
    }
}

struct Change<'a> {
    draft: &'a Draft,
    touched: &'a Touched,
    etag_revision: Option<i64>,
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    change: &Change<'_>,
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
    line: &dyn Line,
) -> Result<Updated, RecordError> {
    let secret = |index: &usize| matches!(change.draft.given.get(index), Some(Given::Secret(_)));
    let seals = change.touched.iter().any(secret);
    let organization = Arc::clone(&place.organization);
    for _ in 0..ATTEMPTS {
        // Until the plan is handed over: no other update of the record is in between, and the next one builds on it.
        let turn = line.turn().await;
        let ring = if seals { Some(sealing_ring(deployment, &organization).await?) } else { None };
        let base = Base::of(&place).await?;
        let writer = Writer { deployment, caller, place: &place, mode, idempotency, ring: ring.as_ref() };
        let Prepared { plan, record, cells, cleared } = match writer.prepare(&base, change) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                drop(turn);
                if base.is_durable().await {
                    return Err(refusal);
                }
                continue;
            }
        };
        let (promise, ticket) = ticket::promise();
        let handed_over = plan.hand_over(&organization, mode, Some(promise)).await;
        let added = match mode {
            Mode::Execute | Mode::ExecuteOnce(_) => {
                let key = (place.entity.storage_name.as_str(), place.id);
                Some(organization.pending.add(key, base.pending.as_ref(), record.clone(), cells, ticket))
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
        match outcome? {
            None => return Ok(Updated { record, cleared }),
            Some(Refusal::StaleRing) => {
                organization.load_keys(deployment).await?;
            }
            Some(Refusal::StaleSchema) => {
                organization.load_schema(deployment).await?;
                place = place.renewed();
                invalid_unless_empty(check_update(&place.entity, change.draft, change.touched))?;
            }
            Some(Refusal::Moved) => {}
            Some(Refusal::Answer(error)) => return Err(error),
        }
    }
    Err(exhausted())
}

/// The version of a record that an update changes.
struct Base {
    record: Record,
    cells: Cells,
    /// The origin of the version, if it wasn't read from the store.
    pending: Option<Origin>,
}

impl Base {
    /// Returns the last pending version of the record, or the stored one.
    async fn of(place: &RecordPlace) -> Result<Self, RecordError> {
        if let Some(version) = place.organization.pending.last(&place.entity.storage_name, place.id) {
            let Version { record, cells, origin } = version;
            return Ok(Base { record, cells, pending: Some(origin) });
        }
        let (record, cells) = read_record(place).await?.ok_or(RecordError::NotFound)?;
        Ok(Base { record, cells, pending: None })
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

/// An update that is ready to be committed.
struct Prepared {
    plan: Plan,
    /// The record after the update.
    record: Record,
    /// The cells of the record after the update.
    cells: Cells,
    /// The encrypted attributes that are cleared automatically.
    cleared: Vec<String>,
}

/// What an update needs beside the record and the change.
struct Writer<'a> {
    deployment: &'a Deployment,
    caller: &'a Caller,
    place: &'a RecordPlace,
    mode: Mode,
    idempotency: Option<&'a IdempotencyKey>,
    ring: Option<&'a Arc<KeyRing>>,
}

impl Writer<'_> {
    /// Plans the change of this version of the record.
    fn prepare(&self, base: &Base, change: &Change<'_>) -> Result<Prepared, RecordError> {
        let &Writer { deployment, caller, place, mode, idempotency, ring } = self;
        let Base { record: before, cells, pending } = base;
        let &Change { draft, touched, etag_revision } = change;
        if etag_revision.is_some_and(|revision| revision != before.revision) {
            return Err(RecordError::EtagMismatch);
        }
        let mut unmoved = is_record(place.id).and(RecordColumns::revision().is(before.revision));
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
        let statuses = default_statuses(&place.entity, before, draft, touched);
        let given_for = |index: &usize| statuses.given.get(index).or_else(|| draft.given.get(index));
        let mut affected = with_redirected_secrets(place, before, draft, touched);
        affected.extend(statuses.given.keys());
        let affected = &affected;
        for index in affected {
            let Some(attribute) = place.entity.attributes.get(*index) else { continue };
            let given = given_for(index);
            let datum = stored_datum(deployment, place, attribute, given, ring.map(|ring| &**ring))?;
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
            set.push(Assignment::Set(attribute.storage_name.clone().into(), datum));
            apply(place, &mut record, *index, given);
        }
        invalid_unless_empty(rules::check_update(&place.entity, &record, affected))?;
        let mut plan = Plan::default();
        if let Some(origin) = pending {
            // The condition on the revision isn't enough: if the pending version fails, another commit can make a
            // version with the same revision.
            plan.step(Step::After(origin.ticket.clone()), Refusal::Moved);
        }
        if let Some(idempotency) = idempotency {
            idempotency.remember(&mut plan, place.id, &writes.cleared_automatically());
        }
        require_schema(&mut plan, place);
        require_ring(&mut plan, ring);
        require_references(&mut plan, place, touched_values(draft, affected));
        let update = Step::Update { table: table_of(&place.entity), rows: unmoved, set, expect: Expect::One };
        plan.step(update, Refusal::Moved);
        for (attribute, old, new) in &replaced {
            let new = if let Datum::Bytes(cell) = new { Some(cell.as_slice()) } else { None };
            count_cells(&mut plan, place, &attribute.storage_name, *old, new);
        }
        for (attribute, ..) in replaced.iter().filter(|(_, old, _)| old.is_some()) {
            remove_unreadable(&mut plan, place, &attribute.storage_name);
        }
        let write = RecordWrite {
            entity: &place.entity,
            id: place.id,
            operation: Operation::Update,
            revision: record.revision,
            time: record.update_time,
            caller,
        };
        record_changes(&mut plan, &write, Some(before), Some(&record));
        writes.record(&mut plan, deployment, place, caller, record.update_time, mode)?;
        let cleared = writes.cleared_automatically();
        Ok(Prepared { plan, record, cells: new_cells, cleared })
    }
}

/// Returns the touched attributes, and the encrypted attributes whose destination changes. The update clears the
/// latter.
fn with_redirected_secrets(place: &RecordPlace, before: &Record, draft: &Draft, touched: &Touched) -> Touched {
    let attributes = &place.entity.attributes;
    let is_changed = |name: &String| {
        let index = place.entity.position(name);
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

fn apply(place: &RecordPlace, record: &mut Record, index: usize, given: Option<&Given>) {
    let Some(attribute) = place.entity.attributes.get(index) else { return };
    if attribute.encrypted {
        for (other, value) in place.entity.attributes.iter().zip(&mut record.values) {
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

fn touched_values<'a>(draft: &'a Draft, touched: &'a Touched) -> impl Iterator<Item = (usize, Value)> + 'a {
    touched.iter().filter_map(|index| match draft.given.get(index) {
        Some(Given::Clear(value)) => Some((*index, value.clone())),
        Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
    })
}
