//! The five standard methods, for all entities.

use std::sync::Arc;

use axum::Router;
use http::Extensions;
use sealward_core::{
    id::{OrganizationId, RecordId},
    identity::Caller,
    organization::Organization,
    policy::ReadRecords,
    record::{
        self, Mode, RecordError, RecordPlace,
        create::{self, IdOrigin},
        delete, get, list, update,
    },
    schema::Entity,
    violation::{Problem, Violation},
};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, UnaryService},
};
use tower::service_fn;

use super::{
    codec::{EntityCodec, EntityReply, EntityRequest},
    dispatcher::{Dispatcher, Entered},
    name,
};
use crate::{
    background::reencryption,
    bounds::turns::Turn,
    schema::{EntityMethod, StandardMethod},
    status,
};

/// Adds the route of one method.
pub(crate) fn route(router: Router, dispatcher: Arc<Dispatcher>, method: EntityMethod) -> Router {
    let path = method.path.clone();
    let handler = Handler { dispatcher, method: Arc::new(method) };
    let service = service_fn(move |request: http::Request<axum::body::Body>| {
        let handler = handler.clone();
        async move {
            let max = handler.dispatcher.message_size_max_bytes();
            let codec = EntityCodec::new(Arc::clone(&handler.method), handler.dispatcher.mask_paths_max());
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(max), Some(max));
            let response = grpc.unary(handler, request.map(Body::new)).await;
            Ok::<_, std::convert::Infallible>(response.map(axum::body::Body::new))
        }
    });
    router.route_service(&path, service)
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
            let reply = match handler.method.standard {
                StandardMethod::Create => handler.create(&extensions, request).await,
                StandardMethod::Get => handler.get(&extensions, request).await,
                StandardMethod::List => handler.list(&extensions, request).await,
                StandardMethod::Update => handler.update(&extensions, request).await,
                StandardMethod::Delete => handler.delete(&extensions, request).await,
            };
            reply.map(Response::new)
        })
    }
}

