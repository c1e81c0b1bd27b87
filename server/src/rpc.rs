//! The rpcs: each passes a decoded message through the dispatcher to a use case, and returns its answer. This module contains no
//! cryptography and no SQL.

mod access;
mod answers;
mod audit;
pub(crate) mod codec;
mod data_encryption;
pub(crate) mod dispatcher;
mod entity;
pub(crate) mod export_format;
mod health;
mod mail;
mod metadata;
pub(crate) mod name;
mod organization;
mod paged_list;
pub(crate) mod permission;
mod reflection;
mod secret_access;
pub(crate) mod server;
mod services;
mod transfer;
mod unary;

use std::sync::Arc;

use sealward::v1::{
    access_service_server::AccessServiceServer, audit_service_server::AuditServiceServer,
    data_encryption_service_server::DataEncryptionServiceServer, metadata_service_server::MetadataServiceServer,
    organization_service_server::OrganizationServiceServer, secret_access_service_server::SecretAccessServiceServer,
    server_service_server::ServerServiceServer,
};

use self::{
    access::Access,
    audit::Audit,
    data_encryption::DataEncryption,
    dispatcher::Dispatcher,
    metadata::Metadata,
    organization::Organizations,
    secret_access::SecretAccess,
    server::{Server, ServerFacts},
    services::ServicesBuilder,
};
pub(crate) use self::{health::Health, services::Services};
use crate::{gates::permission::RpcTable, schema::ServedSchema};

/// All services: those of the platform, each method of the entity services, and the services of an application. Reflection serves these
/// complete `descriptors`.
pub(crate) fn services(
    dispatcher: Arc<Dispatcher>,
    served: &ServedSchema,
    descriptors: &[u8],
    rpcs: Arc<RpcTable>,
    health: Health,
    facts: ServerFacts,
) -> Result<Services, tonic_reflection::server::Error> {
    let max = dispatcher.message_size_max_bytes();
    let probe_max = usize::try_from(dispatcher.limits.probe_message_size_max_bytes).unwrap_or(usize::MAX);
    let mut services = ServicesBuilder::default();
    services
        .add_service(
            DataEncryptionServiceServer::new(DataEncryption::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            AccessServiceServer::new(Access::new(Arc::clone(&dispatcher), rpcs))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            AuditServiceServer::new(Audit::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            MetadataServiceServer::new(Metadata::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            OrganizationServiceServer::new(Organizations::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            SecretAccessServiceServer::new(SecretAccess::new(Arc::clone(&dispatcher)))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(
            ServerServiceServer::new(Server::new(Arc::clone(&dispatcher), served, descriptors, facts))
                .max_decoding_message_size(max)
                .max_encoding_message_size(max),
        )
        .add_service(health.service().max_decoding_message_size(probe_max));
    if mail::is_served(served) {
        mail::add(&mut services, Arc::clone(&dispatcher), max);
    }
    reflection::add(&mut services, descriptors, probe_max)?;
    for method in &served.methods {
        entity::add(&mut services, Arc::clone(&dispatcher), method.clone());
    }
    Ok(services.build())
}
