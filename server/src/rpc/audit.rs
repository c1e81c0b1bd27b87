//! AuditService: trails, listed and verified.

use std::sync::Arc;

use fieldseal::v1::{
    AuditChain, AuditFinding, AuditRecord as Resource, AuditSignature, ListAuditRecordsRequest,
    ListAuditRecordsResponse, VerifyAuditTrailRequest, VerifyAuditTrailResponse, audit_finding::Fault as Resources,
    audit_service_server::AuditService,
};
use fieldseal_core::{
    audit::{
        AuditAction, AuditRecord,
        list::{self, ListTrailError},
        sign::SignedHead,
        verify::{Chain, Fault, Finding, Verified, VerifyTrailError, verify_deployment, verify_organization},
    },
    identity::Caller,
    organization::Organization,
    policy::{Permit, ReadAuditTrail},
    record::{Problem, Violation},
};
use http::Extensions;
use tonic::{Request, Response, Status};

use super::{
    dispatcher::{Dispatcher, Entered},
    name,
};
use crate::{schema::timestamp_to_proto, status};

const LIST: &str = "/fieldseal.v1.AuditService/ListAuditRecords";

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

    fn enter(&self, extensions: &Extensions, organization: &str, action: AuditAction) -> Result<OfTrail, Status> {
        if organization.is_empty() {
            let (permit, caller) = self.dispatcher.enter_deployment(extensions, Some(action))?;
            return Ok(OfTrail { organization: None, permit, caller });
        }
        let entered = self.dispatcher.enter(extensions, "organization", organization, Some(action))?;
        name::organization("organization", organization).map_err(|violation| status::invalid(vec![violation]))?;
        let Entered { organization, permit, caller } = entered;
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
        let trail = self.enter(&extensions, &request.organization, AuditAction::ReadAuditTrail)?;
        let deployment = &self.dispatcher.deployment;
        let size =
            self.dispatcher.page_size(request.page_size).map_err(|violation| status::invalid(vec![violation]))?;
        let wanted = list::Page {
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
        let listed = list::list(deployment, trail.permit, store, wanted).await.map_err(|error| match error {
            ListTrailError::Filter(error) => status::invalid(vec![Violation::new("filter", Problem::Filter(error))]),
            ListTrailError::Listing(error) => status::listing(error),
        })?;
        Ok(Response::new(ListAuditRecordsResponse {
            audit_records: listed.records.into_iter().map(|(record, head)| resource(record, head)).collect(),
            next_page_token: listed.next_page_token,
        }))
    }

    async fn verify_audit_trail(
        &self,
        request: Request<VerifyAuditTrailRequest>,
    ) -> Result<Response<VerifyAuditTrailResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let OfTrail { organization, permit, caller } =
            self.enter(&extensions, &request.organization, AuditAction::VerifyAuditTrail)?;
        let deployment = &self.dispatcher.deployment;
        let verified = match organization {
            Some(organization) => verify_organization(deployment, &organization, permit, &caller).await,
            None => verify_deployment(deployment, permit, &caller).await,
        };
        verified.map(|verified| Response::new(response(verified))).map_err(|error| match error {
            VerifyTrailError::Unavailable(error) => status::unavailable(error.0),
            VerifyTrailError::Audit(error) => status::audit_unavailable(error),
        })
    }
}

fn resource(record: AuditRecord, head: Option<SignedHead>) -> Resource {
    Resource {
        writer: record.writer.to_string(),
        sequence: record.sequence,
        time: Some(timestamp_to_proto(record.time)),
        identity: record.identity.unwrap_or_default(),
        peer: record.peer.unwrap_or_default(),
        call_id: record.call_id.unwrap_or_default(),
        action: record.action,
        outcome: record.outcome,
        subject: record.subject,
        attributes: record.attributes.map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        purpose: record.purpose.unwrap_or_default(),
        fingerprint: record.fingerprint.unwrap_or_default(),
        key_version: record.key_version.unwrap_or_default(),
        details: record.details.unwrap_or_default(),
        format: record.format,
        previous_hash: record.previous_hash.to_vec(),
        hash: record.hash.to_vec(),
        signature: head.map(|head| AuditSignature {
            time: Some(timestamp_to_proto(head.time)),
            public_key: head.public_key.to_vec(),
            signature: head.signature.to_vec(),
        }),
    }
}

fn response(verified: Verified) -> VerifyAuditTrailResponse {
    VerifyAuditTrailResponse {
        intact: verified.faults == 0,
        chains: verified.chains.into_iter().map(chain).collect(),
        findings: verified.findings.into_iter().map(finding).collect(),
        faults: i64::try_from(verified.faults).unwrap_or(i64::MAX),
    }
}

fn chain(chain: Chain) -> AuditChain {
    AuditChain {
        writer: chain.writer.to_string(),
        records: i64::try_from(chain.records).unwrap_or(i64::MAX),
        first_sequence: chain.first,
        last_sequence: chain.last,
        last_hash: chain.last_hash.to_vec(),
        signed_sequence: chain.signed,
        public_keys: chain.public_keys.into_iter().map(|key| key.to_vec()).collect(),
    }
}

fn finding(finding: Finding) -> AuditFinding {
    let fault = match finding.fault {
        Fault::Changed => Resources::Changed,
        Fault::Missing => Resources::Missing,
        Fault::Unlinked => Resources::Unlinked,
        Fault::CutOff => Resources::CutOff,
        Fault::Replaced => Resources::Replaced,
        Fault::SignatureWrong => Resources::SignatureWrong,
        Fault::SignerUnknown => Resources::SignerUnknown,
    };
    AuditFinding { writer: finding.writer.to_string(), sequence: finding.sequence, fault: fault.into() }
}
