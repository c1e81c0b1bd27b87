//! The five standard methods, for all entities.

use std::sync::Arc;

use bytes::BytesMut;
use http::Extensions;
use sealward_core::{
    id::{OrganizationId, RecordId},
    mask::ReadMask,
    permit::Permit,
    policy::{ReadRecords, WriteRecords},
    record::{
        Draft, Mode, RecordError, RecordPlace, Touched,
        check::{check_create, check_update},
        create::{self, IdOrigin},
        delete, get, list, update,
    },
    schema::Entity,
    violation::{Problem, Violation},
};
use tonic::{Status, body::Body};

use super::{
    codec::{
        CreateRequest, DeleteRequest, EntityCodec, EntityReply, EntityRequest, GetRequest, ListRequest, UpdateRequest,
        WriteOptions,
    },
    dispatcher::Dispatcher,
    services::ServicesBuilder,
    unary,
};
use crate::{background::reencryption, bounds::turns::Place, schema::EntityMethod, status};

/// Adds one method.
pub(super) fn add(services: &mut ServicesBuilder, dispatcher: Arc<Dispatcher>, method: EntityMethod) {
    let path = method.path.clone();
    let codec = EntityCodec::new(&method, dispatcher.mask_paths_max());
    let handler = Arc::new(Handler { dispatcher, method, codec });
    services.add_method(path, move |request| {
        let handler = Arc::clone(&handler);
        Box::pin(async move { Ok(handler.serve(request).await) })
    });
}

struct Handler {
    dispatcher: Arc<Dispatcher>,
    method: EntityMethod,
    codec: EntityCodec,
}

