//! The trust in client certificates: the CAs, the names that they may issue for, and their revocation lists. Nothing here knows sockets, or
//! when files are read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rustls::{
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{ServerSessionMemoryCache, StoresServerSessions, danger::ClientCertVerifier},
};
use sealward_core::{id::Timestamp, identity::Identity};

use super::{
    client_ca::{ClientCa, Renewal},
    client_verifier::ClientVerifier,
    error::TlsError,
    revocation::{ListFacts, ListSigner, RevocationLists},
    server_certificate::WORKLOAD_API,
};
use crate::{
    config::{Bundle, Tls},
    files::pem,
    finding::Finding,
    workload_api::Update,
};

/// The maximum number of sessions that can be resumed. Each uses about 4 KB. A client without a session performs a full handshake.
const SESSIONS_MAX: usize = 256;

/// The trust in client certificates, and the sessions that began with such certificates.
pub(crate) struct Trust {
    files: TrustFiles,
    /// All CAs, for handshakes, in which the identity isn't known yet.
    verifier: Arc<ClientVerifier>,
    /// The CAs by the names that they may issue for; `None` without trust domains.
    by_name: Option<TrustByName>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// The CAs for each kind of name.
struct TrustByName {
    /// For SPIFFE ids, by trust domain.
    trust_domains: BTreeMap<String, ClientVerifier>,
    /// For all other names.
    others: ClientVerifier,
}

/// The content of the files, and of the Workload API.
#[derive(PartialEq)]
struct TrustFiles {
    client_cas: Vec<CertificateDer<'static>>,
    trust_domains: BTreeMap<String, DomainCas>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

/// The CAs of a trust domain.
#[derive(PartialEq)]
struct DomainCas {
    renewal: Renewal,
    cas: Vec<CertificateDer<'static>>,
}

/// Compares the CAs and lists.
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
    /// Reads the files of `tls.client_ca`, `tls.client_crl` and `[[trust_domains]]`. Bundles of the Workload API come from its update.
    ///
    /// With lists, every CA in a client's certificate path needs one: a certificate is refused if no list covers it. An expired list is
    /// still used: its certificates stay revoked, and a late list must not block all clients. [`Trust::findings`] reports it.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load(tls: &Tls, update: Option<&Update>) -> Result<Self, TlsError> {
        Self::new(TrustFiles::read(tls, update)?)
    }

    /// Like [`load`](Self::load), but returns `before` if the files are unchanged.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn load_unless_same(
        tls: &Tls,
        update: Option<&Update>,
        before: &Arc<Self>,
    ) -> Result<Arc<Self>, TlsError> {
        let files = TrustFiles::read(tls, update)?;
        if files == before.files {
            return Ok(Arc::clone(before));
        }
        Self::new(files).map(Arc::new)
    }

    fn new(files: TrustFiles) -> Result<Self, TlsError> {
        let lists = RevocationLists::parse(&files.revocation_lists)
            .map_err(|(number, problem)| TlsError::RevocationList { number, problem })?;
        let lists = Arc::new(lists);
        let read = |setting: &str, renewal: Renewal, cas: &[CertificateDer<'static>]| {
            let numbered = (1..).zip(cas);
            let ca = |(number, der)| {
                let setting = setting.to_owned();
                let ca = ClientCa::read(&setting, renewal, der);
                ca.map_err(|problem| TlsError::ClientCa { setting, number, problem })
            };
            numbered.map(ca).collect::<Result<Vec<_>, _>>()
        };
        let others = read("tls.client_ca", Renewal::ByHand, &files.client_cas)?;
        let mut all = others.clone();
        let mut trust_domains = BTreeMap::new();
        for (name, DomainCas { renewal, cas }) in &files.trust_domains {
            let setting = match renewal {
                Renewal::ByHand => format!("trust_domains of {name}"),
                Renewal::ByWorkloadApi => format!("{WORKLOAD_API} of {name}"),
            };
            let cas = read(&setting, *renewal, cas)?;
            all.extend_from_slice(&cas);
            trust_domains.insert(name.clone(), ClientVerifier::new(cas, &lists));
        }
        let by_name = if trust_domains.is_empty() {
            None
        } else {
            Some(TrustByName { trust_domains, others: ClientVerifier::new(others, &lists) })
        };
        let verifier = Arc::new(ClientVerifier::new(all, &lists));
        Ok(Self { verifier, by_name, files, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }

    /// The verifier of client certificates in handshakes.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as Arc<dyn ClientCertVerifier>
    }

    pub(super) fn sessions(&self) -> Arc<dyn StoresServerSessions> {
        Arc::clone(&self.sessions)
    }

    /// Verifies a chain as a handshake would at this time: the client's certificate, followed by the intermediate ones. Also checks whether
    /// its CA may issue for this identity.
    ///
    /// # Errors
    /// The reason for a refusal.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        let (certificate, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(Duration::from_micros(now.unix_micros().max(0).unsigned_abs()));
        let unknown_domain = || rustls::Error::General("unknown trust domain".to_owned());
        let verifier = match (&self.by_name, identity) {
            (None, _) => &*self.verifier,
            (Some(by_name), Identity::Spiffe(id)) => {
                by_name.trust_domains.get(id.trust_domain()).ok_or_else(unknown_domain)?
            }
            (Some(by_name), Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => &by_name.others,
        };
        verifier.verify_client_cert(certificate, intermediates, now).map(|_| ())
    }

    /// Like [`verify`](Self::verify), directly after a handshake: checks only what the handshake didn't check.
    ///
    /// # Errors
    /// The CA may not issue for this identity.
    pub(crate) fn verify_name(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        if self.by_name.is_some() { self.verify(chain, identity, now) } else { Ok(()) }
    }

    /// The client CAs, including those of trust domains.
    pub(crate) fn client_cas(&self) -> impl Iterator<Item = &ClientCa> {
        self.verifier.cas.iter()
    }

    /// The revocation lists, in the order of the file.
    pub(crate) fn revocation_lists(&self) -> impl Iterator<Item = &ListFacts> {
        self.verifier.lists.facts()
    }

    /// The problems of the CAs and lists at this time.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let cas = &self.verifier.cas;
        let of_cas = cas.iter().filter_map(|ca| ca.finding(now));
        let unlisted = cas
            .iter()
            .filter(|ca| !self.verifier.lists.is_empty() && !self.verifier.lists.has_list_of(&ca.list_issuer(), now))
            .map(|ca| {
                let problem = format!(
                    "the client CA {} has no usable revocation list: every client with its certificates is refused",
                    ca.subject
                );
                Finding::warning(CLIENT_CRL, problem, "add the CA's list, or remove the CA")
            });
        let issuers: Vec<_> = cas.iter().map(ClientCa::list_issuer).collect();
        let lists = self.verifier.lists.signers(&issuers);
        let of_lists = lists.filter_map(|(list, signer)| finding_of_list(list, signer, now));
        of_cas.chain(unlisted).chain(of_lists).chain(self.missing_bundles(now)).collect()
    }

    /// The trust domains whose bundle should come from the Workload API, but doesn't.
    fn missing_bundles(&self, now: Timestamp) -> impl Iterator<Item = Finding> {
        let renewed = self.files.trust_domains.iter().filter(|(_, domain)| domain.renewal == Renewal::ByWorkloadApi);
        let verifiers = self.by_name.as_ref().map(|by_name| &by_name.trust_domains);
        let is_usable = move |name: &str| {
            let cas = verifiers.and_then(|verifiers| verifiers.get(name)).map(|verifier| &verifier.cas);
            cas.is_some_and(|cas| cas.iter().any(|ca| ca.check(0, now).is_ok()))
        };
        renewed.filter(move |(name, _)| !is_usable(name)).map(|(name, _)| {
            let problem =
                format!("the Workload API sends no valid CA of the trust domain {name}: every caller of it is refused");
            let remedy =
                "let the registration entry federate with it (-federatesWith), or remove it from [[trust_domains]]";
            Finding::warning(format!("{WORKLOAD_API} of {name}"), problem, remedy)
        })
    }
}

