//! Creates records: adds defaults, checks everything and seals encrypted attributes. A single create is a batch of one.
//!
//! A repeated create returns the records of the first one, even if the service generated their ids.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    cells::CellColumn,
    census::CellKind,
    crypto::ring::KeyRing,
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    metadata::changes::{Operation, RecordWrite},
    permit::Permit,
    policy,
    port::KeyUse,
    random::Pooled,
    record::{
        check::check_new,
        content::{Draft, Given, Record},
        error::{RecordError, exhausted, invalid_unless_empty, unless_refused},
        idempotency::{IdempotencyKey, ItemContent, Items, RequestContent, Shape, Verb},
        mode::Mode,
        place::RecordPlace,
        plan::{
            ATTEMPTS, Plan, Refusal, Refused, Required, record_changes, reference_missing, references,
            require_references, require_ring, require_schema,
        },
        row::{existing, table_of},
        seal::{sealing_ring, stored_datum},
        secret_writes::{self, Effect, SecretWrites},
        size::require_fitting,
    },
    schema::{entity::Entity, value::Value},
    store::{AMONG_MAX, Datum, Name, Step},
    table::{declare::TableRow as _, record::RecordColumns},
};

/// A record to create.
pub struct NewRecord {
    /// The id.
    pub id: RecordId,
    /// The source of the id.
    pub id_origin: IdOrigin,
    /// The input.
    pub draft: Draft,
}

/// The source of the id of a new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOrigin {
    /// The caller chose the id.
    Caller,
    /// The service generated the id. Each call gets another one.
    Service,
}

/// Creates a record and returns it.
///
/// # Errors
/// See [`RecordError`].
pub async fn create(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    record: NewRecord,
    mode: Mode,
) -> Result<Record, RecordError> {
    let created = create_all(deployment, permit, vec![record], Shape::Single, mode).await;
    created.map_err(RecordError::of_single)?.pop().ok_or_else(exhausted)
}

/// Creates records with different ids, at most [`AMONG_MAX`], in one commit, and returns them in this order.
///
/// # Errors
/// See [`RecordError`]. [`RecordError::Items`] if single records are refused.
pub async fn create_batch(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    records: Vec<NewRecord>,
    mode: Mode,
) -> Result<Vec<Record>, RecordError> {
    create_all(deployment, permit, records, Shape::Batch, mode).await
}

async fn create_all(
    deployment: &Deployment,
    permit: Permit<policy::WriteRecords>,
    records: Vec<NewRecord>,
    shape: Shape,
    mode: Mode,
) -> Result<Vec<Record>, RecordError> {
    let Some(first) = records.first() else { return Ok(Vec::new()) };
    let (place, caller) = (&permit.record(first.id), permit.caller());
    let idempotency = IdempotencyKey::of(deployment, mode, caller, || {
        let items = Items::of(shape, records.iter().map(|record| content(place, record)).collect());
        RequestContent { verb: Verb::Create, organization: place.organization.id, entity: &place.entity, items }
    })?;
    let mut checked: Vec<Checked> = records.into_iter().map(Checked::unchecked).collect();
    let outcome = match check_all(&place.entity, &mut checked) {
        Ok(()) => make(deployment, caller, place.clone(), checked, mode, idempotency.as_ref()).await,
        // The first attempt may have succeeded, even if this one is invalid now.
        Err(refusal) => Err(refusal),
    };
    match (outcome, idempotency) {
        (Err(refusal), Some(idempotency)) => {
            let records = idempotency.answer(deployment, place, refusal).await?;
            Ok(records.into_iter().map(|(record, _)| record).collect())
        }
        (outcome, _) => outcome,
    }
}

/// A draft with defaults, the attributes that it had without them, and the values of the record.
pub(super) struct Checked {
    pub(super) id: RecordId,
    draft: Draft,
    given: Vec<usize>,
    values: Vec<Option<Value>>,
}

impl Checked {
    /// Returns a draft that [`check`](Self::check) must check before its use.
    pub(super) fn unchecked(NewRecord { id, draft, .. }: NewRecord) -> Self {
        let given = draft.given.keys().copied().collect();
        Checked { id, draft, given, values: Vec::new() }
    }

    /// Checks the draft, also again with other metadata, and adds defaults.
    pub(super) fn check(&mut self, entity: &Entity) -> Result<(), RecordError> {
        self.draft.given.retain(|index, _| self.given.contains(index));
        let (values, violations) = check_new(entity, &mut self.draft);
        self.values = values;
        invalid_unless_empty(violations)
    }

    /// Returns whether it has values to seal.
    pub(super) fn seals(&self) -> bool {
        self.draft.given.values().any(|given| matches!(given, Given::Secret(_)))
    }

