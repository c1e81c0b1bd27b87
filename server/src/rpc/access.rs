//! AccessService: the caller's identity, and the permissions of identities with their reasons.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::Extensions;
use sealward::v1::{
    CallerCertificate, CallerToken, ExplainAccessRequest, ExplainAccessResponse, ExplainedBinding, HeldRole,
    WhoAmIRequest, WhoAmIResponse, access_service_server::AccessService,
};
use sealward_core::{
    identity::Identity,
    policy::{Privilege, ReadAccess, Scope},
    port::Clock as _,
    violation::{Problem, Violation},
};
use tonic::{Request, Response, Status};

use super::{dispatcher::Dispatcher, name};
use crate::{
    config::lower_case_dns, gates::permission::RpcTable, identity::token::Proven, ports::clock::SystemClock,
    schema::timestamp_to_proto, status, transport::connection::Connection,
};

pub(crate) struct Access {
    dispatcher: Arc<Dispatcher>,
    rpcs: Arc<RpcTable>,
}

impl Access {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, rpcs: Arc<RpcTable>) -> Self {
        Access { dispatcher, rpcs }
    }
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        let extensions = request.extensions();
        let (caller, policy) = self.dispatcher.enter_as_identity(extensions)?;
        let roles = policy.bindings_of(&caller.identity).map(|binding| HeldRole {
            role: binding.role.name().to_owned(),
            organizations: organizations(&binding.scope),
            privileges: names(binding.role.privileges().iter()),
        });
        Ok(Response::new(WhoAmIResponse {
            identity: caller.identity.to_string(),
            certificate: certificate(extensions),
            token: token(extensions),
            roles: roles.collect(),
            server_time: Some(timestamp_to_proto(SystemClock.now())),
        }))
    }

    async fn explain_access(
        &self,
        request: Request<ExplainAccessRequest>,
    ) -> Result<Response<ExplainAccessResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let permit = self.dispatcher.enter_deployment::<ReadAccess>(&extensions)?;
        let (_, policy) = self.dispatcher.caller(&extensions)?;
        let identity = match request.identity.as_str() {
            "" => Ok(Arc::clone(&permit.caller().identity)),
            text => text
                .parse::<Identity>()
                .map(|identity| Arc::new(lower_case_dns(identity)))
                .map_err(|_| Violation::new("identity", Problem::NotAName { form: IDENTITY_FORM.to_owned() })),
        };
        let rpc = self.rpcs.get(&format!("/{}", request.method.trim_start_matches('/'))).ok_or_else(|| {
            let form = "sealward.v1.OrganizationService/GetOrganization".to_owned();
            Violation::new("method", Problem::NotAName { form })
        });
        let organization = match request.organization.as_str() {
            "" => Ok(None),
            given => name::organization("organization", given).resource.map(Some),
        };
        let (identity, rpc, organization) = match (identity, rpc, organization) {
            (Ok(identity), Ok(rpc), Ok(organization)) => (identity, rpc, organization),
            (identity, rpc, organization) => {
                let violations = [identity.err(), rpc.err(), organization.err()];
                return Err(status::invalid(violations.into_iter().flatten().collect()));
            }
        };
        let needed = |privilege: &&Privilege| rpc.privileges().contains(privilege);
        let bindings: Vec<_> = policy
            .bindings_of(&identity)
            .map(|binding| ExplainedBinding {
                role: binding.role.name().to_owned(),
                organizations: organizations(&binding.scope),
                privileges: names(binding.role.privileges().iter().filter(needed)),
                in_scope: match &organization {
                    Some(name) => binding.scope.has(name),
                    None => binding.scope == Scope::All,
                },
            })
            .collect();
        Ok(Response::new(ExplainAccessResponse {
            allowed: rpc.is_for_every_identity()
                || bindings.iter().any(|binding| binding.in_scope && !binding.privileges.is_empty()),
            identity: identity.to_string(),
            privileges: names(rpc.privileges().iter()),
            bindings,
        }))
    }
}

/// The certificate of the caller's connection.
fn certificate(extensions: &Extensions) -> Option<CallerCertificate> {
    let certificate = extensions.get::<Connection>()?.tls.as_ref()?.certificate.as_deref()?;
    Some(CallerCertificate {
        sha256: HEXLOWER.encode(&certificate.sha256),
        expire_time: Some(timestamp_to_proto(certificate.not_after)),
    })
}

/// The token of the call.
fn token(extensions: &Extensions) -> Option<CallerToken> {
    let token = extensions.get::<Arc<Proven>>()?;
    let issuer = match &*token.identity {
        Identity::Jwt { issuer, .. } => issuer.clone(),
        Identity::Spiffe(_) | Identity::Dns(_) | Identity::CommonName(_) => String::new(),
    };
    Some(CallerToken { issuer, subject: token.subject.clone(), expire_time: Some(timestamp_to_proto(token.not_after)) })
}

fn organizations(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::All => vec!["*".to_owned()],
        Scope::Organizations(names) => names.iter().map(ToString::to_string).collect(),
    }
}

/// The forms of an identity.
const IDENTITY_FORM: &str = "spiffe:ID, dns:NAME, cn:NAME or jwt:ISSUER#SUBJECT";

fn names<'a>(privileges: impl Iterator<Item = &'a Privilege>) -> Vec<String> {
    privileges.map(|privilege| privilege.name().to_owned()).collect()
}
