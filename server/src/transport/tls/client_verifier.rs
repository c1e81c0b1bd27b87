//! Verifies client certificates in handshakes with client CAs and revocation lists.
//!
//! webpki builds the path from a certificate to a CA. This file checks the rest: the CA itself, and every certificate of the path against
//! the lists.

use std::{iter, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, TrustAnchor, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use sealward_core::id::Timestamp;
use webpki::{Cert, EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    client_ca::ClientCa,
    revocation::{ListIssuer, RevocationLists},
};

/// Verifies client certificates with these CAs and lists. Client certificates are optional.
pub(super) struct ClientVerifier {
    pub(super) cas: Vec<ClientCa>,
    anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    pub(super) lists: Arc<RevocationLists>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    pub(super) fn new(cas: Vec<ClientCa>, lists: &Arc<RevocationLists>) -> Self {
        let anchors: Vec<_> = cas.iter().map(|ca| ca.anchor.clone()).collect();
        let store = RootCertStore { roots: anchors };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { cas, hints: store.subjects(), anchors: store.roots, lists: Arc::clone(lists), algorithms }
    }

    /// Checks the properties of a path that webpki doesn't check.
    fn check(&self, path: &VerifiedPath<'_>, now: Timestamp) -> Result<(), webpki::Error> {
        let intermediates: Vec<&Cert<'_>> = path.intermediate_certificates().collect();
        // Self-issued certificates don't count (RFC 5280, section 4.2.1.9).
        let others = intermediates.iter().filter(|certificate| certificate.subject() != certificate.issuer()).count();
        let ca = self.ca_of(path.anchor(), others, now)?;
        if self.lists.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = intermediates.iter().map(|certificate| certificate.subject_public_key_info()).collect();
        let issuers = intermediates.iter().zip(&keys).map(|(certificate, key)| ListIssuer {
            name: certificate.subject(),
            key,
            may_sign_lists: may_sign_lists(&certificate.der()),
        });
        let end_entity: &Cert<'_> = path.end_entity();
        let certificates = iter::once((end_entity, false)).chain(intermediates.iter().map(|ca| (*ca, true)));
        for ((certificate, is_ca), issuer) in certificates.zip(issuers.chain(iter::once(ca.list_issuer()))) {
            self.lists.check(certificate, is_ca, &issuer, now)?;
        }
        Ok(())
    }

    /// The CA of a path. A CA may have several certificates for its key, of which one is valid now.
    fn ca_of(&self, anchor: &TrustAnchor<'_>, others: usize, now: Timestamp) -> Result<&ClientCa, webpki::Error> {
        let mut problem = webpki::Error::UnknownIssuer;
        // The same certificate, because the path was checked against its name constraints: another certificate for the key may have others.
        let is_same = |ca: &&ClientCa| ca.anchor == *anchor;
        for ca in self.cas.iter().filter(is_same) {
            match ca.check(others, now) {
                Ok(()) => return Ok(ca),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }
}

impl std::fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientVerifier").field("lists", &self.lists).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let check = |path: &VerifiedPath<'_>| self.check(path, Timestamp::from_unix_micros(at));
        certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.anchors,
                intermediates,
                now,
                KeyUsage::client_auth(),
                None,
                Some(&check),
            )
            .map_err(refusal)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Without a key usage, a key may sign anything. The key of an unreadable certificate may sign nothing.
fn may_sign_lists(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}

/// Maps errors almost like the verifier of rustls: the error determines the alert for the client.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki has more errors than TLS has alerts, and may have more")]
fn refusal(error: webpki::Error) -> rustls::Error {
    use webpki::Error as Webpki;
    let problem = match error {
        Webpki::BadDer | Webpki::BadDerTime | Webpki::TrailingData(_) => CertificateError::BadEncoding,
        Webpki::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Webpki::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Webpki::InvalidCertValidity => CertificateError::Expired,
        // No CA with this name signed it: another CA signed it, or the same CA with a former key.
        Webpki::UnknownIssuer | Webpki::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        Webpki::CertRevoked => CertificateError::Revoked,
        Webpki::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Webpki::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    problem.into()
}
