//! The standard methods, for all entities. Batches and imports are in the folder.

mod batch;
mod fields;
mod import;

use std::sync::Arc;

use bytes::Bytes;
use http::Extensions;
use sealward_core::{
    id::{OrganizationId, RecordId},
    mask::ReadMask,
    organization::Organization,
    permit::Permit,
    policy::{ReadRecords, WriteRecords},
    record::{
        Mode, RecordError, RecordPlace,
        check::{check_create, check_update},
        create::{self, NewRecord},
        delete::{self, Deletion},
        get, list,
        update::{self, RecordChange},
    },
    schema::Entity,
    violation::Violation,
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, StreamingService},
};

use self::{
    batch::Batch,
    fields::{mode, new_id, revision},
};
use super::{
    answers::Answered,
    codec::{
        CreateRequest, DeleteRequest, EntityCodec, EntityReply, EntityRequest, GetRequest, ListRequest, StreamCodec,
        UpdateRequest,
    },
    dispatcher::Dispatcher,
    services::ServicesBuilder,
    unary,
};
use crate::{
    background::reencryption,
    bounds::turns::Place,
    schema::{EntityMethod, StandardMethod},
    status,
};

/// Adds one method.
pub(super) fn add(services: &mut ServicesBuilder, dispatcher: Arc<Dispatcher>, method: EntityMethod) {
    let path = method.path.clone();
    let codec = Arc::new(EntityCodec::new(&method, dispatcher.codec_bounds()));
    let is_import = method.standard == StandardMethod::Import;
    let handler = Arc::new(Handler { dispatcher, method, codec });
    services.add_method(path, move |request| {
        let handler = Arc::clone(&handler);
        if is_import {
            Box::pin(async move { Ok(handler.serve_import(request).await) })
        } else {
            Box::pin(async move { Ok(handler.serve(request).await) })
        }
    });
}

struct Handler {
    dispatcher: Arc<Dispatcher>,
    method: EntityMethod,
    codec: Arc<EntityCodec>,
}

/// The handler of an import, which is a stream in both directions.
struct ImportHandler(Arc<Handler>);

impl StreamingService<EntityRequest> for ImportHandler {
    type Response = EntityReply;
    type ResponseStream = Answered<EntityReply>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<EntityRequest>>) -> Self::Future {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let (_, extensions, stream) = request.into_parts();
            let (dispatcher, entity) = (Arc::clone(&handler.dispatcher), Arc::clone(handler.entity()));
            import::begin(dispatcher, entity, &extensions, stream).await.map(Response::new)
        })
    }
}

