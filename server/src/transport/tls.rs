//! How TLS is spoken here: versions, cipher provider, the server's certificate, whom to believe.
//!
//! Client certificates are verified when they are shown and may be left out: who must show one is the identity layer's question.
//! Nothing here knows sockets, and nothing here decides when files are read.

pub(crate) mod revocation;
mod server_certificate;
mod trust;

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use sealward_core::id::Timestamp;
use x509_parser::time::ASN1Time;

use self::{revocation::ListProblem, trust::ClientCaProblem};
pub(crate) use self::{
    server_certificate::{ServerCertificate, faults, names},
    trust::{Shortcoming, Trust},
};
use crate::{
    config::{Tls, TlsVersion},
    files::pem::PemError,
    transport::handshake::Remembering,
};

/// A certificate that ends sooner is worth a warning.
pub(crate) const SOON_DAYS: i64 = 30;

const DAY_SECONDS: i64 = 86_400;

/// Why TLS can't be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be used.
    #[error("a file of [tls] can't be used")]
    Pem(#[from] PemError),
    /// A client CA isn't one.
    #[error("certificate {number} of {setting} can't be a client CA: it {problem}")]
    ClientCa {
        /// The setting that names the file.
        setting: String,
        /// Its place in the file, from 1.
        number: usize,
        /// Why not.
        problem: ClientCaProblem,
    },
    /// A revocation list can't be used.
    #[error("list {number} of tls.client_crl can't be used")]
    RevocationList {
        /// Its place in the file, from 1.
        number: usize,
        /// Why not.
        #[source]
        problem: ListProblem,
    },
    /// The certificate and the key don't fit, or can't be used.
    #[error("tls.certificate and tls.key make no server certificate")]
    Certificate(#[source] rustls::Error),
    /// Clients that accept the current certificate can't accept this one.
    #[error("no client could accept the server certificate {path}: {faults}: {remedy}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        faults: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The provider has no cipher suite for the versions.
    #[error("the cipher provider doesn't speak the configured TLS versions")]
    Versions(#[source] rustls::Error),
}

/// The terms on which connections are made: what the server shows, and whom it believes. Exchanged as a whole.
#[derive(Debug)]
pub(crate) struct Terms {
    /// For handshakes.
    pub(crate) server_config: Arc<ServerConfig>,
    /// What client certificates are verified by in these handshakes.
    pub(crate) trust: Arc<Trust>,
    /// What the server shows in them.
    pub(crate) certificate: ServerCertificate,
}

impl Terms {
    /// Reads the files and makes the terms that a start would make.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        Self::new(tls.minimum_version, &ServerCertificate::load(tls)?, &Arc::new(Trust::load(tls)?))
    }

    /// Terms of these parts. Sessions belong to the trust: they outlive another server certificate and end with another trust.
    ///
    /// # Errors
    /// [`TlsError::Versions`]
    pub(crate) fn new(
        minimum_version: TlsVersion,
        certificate: &ServerCertificate,
        trust: &Arc<Trust>,
    ) -> Result<Self, TlsError> {
        let resolver = SingleCertAndKey::from(Arc::clone(&certificate.certified));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&versions(minimum_version))
            .map_err(TlsError::Versions)?
            .with_client_cert_verifier(Arc::new(Remembering(trust.verifier())))
            .with_cert_resolver(Arc::new(resolver));
        // gRPC is HTTP/2; a client that offers only something else is refused in the handshake.
        config.alpn_protocols = vec![b"h2".to_vec()];
        // No 0-RTT: what it carries can be replayed.
        config.max_early_data_size = 0;
        config.session_storage = trust.sessions();
        Ok(Self { server_config: Arc::new(config), trust: Arc::clone(trust), certificate: certificate.clone() })
    }
}

fn versions(minimum: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match minimum {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}

/// As in `2027-11-23`.
pub(crate) fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

fn seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

#[cfg(test)]
pub(crate) mod tests;
