//! OrganizationService: creates, gets, lists, deletes, exports and imports organizations.

use std::{pin::Pin, sync::Arc};

use http::Extensions;
use sealward::v1::{
    CreateOrganizationRequest, DeleteOrganizationRequest, ExportOrganizationRequest, ExportOrganizationResponse,
    GetOrganizationRequest, ImportOrganizationRequest, ListOrganizationsRequest, ListOrganizationsResponse,
    Organization as Resource, organization_service_server::OrganizationService,
};
use sealward_core::{
    name::OrganizationName,
    organization::{Organization, create::create, delete::delete, export::Export},
    permit::Permit,
    policy::{CreateOrganization, DeleteOrganization, ExportOrganization, Policy, Privilege, ReadOrganization},
    violation::{Problem, Violation},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    answers::answers,
    dispatcher::Dispatcher,
    name,
    paged_list::PagedList,
    transfer::{self, Bounds, Ending},
};
use crate::{schema::timestamp_to_proto, status, transport::connection_ending::ConnectionEnding};

const LIST: &str = "/sealward.v1.OrganizationService/ListOrganizations";

pub(crate) struct Organizations {
    dispatcher: Arc<Dispatcher>,
}

impl Organizations {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Organizations { dispatcher }
    }

    /// The events and bounds that may end a transfer.
    fn transfer(&self, extensions: &Extensions) -> (Ending, Bounds) {
        let Dispatcher { drain, limits, shed, .. } = &*self.dispatcher;
        let ending = Ending { drain: drain.clone(), connection: ConnectionEnding::of(extensions) };
        (ending, Bounds::new(limits, shed.clone()))
    }
}

#[tonic::async_trait]
impl OrganizationService for Organizations {
    type ExportOrganizationStream = Pin<Box<dyn Stream<Item = Result<ExportOrganizationResponse, Status>> + Send>>;

    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> Result<Response<Resource>, Status> {
        let (_, extensions, request) = request.into_parts();
        let permit = self.dispatcher.enter_deployment::<CreateOrganization>(&extensions)?;
        let (_, policy) = self.dispatcher.caller(&extensions)?;
        let deployment = Arc::clone(&self.dispatcher.deployment);
        let name: OrganizationName = request
            .organization_id
            .parse()
            .map_err(|_| status::invalid(vec![Violation::new("organization_id", Problem::NotAnOrganizationId)]))?;
        let new = name.clone();
        // In a separate task, so that a caller that leaves doesn't interrupt it.
        let task = self.dispatcher.drain.spawn(async move { create(&deployment, permit, &new).await });
        match task.await {
            Ok(Ok(organization)) => {
                warn_of_bindings(&policy, &organization.name, "role bindings already name created organization");
                Ok(Response::new(resource(&organization)))
            }
            Ok(Err(error)) => Err(status::create_organization(error, &name)),
            Err(_) => Err(status::broken()),
        }
    }

