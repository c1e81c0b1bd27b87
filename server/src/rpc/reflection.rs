//! Server reflection, v1 and v1alpha: the served contract, the health service, and the types of error details, so that tools can show them.

use tonic::service::RoutesBuilder;

/// Why the contract can't be reflected.
#[derive(Debug, thiserror::Error)]
#[error("the descriptor set can't be reflected")]
pub(crate) struct ReflectionError(#[from] tonic_reflection::server::Error);

/// Adds both versions of the service, with these descriptors and this maximum size of messages.
pub(super) fn add(
    routes: &mut RoutesBuilder,
    descriptors: &[u8],
    message_size_max: usize,
) -> Result<(), ReflectionError> {
    let sets = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(sets().build_v1()?.max_decoding_message_size(message_size_max))
        .add_service(sets().build_v1alpha()?.max_decoding_message_size(message_size_max));
    Ok(())
}
