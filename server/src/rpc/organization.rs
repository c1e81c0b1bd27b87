//! OrganizationService: create, get and list organizations.

use std::sync::Arc;

use fieldseal::v1::{
    CreateOrganizationRequest, GetOrganizationRequest, ListOrganizationsRequest, ListOrganizationsResponse,
    Organization as Resource, organization_service_server::OrganizationService,
};
use fieldseal_core::{
    audit::AuditAction,
    organization::{Organization, create::create},
    page::{self, PageContext},
    policy::{CreateOrganization, Privilege, ReadOrganization},
};
use tonic::{Request, Response, Status};

use super::{
    dispatcher::{Dispatcher, Entered},
    name,
};
use crate::{schema::timestamp_to_proto, status};

const LIST: &str = "/fieldseal.v1.OrganizationService/ListOrganizations";

pub(crate) struct Organizations {
    dispatcher: Arc<Dispatcher>,
}

impl Organizations {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Organizations { dispatcher }
    }
}

#[tonic::async_trait]
impl OrganizationService for Organizations {
    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> Result<Response<Resource>, Status> {
        let (_, extensions, request) = request.into_parts();
        let audited = Some(AuditAction::CreateOrganization);
        let (permit, caller) = self.dispatcher.enter_deployment::<CreateOrganization>(&extensions, audited)?;
        let deployment = Arc::clone(&self.dispatcher.deployment);
        let name = request.organization_id.clone();
        // In a task of its own: a caller that leaves must not stop it half-way.
        let task = self
            .dispatcher
            .drain
            .tasks()
            .spawn(async move { create(&deployment, permit, Some(&caller), &request.organization_id).await });
        match task.await {
            Ok(Ok(organization)) => Ok(Response::new(resource(&organization))),
            Ok(Err(error)) => Err(status::create_organization(error, &name)),
            Err(_) => Err(status::broken()),
        }
    }

    async fn get_organization(&self, request: Request<GetOrganizationRequest>) -> Result<Response<Resource>, Status> {
        let (_, extensions, request) = request.into_parts();
        let entered: Entered<ReadOrganization> = self.dispatcher.enter(&extensions, "name", &request.name, None)?;
        name::organization("name", &request.name).map_err(|violation| status::invalid(vec![violation]))?;
        Ok(Response::new(resource(&entered.organization)))
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
        let context =
            PageContext { method: LIST, parent: "organizations", filter: "", order_by: "", identity: &caller.identity };
        let root_key = &*deployment.ports.root_key;
        let start = if request.page_token.is_empty() {
            0
        } else {
            let after = page::cursor(root_key, &context, &request.page_token).map_err(status::internal)?;
            let position =
                after.and_then(|last| visible.iter().position(|organization| cursor(organization)[..] == last[..]));
            position.ok_or_else(status::page_token_invalid)?.saturating_add(1)
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let shown: Vec<_> = visible.iter().skip(start).take(size).collect();
        let more = start.saturating_add(shown.len()) < visible.len();
        let next_page_token = match shown.last() {
            Some(last) if more => page::token(root_key, &context, cursor(last)).map_err(status::internal)?,
            Some(_) | None => String::new(),
        };
        let organizations = shown.into_iter().map(|organization| resource(organization)).collect();
        Ok(Response::new(ListOrganizationsResponse { organizations, next_page_token }))
    }
}

/// Page tokens name organizations by their id.
fn cursor(organization: &Organization) -> &[u8; 16] {
    organization.id.as_bytes()
}

fn resource(organization: &Organization) -> Resource {
    Resource {
        name: organization.resource_name(),
        uid: organization.id.to_string(),
        create_time: Some(timestamp_to_proto(organization.create_time)),
    }
}
