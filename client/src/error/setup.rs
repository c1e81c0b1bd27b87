//! Why a client can't be set up.

use std::{io, path::PathBuf};

/// Why a client can't be set up as it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The endpoint isn't a URI with a scheme and a host.
    #[error("the endpoint {endpoint:?} isn't one: it reads like https://127.0.0.1:7443")]
    EndpointInvalid {
        /// What was given.
        endpoint: String,
    },
    /// A plain endpoint, without saying that it is meant.
    #[error(
        "the endpoint {endpoint:?} has no TLS, and data calls need it: use https://, or say plaintext to see the server refuse"
    )]
    PlaintextNotAllowed {
        /// What was given.
        endpoint: String,
    },
    /// Plaintext was asked for, from an endpoint with TLS.
    #[error("the endpoint {endpoint:?} has TLS, and plaintext was asked for: use http://")]
    PlaintextOverTls {
        /// What was given.
        endpoint: String,
    },
    /// Nobody said whose certificates to trust.
    #[error("no CA was given to know the server by; the system's are not used")]
    CaMissing,
    /// A file can't be read.
    #[error("the {what} {path} can't be read")]
    FileUnreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The PEM that was given can't be used.
    #[error("the {what} can't be used: {problem}")]
    PemUnusable {
        /// What it should contain, and the file.
        what: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A token was given for a connection without TLS, which anybody on the way could take it from.
    #[error("a bearer token isn't sent without TLS: use https://")]
    TokenOverPlaintext,
    /// What was given as a token isn't one.
    #[error("the {origin} {problem}")]
    TokenUnusable {
        /// Where it comes from.
        origin: String,
        /// What is wrong with it, and what to do. Nothing of the token.
        problem: &'static str,
    },
    /// Certificates, key and name don't make a TLS configuration.
    #[error("the certificates, the key or the server's name can't be used")]
    Tls {
        /// What TLS said.
        source: tonic::transport::Error,
    },
}
