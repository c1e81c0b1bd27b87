//! What is believed of a hop's header: the caller's certificate, checked as on a direct connection if the hop forwards all of it.
//!
//! A certificate's identity comes from the certificate itself, or, if only its SPIFFE id is forwarded, from that. A hop that forwards no
//! certificate answers for its revocation.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use sealward_core::{
    id::Timestamp,
    identity::{Identity, spiffe::SpiffeId},
};

use super::xfcc::{self, Element, SIZE_MAX_BYTES};
use crate::{
    config::Hop,
    identity::ClientCertificate,
    transport::{handshake::cause, tls::Trust},
};

/// The header that names the caller's certificate.
pub(crate) const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The header with the scheme of the caller's connection.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The caller's certificate, as a hop names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asserted {
    /// Its identity. `None` if the hop forwards only a hash.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Its SHA-256 hash, if the hop forwards it.
    pub(crate) sha256: Option<[u8; 32]>,
    /// The last moment of its validity, if the hop forwards the certificate.
    pub(crate) not_after: Option<Timestamp>,
}

/// Why a call from a hop has no caller. The text is for the hop's operator, and repeats nothing of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HopProblem {
    /// There is neither a header nor a token, or the header has no certificate and no SPIFFE id.
    #[error("it names no caller: forward the client certificate in x-forwarded-client-cert, or a bearer token")]
    NoCaller,
    /// There are several headers.
    #[error("it has x-forwarded-client-cert twice: use SANITIZE_SET")]
    Twice,
    /// The header is too large.
    #[error(
        "its x-forwarded-client-cert is larger than {SIZE_MAX_BYTES} bytes: forward fewer parts of the certificate"
    )]
    TooLarge,
    /// The header, or a part of it, can't be parsed.
    #[error("its x-forwarded-client-cert is malformed")]
    Malformed,
    /// The last element belongs to another proxy, or to none.
    #[error(
        "the last element of its x-forwarded-client-cert isn't by this hop: use SANITIZE_SET, or check `by` of the hop"
    )]
    ByAnother,
    /// The forwarded certificate can't be used.
    #[error("the forwarded client certificate has no valid identity")]
    Certificate,
    /// The forwarded certificate isn't trusted, for this cause of a refused handshake.
    #[error("the forwarded client certificate isn't accepted: {0}")]
    NotTrusted(&'static str),
    /// The parts of the element contradict each other.
    #[error("the parts of its x-forwarded-client-cert don't belong to one certificate")]
    Contradiction,
    /// The hop may not assert this identity.
    #[error("the hop isn't allowed to assert this caller: check kinds, trust_domains and issuers of the hop")]
    NotAllowed,
}

/// Whether a hop says, exactly once, that the caller's connection to it was secure.
pub(crate) fn is_over_tls(headers: &HeaderMap) -> bool {
    only(headers, &FORWARDED_PROTO).is_ok_and(|scheme| scheme == Some(b"https"))
}

/// Checks that a hop may assert this identity.
///
/// # Errors
/// [`HopProblem::NotAllowed`]
pub(crate) fn permit(hop: &Hop, identity: &Identity) -> Result<(), HopProblem> {
    let asserts = &hop.asserts;
    let is_listed = match identity {
        Identity::Spiffe(id) => asserts.trust_domains.contains(id.trust_domain()),
        Identity::Dns(_) => asserts.dns_names,
        Identity::CommonName(_) => asserts.common_names,
        Identity::Jwt { issuer, .. } => asserts.issuers.contains(issuer),
    };
    if is_listed && !asserts.hops.contains(identity) { Ok(()) } else { Err(HopProblem::NotAllowed) }
}

