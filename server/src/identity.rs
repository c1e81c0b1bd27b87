//! Derives identities from client certificates: the SPIFFE id, else the DNS name, else the common name.
//!
//! A certificate with a SPIFFE id must be an X.509-SVID by sections 2 to 4 of the standard [X509-SVID]: a single URI name, of a workload;
//! not a CA; a critical key usage with digitalSignature and without keyCertSign and cRLSign. Otherwise it has no identity, whatever other
//! names it contains.
//!
//! [X509-SVID]: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
//!
//! The certificate's chain, signature and dates were verified in the handshake; here it is only read, once per connection. The policy
//! decides on the permissions of an identity.

pub(crate) mod jwks;
pub(crate) mod token;

use std::sync::Arc;

use sealward_core::{
    id::Timestamp,
    identity::{Identity, spiffe::SpiffeIdError},
};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer, X509Error},
};

const SPIFFE_SCHEME: &str = "spiffe:";

/// The data of a verified client certificate that its connection keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// Its identity.
    pub(crate) identity: Arc<Identity>,
    /// The SHA-256 hash of the certificate, which tokens bound to it contain.
    pub(crate) sha256: [u8; 32],
    /// The last moment of its validity. A connection may last longer, but calls are refused afterwards.
    pub(crate) not_after: Timestamp,
}

/// Why a certificate has no identity. Its text isn't repeated, since another CA may have signed any text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// It isn't X.509.
    #[error("the certificate can't be parsed")]
    Malformed(#[source] x509_parser::nom::Err<X509Error>),
    /// Its alternative names can't be parsed, so there may be some.
    #[error("the certificate's alternative names can't be parsed")]
    AlternativeNames(#[source] X509Error),
    /// One of its alternative names can't be parsed.
    #[error("the certificate has an alternative name that can't be parsed")]
    AlternativeName,
    /// It has several names of the relevant type.
    #[error("the certificate has more than one {0}")]
    Ambiguous(&'static str),
    /// It has a SPIFFE id, but isn't an X.509-SVID.
    #[error("the certificate has a SPIFFE id, but isn't a valid X.509-SVID: {0}")]
    NoSvid(&'static str),
    /// Its SPIFFE id is malformed.
    #[error("the certificate's SPIFFE id is malformed")]
    SpiffeId(#[from] SpiffeIdError),
    /// It has none of the three names.
    #[error("the certificate has no SPIFFE id, DNS name or common name")]
    Nameless,
    /// The name is empty or contains a control character, which could forge a line of a log.
    #[error("the certificate's {0} is empty or contains a control character")]
    Unprintable(&'static str),
}

impl ClientCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`CertificateError`]: it has no identity, or an ambiguous one.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(CertificateError::Malformed)?;
        Ok(Self {
            identity: identity(&certificate)?.into(),
            sha256: Sha256::digest(der).into(),
            not_after: not_after(&certificate),
        })
    }

    /// Whether the certificate has expired.
    #[must_use]
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, CertificateError> {
    let names = alternative_names(certificate)?;
    if let Some(id) = spiffe_id(&names)? {
        check_svid(certificate)?;
        return Ok(Identity::Spiffe(id.parse()?));
    }
    if let Some(name) = first_dns_name(&names) {
        // DNS names are case-insensitive, but bindings are compared as text.
        return printable(name, "DNS name").map(|name| Identity::Dns(name.to_ascii_lowercase()));
    }
    match common_name(certificate)? {
        Some(name) => printable(name, "common name").map(Identity::CommonName),
        None => Err(CertificateError::Nameless),
    }
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a GeneralName<'a>>, CertificateError> {
    let extension = certificate.subject_alternative_name().map_err(CertificateError::AlternativeNames)?;
    let names: Vec<_> = extension.into_iter().flat_map(|extension| &extension.value.general_names).collect();
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(CertificateError::AlternativeName);
    }
    Ok(names)
}

/// The URI name, if it is a SPIFFE id or resembles one. Then it must be the only URI name.
fn spiffe_id<'a>(names: &[&'a GeneralName<'a>]) -> Result<Option<&'a str>, CertificateError> {
    let uris: Vec<&str> =
        names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
    // The scheme is case-insensitive (RFC 3986, section 3.1). A SPIFFE id with an upper-case scheme is invalid, and must not be ignored.
    let is_spiffe =
        |uri: &str| uri.get(..SPIFFE_SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE_SCHEME));
    match uris[..] {
        [uri] if is_spiffe(uri) => Ok(Some(uri)),
        _ if uris.iter().any(|uri| is_spiffe(uri)) => Err(CertificateError::NoSvid("it has several URI names")),
        _ => Ok(None),
    }
}

fn check_svid(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let unreadable = |_| CertificateError::NoSvid("its extensions can't be parsed");
    if certificate.basic_constraints().map_err(unreadable)?.is_some_and(|constraints| constraints.value.ca) {
        return Err(CertificateError::NoSvid("it is a CA certificate"));
    }
    match certificate.key_usage().map_err(unreadable)? {
        None => Err(CertificateError::NoSvid("it has no key usage")),
        Some(usage) if !usage.critical => Err(CertificateError::NoSvid("its key usage isn't critical")),
        Some(usage) if !usage.value.digital_signature() => {
            Err(CertificateError::NoSvid("its key usage lacks digitalSignature"))
        }
        Some(usage) if usage.value.key_cert_sign() || usage.value.crl_sign() => {
            Err(CertificateError::NoSvid("its key may sign certificates or revocation lists"))
        }
        Some(_) => Ok(()),
    }
}

fn first_dns_name<'a>(names: &[&'a GeneralName<'a>]) -> Option<&'a str> {
    names.iter().find_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
}

fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Result<Option<&'a str>, CertificateError> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => name.as_str().map(Some).map_err(|_| CertificateError::Unprintable("common name")),
        (Some(_), Some(_)) => Err(CertificateError::Ambiguous("common name")),
    }
}

