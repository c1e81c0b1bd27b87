//! AuditService: lists and verifies audit trails.

use std::sync::Arc;

use http::Extensions;
use sealward::v1::{
    AuditChain, AuditFinding, ListAuditRecordsRequest, ListAuditRecordsResponse, VerifyAuditTrailRequest,
    VerifyAuditTrailResponse, audit_finding::Fault as Resources, audit_service_server::AuditService,
};
use sealward_core::{
    audit::{
        list::{list, list_of_deployment},
        verify::{Chain, Fault, Finding, Verified},
    },
    identity::Caller,
    list::log::Page,
    organization::Organization,
    permit::Permit,
    policy::{DeploymentPermit, ReadAuditTrail},
};
use tonic::{Request, Response, Status};

use super::{dispatcher::Dispatcher, name};
use crate::{
    audit::record::{self, TrailOwner},
    status,
};

const LIST: &str = "/sealward.v1.AuditService/ListAuditRecords";

pub(crate) struct Audit {
    dispatcher: Arc<Dispatcher>,
}

/// The trail that the caller may read: of an organization, or of the deployment.
enum Trail {
    Organization(Permit<ReadAuditTrail>),
    Deployment(DeploymentPermit<ReadAuditTrail>),
}

impl Trail {
    fn organization(&self) -> Option<&Arc<Organization>> {
        match self {
            Trail::Organization(permit) => Some(permit.organization()),
            Trail::Deployment(_) => None,
        }
    }

    fn caller(&self) -> &Caller {
        match self {
            Trail::Organization(permit) => permit.caller(),
            Trail::Deployment(permit) => permit.caller(),
        }
    }

    fn owner(&self) -> TrailOwner {
        TrailOwner::of(self.organization().map(|organization| &**organization))
    }
}

impl Audit {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Audit { dispatcher }
    }

    async fn enter(&self, extensions: &Extensions, organization: &str) -> Result<Trail, Status> {
        if organization.is_empty() {
            return self.dispatcher.enter_deployment(extensions).map(Trail::Deployment);
        }
        let name = name::organization("organization", organization);
        let permit = self.dispatcher.enter(extensions, &name).await?;
        name.resource.map_err(|violation| status::invalid(vec![violation]))?;
        Ok(Trail::Organization(permit))
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_records(
        &self,
        request: Request<ListAuditRecordsRequest>,
    ) -> Result<Response<ListAuditRecordsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let trail = self.enter(&extensions, &request.organization).await?;
        let deployment = &self.dispatcher.deployment;
        let size =
            self.dispatcher.page_size(request.page_size).map_err(|violation| status::invalid(vec![violation]))?;
        let page = Page { size, token: &request.page_token, filter: &request.filter, method: LIST };
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&trail.caller().identity).await?;
        let owner = trail.owner();
        let listed = match trail {
            Trail::Organization(permit) => list(deployment, permit, &page).await,
            Trail::Deployment(permit) => list_of_deployment(deployment, permit, &page).await,
        };
        let listed = listed.map_err(|error| self.dispatcher.audit_list_error(error))?;
        let message = |(record, head)| record::message(&owner, record, head);
        Ok(Response::new(ListAuditRecordsResponse {
            audit_records: listed.records.into_iter().map(message).collect(),
            next_page_token: listed.next_page_token,
        }))
    }

    async fn verify_audit_trail(
        &self,
        request: Request<VerifyAuditTrailRequest>,
    ) -> Result<Response<VerifyAuditTrailResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let trail = self.enter(&extensions, &request.organization).await?;
        let Dispatcher { deployment, bounded, drain, .. } = &*self.dispatcher;
        let _held = bounded.lists.enter(&trail.caller().identity)?;
        let found = bounded.verifications.verify(deployment, trail.organization(), drain).await;
        let found = found.map_err(status::unavailable)?;
        let owner = trail.owner();
        let verified = match trail {
            Trail::Organization(permit) => found.report(deployment, permit).await,
            Trail::Deployment(permit) => found.report_on_deployment(deployment, permit).await,
        };
        Ok(Response::new(response(&owner, verified.map_err(status::audit_unavailable)?)))
    }
}

fn response(owner: &TrailOwner, verified: Verified) -> VerifyAuditTrailResponse {
    VerifyAuditTrailResponse {
        intact: verified.faults == 0,
        chains: verified.chains.into_iter().map(|of| chain(owner, of)).collect(),
        findings: verified.findings.into_iter().map(|found| finding(owner, &found)).collect(),
        faults: i64::try_from(verified.faults).unwrap_or(i64::MAX),
    }
}

fn chain(owner: &TrailOwner, chain: Chain) -> AuditChain {
    AuditChain {
        writer: chain.writer.to_string(),
        records: i64::try_from(chain.records).unwrap_or(i64::MAX),
        first_sequence: chain.first,
        last_sequence: chain.last,
        last_hash: chain.last_hash.to_vec(),
        signed_sequence: chain.signed,
        public_keys: chain.public_keys.into_iter().map(|key| key.to_vec()).collect(),
        organization_uid: owner.uid().to_owned(),
    }
}

fn finding(owner: &TrailOwner, finding: &Finding) -> AuditFinding {
    let fault = match finding.fault {
        Fault::Changed => Resources::Changed,
        Fault::Missing => Resources::Missing,
        Fault::Unlinked => Resources::Unlinked,
        Fault::CutOff => Resources::CutOff,
        Fault::Replaced => Resources::Replaced,
        Fault::SignatureWrong => Resources::SignatureWrong,
        Fault::SignerUnknown => Resources::SignerUnknown,
    };
    AuditFinding {
        writer: finding.writer.to_string(),
        sequence: finding.sequence,
        fault: fault.into(),
        organization_uid: owner.uid().to_owned(),
    }
}