impl Asserted {
    /// Reads the header of a call from this hop. `None` if there is no header.
    ///
    /// # Errors
    /// [`HopProblem`]
    pub(crate) fn read(
        headers: &HeaderMap,
        hop: &Hop,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Option<Self>, HopProblem> {
        let Some(header) = only(headers, &XFCC).map_err(|Several| HopProblem::Twice)? else { return Ok(None) };
        if header.len() > SIZE_MAX_BYTES {
            return Err(HopProblem::TooLarge);
        }
        let element = xfcc::last_element(header).map_err(|xfcc::Malformed| HopProblem::Malformed)?;
        if !is_by(&element, hop) {
            return Err(HopProblem::ByAnother);
        }
        let chain = chain(&element)?;
        let asserted = match chain.first() {
            Some(certificate) => Self::of_certificate(certificate, &chain, trust, now)?,
            None => Self { identity: spiffe_id(&element)?, sha256: element.hash, not_after: None },
        };
        asserted.check(&element)?;
        if let Some(identity) = &asserted.identity {
            permit(hop, identity)?;
        }
        Ok(Some(asserted))
    }

    /// The certificate is checked as in a handshake.
    fn of_certificate(
        der: &[u8],
        chain: &[CertificateDer<'_>],
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Self, HopProblem> {
        let certificate = ClientCertificate::from_der(der).map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "forwarded certificate without valid identity");
            HopProblem::Certificate
        })?;
        let identity = certificate.identity;
        trust.verify(chain, &identity, now).map_err(|error| {
            tracing::debug!(%identity, %error, "forwarded certificate refused");
            HopProblem::NotTrusted(cause::of_certificate(&error))
        })?;
        Ok(Self { identity: Some(identity), sha256: Some(certificate.sha256), not_after: Some(certificate.not_after) })
    }

    /// Checks that all parts of the element belong to this certificate, and that there is one.
    fn check(&self, element: &Element) -> Result<(), HopProblem> {
        if self.identity.is_none() && self.sha256.is_none() {
            return Err(HopProblem::NoCaller);
        }
        let has_other_hash = element.hash.is_some_and(|hash| self.sha256 != Some(hash));
        let named = spiffe_id(element)?;
        let has_other_id = named.is_some() && named != self.identity;
        if has_other_hash || has_other_id { Err(HopProblem::Contradiction) } else { Ok(()) }
    }
}

/// Whether the hop wrote the element.
fn is_by(element: &Element, hop: &Hop) -> bool {
    let is_named = element.by.iter().all(|by| hop.by.contains(by));
    is_named && !(hop.must_be_named && element.by.is_empty())
}

/// The certificate and its intermediate ones; empty if they aren't forwarded.
fn chain(element: &Element) -> Result<Vec<CertificateDer<'static>>, HopProblem> {
    let decoded = |text: &String| {
        let pem: Vec<u8> = percent_decode_str(text).collect();
        sealward_pem::certificates(&pem).map_err(|_| HopProblem::Malformed)
    };
    let chain = element.chain.as_ref().map(decoded).transpose()?;
    match (element.certificate.as_ref().map(decoded).transpose()?, chain) {
        (None, chain) => Ok(chain.unwrap_or_default()),
        (Some(certificate), _) if certificate.len() != 1 => Err(HopProblem::Malformed),
        (Some(certificate), Some(chain)) if certificate.first() != chain.first() => Err(HopProblem::Contradiction),
        (Some(certificate), chain) => Ok(chain.unwrap_or(certificate)),
    }
}

/// The SPIFFE id among the URIs, which then is the only URI, as in a certificate.
fn spiffe_id(element: &Element) -> Result<Option<Arc<Identity>>, HopProblem> {
    let is_spiffe = |uri: &String| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    match element.uris.as_slice() {
        [uri] if is_spiffe(uri) => {
            let id: SpiffeId = uri.parse().map_err(|_| HopProblem::Malformed)?;
            Ok(Some(Identity::Spiffe(id).into()))
        }
        uris if uris.iter().any(is_spiffe) => Err(HopProblem::Malformed),
        _ => Ok(None),
    }
}

/// A header appears more than once.
struct Several;

/// The value of a header that may appear once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(http::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(Several),
    }
}
