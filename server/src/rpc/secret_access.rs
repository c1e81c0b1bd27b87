//! SecretAccessService: the narrow path to plaintext.

use std::sync::Arc;

use fieldseal::v1::{
    RevealAttributesRequest, RevealAttributesResponse, SecretValue, secret_access_service_server::SecretAccessService,
    secret_value,
};
use fieldseal_core::{
    audit::AuditAction,
    policy::Reveal,
    record::{Problem, Violation},
    records::{
        Place,
        reveal::{Revealed, reveal},
    },
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
        let audited = Some(AuditAction::RevealAttributes);
        let entered: Entered<Reveal> = self.dispatcher.enter(&extensions, "name", &request.name, audited)?;
        let deployment = &self.dispatcher.deployment;
        let entity = request.name.split('/').nth(2).and_then(|collection| deployment.schema.by_collection(collection));
        let Some(entity) = entity else {
            let form = "organizations/{organization}/{collection}/{id}".to_owned();
            return Err(status::invalid(vec![Violation::new("name", Problem::NotAName { form })]));
        };
        let id = name::record("name", &request.name, &entered.organization.name, entity)
            .map_err(|violation| status::invalid(vec![violation]))?;
        let place = Place { organization: entered.organization, entity: Arc::clone(entity), id };
        let revealed =
            reveal(deployment, entered.permit, &entered.caller, &place, &request.attributes, &request.purpose)
                .await
                .map_err(|error| status::record(error, &place))?;
        let values = revealed.into_iter().map(|(name, value)| (name, secret_value(&value))).collect();
        Ok(Response::new(RevealAttributesResponse { values }))
    }
}

fn secret_value(revealed: &Revealed) -> SecretValue {
    let bytes = revealed.plaintext.expose();
    let value = match std::str::from_utf8(bytes) {
        Ok(text) if revealed.is_text => secret_value::Value::Text(text.to_owned()),
        Ok(_) | Err(_) => secret_value::Value::Data(bytes.to_vec()),
    };
    SecretValue { value: Some(value) }
}
