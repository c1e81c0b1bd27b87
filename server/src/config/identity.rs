//! Identities as the configuration and requests write them.

use sealward_core::identity::Identity;

/// Certificates' DNS names are read in lower case, and identities are compared by text.
pub(crate) fn lower_case_dns(identity: Identity) -> Identity {
    match identity {
        Identity::Dns(name) => Identity::Dns(name.to_ascii_lowercase()),
        Identity::Spiffe(_) | Identity::CommonName(_) | Identity::Jwt { .. } => identity,
    }
}
