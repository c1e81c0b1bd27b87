//! Why TLS can't be configured.

use std::path::PathBuf;

use super::{client_ca::ClientCaProblem, revocation::ListProblem};
use crate::files::pem::PemError;

/// Why TLS can't be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be used.
    #[error("a file of [tls] can't be used")]
    Pem(#[from] PemError),
    /// A client CA isn't one.
    #[error("certificate {number} of {setting} can't be a client CA: it {problem}")]
    ClientCa {
        /// The setting of the file.
        setting: String,
        /// Its number in the file, from 1.
        number: usize,
        /// The problem.
        problem: ClientCaProblem,
    },
    /// A revocation list can't be used.
    #[error("list {number} of tls.client_crl can't be used")]
    RevocationList {
        /// Its number in the file, from 1.
        number: usize,
        /// The problem.
        #[source]
        problem: ListProblem,
    },
    /// The certificate and the key don't match, or can't be used.
    #[error("tls.certificate and tls.key can't be used as a server certificate")]
    Certificate(#[source] rustls::Error),
    /// Clients that accept the current certificate can't accept this one.
    #[error("no client could accept the server certificate {path}: {faults}: {remedy}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The problem.
        faults: String,
        /// The fix.
        remedy: &'static str,
    },
    /// The provider has no cipher suite for the versions.
    #[error("the cipher provider doesn't support the configured TLS versions")]
    Versions(#[source] rustls::Error),
}