impl Handler {
    async fn create(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        let entered = self.dispatcher.enter_to_write(extensions, "parent", &request.name, self.entity())?;
        let deployment = &self.dispatcher.deployment;
        let mut violations = request.violations;
        violations.extend(name::organization("parent", &request.name).err());
        let id = self.new_id(&request.id).unwrap_or_else(|violation| {
            violations.push(violation);
            RecordId::from_bytes([0; 16])
        });
        let mode = mode(&entered.caller, request.validate_only, &request.request_id).unwrap_or_else(|violation| {
            violations.push(violation);
            Mode::ValidateOnly
        });
        let mut draft = request.draft;
        let place = self.place(&entered, id);
        if !violations.is_empty() {
            // The same response also reports the violations of the record.
            violations.extend(sealward_core::record::check::check_create(&place.entity, &mut draft));
            return Err(self.dispatcher.invalid(violations));
        }
        let id_origin = if request.id.is_empty() { IdOrigin::Service } else { IdOrigin::Caller };
        let record = create::create(deployment, entered.permit, &entered.caller, &place, id_origin, draft, mode)
            .await
            .map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Record(place.organization.name.clone(), record))
    }

    async fn get(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        let entered: Entered<ReadRecords> = self.dispatcher.enter(extensions, "name", &request.name)?;
        let mut violations = request.violations;
        let id = match name::record("name", &request.name, &entered.organization.name, self.entity()) {
            Ok(id) if violations.is_empty() => id,
            id => {
                violations.extend(id.err());
                return Err(self.dispatcher.invalid(violations));
            }
        };
        let place = self.place(&entered, id);
        let mask = request.read_mask;
        let record = get::get(entered.permit, &place, &mask).await.map_err(|error| status::record(error, &place))?;
        Ok(EntityReply::Read(place.organization.name.clone(), record, mask))
    }

    async fn list(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        let entered: Entered<ReadRecords> = self.dispatcher.enter(extensions, "parent", &request.name)?;
        let organization = &entered.organization;
        let mut violations = request.violations;
        violations.extend(name::organization("parent", &request.name).err());
        let size = self.dispatcher.page_size(request.page_size);
        let entity = &organization.schema().entity(&self.method.entity);
        let bounds = self.dispatcher.deployment.filter_bounds;
        let query = list::Query::parse(bounds, &request.filter, &request.order_by, entity, &organization.name);
        let (size, query) = match (size, query) {
            (Ok(size), Ok(query)) if violations.is_empty() => (size, query),
            (size, query) => {
                violations.extend(size.err());
                violations.extend(query.err().into_iter().flatten());
                return Err(self.dispatcher.invalid(violations));
            }
        };
        let wanted = list::Page {
            size,
            token: &request.page_token,
            mask: &request.read_mask,
            count: request.return_total_size,
            method: &self.method.path,
            identity: &entered.caller.identity,
        };
        let deployment = &self.dispatcher.deployment;
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&entered.caller.identity).await?;
        let listed = list::list(deployment, entered.permit, organization, entity, query, wanted).await;
        let listed = listed.map_err(|error| {
            if let RecordError::ListTooLong { .. } = error {
                self.dispatcher.shed.count("list_time_max_ms");
            }
            status::record(error, &self.place_of(organization, RecordId::from_bytes([0; 16])))
        })?;
        Ok(EntityReply::List(organization.name.clone(), listed, request.read_mask))
    }

    async fn update(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        let field = format!("{}.name", self.entity().singular);
        let entered = self.dispatcher.enter_to_write(extensions, &field, &request.name, self.entity())?;
        let mut violations = request.violations;
        let id = name::record(&field, &request.name, &entered.organization.name, self.entity());
        let etag = revision(&format!("{}.etag", self.entity().singular), &request.etag);
        let mode = mode(&entered.caller, request.validate_only, &request.request_id);
        let (id, etag, mode) = match (id, etag, mode) {
            (Ok(id), Ok(etag), Ok(mode)) if violations.is_empty() => (id, etag, mode),
            (id, etag, mode) => {
                violations.extend(id.err());
                violations.extend(etag.err());
                violations.extend(mode.err());
                let entity = entered.organization.schema().entity(&self.method.entity);
                violations.extend(sealward_core::record::check::check_update(
                    &entity,
                    &request.draft,
                    &request.touched,
                ));
                return Err(self.dispatcher.invalid(violations));
            }
        };
        let _turn = self.turn(&entered.organization, id).await?;
        let place = self.place(&entered, id);
        let deployment = &self.dispatcher.deployment;
        let given = (&request.draft, &request.touched);
        let updated = update::update(deployment, entered.permit, &entered.caller, &place, given, etag, mode)
            .await
            .map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Updated(place.organization.name.clone(), updated))
    }

    async fn delete(&self, extensions: &Extensions, request: EntityRequest) -> Result<EntityReply, Status> {
        let entered = self.dispatcher.enter_to_write(extensions, "name", &request.name, self.entity())?;
        let id = name::record("name", &request.name, &entered.organization.name, self.entity()).map_err(invalid)?;
        let etag = revision("etag", &request.etag).map_err(invalid)?;
        let mode = mode(&entered.caller, request.validate_only, &request.request_id).map_err(invalid)?;
        let _turn = self.turn(&entered.organization, id).await?;
        let place = self.place(&entered, id);
        delete::delete(&self.dispatcher.deployment, entered.permit, &entered.caller, &place, etag, mode)
            .await
            .map_err(|error| status::record(error, &place))?;
        self.retire_healed(&place);
        Ok(EntityReply::Empty)
    }

    /// Waits for earlier writers of this record.
    async fn turn(
        &self,
        organization: &Organization,
        id: RecordId,
    ) -> Result<Turn<(OrganizationId, RecordId)>, Status> {
        Ok(self.dispatcher.bounded.records.take((organization.id, id)).await?)
    }

    fn retire_healed(&self, place: &RecordPlace) {
        reencryption::retire_healed(&self.dispatcher.deployment, &self.dispatcher.drain, &place.organization);
    }

    fn entity(&self) -> &Entity {
        &self.method.entity
    }

    fn place<A>(&self, entered: &Entered<A>, id: RecordId) -> RecordPlace {
        self.place_of(&entered.organization, id)
    }

    fn place_of(&self, organization: &Arc<Organization>, id: RecordId) -> RecordPlace {
        RecordPlace::new(organization, &self.method.entity, id)
    }

    /// The id given, or a new one where the entity allows none to be given.
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

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}

/// How a write is to be carried out. Where it is only checked, its request id is nobody's business.
fn mode<'a>(caller: &'a Caller, validate_only: bool, request_id: &str) -> Result<Mode<'a>, Violation> {
    if validate_only {
        return Ok(Mode::ValidateOnly);
    }
    if request_id.is_empty() {
        return Ok(Mode::Make);
    }
    let id = request_id.parse().map_err(|_| Violation::new("request_id", Problem::NotAUuid))?;
    Ok(Mode::MakeOnce(record::Request { caller: &caller.identity, id }))
}

/// The revision that an etag names; none if there is no etag.
fn revision(field: &str, etag: &str) -> Result<Option<i64>, Violation> {
    if etag.is_empty() {
        return Ok(None);
    }
    match etag.parse::<i64>() {
        Ok(revision) if revision > 0 && revision.to_string() == etag => Ok(Some(revision)),
        Ok(_) | Err(_) => Err(Violation::new(field, Problem::NotAnEtag)),
    }
}