fn printable(name: &str, kind: &'static str) -> Result<String, CertificateError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(CertificateError::Unprintable(kind));
    }
    Ok(name.to_owned())
}

/// It is valid to the end of this second (RFC 5280, section 4.1.2.5).
fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    const MICROS_A_SECOND: i64 = 1_000_000;
    let seconds = certificate.validity().not_after.timestamp();
    Timestamp::from_unix_micros(seconds.saturating_mul(MICROS_A_SECOND).saturating_add(MICROS_A_SECOND - 1))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
        date_time_ymd,
    };

    use super::*;

    fn der(common_names: &[&str], alternative_names: Vec<SanType>) -> Vec<u8> {
        der_with(common_names, alternative_names, |_| {})
    }

    fn der_with(
        common_names: &[&str],
        alternative_names: Vec<SanType>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternative_names;
        params.not_after = date_time_ymd(2030, 1, 2);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn named(common_names: &[&str], alternative_names: Vec<SanType>) -> Result<String, CertificateError> {
        ClientCertificate::from_der(&der(common_names, alternative_names))
            .map(|certificate| certificate.identity.to_string())
    }

    #[test]
    fn spiffe_id_precedes_dns_name_and_common_name() {
        let spiffe = || uri("spiffe://example.org/ns/mail");
        assert_eq!(named(&["admin"], vec![dns("Mail.Example"), spiffe()]).unwrap(), "spiffe:example.org/ns/mail");
        assert_eq!(
            named(&["admin"], vec![uri("https://example.org"), uri("https://b"), dns("Mail.Example"), dns("b")])
                .unwrap(),
            "dns:mail.example"
        );
        assert_eq!(named(&["admin"], vec![uri("https://example.org")]).unwrap(), "cn:admin");
        assert_eq!(named(&["admin"], vec![]).unwrap(), "cn:admin");
    }

    #[test]
    fn certificate_without_a_clear_name_is_refused() {
        assert!(matches!(named(&[], vec![]), Err(CertificateError::Nameless)));
        assert!(matches!(named(&["admin\nadmin"], vec![]), Err(CertificateError::Unprintable("common name"))));
        assert!(matches!(named(&[""], vec![]), Err(CertificateError::Unprintable("common name"))));
        assert!(matches!(ClientCertificate::from_der(b"no certificate"), Err(CertificateError::Malformed(_))));
    }

    #[test]
    fn certificate_with_a_spiffe_id_must_be_an_svid() {
        let id = || uri("spiffe://example.org/ns/mail");
        let refused = |names: Vec<SanType>, change: fn(&mut CertificateParams)| {
            let error = ClientCertificate::from_der(&der_with(&["admin"], names, change)).unwrap_err();
            assert!(!error.to_string().contains("example.org"), "{error}");
            error.to_string()
        };
        let no_svid = "the certificate has a SPIFFE id, but isn't a valid X.509-SVID: ";
        type Change = fn(&mut CertificateParams);
        let cases: [(Change, &str); 5] = [
            (|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "it is a CA certificate"),
            (|params| params.key_usages.clear(), "it has no key usage"),
            (|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement], "its key usage lacks digitalSignature"),
            (
                |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign),
                "its key may sign certificates or revocation lists",
            ),
            (
                |params| params.key_usages.push(KeyUsagePurpose::CrlSign),
                "its key may sign certificates or revocation lists",
            ),
        ];
        for (change, words) in cases {
            assert_eq!(refused(vec![id()], change), format!("{no_svid}{words}"));
        }
        for second in ["spiffe://example.org/b", "https://example.org"] {
            assert_eq!(refused(vec![id(), uri(second)], |_| {}), format!("{no_svid}it has several URI names"));
        }
        for text in
            ["SPIFFE://example.org/a", "spiffe:example.org/a", "spiffe://example.org", "spiffe://example.org/a/"]
        {
            assert_eq!(
                refused(vec![uri(text), dns("a")], |_| {}),
                "the certificate's SPIFFE id is malformed",
                "{text}"
            );
        }
    }

    #[test]
    fn a_certificate_is_valid_through_its_last_second() {
        const LAST_SECOND: i64 = 1_893_542_400;
        let certificate = ClientCertificate::from_der(&der(&["admin"], vec![])).unwrap();
        assert!(!certificate.has_expired(Timestamp::from_unix_micros(LAST_SECOND * 1_000_000 + 999_999)));
        assert!(certificate.has_expired(Timestamp::from_unix_micros((LAST_SECOND + 1) * 1_000_000)));
    }
}
