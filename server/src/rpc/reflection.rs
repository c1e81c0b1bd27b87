//! Server reflection, v1 and v1alpha: the descriptors of everything that is served, and of the types of error details, so that tools can show
//! them.

use prost::DecodeError;

use super::services::ServicesBuilder;
use crate::descriptors;

/// Why the contract can't be reflected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReflectionError {
    /// The contract isn't a descriptor set.
    #[error("the descriptor set can't be read")]
    Unreadable(#[from] DecodeError),
    /// The descriptors can't be served.
    #[error("the descriptor set can't be reflected")]
    Refused(#[from] tonic_reflection::server::Error),
}

/// Adds both versions of the service, with these descriptors and this maximum size of messages.
pub(super) fn add(
    services: &mut ServicesBuilder,
    contract: &[u8],
    message_size_max: usize,
) -> Result<(), ReflectionError> {
    let all = descriptors::complete(contract)?;
    let set = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&all)
            // It is in the set, for both versions.
            .include_reflection_service(false)
    };
    services
        .add_service(set().build_v1()?.max_decoding_message_size(message_size_max))
        .add_service(set().build_v1alpha()?.max_decoding_message_size(message_size_max));
    Ok(())
}
