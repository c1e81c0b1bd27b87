//! Checks a message of the agent: the SVID that the server uses, and the bundles.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
    sign::CertifiedKey,
};
use sealward_core::{
    id::Timestamp,
    identity::{
        Identity,
        spiffe::{SpiffeId, is_trust_domain},
    },
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::{
    error::InvalidUpdate,
    message::{X509Svid, X509SvidResponse},
};
use crate::identity::ClientCertificate;

const SCHEME: &str = "spiffe://";

/// The maximum length of an id in a log line, in characters. It comes from another process.
const SHOWN_ID_LENGTH_MAX: usize = 200;

/// A valid update: an SVID whose key, dates, identity and chain are checked, and the bundles.
#[derive(Debug)]
pub(crate) struct Update {
    /// The id of the SVID.
    pub(crate) id: SpiffeId,
    /// Its certificates and key.
    pub(crate) certified: Arc<CertifiedKey>,
    /// The end of its validity.
    pub(crate) not_after: ASN1Time,
    /// The CAs by trust domain, in concatenated DER. Only that of the SVID's own trust domain is checked: those that no setting names must
    /// not matter.
    bundles: BTreeMap<String, Vec<u8>>,
    /// Whether the agent sent revocation lists, which aren't used.
    pub(crate) has_revocation_lists: bool,
}

impl Update {
    /// Reads a message. `wanted` is the id of the SVID to use; without it, the first one is used.
    pub(super) fn read(
        mut message: X509SvidResponse,
        wanted: Option<&SpiffeId>,
        now: Timestamp,
    ) -> Result<Self, InvalidUpdate> {
        let svid = choose(&message.svids, wanted)?;
        let (id, not_after, certified) = certified(svid)?;
        let trust_domain = id.trust_domain().to_owned();
        let cas = certificates(&svid.bundle).filter(|cas| !cas.is_empty());
        let cas = cas.ok_or_else(|| InvalidUpdate::Bundle { trust_domain: trust_domain.clone() })?;
        verify(&certified.cert, &cas, now).map_err(|source| InvalidUpdate::Unverified {
            id: shown(&svid.spiffe_id),
            trust_domain: trust_domain.clone(),
            source,
        })?;
        let mut bundles = BTreeMap::from([(trust_domain, svid.bundle.clone())]);
        for (name, bundle) in mem::take(&mut message.federated_bundles) {
            // A name that isn't a trust domain can't be in the configuration either.
            if let Some(name) = name.strip_prefix(SCHEME).filter(|name| is_trust_domain(name)) {
                bundles.entry(name.to_owned()).or_insert(bundle);
            }
        }
        let has_revocation_lists = !message.crl.is_empty();
        Ok(Self { id, certified: Arc::new(certified), not_after, bundles, has_revocation_lists })
    }

    /// The CAs of a trust domain, sorted; empty if the agent sent none.
    ///
    /// # Errors
    /// The bundle is malformed.
    pub(crate) fn bundle(&self, trust_domain: &str) -> Result<Vec<CertificateDer<'static>>, InvalidUpdate> {
        let der = self.bundles.get(trust_domain).map(Vec::as_slice).unwrap_or_default();
        let cas = certificates(der);
        let mut cas = cas.ok_or_else(|| InvalidUpdate::Bundle { trust_domain: trust_domain.to_owned() })?;
        cas.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        cas.dedup();
        Ok(cas)
    }
}

fn choose<'a>(svids: &'a [X509Svid], wanted: Option<&SpiffeId>) -> Result<&'a X509Svid, InvalidUpdate> {
    let first = svids.first().ok_or(InvalidUpdate::Empty)?;
    let Some(wanted) = wanted else { return Ok(first) };
    let wanted = wanted.to_string();
    svids.iter().find(|svid| svid.spiffe_id == wanted).ok_or_else(|| {
        let found: Vec<_> = svids.iter().map(|svid| &*svid.spiffe_id).collect();
        InvalidUpdate::OtherIds { wanted, found: shown(&found.join(", ")) }
    })
}

/// The id in the certificate, which is that of the message, the end of its validity, and the certificates with the key, which belongs to
/// them.
fn certified(svid: &X509Svid) -> Result<(SpiffeId, ASN1Time, CertifiedKey), InvalidUpdate> {
    let id = || shown(&svid.spiffe_id);
    let chain = certificates(&svid.x509_svid).ok_or_else(|| InvalidUpdate::Chain { id: id() })?;
    let own = chain.first().ok_or_else(|| InvalidUpdate::Chain { id: id() })?;
    let (_, parsed) = X509Certificate::from_der(own).map_err(|_| InvalidUpdate::Chain { id: id() })?;
    let not_after = parsed.validity().not_after;
    let certificate = ClientCertificate::from_der(own);
    let identity = certificate.map_err(|source| InvalidUpdate::Identity { id: id(), source })?.identity;
    let found = match &*identity {
        Identity::Spiffe(found) if found.to_string() == svid.spiffe_id => found.clone(),
        other @ (Identity::Spiffe(_) | Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => {
            return Err(InvalidUpdate::OtherIdentity { id: id(), found: shown(&other.to_string()) });
        }
    };
    let unusable = |source| InvalidUpdate::Key { id: id(), source };
    // Borrowed, so that no copy has to be wiped.
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&*svid.x509_svid_key));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(unusable)?;
    Ok((found, not_after, certified))
}

/// Checks a chain as a client does that trusts these CAs.
fn verify(chain: &[CertificateDer<'_>], cas: &[CertificateDer<'_>], now: Timestamp) -> Result<(), webpki::Error> {
    let (own, intermediates) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let anchors = cas.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>()?;
    let micros = now.unix_micros().max(0).unsigned_abs();
    let time = UnixTime::since_unix_epoch(Duration::from_micros(micros));
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    EndEntityCert::try_from(own)?
        .verify_for_usage(algorithms, &anchors, intermediates, time, KeyUsage::server_auth(), None, None)
        .map(drop)
}

/// Splits concatenated certificates in DER. `None` if they are malformed.
pub(crate) fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut certificates = Vec::new();
    while !der.is_empty() {
        let (rest, _) = X509Certificate::from_der(der).ok()?;
        let (certificate, _) = der.split_at_checked(der.len() - rest.len())?;
        certificates.push(CertificateDer::from(certificate.to_vec()));
        der = rest;
    }
    Some(certificates)
}

fn shown(id: &str) -> String {
    id.chars().filter(|character| !character.is_control()).take(SHOWN_ID_LENGTH_MAX).collect()
}