    /// Returns its values that aren't secret, by index of the entity's attributes.
    fn clear_values(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.draft.given.iter().filter_map(|(index, given)| match given {
            Given::Clear(value) => Some((*index, value)),
            Given::Secret(_) | Given::Wrong(_) => None,
        })
    }
}

fn check_all(entity: &Entity, records: &mut [Checked]) -> Result<(), RecordError> {
    let checked = records.iter_mut().enumerate().map(|(index, record)| (index, record.check(entity)));
    unless_refused(checked.filter_map(|(index, checked)| Some((index, checked.err()?))).collect())
}

/// Returns the content of a create request. It leaves out defaults, which the next version of a schema may change, and
/// attributes that a create ignores.
pub(super) fn content<'a>(place: &'a RecordPlace, record: &'a NewRecord) -> ItemContent<'a> {
    let attribute = |(index, given): (&usize, &'a Given)| {
        let attribute = place.entity.attributes.get(*index)?;
        let is_ignored = attribute.output_only || !attribute.stored();
        (!is_ignored).then_some((attribute, Some(given)))
    };
    ItemContent {
        named: (record.id_origin == IdOrigin::Caller).then_some(record.id),
        etag_revision: None,
        attributes: record.draft.given.iter().filter_map(attribute).collect(),
    }
}

async fn make(
    deployment: &Deployment,
    caller: &Caller,
    mut place: RecordPlace,
    mut records: Vec<Checked>,
    mode: Mode,
    idempotency: Option<&IdempotencyKey>,
) -> Result<Vec<Record>, RecordError> {
    let seals = records.iter().any(Checked::seals);
    for _ in 0..ATTEMPTS {
        let ring = if seals { Some(sealing_ring(deployment, &place.organization).await?) } else { None };
        let mut creation = Creation::begin(deployment, &place, caller, ring.as_ref());
        if let Some(idempotency) = idempotency {
            let ids: Vec<RecordId> = records.iter().map(|record| record.id).collect();
            idempotency.remember(&mut creation.plan, &ids, &[]);
        }
        creation.require();
        let sealing = if seals { deployment.begin(KeyUse::Seal) } else { None };
        for (index, record) in records.iter().enumerate() {
            creation.add(index, record)?;
        }
        drop(sealing);
        let created: Vec<Record> = records.iter().map(|record| creation.record(record)).collect();
        if created.len() > 1 {
            require_fitting(deployment, &place.entity, &created)?;
        }
        match creation.finish(mode)?.commit(&place.organization, mode).await? {
            None => return Ok(created),
            Some(Refused { refusal: Refusal::StaleRing, .. }) => {
                place.organization.load_keys(deployment).await?;
            }
            Some(Refused { refusal: Refusal::StaleSchema, .. }) => {
                place.organization.load_schema(deployment).await?;
                place = place.renewed();
                check_all(&place.entity, &mut records)?;
            }
            Some(Refused { refusal: Refusal::Moved, .. }) => {}
            Some(Refused { refusal: Refusal::Answer(error), item }) => {
                if records.len() > 1 && item.is_some() {
                    // The store returns only the first refusal.
                    unless_refused(refusals(&place, records.iter().enumerate()).await?)?;
                }
                return Err(Refused::answer(item, error));
            }
        }
    }
    Err(exhausted())
}

/// A commit under construction that creates records.
pub(super) struct Creation<'a> {
    pub(super) plan: Plan,
    deployment: &'a Deployment,
    place: &'a RecordPlace,
    caller: &'a Caller,
    ring: Option<&'a Arc<KeyRing>>,
    random: Pooled<'a>,
    identity: String,
    now: Timestamp,
    required: Required,
    writes: Vec<(RecordId, SecretWrites<'a>)>,
    /// The number of new cells, by the column.
    cells: BTreeMap<&'a str, i64>,
}

impl<'a> Creation<'a> {
    /// `ring` seals the values of encrypted attributes; `None` if there are none.
    pub(super) fn begin(
        deployment: &'a Deployment,
        place: &'a RecordPlace,
        caller: &'a Caller,
        ring: Option<&'a Arc<KeyRing>>,
    ) -> Self {
        Creation {
            plan: Plan::default(),
            deployment,
            place,
            caller,
            ring,
            random: Pooled::new(&*deployment.ports.random),
            identity: caller.identity.to_string(),
            now: deployment.now(),
            required: Required::new(),
            writes: Vec::new(),
            cells: BTreeMap::new(),
        }
    }

