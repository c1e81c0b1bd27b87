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
    #[error("no client could accept the server certificate of {origin}: {faults}: {remedy}", origin = origin.display())]
    Unusable {
        /// The file, or the socket of the Workload API.
        origin: PathBuf,
        /// The problem.
        faults: String,
        /// The fix.
        remedy: &'static str,
    },
    /// The running server doesn't use the Workload API.
    #[error("the certificate or a bundle comes from tls.spiffe_workload_api, which applies only after a restart")]
    NoWorkloadApi,
    /// The bundle of a trust domain can't be used.
    #[error("the bundle of the trust domain {trust_domain} can't be used, from the Workload API")]
    Bundle {
        /// The trust domain.
        trust_domain: String,
        /// The problem.
        #[source]
        problem: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider has no cipher suite for the versions.
    #[error("the cipher provider doesn't support the configured TLS versions")]
    Versions(#[source] rustls::Error),
}
