//! A client CA: the requirements on its certificate, and the paths that it may verify.
//!
//! webpki doesn't check the certificate of the CA itself. This file checks its validity period and its path length (RFC 5280, section
//! 4.2.1.9).

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor};
use sealward_core::id::Timestamp;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::{
    revocation::ListIssuer,
    validity::{seconds, unix_time},
};
use crate::certificates::{Certificate, Renewal, Usage};

/// A CA whose client certificates are accepted.
#[derive(Clone)]
pub(crate) struct ClientCa {
    /// For reports.
    pub(super) certificate: Certificate,
    not_before: ASN1Time,
    not_after: ASN1Time,
    pub(super) anchor: TrustAnchor<'static>,
    key: SubjectPublicKeyInfoDer<'static>,
    /// The maximum number of intermediate CAs between it and a client's certificate.
    path_length_max: Option<u32>,
    may_sign_lists: bool,
}

/// Why a certificate can't be a client CA.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaProblem {
    /// It isn't an X.509 certificate.
    #[error("can't be read")]
    Malformed(#[source] Option<webpki::Error>),
    /// It isn't a CA, so it can't have issued client certificates. If it were accepted as one, the owner of its key could issue
    /// certificates for every name.
    #[error("isn't a CA: use the certificate of the CA, not one that it issued")]
    NotACa,
    /// It is a CA that may not issue certificates.
    #[error("has a key usage without keyCertSign: use the certificate of the CA that issues the client certificates")]
    KeyUsage,
}

impl ClientCa {
    pub(super) fn read(setting: &str, renewal: Renewal, der: &CertificateDer<'_>) -> Result<Self, ClientCaProblem> {
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|error| ClientCaProblem::Malformed(Some(error)))?;
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| ClientCaProblem::Malformed(None))?;
        let unreadable = |_| ClientCaProblem::Malformed(None);
        let constraints = certificate.basic_constraints().map_err(unreadable)?.ok_or(ClientCaProblem::NotACa)?;
        if !constraints.value.ca {
            return Err(ClientCaProblem::NotACa);
        }
        let usage = certificate.key_usage().map_err(unreadable)?;
        if usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(ClientCaProblem::KeyUsage);
        }
        Ok(Self {
            certificate: Certificate::read(setting, Usage::ClientCa, renewal, der),
            not_before: certificate.validity().not_before,
            not_after: certificate.validity().not_after,
            key: webpki::spki_for_anchor(&anchor),
            anchor: anchor.to_owned(),
            path_length_max: constraints.value.path_len_constraint,
            may_sign_lists: usage.is_none_or(|usage| usage.value.crl_sign()),
        })
    }

    /// Whether it may verify a path with this number of other CAs at this time.
    pub(super) fn check(&self, others: usize, now: Timestamp) -> Result<(), webpki::Error> {
        let time = unix_time(seconds(now));
        if seconds(now) > self.not_after.timestamp() {
            return Err(webpki::Error::CertExpired { time, not_after: unix_time(self.not_after.timestamp()) });
        }
        if seconds(now) < self.not_before.timestamp() {
            return Err(webpki::Error::CertNotValidYet { time, not_before: unix_time(self.not_before.timestamp()) });
        }
        let is_too_long = self.path_length_max.is_some_and(|max| usize::try_from(max).is_ok_and(|max| others > max));
        if is_too_long { Err(webpki::Error::PathLenConstraintViolated) } else { Ok(()) }
    }

    pub(super) fn list_issuer(&self) -> ListIssuer<'_> {
        ListIssuer { name: &self.anchor.subject, key: &self.key, may_sign_lists: self.may_sign_lists }
    }
}
