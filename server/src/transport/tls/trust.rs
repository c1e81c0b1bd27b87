//! Whose client certificates are trusted: CAs, the names they speak for, and what they revoked. Nothing here knows sockets, or when files
//! are read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rustls::{
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{ServerSessionMemoryCache, StoresServerSessions, danger::ClientCertVerifier},
};
use sealward_core::{id::Timestamp, identity::Identity};

use super::{
    client_ca::ClientCa,
    client_verifier::ClientVerifier,
    error::TlsError,
    revocation::{ListFacts, RevocationLists, Standing},
    shortcoming::Shortcoming,
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
