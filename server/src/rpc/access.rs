//! AccessService: the caller's identity, the permissions of identities with their reasons, and the bindings.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::Extensions;
use sealward::v1::{
    Binding as BindingResource, CallerCertificate, CallerToken, ExplainAccessRequest, ExplainAccessResponse,
    ExplainedBinding, HeldRole, ListBindingsRequest, ListBindingsResponse, WhoAmIRequest, WhoAmIResponse,
    access_service_server::AccessService,
};
use sealward_core::{
    deployment::Deployment,
    identity::Identity,
    policy::{Binding, Privilege, ReadAccess, Scope},
    port::Clock as _,
    violation::{Problem, Violation},
};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::{dispatcher::Dispatcher, name, paged_list::PagedList};
use crate::{
    config::lower_case_dns, gates::permission::RpcTable, hop::asserted::Asserted, identity::token::Proven,
    ports::clock::SystemClock, schema::timestamp_to_proto, status, transport::connection::Connection,
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
            text => parsed_identity(text).map(Arc::new),
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

    async fn list_bindings(
        &self,
        request: Request<ListBindingsRequest>,
    ) -> Result<Response<ListBindingsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let permit = self.dispatcher.enter_deployment::<ReadAccess>(&extensions)?;
        let (_, policy) = self.dispatcher.caller(&extensions)?;
        let identity = match request.identity.as_str() {
            "" => Ok(None),
            text => parsed_identity(text).map(Some),
        };
        let (size, identity) = match (self.dispatcher.page_size(request.page_size), identity) {
            (Ok(size), Ok(identity)) => (size, identity),
            (size, identity) => return Err(status::invalid(size.err().into_iter().chain(identity.err()).collect())),
        };
        let bindings: Vec<&Binding> = match &identity {
            Some(identity) => policy.bindings_of(identity).collect(),
            None => policy.bindings().iter().collect(),
        };
        let Deployment { ports, page_bytes_max, .. } = &*self.dispatcher.deployment;
        let list = PagedList {
            root_key: &*ports.root_key,
            method: LIST,
            // A token is for these bindings only, so no page continues another list.
            parent: &hash(&bindings),
            identity: &permit.caller().identity,
            bytes_max: *page_bytes_max,
        };
        let positions: Vec<([u8; 8], &Binding)> =
            (0_u64..).map(u64::to_be_bytes).zip(bindings.iter().copied()).collect();
        let (bindings, next_page_token) =
            list.page(&positions, size, &request.page_token, |(at, _)| &at[..], |(_, of)| binding(of))?;
        Ok(Response::new(ListBindingsResponse { bindings, next_page_token }))
    }
}

const LIST: &str = "/sealward.v1.AccessService/ListBindings";

/// The identity of a request, in the form of bindings.
fn parsed_identity(text: &str) -> Result<Identity, Violation> {
    let violation = |_| Violation::new("identity", Problem::NotAName { form: IDENTITY_FORM.to_owned() });
    text.parse().map(lower_case_dns).map_err(violation)
}

/// A hash of these bindings, in hexadecimal digits.
fn hash(bindings: &[&Binding]) -> String {
    let mut hash = Sha256::new();
    for Binding { identity, role, scope } in bindings {
        hash.update(format!("{identity}\n{role:?}\n{scope:?}\n"));
    }
    HEXLOWER.encode(&hash.finalize())
}

fn binding(Binding { identity, role, scope }: &Binding) -> BindingResource {
    BindingResource {
        identity: identity.to_string(),
        role: role.name().to_owned(),
        organizations: organizations(scope),
        privileges: names(role.privileges().iter()),
    }
}

/// The certificate that a hop named, or that of the caller's connection.
fn certificate(extensions: &Extensions) -> Option<CallerCertificate> {
    if extensions.get::<Connection>()?.hop.is_some() {
        let asserted = extensions.get::<Asserted>()?;
        let sha256 = HEXLOWER.encode(asserted.sha256.as_ref()?);
        return Some(CallerCertificate { sha256, expire_time: asserted.not_after.map(timestamp_to_proto) });
    }
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
