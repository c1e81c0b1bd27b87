//! Errors in the configuration of a client.

use std::{io, path::PathBuf};

/// An error in the configuration of a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The endpoint isn't a URI with a scheme and a host.
    #[error("invalid endpoint {endpoint:?}: use a URL such as https://127.0.0.1:7443")]
    EndpointInvalid {
        /// The endpoint.
        endpoint: String,
    },
    /// The endpoint has no TLS, and plaintext isn't enabled.
    #[error("endpoint {endpoint:?} has no TLS: use https://, or enable plaintext for diagnostics")]
    PlaintextNotAllowed {
        /// The endpoint.
        endpoint: String,
    },
    /// Plaintext is enabled, and the endpoint has TLS.
    #[error("endpoint {endpoint:?} has TLS, but plaintext is enabled: use http://")]
    PlaintextOverTls {
        /// The endpoint.
        endpoint: String,
    },
    /// No CA certificate is set.
    #[error("no CA certificate is set to verify the server; the system's CAs are not used")]
    CaMissing,
    /// A file can't be read.
    #[error("can't read the {what} {path}")]
    FileUnreadable {
        /// The kind of file, such as `CA file`.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// PEM can't be used.
    #[error("can't use the {what}: {problem}")]
    PemUnusable {
        /// The kind of PEM, and the file if there is one.
        what: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// A bearer token is set for a connection without TLS, on which the network could read it.
    #[error("bearer tokens require TLS: use https://")]
    TokenOverPlaintext,
    /// The bearer token is invalid.
    #[error("the {origin} {problem}")]
    TokenUnusable {
        /// The source of the token: `bearer token`, or the token file and its path.
        origin: String,
        /// The problem, and what to do. Doesn't contain the token.
        problem: &'static str,
    },
    /// The certificates, the key or the server's name don't form a valid TLS configuration.
    #[error("invalid TLS configuration: check the certificates, the key and the server's name")]
    Tls {
        /// The error of the TLS library.
        source: tonic::transport::Error,
    },
}