impl Handler {
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        self.answer(request).await.map_or_else(Status::into_http, unary::response)
    }

    async fn serve_import(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        let max = Some(self.dispatcher.message_size_max_bytes());
        let codec = StreamCodec::new(Arc::clone(&self.codec));
        Grpc::new(codec).apply_max_message_size_config(max, max).streaming(ImportHandler(self), request).await
    }

    async fn answer(&self, request: http::Request<Body>) -> Result<Bytes, Status> {
        let (head, body) = request.into_parts();
        let body = unary::read(body).await?;
        let request = self.codec.decode(&body)?;
        let repeatable = self.shared_organization(&request).map(|organization| (organization, body));
        let reply = match (self.call(&head.extensions, request).await, repeatable) {
            // Perhaps by a rule that another server has changed. Nothing was done.
            (Err(refused), Some((organization, body))) if refused.code() == Code::InvalidArgument => {
                if !self.dispatcher.refresh_schema(&organization).await? {
                    return Err(refused);
                }
                self.call(&head.extensions, self.codec.decode(&body)?).await?
            }
            (outcome, _) => outcome?,
        };
        let message = self.codec.encode(reply, unary::begin);
        unary::check_length(&message, self.dispatcher.message_size_max_bytes())?;
        Ok(message)
    }

    /// The organization of a request, if other servers may change its schema.
    fn shared_organization(&self, request: &EntityRequest) -> Option<Arc<Organization>> {
        let deployment = &self.dispatcher.deployment;
        if !deployment.ports.databases.is_shared() {
            return None;
        }
        deployment.organization(request.organization()?)
    }

    async fn call(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        match request {
            EntityRequest::Get(request) => self.get(extensions, request).await,
            // In boxes, because the future of a call has the size of the largest of these, and is moved several times. Only the shortest
            // method gains from the room in it.
            EntityRequest::Create(request) => Box::pin(self.create(extensions, request)).await,
            EntityRequest::List(request) => Box::pin(self.list(extensions, request)).await,
            EntityRequest::Update(request) => Box::pin(self.update(extensions, request)).await,
            EntityRequest::Delete(request) => Box::pin(self.delete(extensions, request)).await,
            EntityRequest::BatchGet(request) => Box::pin(self.batch(extensions).get(request)).await,
            EntityRequest::BatchCreate(request) => Box::pin(self.batch(extensions).create(request)).await,
            EntityRequest::BatchUpdate(request) => {
                let (reply, place) = Box::pin(self.batch(extensions).update(request)).await?;
                self.retire_healed(&place);
                Ok(reply)
            }
            EntityRequest::BatchDelete(request) => {
                let (reply, place) = Box::pin(self.batch(extensions).delete(request)).await?;
                self.retire_healed(&place);
                Ok(reply)
            }
            // Only a stream has requests of an import.
            EntityRequest::Import(_) => Err(status::message_invalid()),
        }
    }

    async fn create(&self, extensions: &Extensions, request: CreateRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.parent, self.entity()).await?;
        let (record, mode) = self.new_record(&permit, request)?;
        let place = permit.record(record.id);
        let created = create::create(&self.dispatcher.deployment, permit, record, mode).await;
        let record = created.map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Record(place.organization.name.clone(), record))
    }

    async fn get(&self, extensions: &Extensions, request: GetRequest) -> Result<EntityReply, Status> {
        let permit: Permit<ReadRecords> = self.dispatcher.enter(extensions, &request.name).await?;
        let (mask, id) = self.both(request.read_mask, request.name.resource)?;
        let place = permit.record_of(self.entity(), id);
        let got = get::get(permit, self.entity(), id, &mask).await;
        let record = got.map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Read(place.organization.name.clone(), record, mask))
    }

    async fn list(&self, extensions: &Extensions, request: ListRequest) -> Result<EntityReply, Status> {
        let permit: Permit<ReadRecords> = self.dispatcher.enter(extensions, &request.parent).await?;
        let (mask, size, query) = self.page_of(&permit, &request)?;
        let (token, count, method) = (&*request.page_token, request.return_total_size, &*self.method.path);
        let page = list::Page { size, token, mask, count, method };
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&permit.caller().identity).await?;
        let place = permit.record_of(self.entity(), RecordId::from_bytes([0; 16]));
        let (deployment, organization) = (&self.dispatcher.deployment, place.organization.name.clone());
        let records = self.codec.page(organization, mask.clone(), unary::begin_page(size), deployment.page_bytes_max);
        let listed = list::list(deployment, permit, query, page, records).await;
        let listed = listed.map_err(|error| self.list_error(error, &place))?;
        let message = listed.records.finish(&listed.next_page_token, listed.total_size);
        Ok(EntityReply::Page(unary::end_page(message)))
    }

    async fn update(&self, extensions: &Extensions, request: UpdateRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.name, self.entity()).await?;
        let (change, mode) = self.change(&permit, request)?;
        let place = permit.record(change.id);
        let line = self.line(&place)?;
        let updated = update::update(&self.dispatcher.deployment, permit, &change, mode, &line).await;
        let updated = updated.map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Updated(place.organization.name.clone(), updated))
    }

    async fn delete(&self, extensions: &Extensions, request: DeleteRequest) -> Result<EntityReply, Status> {
        let permit = self.dispatcher.enter_to_write(extensions, &request.name, self.entity()).await?;
        let id = request.name.resource.map_err(invalid)?;
        let etag_revision = revision("etag", &request.etag).map_err(invalid)?;
        let mode = mode(&request.write).map_err(invalid)?;
        let place = permit.record(id);
        let line = self.line(&place)?;
        let deletion = Deletion { id, etag_revision };
        let deleted = delete::delete(&self.dispatcher.deployment, permit, deletion, mode, &line).await;
        deleted.map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Empty)
    }

    /// The record to create. An error lists the violations of the record together with all others.
    fn new_record(
        &self,
        permit: &Permit<WriteRecords>,
        CreateRequest { parent, id, mut draft, write, .. }: CreateRequest,
    ) -> Result<(NewRecord, Mode), Status> {
        let deployment = &self.dispatcher.deployment;
        let new_id = new_id(deployment, &*deployment.ports.random, self.entity(), &id);
        match (parent.resource, new_id, mode(&write)) {
            (Ok(_), Ok((id, id_origin)), Ok(mode)) => Ok((NewRecord { id, id_origin, draft }, mode)),
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
    ) -> Result<(RecordChange, Mode), Status> {
        let etag = revision(&format!("{}.etag", self.entity().singular), &etag);
        match (name.resource, etag, mode(&write)) {
            (Ok(id), Ok(etag_revision), Ok(mode)) if mask_violations.is_empty() => {
                Ok((RecordChange { id, draft, touched, etag_revision }, mode))
            }
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

    fn batch<'a>(&'a self, extensions: &'a Extensions) -> Batch<'a> {
        Batch { dispatcher: &self.dispatcher, entity: self.entity(), extensions }
    }
}

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}
