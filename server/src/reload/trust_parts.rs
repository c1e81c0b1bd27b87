//! The sources of trust in clients, and the trust that is put together from them: the file of client CAs, the bundle of each trust domain,
//! and the file of revocation lists.
//!
//! Each source is a part of its own: one that can't be used keeps its former content, and holds back neither a removal nor a revocation of
//! another. But sources that belong together may be changed together, so while one is held back, the others only take trust away:
//!
//! * While the revocation lists are held back, no CA is added: a list that isn't read yet may revoke its certificates.
//! * While a source of CAs is held back, the revocation lists aren't switched off, and a CA may not issue for further names: its removal may
//!   be in what can't be read.
//!
//! A source is held back while its last version was refused, or waits for a second check. Nothing here knows when files are read.

use std::{collections::BTreeMap, sync::Arc};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::part::{Ask, Part};
use crate::{
    config::{Bundle, Tls},
    error_chain,
    finding::Finding,
    telemetry::samples::Samples,
    transport::tls::{
        CLIENT_CRL, DomainCas, ListsReading, Trust, TrustContent, client_cas, in_both, revocation_lists,
        with_unreplaced,
    },
    workload_api::Bundles,
};

type Cas = Vec<CertificateDer<'static>>;
type Lists = Vec<CertificateRevocationListDer<'static>>;

/// The sources, and the trust in use.
pub(super) struct TrustParts {
    client_cas: Part<Cas>,
    trust_domains: BTreeMap<String, Domain>,
    lists: Part<Lists>,
    /// Usable lists of a file that has an unusable one. They apply in addition to those of the last file whose lists were all usable. One of
    /// them stays until a usable list replaces it, or all lists of the file are usable and apply.
    further_lists: Part<Lists>,
    has_unused_lists: bool,
    in_force: Arc<Trust>,
    samples: Samples,
}

/// A trust domain of the configuration.
struct Domain {
    bundle: Bundle,
    part: Part<DomainCas>,
}

/// What the sources contain now.
pub(super) struct Reading {
    /// `None` if only bundles of the Workload API were read.
    files: Option<FilesReading>,
    trust_domains: Vec<(String, Bundle, Result<DomainCas, String>)>,
    /// Whether the Workload API sends lists; `None` if it isn't used.
    has_unused_lists: Option<bool>,
}

struct FilesReading {
    client_cas: Result<Cas, String>,
    lists: ListsReading,
}

/// The remedy of a bundle that can't be used.
const FIX_BUNDLE: &str =
    "correct the bundle in the trust domain's SPIRE server or its federation: the agent sends each change";

impl TrustParts {
    /// The parts of the trust of the start.
    pub(super) fn new(tls: &Tls, trust: Arc<Trust>, samples: &Samples) -> Self {
        let content = trust.content();
        let domain = |(name, cas): (&String, &DomainCas)| {
            let bundle = tls.trust_domains.get(name)?.clone();
            Some((name.clone(), Domain::new(name, bundle, cas.clone(), samples)))
        };
        Self {
            client_cas: Part::new("client CAs", content.client_cas.clone(), samples),
            trust_domains: content.trust_domains.iter().filter_map(domain).collect(),
            lists: Part::new("revocation lists", content.revocation_lists.clone(), samples),
            further_lists: Part::new("further revocation lists", Vec::new(), samples),
            has_unused_lists: content.has_unused_lists,
            in_force: trust,
            samples: samples.clone(),
        }
    }

    /// The trust in use.
    pub(super) fn in_force(&self) -> &Arc<Trust> {
        &self.in_force
    }