    /// Adds the steps that require that schema and ring are those that the records are checked and sealed with.
    pub(super) fn require(&mut self) {
        require_schema(&mut self.plan, self.place);
        require_ring(&mut self.plan, self.ring);
    }

    /// Adds the steps that create a record, which has this index in the request.
    pub(super) fn add(&mut self, index: usize, checked: &Checked) -> Result<(), RecordError> {
        let Creation { caller, now, .. } = *self;
        let Checked { id, draft, values, .. } = checked;
        let place = &self.place.at(*id);
        let entity = &self.place.entity;
        let columns = RecordColumns {
            id: *id,
            revision: 1,
            create_time: now,
            update_time: now,
            created_by: Some(self.identity.clone()),
            modified_by: Some(self.identity.clone()),
        };
        let mut row = columns.into_row();
        row.reserve_exact(draft.given.len());
        let mut writes = SecretWrites::default();
        for (index, given) in &draft.given {
            if let Some(attribute) = entity.attributes.get(*index) {
                let ring = self.ring.map(|ring| &**ring);
                let datum = stored_datum(place, attribute, Some(given), ring, &self.random)?;
                if attribute.encrypted && matches!(datum, Datum::Bytes(_)) {
                    *self.cells.entry(&attribute.storage_name).or_default() += 1;
                    writes.add(Effect::Set, attribute);
                }
                row.push((attribute.storage_name.clone(), datum));
            }
        }
        let plan = &mut self.plan;
        plan.begin_item(index);
        require_references(plan, place, checked.clear_values(), &mut self.required);
        let insert = Step::Insert { table: table_of(entity), row };
        plan.step(insert, Refusal::Answer(RecordError::AlreadyExists));
        let (id, operation) = (*id, Operation::Create);
        let write = RecordWrite { entity, id, operation, revision: 1, time: now, caller };
        record_changes(plan, &write, &[], values);
        self.writes.push((id, writes));
        Ok(())
    }

    /// Returns the record that these steps create.
    fn record(&self, Checked { id, values, .. }: &Checked) -> Record {
        Record {
            id: *id,
            revision: 1,
            create_time: self.now,
            update_time: self.now,
            created_by: Some(self.identity.clone()),
            modified_by: Some(self.identity.clone()),
            values: values.clone(),
        }
    }

    /// Adds the census and the audit record. Returns the plan.
    pub(super) fn finish(mut self, mode: Mode) -> Result<Plan, RecordError> {
        let Creation { deployment, place, caller, now, .. } = self;
        self.plan.begin_item(None);
        // All records are inserted or none, so the cells of a column are counted once. The previous step inserts one row.
        for (column, cells) in &self.cells {
            let column = CellColumn { table: place.entity.storage_name.to_string(), column: (*column).to_owned() };
            let kind = CellKind::new(&column, self.ring.map(|ring| ring.version()));
            self.plan.step(kind.tally(*cells), Refusal::Moved);
        }
        secret_writes::record(&mut self.plan, deployment, place, caller, now, mode, &self.writes)?;
        Ok(self.plan)
    }
}

/// Returns the records that can't be created, because their id exists or the target of a reference doesn't.
pub(super) async fn refusals(
    place: &RecordPlace,
    records: impl Iterator<Item = (usize, &Checked)> + Clone,
) -> Result<Vec<(usize, RecordError)>, RecordError> {
    let store = &*place.organization.store;
    let taken = existing(store, table_of(&place.entity), records.clone().map(|(_, record)| record.id)).await?;
    let mut targets: Vec<(Name, RecordId)> = records
        .clone()
        .flat_map(|(_, record)| references(place, record.clear_values()).map(|found| (found.table, found.id)))
        .collect();
    targets.sort_unstable();
    targets.dedup();
    let mut found = Required::new();
    for targets in targets.chunk_by(|(table, _), (other, _)| table == other) {
        for targets in targets.chunks(AMONG_MAX) {
            let Some((table, _)) = targets.first() else { continue };
            let ids = existing(store, table.clone(), targets.iter().map(|(_, id)| *id)).await?;
            found.extend(ids.into_iter().map(|id| (table.clone(), id)));
        }
    }
    let refusal = |(index, record): (usize, &Checked)| {
        if taken.contains(&record.id) {
            return Some((index, RecordError::AlreadyExists));
        }
        let missing = references(place, record.clear_values())
            .filter(|reference| !found.contains(&(reference.table.clone(), reference.id)))
            .map(|reference| reference_missing(place, reference.attribute));
        let missing: Vec<_> = missing.collect();
        (!missing.is_empty()).then_some((index, RecordError::Invalid(missing)))
    };
    Ok(records.filter_map(refusal).collect())
}
