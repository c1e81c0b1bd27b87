//! The configuration of rustls for a handshake, created from the settings, the server's certificate and the trust.

use std::sync::Arc;

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

use super::{
    error::TlsError, recording_verifier::RecordingVerifier, server_certificate::ServerCertificate, trust::Trust,
};
use crate::{
    config::{Tls, TlsVersion},
    workload_api::Update,
};

/// The context of a handshake: the server's certificate, and the CAs and lists that verify client certificates. A reload replaces the whole
/// context.
#[derive(Debug)]
pub(crate) struct TlsContext {
    /// The configuration of rustls.
    pub(crate) server_config: Arc<ServerConfig>,
    /// The trust that verifies client certificates in these handshakes.
    pub(crate) trust: Arc<Trust>,
    /// The server's certificate in these handshakes.
    pub(crate) certificate: ServerCertificate,
}

/// HTTP/2 in the negotiation of TLS (RFC 9113, section 3.2). It is preferred.
pub(crate) const ALPN_HTTP_2: &[u8] = b"h2";

/// HTTP/1.1 in the negotiation of TLS.
const ALPN_HTTP_1: &[u8] = b"http/1.1";

impl TlsContext {
    /// Reads the files, and creates the same context as a start. `update` is that of the Workload API.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls, update: Option<&Update>) -> Result<Self, TlsError> {
        let (certificate, trust) = (ServerCertificate::load(tls, update)?, Trust::load(tls, update)?);
        Self::new(tls.minimum_version, &certificate, &Arc::new(trust))
    }

    /// Creates a context. Sessions belong to the trust: they remain valid with another server certificate, and end with another trust.
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
            .with_client_cert_verifier(Arc::new(RecordingVerifier(trust.verifier())))
            .with_cert_resolver(Arc::new(resolver));
        // A client that offers only something else is refused in the handshake.
        config.alpn_protocols = vec![ALPN_HTTP_2.to_vec(), ALPN_HTTP_1.to_vec()];
        // No 0-RTT: its data can be replayed.
        config.max_early_data_size = 0;
        config.session_storage = trust.sessions();
        Ok(Self { server_config: Arc::new(config), trust: Arc::clone(trust), certificate: certificate.clone() })
    }

    /// The same context, for a listener that serves HTTP/1.1 only.
    pub(crate) fn for_http_1(&self) -> Self {
        let mut config = (*self.server_config).clone();
        config.alpn_protocols = vec![ALPN_HTTP_1.to_vec()];
        let (trust, certificate) = (Arc::clone(&self.trust), self.certificate.clone());
        Self { server_config: Arc::new(config), trust, certificate }
    }
}

fn versions(minimum: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match minimum {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}