const CLIENT_CRL: &str = "tls.client_crl";

fn finding_of_list(list: &ListFacts, signer: ListSigner, now: Timestamp) -> Option<Finding> {
    let shown = list.to_string();
    let (problem, remedy) = match signer {
        ListSigner::OtherKey => (
            format!("{shown}: no client CA with this name signed it, so it is ignored"),
            "replace it with the list of the client CA, or add the CA that signed it",
        ),
        ListSigner::WithoutCrlSign => (
            format!("{shown}: its CA may not sign lists, because its key usage lacks cRLSign, so it is ignored"),
            "renew the CA's certificate with cRLSign",
        ),
        ListSigner::ClientCa | ListSigner::OtherCa if list.is_from_the_future(now) => (
            format!(
                "{shown}: it is dated in the future: its revocations apply, but it doesn't count as the CA's current list"
            ),
            "set this machine's clock, or use the previous list until then",
        ),
        ListSigner::ClientCa | ListSigner::OtherCa if list.is_late(now) => (
            format!("{shown}: it has expired, so certificates revoked since then are unknown"),
            "replace it with the CA's latest list",
        ),
        ListSigner::ClientCa | ListSigner::OtherCa => return None,
    };
    Some(Finding::warning(CLIENT_CRL, problem, remedy))
}

impl TrustFiles {
    fn read(tls: &Tls, update: Option<&Update>) -> Result<Self, TlsError> {
        let bundle = |(name, bundle): (&String, &Bundle)| {
            let (renewal, cas) = match bundle {
                Bundle::File(path) => (Renewal::ByHand, pem::certificates(path)?),
                Bundle::WorkloadApi => {
                    let cas = update.ok_or(TlsError::NoWorkloadApi)?.bundle(name);
                    let cas = cas
                        .map_err(|problem| TlsError::Bundle { trust_domain: name.clone(), problem: Box::new(problem) });
                    (Renewal::ByWorkloadApi, cas?)
                }
            };
            Ok((name.clone(), DomainCas { renewal, cas }))
        };
        Ok(Self {
            client_cas: tls.client_ca.as_deref().map(pem::certificates).transpose()?.unwrap_or_default(),
            trust_domains: tls.trust_domains.iter().map(bundle).collect::<Result<_, TlsError>>()?,
            revocation_lists: tls.client_crl.as_deref().map(pem::revocation_lists).transpose()?.unwrap_or_default(),
        })
    }
}
