//! Methods by path: their messages, their streams, and which of their answers may be compressed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

use crate::secret::is_secret;

/// What the layer knows about a method.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    /// Whether it takes a stream.
    pub(crate) takes_stream: bool,
    /// Whether it returns a stream.
    pub(crate) returns_stream: bool,
    /// Whether its answer has no field with `debug_redact` at any depth. The size of a compressed message discloses information about
    /// secrets next to chosen text.
    pub(crate) may_be_compressed: bool,
}

impl Method {
    pub(crate) fn has_stream(&self) -> bool {
        self.takes_stream || self.returns_stream
    }
}

/// The methods of some services, and the messages of error details.
#[derive(Clone, Debug, Default)]
pub struct Methods {
    by_path: HashMap<String, Arc<Method>>,
    pools: Vec<DescriptorPool>,
}

/// A descriptor set can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the descriptor set of the methods can't be read")]
pub struct MethodsError(#[from] prost_reflect::DescriptorError);

impl Methods {
    /// The methods of all services in these encoded descriptor sets. Each set contains its imports, and the types that its values of the type
    /// `google.protobuf.Any` can have. The types of Google's error details are known for errors, too.
    ///
    /// # Errors
    /// A set is malformed or incomplete.
    pub fn new<'a>(descriptor_sets: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, MethodsError> {
        let pools = descriptor_sets.into_iter().chain([tonic_types::pb::FILE_DESCRIPTOR_SET]);
        Ok(Self::of(pools.map(DescriptorPool::decode).collect::<Result<_, _>>()?))
    }

    /// The methods of all services in these pools.
    #[must_use]
    pub fn of(pools: Vec<DescriptorPool>) -> Self {
        let services = pools.iter().flat_map(DescriptorPool::services);
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let by_path = methods.map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let known = Method {
                input: method.input(),
                output: method.output(),
                takes_stream: method.is_client_streaming(),
                returns_stream: method.is_server_streaming(),
                may_be_compressed: !has_secret(&method.output(), &mut HashSet::new()),
            };
            (path, Arc::new(known))
        });
        Self { by_path: by_path.collect(), pools }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }

    /// The message with this full name.
    pub(crate) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pools.iter().find_map(|pool| pool.get_message_by_name(name))
    }
}

/// Whether a message has a field with `debug_redact`, or may contain such a message.
fn has_secret(message: &MessageDescriptor, seen: &mut HashSet<String>) -> bool {
    if !seen.insert(message.full_name().to_owned()) {
        return false;
    }
    // The content of an Any isn't known.
    if message.full_name() == "google.protobuf.Any" {
        return true;
    }
    message
        .fields()
        .any(|field| is_secret(&field) || matches!(field.kind(), Kind::Message(inner) if has_secret(&inner, seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [&[u8]; 1] = [sealward::FILE_DESCRIPTOR_SET];

    #[test]
    fn answers_with_a_secret_at_any_depth_are_not_compressed() {
        let methods = Methods::new(SETS).unwrap();
        let may_be_compressed = |path: &str| methods.get(path).unwrap().may_be_compressed;
        for secret in [
            "/sealward.v1.SecretAccessService/RevealAttributes",
            "/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey",
            "/sealward.mail.v1.MailboxService/GetMailbox",
            "/sealward.mail.v1.MailboxService/ListMailboxes",
            "/sealward.mail.v1.MailboxConnectionService/ResolveMailboxConnection",
        ] {
            assert!(!may_be_compressed(secret), "{secret}");
        }
        for other in [
            "/sealward.v1.AuditService/ListAuditRecords",
            "/sealward.v1.OrganizationService/ListOrganizations",
            "/sealward.v1.AccessService/WhoAmI",
        ] {
            assert!(may_be_compressed(other), "{other}");
        }
    }

    #[test]
    fn types_of_error_details_are_known() {
        let methods = Methods::new(SETS).unwrap();
        for name in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo", "google.rpc.RequestInfo"]
        {
            assert!(methods.message(name).is_some(), "{name}");
        }
    }
}