    async fn get_organization(&self, request: Request<GetOrganizationRequest>) -> Result<Response<Resource>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("name", &request.name);
        let permit: Permit<ReadOrganization> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(|violation| status::invalid(vec![violation]))?;
        Ok(Response::new(resource(permit.organization())))
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (caller, policy) = self.dispatcher.caller(&extensions)?;
        let size =
            self.dispatcher.page_size(request.page_size).map_err(|violation| status::invalid(vec![violation]))?;
        let deployment = &self.dispatcher.deployment;
        let visible: Vec<_> = deployment
            .organizations()
            .into_iter()
            .filter(|organization| policy.holds(&caller.identity, Privilege::ReadOrganizations, &organization.name))
            .collect();
        let list = PagedList {
            root_key: &*deployment.ports.root_key,
            method: LIST,
            parent: "organizations",
            identity: &caller.identity,
            bytes_max: deployment.page_bytes_max,
        };
        // Organizations are named by their ids.
        let (organizations, next_page_token) = list.page(
            &visible,
            size,
            &request.page_token,
            |organization| organization.id.as_bytes(),
            |organization| resource(organization),
        )?;
        Ok(Response::new(ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn export_organization(
        &self,
        request: Request<ExportOrganizationRequest>,
    ) -> Result<Response<Self::ExportOrganizationStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("name", &request.name);
        let permit: Permit<ExportOrganization> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(|violation| status::invalid(vec![violation]))?;
        let organization = Arc::clone(permit.organization());
        let held = self.dispatcher.bounded.streams.enter(&permit.caller().identity)?;
        let (ending, bounds) = self.transfer(&extensions);
        match Export::begin(&self.dispatcher.deployment, permit).await {
            Ok((exported, export)) => {
                let (answers, answered) = answers();
                self.dispatcher.drain.spawn(async move {
                    let _held = (held, ending.connection.hold());
                    transfer::export(&organization.name, exported, export, ending, bounds, answers).await;
                });
                Ok(Response::new(Box::pin(answered)))
            }
            Err(error) => Err(transfer::of_snapshot(error, &organization.name, &bounds.shed)),
        }
    }

    async fn import_organization(
        &self,
        request: Request<Streaming<ImportOrganizationRequest>>,
    ) -> Result<Response<Resource>, Status> {
        let (_, extensions, file) = request.into_parts();
        let permit = self.dispatcher.enter_deployment::<CreateOrganization>(&extensions)?;
        let held = self.dispatcher.bounded.streams.enter(&permit.caller().identity)?;
        let (ending, bounds) = self.transfer(&extensions);
        let (_, policy) = self.dispatcher.caller(&extensions)?;
        let deployment = Arc::clone(&self.dispatcher.deployment);
        // In a separate task, so that an import whose caller leaves is cleaned up.
        let task = self.dispatcher.drain.spawn(async move {
            let _held = (held, ending.connection.hold());
            transfer::import(&deployment, permit, &ending, &bounds, file).await
        });
        let organization = task.await.map_err(|_| status::broken())??;
        warn_of_bindings(&policy, &organization.name, "role bindings already name imported organization");
        Ok(Response::new(resource(&organization)))
    }

    async fn delete_organization(&self, request: Request<DeleteOrganizationRequest>) -> Result<Response<()>, Status> {
        let (_, extensions, request) = request.into_parts();
        let permit = self.dispatcher.enter_deployment::<DeleteOrganization>(&extensions)?;
        let name = name::organization("name", &request.name);
        let name = name.resource.map_err(|violation| status::invalid(vec![violation]))?;
        if request.confirm_name != request.name {
            let problem = Problem::NotConfirmed { expected: request.name };
            return Err(status::invalid(vec![Violation::new("confirm_name", problem)]));
        }
        let (_, policy) = self.dispatcher.caller(&extensions)?;
        let deployment = Arc::clone(&self.dispatcher.deployment);
        self.dispatcher.look_for(&name).await?;
        let permit = permit.enter(&deployment, &name).map_err(status::not_entered)?;
        let id = permit.organization().id;
        let audit_copy = self.dispatcher.audit_copy.clone();
        // In a separate task, so that a caller that leaves doesn't interrupt it.
        let task = self.dispatcher.drain.spawn(async move {
            let work = permit.begin_work(&deployment).await?;
            audit_copy.catch_up(id).await;
            delete(&deployment, work).await?;
            audit_copy.gone(id);
            Ok(())
        });
        match task.await {
            Ok(Ok(())) => {
                warn_of_bindings(&policy, &name, "role bindings still name deleted organization");
                Ok(Response::new(()))
            }
            Ok(Err(error)) => Err(status::key(error, &name, None)),
            Err(_) => Err(status::broken()),
        }
    }
}

/// Bindings contain names. A binding that names an organization before its creation or after its deletion applies to the next one with this
/// name.
fn warn_of_bindings(policy: &Policy, organization: &OrganizationName, event: &str) {
    let identities: Vec<String> =
        policy.bindings_naming(organization).map(|binding| binding.identity.to_string()).collect();
    if !identities.is_empty() {
        tracing::warn!(organization = organization.as_str(), identities = identities.join(", "), "{event}");
    }
}

fn resource(organization: &Organization) -> Resource {
    Resource {
        name: organization.resource_name(),
        uid: organization.id.to_string(),
        create_time: Some(timestamp_to_proto(organization.create_time)),
    }
}
