//! Whose client certificates are believed: CAs, the names they speak for, and what they revoked.
//!
//! webpki builds the path of a certificate to a CA. What it doesn't ask of the CA's own certificate is asked here: whether it is in its
//! time, and how many CAs may be below it (RFC 5280, section 4.2.1.9). Nothing here knows sockets, or when files are read.

use std::{collections::BTreeMap, iter, sync::Arc, time::Duration};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime},
    server::{
        ServerSessionMemoryCache, StoresServerSessions,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use sealward_core::{id::Timestamp, identity::Identity};
use webpki::{Cert, EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::{
    DAY_SECONDS, SOON_DAYS, TlsError, day,
    revocation::{ListFacts, ListIssuer, RevocationLists, Standing},
    seconds,
};
use crate::{
    config::Tls,
    files::pem::{self, PemError},
};

/// Sessions that can be resumed. Each costs about 4 KB. A client whose session is gone makes a full handshake.
const SESSIONS_MAX: usize = 256;

/// Whose client certificates are believed, and the sessions that were begun with such certificates.
pub(crate) struct Trust {
    files: TrustFiles,
    /// All CAs: for handshakes, which don't know yet whom a certificate names.
    verifier: Arc<ClientVerifier>,
    /// By the names that each CA speaks for; none where there are no trust domains.
    narrower: Option<Narrower>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// Who speaks for which names.
struct Narrower {
    /// SPIFFE ids, by their trust domain.
    trust_domains: BTreeMap<String, ClientVerifier>,
    /// All other names.
    others: ClientVerifier,
}

/// What the files contain.
#[derive(PartialEq)]
struct TrustFiles {
    client_cas: Vec<CertificateDer<'static>>,
    trust_domains: BTreeMap<String, Vec<CertificateDer<'static>>>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

/// Why a certificate can't be a client CA.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaProblem {
    /// It isn't an X.509 certificate.
    #[error("can't be read")]
    Malformed(#[source] Option<webpki::Error>),
    /// It can't have issued any certificate, and a program that has its key could issue them for every name.
    #[error("isn't a CA: use the certificate of the CA, not one that it issued")]
    NotACa,
    /// It is a CA that issues no certificates.
    #[error("has a key usage without keyCertSign: use the certificate of the CA that issues the client certificates")]
    KeyUsage,
}

/// A certificate whose holder is believed to issue client certificates.
#[derive(Clone)]
pub(crate) struct ClientCa {
    /// The setting that names it.
    pub(crate) setting: String,
    /// Its subject.
    pub(crate) subject: String,
    pub(crate) not_before: ASN1Time,
    pub(crate) not_after: ASN1Time,
    anchor: TrustAnchor<'static>,
    key: SubjectPublicKeyInfoDer<'static>,
    /// How many intermediate CAs may be between it and a client's certificate.
    path_length_max: Option<u32>,
    may_sign_lists: bool,
}

/// What keeps clients out, or soon will, though the configuration can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortcoming {
    /// The setting it is about.
    pub(crate) setting: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: &'static str,
    /// Whether something doesn't work because of it now.
    pub(crate) is_error: bool,
}

/// Of the same CAs and lists.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("client_cas", &self.client_cas().count())
            .field("revocation_lists", &self.verifier.lists)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads the files of `tls.client_ca`, `tls.client_crl` and `[[trust_domains]]`.
    ///
    /// With lists, every CA that issued a certificate of a client's chain needs one: a certificate is refused if no list can tell whether
    /// it was revoked. A list past its time continues to be used, since what it names stays revoked and a late list must not keep
    /// everybody out; [`Trust::shortcomings`] reports it.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        Self::new(TrustFiles::read(tls)?)
    }

    /// As [`load`](Self::load), but returns what there is if the files contain the same.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load_unless_same(tls: &Tls, before: &Arc<Self>) -> Result<Arc<Self>, TlsError> {
        let files = TrustFiles::read(tls)?;
        if files == before.files {
            return Ok(Arc::clone(before));
        }
        Self::new(files).map(Arc::new)
    }

    fn new(files: TrustFiles) -> Result<Self, TlsError> {
        let lists = RevocationLists::parse(&files.revocation_lists)
            .map_err(|(number, problem)| TlsError::RevocationList { number, problem })?;
        let lists = Arc::new(lists);
        let read = |setting: &str, cas: &[CertificateDer<'static>]| {
            let numbered = (1..).zip(cas);
            let ca = |(number, der)| {
                let setting = setting.to_owned();
                ClientCa::read(&setting, der).map_err(|problem| TlsError::ClientCa { setting, number, problem })
            };
            numbered.map(ca).collect::<Result<Vec<_>, _>>()
        };
        let others = read("tls.client_ca", &files.client_cas)?;
        let mut all = others.clone();
        let mut trust_domains = BTreeMap::new();
        for (name, cas) in &files.trust_domains {
            let cas = read(&format!("trust_domains of {name}"), cas)?;
            all.extend_from_slice(&cas);
            trust_domains.insert(name.clone(), ClientVerifier::new(cas, &lists));
        }
        let narrower = if trust_domains.is_empty() {
            None
        } else {
            Some(Narrower { trust_domains, others: ClientVerifier::new(others, &lists) })
        };
        let verifier = Arc::new(ClientVerifier::new(all, &lists));
        Ok(Self { verifier, narrower, files, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }

    /// What client certificates are verified by in handshakes.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as Arc<dyn ClientCertVerifier>
    }

    pub(super) fn sessions(&self) -> Arc<dyn StoresServerSessions> {
        Arc::clone(&self.sessions)
    }

    /// Whether a handshake at this time would accept this chain: the client's certificate, then those between it and its CA; and whether
    /// that CA speaks for the name in it.
    ///
    /// # Errors
    /// Why it wouldn't.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        let (certificate, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(Duration::from_micros(now.unix_micros().max(0).unsigned_abs()));
        let nobody = || rustls::Error::General("the trust domain isn't known".to_owned());
        let verifier = match (&self.narrower, identity) {
            (None, _) => &*self.verifier,
            (Some(narrower), Identity::Spiffe(id)) => {
                narrower.trust_domains.get(id.trust_domain()).ok_or_else(nobody)?
            }
            (Some(narrower), Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => &narrower.others,
        };
        verifier.verify_client_cert(certificate, intermediates, now).map(|_| ())
    }

    /// As [`verify`](Self::verify), right after the handshake: only what that didn't look at.
    ///
    /// # Errors
    /// Why the CA doesn't speak for the name.
    pub(crate) fn verify_name(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        if self.narrower.is_some() { self.verify(chain, identity, now) } else { Ok(()) }
    }

    /// The client CAs, those of trust domains included.
    pub(crate) fn client_cas(&self) -> impl Iterator<Item = &ClientCa> {
        self.verifier.cas.iter()
    }

    /// The revocation lists, in the order of the file.
    pub(crate) fn revocation_lists(&self) -> impl Iterator<Item = &ListFacts> {
        self.verifier.lists.facts()
    }

    /// What is wrong with the CAs and lists at this time.
    pub(crate) fn shortcomings(&self, now: Timestamp) -> Vec<Shortcoming> {
        let cas = &self.verifier.cas;
        let of_cas = cas.iter().filter_map(|ca| ca.shortcoming(now));
        let unlisted = cas
            .iter()
            .filter(|ca| !self.verifier.lists.is_empty() && !self.verifier.lists.has_list_of(&ca.list_issuer(), now))
            .map(|ca| Shortcoming {
                setting: CLIENT_CRL.to_owned(),
                problem: format!(
                    "no list of the client CA {} can be used: every client with its certificates is refused",
                    ca.subject
                ),
                remedy: "add the CA's list, or remove the CA",
                is_error: false,
            });
        let issuers: Vec<_> = cas.iter().map(ClientCa::list_issuer).collect();
        let lists = self.verifier.lists.standings(&issuers);
        let of_lists = lists.filter_map(|(list, standing)| shortcoming_of_list(list, standing, now));
        of_cas.chain(unlisted).chain(of_lists).collect()
    }
}

const CLIENT_CRL: &str = "tls.client_crl";

fn shortcoming_of_list(list: &ListFacts, standing: Standing, now: Timestamp) -> Option<Shortcoming> {
    let shown = list.to_string();
    let (problem, remedy) = match standing {
        Standing::ForeignSignature => (
            format!("{shown}: none of the client CAs of this name signed it, so it counts for none of them"),
            "replace it with the list of the client CA, or add the CA that signed it",
        ),
        Standing::KeyUsage => (
            format!("{shown}: the key usage of its CA lacks cRLSign, so it doesn't count"),
            "have the CA's certificate issued with cRLSign",
        ),
        Standing::OfClientCa | Standing::OfAnother if list.is_from_the_future(now) => (
            format!("{shown}: it is from the future, so it revokes certificates and vouches for none"),
            "set this machine's clock, or use the list before it until then",
        ),
        Standing::OfClientCa | Standing::OfAnother if list.is_late(now) => (
            format!("{shown}: it is past its time, so certificates revoked since are unknown"),
            "replace it with the CA's latest",
        ),
        Standing::OfClientCa | Standing::OfAnother => return None,
    };
    Some(Shortcoming { setting: CLIENT_CRL.to_owned(), problem, remedy, is_error: false })
}

impl ClientCa {
    fn read(setting: &str, der: &CertificateDer<'_>) -> Result<Self, ClientCaProblem> {
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
            setting: setting.to_owned(),
            subject: certificate.subject().to_string(),
            not_before: certificate.validity().not_before,
            not_after: certificate.validity().not_after,
            key: webpki::spki_for_anchor(&anchor),
            anchor: anchor.to_owned(),
            path_length_max: constraints.value.path_len_constraint,
            may_sign_lists: usage.is_none_or(|usage| usage.value.crl_sign()),
        })
    }

    /// Whether it may vouch for a path at this time that has so many other CAs in it.
    fn check(&self, others: usize, now: Timestamp) -> Result<(), webpki::Error> {
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

    fn list_issuer(&self) -> ListIssuer<'_> {
        ListIssuer { name: &self.anchor.subject, key: &self.key, may_sign_lists: self.may_sign_lists }
    }

    fn shortcoming(&self, now: Timestamp) -> Option<Shortcoming> {
        let (subject, left) = (&self.subject, self.not_after.timestamp() - seconds(now));
        let (problem, is_error) = if left < 0 {
            let ended = day(self.not_after);
            (format!("the client CA {subject} expired on {ended}: every client with its certificates is refused"), true)
        } else if seconds(now) < self.not_before.timestamp() {
            let begins = day(self.not_before);
            (
                format!(
                    "the client CA {subject} isn't valid before {begins}: every client with its certificates is refused"
                ),
                true,
            )
        } else if left < SOON_DAYS * DAY_SECONDS {
            let (ends, days) = (day(self.not_after), left / DAY_SECONDS);
            (format!("the client CA {subject} expires on {ends}, in {days} days"), false)
        } else {
            return None;
        };
        let remedy = "renew the CA's certificate, add it beside this one, and issue client certificates with it";
        Some(Shortcoming { setting: self.setting.clone(), problem, remedy, is_error })
    }
}

