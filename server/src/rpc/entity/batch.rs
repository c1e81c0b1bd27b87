//! Batches: up to a limit of records in one call, all or none. The checks are those of single calls, and violations name the item.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Extensions;
use sealward_core::{
    id::{OrganizationId, RecordId},
    mask::ReadMask,
    name::OrganizationName,
    permit::Permit,
    policy::{Action, ReadRecords, WriteRecords},
    port::Line,
    random::Pooled,
    record::{
        Mode, RecordError, RecordPlace,
        check::{check_create, check_update},
        create::{self, IdOrigin, NewRecord},
        delete::{self, Deletion},
        get,
        update::{self, RecordChange},
    },
    schema::Entity,
    violation::{Problem, Violation},
};
use tonic::Status;

use super::fields::{mode, new_id, revision};
use crate::{
    bounds::turns::Place,
    rpc::{
        codec::{BatchGetRequest, BatchItem, BatchRequest, CreateRequest, DeleteRequest, EntityReply, UpdateRequest},
        dispatcher::Dispatcher,
        name::ParsedName,
    },
    schema::{NAMES, REQUESTS},
    status::{self, BatchFields},
};

/// A batch call for records of one entity.
pub(super) struct Batch<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) entity: &'a Arc<Entity>,
    pub(super) extensions: &'a Extensions,
}

/// A batch of writes whose caller may write.
struct Opened<T> {
    permit: Permit<WriteRecords>,
    /// The violations so far.
    violations: Vec<Violation>,
    /// `None` if it is invalid.
    mode: Option<Mode>,
    items: Vec<BatchItem<T>>,
}