    /// Reads every source, on a thread that may wait for files.
    pub(super) fn reader(&self, tls: &Tls, bundles: Option<Arc<Bundles>>) -> impl FnOnce() -> Reading + Send + 'static {
        let (tls, known) = (tls.clone(), self.lists());
        move || Reading {
            files: Some(FilesReading {
                client_cas: client_cas(&tls).map_err(|error| error_chain::text(&error)),
                lists: revocation_lists(&tls, &known),
            }),
            trust_domains: trust_domains(&tls, bundles.as_deref(), |_| true),
            has_unused_lists: bundles.map(|bundles| bundles.has_revocation_lists),
        }
    }

    /// Reads the bundles of the Workload API.
    pub(super) fn bundle_reader(&self, tls: &Tls, bundles: Arc<Bundles>) -> impl FnOnce() -> Reading + Send + 'static {
        let tls = tls.clone();
        move || Reading {
            files: None,
            trust_domains: trust_domains(&tls, Some(&bundles), |bundle| *bundle == Bundle::WorkloadApi),
            has_unused_lists: Some(bundles.has_revocation_lists),
        }
    }

    /// Records what was read. It takes effect with [`apply`](Self::apply).
    pub(super) fn look(&mut self, reading: Reading, ask: Ask) {
        let Reading { files, trust_domains, has_unused_lists } = reading;
        if let Some(FilesReading { client_cas, lists: ListsReading { usable, fault } }) = files {
            self.client_cas.look(client_cas, ask);
            match (usable, fault) {
                (usable, None) => {
                    self.lists.look(Ok(usable.unwrap_or_default()), ask);
                    // Not before the lists that replace them: until then, their revocations would be forgotten.
                    if self.lists.is_current() {
                        self.further_lists.look(Ok(Vec::new()), Ask::Now);
                    }
                }
                (usable, Some(fault)) => {
                    self.lists.look(Err(error_chain::text(&fault)), ask);
                    if let Some(usable) = usable {
                        // The unusable list may be one that was usable before.
                        let usable = with_unreplaced(usable, &self.further_lists.in_force);
                        self.further_lists.look(Ok(usable), ask);
                    }
                }
            }
            // Files are read for every trust domain of the configuration.
            self.trust_domains.retain(|name, _| trust_domains.iter().any(|(other, ..)| other == name));
        }
        for (name, bundle, seen) in trust_domains {
            if let Some(known) = self.trust_domains.get_mut(&name) {
                known.look(bundle, seen, ask);
                continue;
            }
            // The configuration names it only now. It doesn't wait for a second check, because until then it has no CA.
            let mut domain = Domain::new(&name, bundle.clone(), DomainCas::empty(&bundle), &self.samples);
            domain.look(bundle, seen, Ask::Now);
            self.trust_domains.insert(name, domain);
        }
        self.has_unused_lists = has_unused_lists.unwrap_or_default();
    }

    /// Puts the trust together. Returns whether it has changed.
    pub(super) fn apply(&mut self) -> bool {
        let content = self.content();
        if content == *self.in_force.content() {
            return false;
        }
        match Trust::new(content) {
            Ok(trust) => self.in_force = Arc::new(trust),
            Err(error) => {
                tracing::error!(
                    error = error_chain::text(&error),
                    "TLS reload failed; the previous certificates and CAs stay in use"
                );
                return false;
            }
        }
        tracing::info!(
            client_cas = self.in_force.client_cas().len(),
            revocation_lists = self.in_force.revocation_lists().count(),
            "client CAs or revocation lists reloaded; older connections are asked to close"
        );
        true
    }

    /// Why sources can't be used; `None` if all can.
    pub(super) fn failures(&self) -> Option<String> {
        let of_domains = self.trust_domains.values().filter_map(|domain| domain.part.failure());
        let failures: Vec<_> =
            self.client_cas.failure().into_iter().chain(of_domains).chain(self.lists.failure()).collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }

    /// Whether a bundle of the Workload API can't be used.
    pub(super) fn is_bundle_refused(&self) -> bool {
        let mut domains = self.trust_domains.values();
        domains.any(|domain| domain.bundle == Bundle::WorkloadApi && domain.part.failure().is_some())
    }

    /// The findings about sources that can't be used.
    pub(super) fn refused(&self) -> Vec<Finding> {
        let of_domains = self.trust_domains.values().map(|domain| domain.part.refused());
        let refused = std::iter::once(self.client_cas.refused()).chain(of_domains).chain([self.lists.refused()]);
        refused.flatten().chain(self.waiting()).collect()
    }

    /// The CAs that wait for revocation lists that can't be used.
    fn waiting(&self) -> Option<Finding> {
        self.lists.failure()?;
        let (all, in_force) = (self.cas(), self.in_force.content());
        let in_use =
            in_force.client_cas.len() + in_force.trust_domains.values().map(|domain| domain.cas.len()).sum::<usize>();
        let waiting = all.saturating_sub(in_use);
        (waiting > 0).then(|| {
            let problem =
                format!("{waiting} new client CAs wait for usable revocation lists: their callers are refused");
            Finding::error(CLIENT_CRL, problem, "correct the file of tls.client_crl")
        })
    }

    /// The number of CAs in all sources.
    fn cas(&self) -> usize {
        let of_domains = self.trust_domains.values().map(|domain| domain.part.in_force.cas.len());
        self.client_cas.in_force.len() + of_domains.sum::<usize>()
    }

    /// The lists of the sources.
    fn lists(&self) -> Lists {
        let mut lists = self.lists.in_force.clone();
        let is_new = |list: &&CertificateRevocationListDer<'static>| !self.lists.in_force.contains(list);
        lists.extend(self.further_lists.in_force.iter().filter(is_new).cloned());
        lists
    }

    /// The trust of all sources, under the rules for those that are held back.
    fn content(&self) -> TrustContent {
        let before = self.in_force.content();
        let are_lists_current = self.lists.is_current() && self.further_lists.is_current();
        let are_cas_current =
            self.client_cas.is_current() && self.trust_domains.values().all(|domain| domain.part.is_current());
        let mut revocation_lists = self.lists();
        if revocation_lists.is_empty() && !are_cas_current {
            revocation_lists.clone_from(&before.revocation_lists);
        }
        let domain = |(name, domain): (&String, &Domain)| {
            let cas = &domain.part.in_force;
            let cas = if are_lists_current { cas.clone() } else { cas.also_in(before.trust_domains.get(name)) };
            (name.clone(), cas)
        };
        let client_cas = &self.client_cas.in_force;
        TrustContent {
            client_cas: if are_lists_current { client_cas.clone() } else { in_both(client_cas, &before.client_cas) },
            trust_domains: self.trust_domains.iter().map(domain).collect(),
            revocation_lists,
            is_by_name: !self.trust_domains.is_empty() || before.is_by_name && !(are_lists_current && are_cas_current),
            has_unused_lists: self.has_unused_lists,
        }
    }
}

impl Domain {
    fn new(name: &str, bundle: Bundle, cas: DomainCas, samples: &Samples) -> Self {
        Self { bundle, part: Part::new(format!("CAs of the trust domain {name}"), cas, samples) }
    }

    fn look(&mut self, bundle: Bundle, seen: Result<DomainCas, String>, ask: Ask) {
        self.bundle = bundle;
        self.part.remedy = match self.bundle {
            Bundle::File(_) => super::part::FIX_FILES.into(),
            Bundle::WorkloadApi => FIX_BUNDLE.into(),
        };
        self.part.look(seen, ask);
    }
}

fn trust_domains(
    tls: &Tls,
    bundles: Option<&Bundles>,
    is_read: impl Fn(&Bundle) -> bool,
) -> Vec<(String, Bundle, Result<DomainCas, String>)> {
    let read = tls.trust_domains.iter().filter(|(_, bundle)| is_read(bundle)).map(|(name, bundle)| {
        let cas = DomainCas::read(name, bundle, bundles).map_err(|error| error_chain::text(&error));
        (name.clone(), bundle.clone(), cas)
    });
    read.collect()
}

#[cfg(test)]
mod tests;
