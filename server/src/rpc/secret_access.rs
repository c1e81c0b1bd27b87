//! SecretAccessService: the narrow path to plaintext.

use std::sync::Arc;

use sealward::v1::{
    CompareAttributeRequest, CompareAttributeResponse, ErrorReason, RevealAttributesRequest, RevealAttributesResponse,
    SecretValue, secret_access_service_server::SecretAccessService, secret_value,
};
use sealward_core::{
    crypto::secret::Plaintext,
    permit::Permit,
    policy::{Compare, Recorded as _, Reveal},
    record::{
        RecordError,
        compare::compare,
        reveal::{Revealed, reveal},
    },
    violation::{Problem, Violation},
};
use tonic::{Request, Response, Status};

use super::{dispatcher::Dispatcher, name};
use crate::status;

pub(crate) struct SecretAccess {
    dispatcher: Arc<Dispatcher>,
}

impl SecretAccess {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        SecretAccess { dispatcher }
    }
}

#[tonic::async_trait]
impl SecretAccessService for SecretAccess {
    async fn reveal_attributes(
        &self,
        request: Request<RevealAttributesRequest>,
    ) -> Result<Response<RevealAttributesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let deployment = &self.dispatcher.deployment;
        let name = name::record_of_any("name", &request.name, &deployment.schema);
        let permit: Permit<Reveal> = self.dispatcher.enter(&extensions, &name).await?;
        let limit = self.dispatcher.limits.reveal_attributes_max;
        Dispatcher::within("attributes", request.attributes.len(), limit)
            .map_err(|violation| self.dispatcher.invalid(vec![violation]))?;
        let (entity, id) = name.resource.map_err(invalid)?;
        let place = permit.record_of(entity, id);
        let revealed = reveal(deployment, permit, entity, id, &request.attributes, &request.purpose).await;
        let revealed = revealed.map_err(|error| status::record(error, &place))?;
        let values = revealed.into_iter().map(|(name, value)| (name, secret_value(&value))).collect();
        Ok(Response::new(RevealAttributesResponse { values }))
    }

    async fn compare_attribute(
        &self,
        request: Request<CompareAttributeRequest>,
    ) -> Result<Response<CompareAttributeResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let deployment = &self.dispatcher.deployment;
        let name = name::record_of_any("name", &request.name, &deployment.schema);
        let permit: Permit<Compare> = self.dispatcher.enter(&extensions, &name).await?;
        let CompareAttributeRequest { attribute, value, purpose, .. } = request;
        let value = match value.and_then(|value| value.value) {
            Some(secret_value::Value::Text(text)) => Some(Plaintext::new(text.into_bytes())),
            Some(secret_value::Value::Data(data)) => Some(Plaintext::new(data)),
            None => None,
        };
        let (entity, id) = name.resource.map_err(invalid)?;
        let value = value.ok_or_else(|| invalid(Violation::new("value", Problem::Required)))?;
        let (caller, place) = (permit.caller().clone(), permit.record_of(entity, id));
        let outcome = compare(deployment, permit, (entity, id), &attribute, &value, &purpose).await;
        if let Err(RecordError::ComparisonQuota { .. }) = &outcome {
            self.dispatcher.shed.count(status::COMPARISONS);
            // Refusals by the quota are counted, not recorded one by one: a caller who continues to guess would fill the trail.
            let outcome = status::reason_name(ErrorReason::ComparisonQuota);
            let organization = &place.organization.name;
            self.dispatcher.denials.over_quota(&caller, Compare::AUDIT, outcome, organization, place.resource_name());
        }
        let equal = outcome.map_err(|error| status::record(error, &place))?;
        Ok(Response::new(CompareAttributeResponse { equal }))
    }
}

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}

/// A value as a message of the contract.
pub(super) fn secret_value(revealed: &Revealed) -> SecretValue {
    let bytes = revealed.plaintext.expose();
    let value = match std::str::from_utf8(bytes) {
        Ok(text) if revealed.is_text => secret_value::Value::Text(text.to_owned()),
        Ok(_) | Err(_) => secret_value::Value::Data(bytes.to_vec()),
    };
    SecretValue { value: Some(value) }
}
