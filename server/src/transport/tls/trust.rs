//! The trust in client certificates: the CAs, the names that they may issue for, and their revocation lists. Nothing here knows sockets, or
//! when files are read.

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
    revocation::{ListFacts, ListSigner, RevocationLists},
    server_certificate::WORKLOAD_API,
};
use crate::{
    certificates::{Certificate, Renewal},
    config::{Bundle, Tls},
    files::pem,
    finding::Finding,
    workload_api::{Bundles, Update},
};

/// The maximum number of sessions that can be resumed. Each uses about 4 KB. A client without a session performs a full handshake.
const SESSIONS_MAX: usize = 256;

/// The trust in client certificates, and the sessions that began with such certificates.
pub(crate) struct Trust {
    content: TrustContent,
    /// All CAs, for handshakes, in which the identity isn't known yet.
    verifier: Arc<ClientVerifier>,
    /// The CAs by the names that they may issue for; `None` if every CA may issue for every name.
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

/// What the sources of trust contain: the files, and the Workload API. A reload puts it together from sources that change separately.
#[derive(Clone, PartialEq)]
pub(crate) struct TrustContent {
    /// The CAs of `tls.client_ca`.
    pub(crate) client_cas: Vec<CertificateDer<'static>>,
    /// The CAs of `[[trust_domains]]`.
    pub(crate) trust_domains: BTreeMap<String, DomainCas>,
    /// The lists of `tls.client_crl`.
    pub(crate) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a CA may issue only for the names of its source. Without trust domains, every CA may issue for every name.
    pub(crate) is_by_name: bool,
    /// Whether the Workload API sends revocation lists, which aren't used.
    pub(crate) has_unused_lists: bool,
}

/// The CAs of a trust domain.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DomainCas {
    renewal: Renewal,
    pub(crate) cas: Vec<CertificateDer<'static>>,
}

