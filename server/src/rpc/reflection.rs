//! Server reflection, v1 and v1alpha: the descriptors of everything that is served, and of the types of error details, so that tools can show
//! them.

use tonic_reflection::server::{Builder, Error};

use super::services::ServicesBuilder;

/// Adds both versions of the service, with these descriptors and this maximum size of messages.
pub(super) fn add(services: &mut ServicesBuilder, descriptors: &[u8], message_size_max: usize) -> Result<(), Error> {
    let set = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            // It is in the set, for both versions.
            .include_reflection_service(false)
    };
    services
        .add_service(set().build_v1()?.max_decoding_message_size(message_size_max))
        .add_service(set().build_v1alpha()?.max_decoding_message_size(message_size_max));
    Ok(())
}