impl Batch<'_> {
    pub(super) async fn get(&self, request: BatchGetRequest) -> Result<EntityReply, Status> {
        let BatchGetRequest { parent, names, read_mask } = request;
        let permit: Permit<ReadRecords> = self.dispatcher.enter(self.extensions, &parent).await?;
        let organization = &permit.organization().name;
        let mut violations: Vec<_> = parent.resource.err().into_iter().collect();
        let mask = taken(read_mask, &mut violations);
        let names = taken(names.map_err(|violation| vec![violation]), &mut violations).unwrap_or_default();
        if names.is_empty() && violations.is_empty() {
            violations.push(Violation::new(NAMES, Problem::Required));
        }
        let mut ids = Different::default();
        for (index, name) in names.into_iter().enumerate() {
            let field = format!("{NAMES}[{index}]");
            let id = self.within(&field, name, organization).and_then(|id| ids.add(|| field.clone(), id));
            violations.extend(id.err());
        }
        let (true, Some(mask)) = (violations.is_empty(), mask) else { return Err(self.dispatcher.invalid(violations)) };
        let ids = ids.in_order;
        self.admit_items(&permit, ids.len())?;
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&permit.caller().identity).await?;
        let place = permit.record_of(self.entity, RecordId::from_bytes([0; 16]));
        let got = get::get_batch(&self.dispatcher.deployment, permit, self.entity, &ids, &mask).await;
        let fields = BatchFields { items: NAMES, id: "", etag: "", ids: &ids };
        let records = got.map_err(|error| self.failed(error, &place, &fields))?;
        Ok(EntityReply::Batch(place.organization.name.clone(), records, mask))
    }

    pub(super) async fn create(&self, request: BatchRequest<CreateRequest>) -> Result<EntityReply, Status> {
        let Opened { permit, mut violations, mode, items } = self.open(request).await?;
        let (mut ids, mut records) = (Different::default(), Vec::with_capacity(items.len()));
        let deployment = &self.dispatcher.deployment;
        let random = Pooled::new(&*deployment.ports.random);
        for (index, BatchItem { request, violations: of_batch, .. }) in items.into_iter().enumerate() {
            violations.extend(of_batch.into_iter().map(|violation| violation.within(&item(index))));
            let id = new_id(deployment, &random, self.entity, &request.id);
            let id = id.map_err(|violation| violation.within(&item(index))).and_then(|(id, id_origin)| {
                ids.add(|| format!("{}.{}", item(index), self.id_field()), id).map(|id| (id, id_origin))
            });
            let (id, id_origin) = id.unwrap_or_else(|violation| {
                violations.push(violation);
                (RecordId::from_bytes([0; 16]), IdOrigin::Service)
            });
            records.push(NewRecord { id, id_origin, draft: request.draft });
        }
        let (true, Some(mode)) = (violations.is_empty(), mode) else {
            let entity = permit.entity();
            for (index, record) in records.iter_mut().enumerate() {
                let found = check_create(&entity, &mut record.draft).into_iter();
                violations.extend(found.map(|violation| violation.within(&item(index))));
            }
            return Err(self.dispatcher.invalid(violations));
        };
        self.admit_items(&permit, records.len())?;
        let (ids, place) = (ids.in_order, permit.record(RecordId::from_bytes([0; 16])));
        let created = create::create_batch(&self.dispatcher.deployment, permit, records, mode).await;
        let id_field = self.id_field();
        let fields = BatchFields { items: REQUESTS, id: &id_field, etag: "", ids: &ids };
        let records = created.map_err(|error| self.failed(error, &place, &fields))?;
        Ok(EntityReply::Batch(place.organization.name.clone(), records, ReadMask::default()))
    }

    /// Returns the place of the records too.
    pub(super) async fn update(
        &self,
        request: BatchRequest<UpdateRequest>,
    ) -> Result<(EntityReply, RecordPlace), Status> {
        let Opened { permit, mut violations, mode, items } = self.open(request).await?;
        let organization = &permit.organization().name;
        let singular = &self.entity.singular;
        let (name_field, etag_field) = (format!("{singular}.name"), format!("{singular}.etag"));
        let (mut ids, mut changes) = (Different::default(), Vec::with_capacity(items.len()));
        for (index, BatchItem { request, violations: of_batch, .. }) in items.into_iter().enumerate() {
            let item = item(index);
            let UpdateRequest { name, etag, draft, touched, mask_violations, .. } = request;
            violations.extend(of_batch.into_iter().chain(mask_violations).map(|violation| violation.within(&item)));
            let field = format!("{item}.{name_field}");
            let id = self.within(&field, name, organization).and_then(|id| ids.add(|| field.clone(), id));
            let etag = revision(&format!("{item}.{etag_field}"), &etag);
            match (id, etag) {
                (Ok(id), Ok(etag_revision)) => changes.push(RecordChange { id, draft, touched, etag_revision }),
                (id, etag) => {
                    violations.extend(id.err().into_iter().chain(etag.err()));
                    let found = check_update(&permit.entity(), &draft, &touched).into_iter();
                    violations.extend(found.map(|violation| violation.within(&item)));
                }
            }
        }
        let (true, Some(mode)) = (violations.is_empty(), mode) else {
            return Err(self.dispatcher.invalid(violations));
        };
        self.admit_items(&permit, changes.len())?;
        let (ids, place) = (ids.in_order, permit.record(RecordId::from_bytes([0; 16])));
        let places = self.lines(&place, &ids)?;
        let lines = lines(&places);
        let updated = update::update_batch(&self.dispatcher.deployment, permit, &changes, mode, &lines).await;
        let fields = BatchFields { items: REQUESTS, id: &name_field, etag: &etag_field, ids: &ids };
        let updated = updated.map_err(|error| self.failed(error, &place, &fields))?;
        Ok((EntityReply::BatchUpdated(place.organization.name.clone(), updated), place))
    }

    /// Returns the place of the records too.
    pub(super) async fn delete(
        &self,
        request: BatchRequest<DeleteRequest>,
    ) -> Result<(EntityReply, RecordPlace), Status> {
        let Opened { permit, mut violations, mode, items } = self.open(request).await?;
        let organization = &permit.organization().name;
        let (mut ids, mut deletions) = (Different::default(), Vec::with_capacity(items.len()));
        for (index, BatchItem { request, violations: of_batch, .. }) in items.into_iter().enumerate() {
            let item = item(index);
            violations.extend(of_batch.into_iter().map(|violation| violation.within(&item)));
            let field = format!("{item}.name");
            let id = self.within(&field, request.name, organization).and_then(|id| ids.add(|| field.clone(), id));
            match (id, revision(&format!("{item}.etag"), &request.etag)) {
                (Ok(id), Ok(etag_revision)) => deletions.push(Deletion { id, etag_revision }),
                (id, etag) => violations.extend(id.err().into_iter().chain(etag.err())),
            }
        }
        let (true, Some(mode)) = (violations.is_empty(), mode) else {
            return Err(self.dispatcher.invalid(violations));
        };
        self.admit_items(&permit, deletions.len())?;
        let (ids, place) = (ids.in_order, permit.record(RecordId::from_bytes([0; 16])));
        let places = self.lines(&place, &ids)?;
        let lines = lines(&places);
        let deleted = delete::delete_batch(&self.dispatcher.deployment, permit, &deletions, mode, &lines).await;
        let fields = BatchFields { items: REQUESTS, id: "name", etag: "etag", ids: &ids };
        deleted.map_err(|error| self.failed(error, &place, &fields))?;
        Ok((EntityReply::Empty, place))
    }

    /// Admits a batch of writes, and reads what all of them have. A batch has at least one item.
    async fn open<T>(&self, request: BatchRequest<T>) -> Result<Opened<T>, Status> {
        let BatchRequest { parent, items, write } = request;
        let permit = self.dispatcher.enter_to_write(self.extensions, &parent, self.entity).await?;
        let mut violations: Vec<_> = parent.resource.err().into_iter().collect();
        let mode = taken(mode(&write).map_err(|violation| vec![violation]), &mut violations);
        let items = match items {
            Ok(items) => {
                if items.is_empty() {
                    violations.push(Violation::new(REQUESTS, Problem::Required));
                }
                items
            }
            Err(violation) => {
                violations.push(violation);
                Vec::new()
            }
        };
        Ok(Opened { permit, violations, mode, items })
    }

    /// The id in a name, which belongs to the organization of the batch.
    fn within(
        &self,
        field: &str,
        name: ParsedName<RecordId>,
        organization: &OrganizationName,
    ) -> Result<RecordId, Violation> {
        match (name.organization, name.resource) {
            (Ok(of), Ok(id)) if of == *organization => Ok(id),
            _ => {
                let form = format!("{}/{}/{{id}}", organization.resource_name(), self.entity.collection);
                Err(Violation::new(field, Problem::NotAName { form }))
            }
        }
    }

    /// Counts the items as calls.
    fn admit_items<A: Action>(&self, permit: &Permit<A>, items: usize) -> Result<(), Status> {
        let (identity, organization) = (&permit.caller().identity, &permit.organization().name);
        Ok(self.dispatcher.rates.admit_items(identity, organization, items)?)
    }

    /// Places in the lines of the writers of these records. The order of the ids prevents that two batches wait for each other.
    fn lines(&self, place: &RecordPlace, ids: &[RecordId]) -> Result<Vec<Place<(OrganizationId, RecordId)>>, Status> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let join = |id: RecordId| Ok(self.dispatcher.bounded.records.join((place.organization.id, id))?);
        ids.into_iter().map(join).collect()
    }

    /// The status of an error. Refusals by a limit are counted.
    fn failed(&self, error: RecordError, place: &RecordPlace, fields: &BatchFields<'_>) -> Status {
        if matches!(error, RecordError::BatchTooLarge { .. }) {
            self.dispatcher.shed.count("message_size_max_bytes");
        } else if matches!(error, RecordError::ListTooLong { .. }) {
            self.dispatcher.shed.count("list_time_max_ms");
        }
        status::batch(error, place, fields)
    }

    fn id_field(&self) -> String {
        format!("{}_id", self.entity.singular)
    }
}

/// The ids of a batch, each once.
#[derive(Default)]
struct Different {
    in_order: Vec<RecordId>,
    known: BTreeSet<RecordId>,
}

impl Different {
    /// `field` returns the name of the field that contains the id.
    fn add(&mut self, field: impl FnOnce() -> String, id: RecordId) -> Result<RecordId, Violation> {
        if !self.known.insert(id) {
            return Err(Violation::new(field(), Problem::Repeated));
        }
        self.in_order.push(id);
        Ok(id)
    }
}

fn lines(places: &[Place<(OrganizationId, RecordId)>]) -> Vec<&dyn Line> {
    places.iter().map(|place| place as &dyn Line).collect()
}

/// `requests[3]`
fn item(index: usize) -> String {
    format!("{REQUESTS}[{index}]")
}

/// The value; without one, adds its violations.
fn taken<T>(value: Result<T, Vec<Violation>>, violations: &mut Vec<Violation>) -> Option<T> {
    value.map_err(|found| violations.extend(found)).ok()
}
