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
use crate::{
    foreign_text::{SHOWN_NAME_MAX_BYTES, presentable},
    identity::ClientCertificate,
    transport::tls::IsoTime,
};

const SCHEME: &str = "spiffe://";

/// A valid SVID, whose key, dates, identity and chain are checked, with the bundles of its message.
#[derive(Debug)]
pub(crate) struct Update {
    /// The id of the SVID.
    pub(crate) id: SpiffeId,
    /// Its certificates and key.
    pub(crate) certified: Arc<CertifiedKey>,
    /// The end of its validity, as in `2026-12-31T01:29:28Z`.
    pub(crate) not_after: IsoTime,
    /// The bundles of its message.
    pub(crate) bundles: Arc<Bundles>,
}

/// The bundles of a message. They take effect also if the SVID of the message can't be used.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    /// The CAs by trust domain, in concatenated DER. They are checked when they are used: those that no setting names must not matter.
    by_trust_domain: BTreeMap<String, Vec<u8>>,
    /// The trust domain of the SVID, whose bundle can't be empty; `None` if no SVID shows it, and then a missing bundle isn't a removed one.
    own: Option<String>,
    /// Whether the agent sent revocation lists, which aren't used.
    pub(crate) has_revocation_lists: bool,
}

/// A message of the agent: its parts, each valid or not.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) svid: Result<Update, InvalidUpdate>,
    pub(super) bundles: Arc<Bundles>,
}

impl Message {
    /// Reads a message. `wanted` is the id of the SVID to use; without it, the first one is used.
    pub(super) fn read(message: &mut X509SvidResponse, wanted: Option<&SpiffeId>, now: Timestamp) -> Self {
        let svid = choose(&message.svids, wanted);
        let federated = mem::take(&mut message.federated_bundles);
        let own = own_bundle(&message.svids, svid.as_deref().ok(), wanted);
        let bundles = Arc::new(Bundles::new(own, federated, !message.crl.is_empty()));
        let svid = svid.and_then(|svid| Update::read(svid, &bundles, now));
        Self { svid, bundles }
    }
}

impl Update {
    fn read(svid: &X509Svid, bundles: &Arc<Bundles>, now: Timestamp) -> Result<Self, InvalidUpdate> {
        let (id, not_after, certified) = certified(svid)?;
        let trust_domain = id.trust_domain().to_owned();
        let cas = bundles.of(&trust_domain)?;
        verify(&certified.cert, &cas, now).map_err(|source| InvalidUpdate::Unverified {
            id: shown(&svid.spiffe_id),
            trust_domain: trust_domain.clone(),
            source: source.into(),
        })?;
        let (certified, bundles) = (Arc::new(certified), Arc::clone(bundles));
        Ok(Self { id, certified, not_after: not_after.into(), bundles })
    }
}

impl Bundles {
    /// `own` is the trust domain of the SVID, with its bundle. Keys of `federated` are SPIFFE ids of trust domains.
    fn new(own: Option<(String, Vec<u8>)>, federated: BTreeMap<String, Vec<u8>>, has_revocation_lists: bool) -> Self {
        let name = own.as_ref().map(|(name, _)| name.clone());
        let mut by_trust_domain: BTreeMap<_, _> = own.into_iter().collect();
        for (id, bundle) in federated {
            // A name that isn't a trust domain can't be in the configuration either.
            if let Some(name) = id.strip_prefix(SCHEME).filter(|name| is_trust_domain(name)) {
                by_trust_domain.entry(name.to_owned()).or_insert(bundle);
            }
        }
        Self { by_trust_domain, own: name, has_revocation_lists }
    }

    /// The CAs of a trust domain, sorted; empty if the agent sent none.
    ///
    /// # Errors
    /// The bundle is malformed, or the message doesn't show whether the agent has it.
    pub(crate) fn of(&self, trust_domain: &str) -> Result<Vec<CertificateDer<'static>>, InvalidUpdate> {
        let (der, may_be_empty) = match self.by_trust_domain.get(trust_domain) {
            Some(der) => (der.as_slice(), self.own.as_deref() != Some(trust_domain)),
            None if self.own.is_none() => return Err(InvalidUpdate::NoOwnSvid),
            None => (&[][..], true),
        };
        let cas = certificates(der).filter(|cas| may_be_empty || !cas.is_empty());
        let mut cas = cas.ok_or_else(|| InvalidUpdate::Bundle { trust_domain: trust_domain.to_owned() })?;
        cas.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        cas.dedup();
        Ok(cas)
    }
}

/// The trust domain of the server with its bundle: those of the chosen SVID, or of another one of the same trust domain.
fn own_bundle(svids: &[X509Svid], chosen: Option<&X509Svid>, wanted: Option<&SpiffeId>) -> Option<(String, Vec<u8>)> {
    let trust_domain = |svid: &X509Svid| Some(svid.spiffe_id.parse::<SpiffeId>().ok()?.trust_domain().to_owned());
    let own = match wanted {
        Some(id) => id.trust_domain().to_owned(),
        None => trust_domain(svids.first()?)?,
    };
    let svid = chosen.or_else(|| svids.iter().find(|svid| trust_domain(svid).as_ref() == Some(&own)))?;
    Some((own, svid.bundle.clone()))
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
    presentable(id, SHOWN_NAME_MAX_BYTES)
}