impl TrustFiles {
    fn read(tls: &Tls) -> Result<Self, PemError> {
        let bundle = |(name, path): (&String, &std::path::PathBuf)| Ok((name.clone(), pem::certificates(path)?));
        Ok(Self {
            client_cas: pem::certificates(&tls.client_ca)?,
            trust_domains: tls.trust_domains.iter().map(bundle).collect::<Result<_, PemError>>()?,
            revocation_lists: tls.client_crl.as_deref().map(pem::revocation_lists).transpose()?.unwrap_or_default(),
        })
    }
}

/// Verifies client certificates by these CAs and lists. A client may also show none.
struct ClientVerifier {
    cas: Vec<ClientCa>,
    anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    lists: Arc<RevocationLists>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    fn new(cas: Vec<ClientCa>, lists: &Arc<RevocationLists>) -> Self {
        let anchors: Vec<_> = cas.iter().map(|ca| ca.anchor.clone()).collect();
        let store = RootCertStore { roots: anchors };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { cas, hints: store.subjects(), anchors: store.roots, lists: Arc::clone(lists), algorithms }
    }

    /// What webpki doesn't check of a path that it found.
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

    /// The CA that vouches for a path. A CA may have several certificates for its key, of which one is in its time.
    fn ca_of(&self, anchor: &TrustAnchor<'_>, others: usize, now: Timestamp) -> Result<&ClientCa, webpki::Error> {
        let mut problem = webpki::Error::UnknownIssuer;
        // With its name constraints, which the path was checked against: those of another certificate for the key may differ.
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

/// Without a key usage, a key may sign anything. What can't be read may sign nothing.
fn may_sign_lists(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}

fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.max(0).unsigned_abs()))
}

/// Nearly as rustls's own verifier reports it: the alert that the client gets depends on it.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki has more errors than TLS has alerts, and may have more")]
fn refusal(error: webpki::Error) -> rustls::Error {
    use webpki::Error as Webpki;
    let problem = match error {
        Webpki::BadDer | Webpki::BadDerTime | Webpki::TrailingData(_) => CertificateError::BadEncoding,
        Webpki::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Webpki::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Webpki::InvalidCertValidity => CertificateError::Expired,
        // None of the CAs of that name signed it: it comes from another one, or from the same one under a former key.
        Webpki::UnknownIssuer | Webpki::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        Webpki::CertRevoked => CertificateError::Revoked,
        Webpki::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Webpki::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    problem.into()
}