impl Handler {
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        self.answer(request).await.map_or_else(Status::into_http, unary::response)
    }

    async fn answer(&self, request: http::Request<Body>) -> Result<BytesMut, Status> {
        let (head, body) = request.into_parts();
        let request = self.codec.decode(&unary::read(body).await?)?;
        let reply = self.call(&head.extensions, request).await?;
        let message = self.codec.encode(&reply, unary::begin);
        unary::check_length(&message, self.dispatcher.message_size_max_bytes())?;
        Ok(message)
    }

    async fn call(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        match request {
            EntityRequest::Create(request) => self.create(extensions, request).await,
            EntityRequest::Get(request) => self.get(extensions, request).await,
            EntityRequest::List(request) => self.list(extensions, request).await,
            EntityRequest::Update(request) => self.update(extensions, request).await,
            EntityRequest::Delete(request) => self.delete(extensions, request).await,
        }
    }

    async fn create(&self, extensions: &Extensions, request: CreateRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.parent, self.entity())?;
        let NewRecord { id, id_origin, draft, mode } = self.new_record(&permit, request)?;
        let place = permit.record(id);
        let created = create::create(&self.dispatcher.deployment, permit, id, id_origin, draft, mode).await;
        let record = created.map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Record(place.organization.name.clone(), record))
    }

    async fn get(&self, extensions: &Extensions, request: GetRequest) -> Result<EntityReply, Status> {
        let permit: Permit<ReadRecords> = self.dispatcher.enter(extensions, &request.name)?;
        let (mask, id) = self.both(request.read_mask, request.name.resource)?;
        let place = permit.record_of(self.entity(), id);
        let got = get::get(permit, self.entity(), id, &mask).await;
        let record = got.map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Read(place.organization.name.clone(), record, mask))
    }

    async fn list(&self, extensions: &Extensions, request: ListRequest) -> Result<EntityReply, Status> {
        let permit: Permit<ReadRecords> = self.dispatcher.enter(extensions, &request.parent)?;
        let (mask, size, query) = self.page_of(&permit, &request)?;
        let (token, count, method) = (&*request.page_token, request.return_total_size, &*self.method.path);
        let page = list::Page { size, token, mask, count, method };
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&permit.caller().identity).await?;
        let place = permit.record_of(self.entity(), RecordId::from_bytes([0; 16]));
        let listed = list::list(&self.dispatcher.deployment, permit, query, page).await;
        let listed = listed.map_err(|error| self.list_error(error, &place))?;
        Ok(EntityReply::List(place.organization.name.clone(), listed, mask.clone()))
    }

    async fn update(&self, extensions: &Extensions, request: UpdateRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.name, self.entity())?;
        let Change { id, draft, touched, etag, mode } = self.change(&permit, request)?;
        let place = permit.record(id);
        let line = self.line(&place)?;
        let given = (&draft, &touched);
        let updated = update::update(&self.dispatcher.deployment, permit, id, given, etag, mode, &line).await;
        let updated = updated.map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Updated(place.organization.name.clone(), updated))
    }

    async fn delete(&self, extensions: &Extensions, request: DeleteRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.name, self.entity())?;
        let id = request.name.resource.map_err(invalid)?;
        let etag = revision("etag", &request.etag).map_err(invalid)?;
        let mode = mode(&request.write).map_err(invalid)?;
        let place = permit.record(id);
        let line = self.line(&place)?;
        let deleted = delete::delete(&self.dispatcher.deployment, permit, id, etag, mode, &line).await;
        deleted.map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Empty)
    }

    /// The record to create. An error lists the violations of the record together with all others.
    fn new_record(
        &self,
        permit: &Permit<WriteRecords>,
        CreateRequest { parent, id, mut draft, write }: CreateRequest,
    ) -> Result<NewRecord, Status> {
        let id_origin = if id.is_empty() { IdOrigin::Service } else { IdOrigin::Caller };
        match (parent.resource, self.new_id(&id), mode(&write)) {
            (Ok(_), Ok(id), Ok(mode)) => Ok(NewRecord { id, id_origin, draft, mode }),
            (parent, id, mode) => {
                let mut violations: Vec<_> = [parent.err(), id.err(), mode.err()].into_iter().flatten().collect();
                violations.extend(check_create(&permit.entity(), &mut draft));
                Err(self.dispatcher.invalid(violations))
            }
        }
    }

    /// The requested change. An error lists the violations of the record together with all others.
    fn change(
        &self,
        permit: &Permit<WriteRecords>,
        UpdateRequest { name, etag, draft, touched, mask_violations, write }: UpdateRequest,
    ) -> Result<Change, Status> {
        let etag = revision(&format!("{}.etag", self.entity().singular), &etag);
        match (name.resource, etag, mode(&write)) {
            (Ok(id), Ok(etag), Ok(mode)) if mask_violations.is_empty() => Ok(Change { id, draft, touched, etag, mode }),
            (id, etag, mode) => {
                let mut violations = mask_violations;
                violations.extend([id.err(), etag.err(), mode.err()].into_iter().flatten());
                violations.extend(check_update(&permit.entity(), &draft, &touched));
                Err(self.dispatcher.invalid(violations))
            }
        }
    }

    /// The fields, the page size and the query of a list.
    fn page_of<'a>(
        &self,
        permit: &Permit<ReadRecords>,
        request: &'a ListRequest,
    ) -> Result<(&'a ReadMask, u32, list::Query<'a>), Status> {
        let size = self.dispatcher.page_size(request.page_size);
        let bounds = self.dispatcher.deployment.filter_bounds;
        let query = list::Query::parse(permit, bounds, &request.filter, &request.order_by, self.entity());
        match (&request.read_mask, &request.parent.resource, size, query) {
            (Ok(mask), Ok(_), Ok(size), Ok(query)) => Ok((mask, size, query)),
            (mask, parent, size, query) => {
                let mut violations = mask.as_ref().err().cloned().unwrap_or_default();
                violations.extend(parent.as_ref().err().cloned().into_iter().chain(size.err()));
                violations.extend(query.err().into_iter().flatten());
                Err(self.dispatcher.invalid(violations))
            }
        }
    }

    /// Both values, or all their violations.
    fn both<T, U>(&self, one: Result<T, Vec<Violation>>, other: Result<U, Violation>) -> Result<(T, U), Status> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (one, other) => {
                let violations = one.err().unwrap_or_default().into_iter().chain(other.err());
                Err(self.dispatcher.invalid(violations.collect()))
            }
        }
    }

    /// The status of an error of a list. Refusals by a limit are counted.
    fn list_error(&self, error: RecordError, place: &RecordPlace) -> Status {
        if let RecordError::ListTooLong { .. } = error {
            self.dispatcher.shed.count("list_time_max_ms");
        }
        status::record(error, place)
    }

    /// A place in the line of the writers of this record.
    fn line(&self, place: &RecordPlace) -> Result<Place<(OrganizationId, RecordId)>, Status> {
        Ok(self.dispatcher.bounded.records.join((place.organization.id, place.id))?)
    }

    fn retire_healed(&self, place: &RecordPlace) {
        reencryption::retire_healed(&self.dispatcher.deployment, &self.dispatcher.drain, &place.organization);
    }

    fn entity(&self) -> &Arc<Entity> {
        &self.method.entity
    }

    /// The given id, or a new one if the entity allows to omit it.
    fn new_id(&self, given: &str) -> Result<RecordId, Violation> {
        let field = || format!("{}_id", self.entity().singular);
        if !given.is_empty() {
            return given.parse().map_err(|_| Violation::new(field(), Problem::NotAUuid));
        }
        if self.entity().id_required {
            return Err(Violation::new(field(), Problem::Required));
        }
        let ports = &self.dispatcher.deployment.ports;
        Ok(RecordId::new_v7(ports.clock.now(), &*ports.random))
    }
}

/// A record to create.
struct NewRecord {
    id: RecordId,
    id_origin: IdOrigin,
    draft: Draft,
    mode: Mode,
}

/// A change of a record.
struct Change {
    id: RecordId,
    draft: Draft,
    touched: Touched,
    /// The revision that the caller expects.
    etag: Option<i64>,
    mode: Mode,
}

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}

/// The mode of a write. A dry run ignores the idempotency key.
fn mode(write: &WriteOptions) -> Result<Mode, Violation> {
    let WriteOptions { validate_only, request_id } = write;
    if *validate_only {
        return Ok(Mode::ValidateOnly);
    }
    if request_id.is_empty() {
        return Ok(Mode::Execute);
    }
    let id = request_id.parse().map_err(|_| Violation::new("request_id", Problem::NotAUuid))?;
    Ok(Mode::ExecuteOnce(id))
}

/// The revision in an etag; `None` without an etag.
fn revision(field: &str, etag: &str) -> Result<Option<i64>, Violation> {
    if etag.is_empty() {
        return Ok(None);
    }
    match etag.parse::<i64>() {
        Ok(revision) if revision > 0 && revision.to_string() == etag => Ok(Some(revision)),
        Ok(_) | Err(_) => Err(Violation::new(field, Problem::NotAnEtag)),
    }
}
