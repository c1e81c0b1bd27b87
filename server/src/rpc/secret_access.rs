//! SecretAccessService: the narrow path to plaintext.

use std::sync::Arc;

use sealward::v1::{
    CompareAttributeRequest, CompareAttributeResponse, ErrorReason, RevealAttributesRequest, RevealAttributesResponse,
    SecretValue, secret_access_service_server::SecretAccessService, secret_value,
};
use sealward_core::{
    crypto::secret::Plaintext,
    organization::Organization,
    policy::{Compare, Reveal},
    record::{
        RecordError, RecordPlace,
        compare::compare,
        reveal::{Revealed, reveal},
    },
    violation::{Problem, Violation},
};
use tonic::{Request, Response, Status};

use super::{
    dispatcher::{Dispatcher, Entered},
    name,
};
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
        let entered: Entered<Reveal> = self.dispatcher.enter(&extensions, "name", &request.name)?;
        let deployment = &self.dispatcher.deployment;
        let limit = self.dispatcher.limits.reveal_attributes_max;
        Dispatcher::within("attributes", request.attributes.len(), limit)
            .map_err(|violation| self.dispatcher.invalid(vec![violation]))?;
        let place = self.place(entered.organization, &request.name)?;
        let revealed =
            reveal(deployment, entered.permit, &entered.caller, &place, &request.attributes, &request.purpose)
                .await
                .map_err(|error| status::record(error, &place))?;
        let values = revealed.into_iter().map(|(name, value)| (name, secret_value(&value))).collect();
        Ok(Response::new(RevealAttributesResponse { values }))
    }

    async fn compare_attribute(
        &self,
        request: Request<CompareAttributeRequest>,
    ) -> Result<Response<CompareAttributeResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let entered: Entered<Compare> = self.dispatcher.enter(&extensions, "name", &request.name)?;
        let CompareAttributeRequest { name, attribute, value, purpose } = request;
        let value = match value.and_then(|value| value.value) {
            Some(secret_value::Value::Text(text)) => Some(Plaintext::new(text.into_bytes())),
            Some(secret_value::Value::Data(data)) => Some(Plaintext::new(data)),
            None => None,
        };
        let place = self.place(entered.organization, &name)?;
        let value = value.ok_or_else(|| status::invalid(vec![Violation::new("value", Problem::Required)]))?;
        let deployment = &self.dispatcher.deployment;
        let outcome = compare(deployment, entered.permit, &entered.caller, &place, &attribute, &value, &purpose).await;
        if let Err(RecordError::ComparisonQuota { .. }) = &outcome {
            self.dispatcher.shed.count(status::COMPARISONS);
            // Refusals by the quota are counted, not recorded one by one: a caller who continues to guess would fill the trail.
            let (caller, organization) = (&entered.caller, &place.organization.name);
            let outcome = status::reason_name(ErrorReason::ComparisonQuota);
            self.dispatcher.denials.over_quota(
                caller,
                entered.refused_as,
                outcome,
                organization,
                place.resource_name(),
            );
        }
        let equal = outcome.map_err(|error| status::record(error, &place))?;
        Ok(Response::new(CompareAttributeResponse { equal }))
    }
}

impl SecretAccess {
    /// The record with this name.
    fn place(&self, organization: Arc<Organization>, name: &str) -> Result<RecordPlace, Status> {
        let schema = &self.dispatcher.deployment.schema;
        let entity = name.split('/').nth(2).and_then(|collection| schema.by_collection(collection));
        let Some(entity) = entity else {
            let form = "organizations/{organization}/{collection}/{id}".to_owned();
            return Err(status::invalid(vec![Violation::new("name", Problem::NotAName { form })]));
        };
        let id = name::record("name", name, &organization.name, entity)
            .map_err(|violation| status::invalid(vec![violation]))?;
        Ok(RecordPlace::new(&organization, entity, id))
    }
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
