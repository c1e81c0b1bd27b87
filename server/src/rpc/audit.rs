//! AuditService: trails, listed and verified.

use std::sync::Arc;

use http::Extensions;
use sealward::v1::{
    AuditChain, AuditFinding, ListAuditRecordsRequest, ListAuditRecordsResponse, VerifyAuditTrailRequest,
    VerifyAuditTrailResponse, audit_finding::Fault as Resources, audit_service_server::AuditService,
};
use sealward_core::{
    audit::{
        list::list,
        verify::{Chain, Fault, Finding, Verified},
    },
    identity::Caller,
    list::log::Page,
    organization::Organization,
    policy::{Permit, ReadAuditTrail},
};
use tonic::{Request, Response, Status};

use super::{
    dispatcher::{Dispatcher, Entered},
    name,
};
use crate::{
    audit::record::{self, TrailOwner},
    status,
};

const LIST: &str = "/sealward.v1.AuditService/ListAuditRecords";

pub(crate) struct Audit {
    dispatcher: Arc<Dispatcher>,
}

/// Whose trail: an organization's, or without one the deployment's own.
struct OfTrail {
    organization: Option<Arc<Organization>>,
    permit: Permit<ReadAuditTrail>,
    caller: Caller,
}

impl Audit {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Audit { dispatcher }
    }

    fn enter(&self, extensions: &Extensions, organization: &str) -> Result<OfTrail, Status> {
        if organization.is_empty() {
            let (permit, caller) = self.dispatcher.enter_deployment(extensions)?;
            return Ok(OfTrail { organization: None, permit, caller });
        }
        let entered = self.dispatcher.enter(extensions, "organization", organization)?;
        name::organization("organization", organization).map_err(|violation| status::invalid(vec![violation]))?;
        let Entered { organization, permit, caller, .. } = entered;
        Ok(OfTrail { organization: Some(organization), permit, caller })
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_records(
        &self,
        request: Request<ListAuditRecordsRequest>,
    ) -> Result<Response<ListAuditRecordsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let trail = self.enter(&extensions, &request.organization)?;
        let deployment = &self.dispatcher.deployment;
        let size =
            self.dispatcher.page_size(request.page_size).map_err(|violation| status::invalid(vec![violation]))?;
        let wanted = Page {
            size,
            token: &request.page_token,
            filter: &request.filter,
            parent: &request.organization,
            method: LIST,
            identity: &trail.caller.identity,
        };
        let store = match &trail.organization {
            Some(organization) => &*organization.store,
            None => &*deployment.ports.configuration,
        };
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&trail.caller.identity).await?;
        let listed =
            list(deployment, trail.permit, store, &wanted).await.map_err(|error| self.dispatcher.list_log(error))?;
        let owner = TrailOwner::of(trail.organization.as_deref());
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
        let OfTrail { organization, permit, caller } = self.enter(&extensions, &request.organization)?;
        let (deployment, bounded) = (&self.dispatcher.deployment, &self.dispatcher.bounded);
        let _held = bounded.lists.enter(&caller.identity)?;
        let found = bounded.verifications.look(deployment, organization.as_ref()).await.map_err(status::unavailable)?;
        let owner = TrailOwner::of(organization.as_deref());
        let verified = match organization {
            Some(organization) => found.report(deployment, &organization, permit, &caller).await,
            None => found.report_on_deployment(deployment, permit, &caller).await,
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
