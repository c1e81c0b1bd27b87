//! The five standard methods, for all entities.

use std::sync::Arc;

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
use tonic::{
    Request, Response, Status,
    server::{Grpc, UnaryService},
};

use super::{
    codec::{
        CreateRequest, DeleteRequest, EntityCodec, EntityReply, EntityRequest, GetRequest, ListRequest, UpdateRequest,
        WriteOptions,
    },
    dispatcher::Dispatcher,
    services::ServicesBuilder,
};
use crate::{background::reencryption, bounds::turns::Turn, schema::EntityMethod, status};

/// Adds one method.
pub(super) fn add(services: &mut ServicesBuilder, dispatcher: Arc<Dispatcher>, method: EntityMethod) {
    let path = method.path.clone();
    let max = dispatcher.message_size_max_bytes();
    let codec = EntityCodec::new(&method, dispatcher.mask_paths_max());
    let handler = Handler { dispatcher, method: Arc::new(method) };
    services.add_method(path, move |request| {
        let (handler, codec) = (handler.clone(), codec.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(max), Some(max));
            Ok(grpc.unary(handler, request).await)
        })
    });
}

#[derive(Clone)]
struct Handler {
    dispatcher: Arc<Dispatcher>,
    method: Arc<EntityMethod>,
}

impl UnaryService<EntityRequest> for Handler {
    type Response = EntityReply;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<EntityReply>, Status>> + Send>>;

    fn call(&mut self, request: Request<EntityRequest>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move {
            let (_, extensions, request) = request.into_parts();
            let reply = match request {
                EntityRequest::Create(request) => handler.create(&extensions, request).await,
                EntityRequest::Get(request) => handler.get(&extensions, request).await,
                EntityRequest::List(request) => handler.list(&extensions, request).await,
                EntityRequest::Update(request) => handler.update(&extensions, request).await,
                EntityRequest::Delete(request) => handler.delete(&extensions, request).await,
            };
            reply.map(Response::new)
        })
    }
}

impl Handler {
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
        let _turn = self.wait_for_turn(&place).await?;
        let given = (&draft, &touched);
        let updated = update::update(&self.dispatcher.deployment, permit, id, given, etag, mode).await;
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
        let _turn = self.wait_for_turn(&place).await?;
        let deleted = delete::delete(&self.dispatcher.deployment, permit, id, etag, mode).await;
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

    /// Waits for earlier writers of this record.
    async fn wait_for_turn(&self, place: &RecordPlace) -> Result<Turn<(OrganizationId, RecordId)>, Status> {
        Ok(self.dispatcher.bounded.records.take((place.organization.id, place.id)).await?)
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
