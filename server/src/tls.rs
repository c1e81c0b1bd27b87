//! How TLS is spoken here: versions, cipher provider, certificates, whom to believe.
//!
//! Client certificates are verified when they are shown and may be left out: who must show one is the identity layer's question.
//! Nothing here knows sockets or names.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use crate::{
    config::{Tls, TlsVersion},
    pem::{self, PemError},
};

/// Why TLS can't be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file doesn't give what it should.
    #[error("a file of [tls] can't be used")]
    Pem(#[from] PemError),
    /// A client CA isn't one.
    #[error("tls.client_ca has a certificate that can't be a trust anchor")]
    ClientCa(#[source] rustls::Error),
    /// The client CAs make no verifier.
    #[error("client certificates can't be verified with tls.client_ca")]
    Verifier(#[from] VerifierBuilderError),
    /// The certificate and the key don't fit, or can't be used.
    #[error("tls.certificate and tls.key make no server certificate")]
    Certificate(#[source] rustls::Error),
    /// The provider has no cipher suite for the versions.
    #[error("the cipher provider doesn't speak the TLS versions asked for")]
    Versions(#[source] rustls::Error),
}

/// Reads the files and makes the configuration of a listener.
///
/// A new one has a session store of its own, so that a session begun under other CAs isn't resumed.
///
/// # Errors
/// [`TlsError`]
pub(crate) fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());

    let mut client_cas = RootCertStore::empty();
    for certificate in pem::certificates(&tls.client_ca)? {
        client_cas.add(certificate).map_err(TlsError::ClientCa)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(client_cas), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(tls.minimum_version))
        .map_err(TlsError::Versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pem::certificates(&tls.certificate)?, pem::private_key(&tls.key)?)
        .map_err(TlsError::Certificate)?;
    // gRPC is HTTP/2; a client that offers only something else is told so in the handshake.
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No 0-RTT: what it carries can be replayed.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn versions(minimum: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match minimum {
        TlsVersion::V1_3 => vec![&TLS13],
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::development::Development;

    fn settings() -> (tempfile::TempDir, Tls) {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::prepare(folder.path()).unwrap();
        let tls = development.config().unwrap().tls;
        (folder, tls)
    }

    #[test]
    fn h2_is_the_only_protocol_and_nothing_comes_early() {
        let (_folder, tls) = settings();
        let config = server_config(&tls).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2"]);
        assert_eq!(config.max_early_data_size, 0);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_at_start() {
        let (folder, mut tls) = settings();
        tls.key = folder.path().join("tls/admin.key");
        assert!(matches!(server_config(&tls), Err(TlsError::Certificate(_))));
    }
}
