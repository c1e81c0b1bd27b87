//! Creates a record: adds defaults, checks everything and seals encrypted attributes.
//!
//! A repeated create returns the record of the first one, even if the service generated its id.

use crate::{
    deployment::Deployment,
    id::RecordId,
    identity::Caller,
    metadata::changes::{Operation, RecordWrite},
    permit::Permit,
    policy,
    record::{
        check::check_create,
        content::{self, Draft, Given, Record},
        error::{RecordError, exhausted, invalid_unless_empty},
        idempotency::{IdempotencyKey, RequestContent, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{
            ATTEMPTS, Plan, Refusal, count_cells, record_changes, require_references, require_ring, require_schema,
        },
        row::table_of,
        seal::{sealing_ring, stored_datum},
        secret_writes::{Effect, SecretWrites},
    },
    schema::{entity::Entity, value::Value},
    store::{Datum, Step},
    table::{declare::TableRow as _, record::RecordColumns},
};

/// Creates a record with this id and returns it. `id_origin` is the source of the id.
///
/// # Errors
/// See [`RecordError`].
pub async fn create(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    id: RecordId,
    id_origin: IdOrigin,
    mut draft: Draft,
    mode: Mode,
) -> Result<Record, RecordError> {
    let (place, caller) = (&permit.record(id), permit.caller());
    let given: Vec<usize> = draft.given.keys().copied().collect();
    let idempotency = IdempotencyKey::of(deployment, mode, caller, &content(place, id_origin, &draft, &given))?;
    let outcome = match invalid_unless_empty(check_create(&place.entity, &mut draft)) {
        Ok(()) => make(deployment, caller, place.clone(), Checked { draft, given }, mode, idempotency.as_ref()).await,
        // The first attempt may have succeeded, even if this one is invalid now.
        Err(refusal) => Err(refusal),
    };
    match (outcome, idempotency) {
        (Err(refusal), Some(idempotency)) => {
            idempotency.answer(deployment, place, refusal).await.map(|(record, _)| record)
        }
        (outcome, _) => outcome,
    }
}

/// A draft with defaults, and the attributes that it had without them.
struct Checked {
    draft: Draft,
    given: Vec<usize>,
}

impl Checked {
    /// Checks the draft again with other metadata.
    fn renewed(mut self, entity: &Entity) -> Result<Self, RecordError> {
        self.draft.given.retain(|index, _| self.given.contains(index));
        invalid_unless_empty(check_create(entity, &mut self.draft))?;
        Ok(self)
    }
}

/// The source of the id of a new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOrigin {
    /// The caller chose the id.
    Caller,
    /// The service generated the id. Each call gets another one.
    Service,
}

/// Returns the content of a create request. It leaves out defaults, which the next version of a schema may change, and
/// attributes that a create ignores.
fn content<'a>(place: &'a RecordPlace, id_origin: IdOrigin, draft: &'a Draft, given: &[usize]) -> RequestContent<'a> {
    let attribute = |index: &usize| {
        let attribute = place.entity.attributes.get(*index)?;
        let is_ignored = attribute.output_only || !attribute.stored();
        (!is_ignored).then_some((attribute, Some(draft.given.get(index)?)))
    };
    RequestContent {
        verb: Verb::Create,
        organization: place.organization.id,
        entity: &place.entity,
        named: (id_origin == IdOrigin::Caller).then_some(place.id),
        etag_revision: None,
        attributes: given.iter().filter_map(attribute).collect(),
    }
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    mut checked: Checked,
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
) -> Result<Record, RecordError> {
    let seals = checked.draft.given.values().any(|given| matches!(given, Given::Secret(_)));
    for _ in 0..ATTEMPTS {
        let ring = if seals { Some(sealing_ring(deployment, &place.organization).await?) } else { None };
        let now = deployment.now();
        let draft = &checked.draft;
        let values = content::values(&place.entity, draft);
        let identity = caller.identity.to_string();
        let record = Record {
            id: place.id,
            revision: 1,
            create_time: now,
            update_time: now,
            created_by: Some(identity.clone()),
            modified_by: Some(identity.clone()),
            values,
        };
        let columns = RecordColumns {
            id: place.id,
            revision: 1,
            create_time: now,
            update_time: now,
            created_by: Some(identity.clone()),
            modified_by: Some(identity),
        };
        let mut row = columns.into_row();
        let mut cells = Vec::new();
        for (index, given) in &draft.given {
            if let Some(attribute) = place.entity.attributes.get(*index) {
                let datum = stored_datum(deployment, &place, attribute, Some(given), ring.as_deref())?;
                if attribute.encrypted
                    && let Datum::Bytes(cell) = &datum
                {
                    cells.push((attribute, cell.clone()));
                }
                row.push((attribute.storage_name.clone().into(), datum));
            }
        }
        let mut plan = Plan::default();
        if let Some(idempotency) = idempotency {
            idempotency.remember(&mut plan, place.id, &[]);
        }
        require_schema(&mut plan, &place);
        require_ring(&mut plan, ring.as_ref());
        require_references(&mut plan, &place, clear_values(draft));
        let insert = Step::Insert { table: table_of(&place.entity), row };
        plan.step(insert, Refusal::Answer(RecordError::AlreadyExists));
        let mut writes = SecretWrites::default();
        for (attribute, cell) in cells {
            count_cells(&mut plan, &place, &attribute.storage_name, None, Some(&cell));
            writes.add(Effect::Set, attribute);
        }
        let write = RecordWrite {
            entity: &place.entity,
            id: place.id,
            operation: Operation::Create,
            revision: record.revision,
            time: now,
            caller,
        };
        record_changes(&mut plan, &write, None, Some(&record));
        writes.record(&mut plan, deployment, &place, caller, now, mode)?;
        match plan.commit(&place.organization, mode).await? {
            None => return Ok(record),
            Some(Refusal::StaleRing) => {
                place.organization.load_keys(deployment).await?;
            }
            Some(Refusal::StaleSchema) => {
                place.organization.load_schema(deployment).await?;
                place = place.renewed();
                checked = checked.renewed(&place.entity)?;
            }
            Some(Refusal::Moved) => {}
            Some(Refusal::Answer(error)) => return Err(error),
        }
    }
    Err(exhausted())
}

fn clear_values(draft: &Draft) -> impl Iterator<Item = (usize, Value)> + '_ {
    draft.given.iter().filter_map(|(index, given)| match given {
        Given::Clear(value) => Some((*index, value.clone())),
        Given::Secret(_) | Given::Wrong(_) => None,
    })
}
