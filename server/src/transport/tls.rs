//! How TLS is spoken here: versions, cipher provider, the server's certificate, and whose client certificates are trusted.
//!
//! Client certificates are verified when they are shown and may be left out: the identity layer decides who must show one.
//! Nothing here knows sockets, and nothing here decides when files are read.

mod client_ca;
mod client_verifier;
mod context;
mod error;
mod recording_verifier;
pub(crate) mod revocation;
mod server_certificate;
mod shortcoming;
#[cfg(test)]
mod tests;
mod trust;
mod validity;

pub(crate) use self::{
    context::TlsContext,
    error::TlsError,
    recording_verifier::with_refused_subject,
    server_certificate::{ServerCertificate, faults, names},
    shortcoming::Shortcoming,
    trust::Trust,
    validity::{SOON_DAYS, day},
};
