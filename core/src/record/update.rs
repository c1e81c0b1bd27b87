//! Update a record: what the mask touches changes, everything else stays as it is.
//!
//! The record is read, changed and written back on the condition that its revision is still the one read; so the answer is exactly what
//! was stored. Without an etag a write that came in between is built upon; with one it is refused. A repetition of an update is answered
//! with the record as it is now, whatever the etag of the first.

use crate::{
    deployment::Deployment,
    id::RecordId,
    identity::Caller,
    metadata::changes::{Operation, Written},
    permit::Permit,
    policy,
    record::{
        check::{check_update, statuses_that_follow},
        content::{Draft, Given, Record, Touched},
        error::{RecordError, exhausted, invalid_unless_empty},
        idempotency::{Asked, Once, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{
            ATTEMPTS, Plan, Refusal, count_cells, healed, record_changes, require_references, require_ring,
            require_schema,
        },
        row::{holds, is_record, read_record, table_of},
        rules,
        seal::{sealing_ring, stored_datum},
        secret_writes::{Effect, SecretWrites},
    },
    schema::value::Value,
    store::{Assignment, Datum, Expect, Step},
    table::record::RecordColumns,
};

/// A record as an update left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The record.
    pub record: Record,
    /// The names of the encrypted attributes that the update cleared without having been asked to, because it changed where their
    /// values are sent.
    pub cleared: Vec<String>,
}

/// Updates the touched attributes: one that is not given becomes null. `etag_revision` is the revision the caller has seen.
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
) -> Result<Updated, RecordError> {
    let (place, caller) = (&permit.record(id), permit.caller());
    let attribute = |index: &usize| Some((place.entity.attributes.get(*index)?, draft.given.get(index)));
    let asked = Asked {
        verb: Verb::Update,
        organization: place.organization.id,
        entity: &place.entity,
        named: Some(place.id),
        etag_revision,
        attributes: touched.iter().filter_map(attribute).collect(),
    };
    let once = Once::of(deployment, mode, caller, &asked)?;
    let change = Change { draft, touched, etag_revision };
    let outcome = match invalid_unless_empty(check_update(&place.entity, draft, touched)) {
        Ok(()) => make(deployment, caller, place.clone(), &change, mode, once.as_ref()).await,
        // What is wrong by now was right when it was made.
        Err(refusal) => Err(refusal),
    };
    match (outcome, once) {
        (Err(refusal), Some(once)) => {
            let (record, cleared) = once.answer(deployment, place, refusal).await?;
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
    &Change { draft, touched, etag_revision }: &Change<'_>,
    mode: Mode,
    once: Option<&Once>,
) -> Result<Updated, RecordError> {
    let secret = |index: &usize| matches!(draft.given.get(index), Some(Given::Secret(_)));
    let seals = touched.iter().any(secret);
    for _ in 0..ATTEMPTS {
        let ring = if seals { Some(sealing_ring(deployment, &place.organization).await?) } else { None };
        let (before, cells) = read_record(&place).await?.ok_or(RecordError::NotFound)?;
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
        let mut replaced = Vec::new();
        let mut writes = SecretWrites::default();
        let follow = statuses_that_follow(&place.entity, &before, draft, touched);
        let given_for = |index: &usize| follow.given.get(index).or_else(|| draft.given.get(index));
        let mut affected = with_what_is_sent_elsewhere(&place, &before, draft, touched);
        affected.extend(follow.given.keys());
        let affected = &affected;
        for index in affected {
            let Some(attribute) = place.entity.attributes.get(*index) else { continue };
            let given = given_for(index);
            let datum = stored_datum(deployment, &place, attribute, given, ring.as_deref())?;
            if attribute.encrypted {
                // A re-encryption moves a cell and not the record: what is replaced is the cell that was read.
                unmoved = unmoved.and(holds(&attribute.storage_name, cells.get(index)));
                replaced.push((attribute, cells.get(index), datum.clone()));
                if given.is_some() {
                    writes.add(Effect::Set, attribute);
                } else if cells.contains_key(index) {
                    let is_asked = touched.contains(index);
                    writes.add(if is_asked { Effect::Cleared } else { Effect::ClearedAutomatically }, attribute);
                }
            }
            set.push(Assignment::Set(attribute.storage_name.clone().into(), datum));
            apply(&place, &mut record, *index, given);
        }
        invalid_unless_empty(rules::check_update(&place.entity, &record, affected))?;
        let mut plan = Plan::default();
        if let Some(once) = once {
            once.remember(&mut plan, place.id, &writes.cleared_automatically());
        }
        require_schema(&mut plan, &place);
        require_ring(&mut plan, ring.as_ref());
        require_references(&mut plan, &place, touched_values(draft, affected));
        let update = Step::Update { table: table_of(&place.entity), rows: unmoved, set, expect: Expect::One };
        plan.step(update, Refusal::Moved);
        for (attribute, old, new) in &replaced {
            let new = if let Datum::Bytes(cell) = new { Some(cell.as_slice()) } else { None };
            count_cells(&mut plan, &place, &attribute.storage_name, *old, new);
        }
        for (attribute, ..) in replaced.iter().filter(|(_, old, _)| old.is_some()) {
            healed(&mut plan, &place, &attribute.storage_name);
        }
        let written = Written {
            entity: &place.entity,
            id: place.id,
            operation: Operation::Update,
            revision: record.revision,
            time: record.update_time,
            caller,
        };
        record_changes(&mut plan, &written, Some(&before), Some(&record));
        writes.record(&mut plan, deployment, &place, caller, record.update_time, mode)?;
        let cleared = writes.cleared_automatically();
        match plan.commit(&place.organization, mode).await? {
            None => return Ok(Updated { record, cleared }),
            Some(Refusal::StaleRing) => {
                place.organization.load_keys(deployment).await?;
            }
            Some(Refusal::StaleSchema) => {
                place.organization.load_schema(deployment).await?;
                place = place.renewed();
                invalid_unless_empty(check_update(&place.entity, draft, touched))?;
            }
            Some(Refusal::Moved) => {}
            Some(Refusal::Answer(error)) => return Err(error),
        }
    }
    Err(exhausted())
}

/// What an update touches, and the encrypted attributes that it would have sent to another place, which it clears.
fn with_what_is_sent_elsewhere(place: &RecordPlace, before: &Record, draft: &Draft, touched: &Touched) -> Touched {
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
    let is_sent_elsewhere =
        |index: &usize| attributes.get(*index).is_some_and(|attribute| attribute.sent_to.iter().any(is_changed));
    let sent_elsewhere = (0..attributes.len()).filter(|index| !touched.contains(index)).filter(is_sent_elsewhere);
    touched.iter().copied().chain(sent_elsewhere).collect()
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