/// Compares the CAs and lists.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("client_cas", &self.client_cas().len())
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
        Self::new(TrustContent::read(tls, update.map(|update| &*update.bundles))?)
    }

    /// Creates the trust of this content.
    ///
    /// # Errors
    /// [`TlsError`]: a CA or a list can't be used.
    pub(crate) fn new(content: TrustContent) -> Result<Self, TlsError> {
        let lists = RevocationLists::parse(&content.revocation_lists)
            .map_err(|(number, problem)| TlsError::RevocationList { number, problem })?;
        let lists = Arc::new(lists);
        let others = read_cas(CLIENT_CA, Renewal::ByHand, &content.client_cas)?;
        let mut all = others.clone();
        let mut trust_domains = BTreeMap::new();
        for (name, domain) in &content.trust_domains {
            let cas = domain.read_cas(name)?;
            all.extend_from_slice(&cas);
            trust_domains.insert(name.clone(), ClientVerifier::new(cas, &lists));
        }
        let by_name =
            content.is_by_name.then(|| TrustByName { trust_domains, others: ClientVerifier::new(others, &lists) });
        let verifier = Arc::new(ClientVerifier::new(all, &lists));
        Ok(Self { verifier, by_name, content, sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }

    /// What it was created from.
    pub(crate) fn content(&self) -> &TrustContent {
        &self.content
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
    pub(crate) fn client_cas(&self) -> impl ExactSizeIterator<Item = &Certificate> {
        self.verifier.cas.iter().map(|ca| &ca.certificate)
    }

    /// The revocation lists, in the order of the file.
    pub(crate) fn revocation_lists(&self) -> impl Iterator<Item = &ListFacts> {
        self.verifier.lists.facts()
    }

    /// The problems of the lists and bundles at this time.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let cas = &self.verifier.cas;
        let unlisted = cas
            .iter()
            .filter(|ca| !self.verifier.lists.is_empty() && !self.verifier.lists.has_list_of(&ca.list_issuer(), now))
            .map(|ca| {
                let problem = format!(
                    "the client CA {} has no usable revocation list: every client with its certificates is refused",
                    ca.certificate.subject
                );
                Finding::warning(CLIENT_CRL, problem, "add the CA's list, or remove the CA")
            });
        let issuers: Vec<_> = cas.iter().map(ClientCa::list_issuer).collect();
        let lists = self.verifier.lists.signers(&issuers);
        let of_lists = lists.filter_map(|(list, signer)| finding_of_list(list, signer, now));
        let unused = self.content.has_unused_lists.then(|| {
            let problem = "the Workload API sends revocation lists, which the server doesn't use";
            Finding::warning(WORKLOAD_API, problem, "put the lists into the file of tls.client_crl")
        });
        unlisted.chain(of_lists).chain(self.missing_bundles(now)).chain(unused).collect()
    }

    /// The trust domains whose bundle should come from the Workload API, but doesn't.
    fn missing_bundles(&self, now: Timestamp) -> impl Iterator<Item = Finding> {
        let renewed = self.content.trust_domains.iter().filter(|(_, domain)| domain.renewal == Renewal::ByWorkloadApi);
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

const CLIENT_CA: &str = "tls.client_ca";
pub(crate) const CLIENT_CRL: &str = "tls.client_crl";

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

impl TrustContent {
    /// Reads every source. The Workload API's bundles come from its update.
    fn read(tls: &Tls, bundles: Option<&Bundles>) -> Result<Self, TlsError> {
        let domain = |(name, bundle): (&String, &Bundle)| Ok((name.clone(), DomainCas::read(name, bundle, bundles)?));
        let trust_domains: BTreeMap<_, _> = tls.trust_domains.iter().map(domain).collect::<Result<_, TlsError>>()?;
        Ok(Self {
            client_cas: client_cas(tls)?,
            is_by_name: !trust_domains.is_empty(),
            trust_domains,
            revocation_lists: tls.client_crl.as_deref().map(pem::revocation_lists).transpose()?.unwrap_or_default(),
            has_unused_lists: bundles.is_some_and(|bundles| bundles.has_revocation_lists),
        })
    }
}

impl DomainCas {
    /// A trust domain that no CA verifies.
    pub(crate) fn empty(bundle: &Bundle) -> Self {
        Self { renewal: renewal(bundle), cas: Vec::new() }
    }

    /// Reads the CAs of a trust domain, each of which can be used.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(crate) fn read(name: &str, bundle: &Bundle, bundles: Option<&Bundles>) -> Result<Self, TlsError> {
        let cas = match bundle {
            Bundle::File(path) => pem::certificates(path)?,
            Bundle::WorkloadApi => {
                let cas = bundles.ok_or(TlsError::NoWorkloadApi)?.of(name);
                cas.map_err(|problem| TlsError::Bundle { trust_domain: name.to_owned(), problem: Box::new(problem) })?
            }
        };
        let domain = Self { renewal: renewal(bundle), cas };
        domain.read_cas(name)?;
        Ok(domain)
    }

    /// Those of its CAs that another content also has.
    pub(crate) fn also_in(&self, other: Option<&Self>) -> Self {
        let others = other.map(|other| &*other.cas).unwrap_or_default();
        Self { renewal: self.renewal, cas: in_both(&self.cas, others) }
    }

    fn read_cas(&self, name: &str) -> Result<Vec<ClientCa>, TlsError> {
        let setting = match self.renewal {
            Renewal::ByHand => format!("trust_domains of {name}"),
            Renewal::ByWorkloadApi => format!("{WORKLOAD_API} of {name}"),
        };
        read_cas(&setting, self.renewal, &self.cas)
    }
}

fn renewal(bundle: &Bundle) -> Renewal {
    match bundle {
        Bundle::File(_) => Renewal::ByHand,
        Bundle::WorkloadApi => Renewal::ByWorkloadApi,
    }
}

/// Reads the CAs of `tls.client_ca`, each of which can be used.
///
/// # Errors
/// [`TlsError`]
pub(crate) fn client_cas(tls: &Tls) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let cas = tls.client_ca.as_deref().map(pem::certificates).transpose()?.unwrap_or_default();
    read_cas(CLIENT_CA, Renewal::ByHand, &cas)?;
    Ok(cas)
}

fn read_cas(setting: &str, renewal: Renewal, cas: &[CertificateDer<'static>]) -> Result<Vec<ClientCa>, TlsError> {
    let ca = |(number, der)| {
        let ca = ClientCa::read(setting, renewal, der);
        ca.map_err(|problem| TlsError::ClientCa { setting: setting.to_owned(), number, problem })
    };
    (1..).zip(cas).map(ca).collect()
}

/// The CAs of the first list that are also in the second one.
pub(crate) fn in_both(
    cas: &[CertificateDer<'static>],
    others: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    cas.iter().filter(|ca| others.contains(ca)).cloned().collect()
}

/// The revocation lists of a file.
pub(crate) struct ListsReading {
    /// Those that can be used; `None` if the file can't be read.
    pub(crate) usable: Option<Vec<CertificateRevocationListDer<'static>>>,
    /// The problem of the file, or of its first list that can't be used.
    pub(crate) fault: Option<TlsError>,
}

/// The first lists, and those of the second ones that no list of the first ones replaces.
pub(crate) fn with_unreplaced(
    lists: Vec<CertificateRevocationListDer<'static>>,
    former: &[CertificateRevocationListDer<'static>],
) -> Vec<CertificateRevocationListDer<'static>> {
    let is_replaced = |former| lists.iter().any(|list| list == former || RevocationLists::replaces(list, former));
    let kept: Vec<_> = former.iter().filter(|former| !is_replaced(former)).cloned().collect();
    [lists, kept].concat()
}

/// Reads the lists of `tls.client_crl`. Those that are known to be usable aren't parsed again: a list may be long.
pub(crate) fn revocation_lists(tls: &Tls, known: &[CertificateRevocationListDer<'static>]) -> ListsReading {
    let lists = match tls.client_crl.as_deref().map(pem::revocation_lists).transpose() {
        Ok(lists) => lists.unwrap_or_default(),
        Err(error) => return ListsReading { usable: None, fault: Some(error.into()) },
    };
    let (mut usable, mut fault) = (Vec::new(), None);
    for (number, list) in (1..).zip(lists) {
        let problem = if known.contains(&list) { None } else { RevocationLists::problem(&list) };
        match problem {
            None => usable.push(list),
            Some(problem) => fault = fault.or(Some(TlsError::RevocationList { number, problem })),
        }
    }
    ListsReading { usable: Some(usable), fault }
}
