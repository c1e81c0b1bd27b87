//! TLS: versions, cipher provider, the server's certificate, and the trust in client certificates.
//!
//! Client certificates are optional, and verified if present: the identity layer decides which calls need one. Nothing here knows sockets,
//! or decides when files are read.

mod client_ca;
mod client_verifier;
mod context;
mod error;
mod recording_verifier;
pub(crate) mod revocation;
mod server_certificate;
#[cfg(test)]
mod tests;
mod trust;
mod validity;

pub(crate) use self::{
    context::{ALPN_HTTP_2, TlsContext},
    error::TlsError,
    recording_verifier::with_refused_subject,
    server_certificate::{ServerCertificate, WORKLOAD_API, faults, of_chain},
    trust::{
        CLIENT_CRL, DomainCas, ListsReading, Trust, TrustContent, client_cas, in_both, revocation_lists,
        with_unreplaced,
    },
    validity::{DAY_SECONDS, IsoTime, SOON_DAYS, day, seconds},
};
