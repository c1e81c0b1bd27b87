//! Records the subject of a refused client certificate, because rustls's error doesn't contain it.

use std::{cell::RefCell, fmt, future::Future, sync::Arc};

use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{
    foreign_text::{SHOWN_NAME_MAX_BYTES, presentable},
    identity::ClientCertificate,
};

/// A verifier that records, for the log, the subject of a certificate that it refuses.
pub(crate) struct RecordingVerifier(pub(crate) Arc<dyn ClientCertVerifier>);

tokio::task_local! {
    /// The subject of the certificate that the handshake of this task refused.
    static REFUSED: RefCell<Option<String>>;
}

/// Performs a handshake. Its error includes the subject of the refused certificate, if any.
pub(crate) async fn with_refused_subject<T, E>(
    handshake: impl Future<Output = Result<T, E>>,
) -> Result<T, (E, Option<String>)> {
    let recorded = async { handshake.await.map_err(|error| (error, REFUSED.with(RefCell::take))) };
    REFUSED.scope(RefCell::default(), recorded).await
}

impl fmt::Debug for RecordingVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientCertVerifier for RecordingVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.0.verify_client_cert(end_entity, intermediates, now).inspect_err(|_| {
            let _outside_a_handshake = REFUSED.try_with(|refused| refused.replace(Some(subject(end_entity))));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

/// The unverified name in a certificate: its subject or, without a subject, its identity.
fn subject(der: &CertificateDer<'_>) -> String {
    let subject = X509Certificate::from_der(der).map(|(_, certificate)| certificate.subject().to_string());
    let text = match subject {
        Ok(subject) if !subject.is_empty() => subject,
        Ok(_) => ClientCertificate::from_der(der)
            .map_or_else(|_| "without a name".to_owned(), |certificate| certificate.identity.to_string()),
        Err(_) => "unreadable".to_owned(),
    };
    presentable(&text, SHOWN_NAME_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn subject_is_short_and_without_control_characters() {
        let named = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            subject(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
        };
        assert_eq!(named("ada"), "CN=ada");
        let forged = named("ada\nlevel=error \u{1b}[31m");
        assert!(forged.starts_with("CN=ada"), "{forged}");
        assert!(!forged.contains(char::is_control), "{forged}");
        assert_eq!(named("ada\u{202e}\u{200b}"), "CN=ada\u{fffd}\u{fffd}");
        assert_eq!(named(&"a".repeat(10_000)).len(), SHOWN_NAME_MAX_BYTES + '…'.len_utf8());
        assert_eq!(subject(&CertificateDer::from_slice(b"nothing")), "unreadable");
    }
}
