//! Facts about a running server that both GetServerStatus and the metrics report: trust in callers, and the organizations with their keys.
//!
//! They come from memory. Nothing here knows how they are reported.

use std::sync::Arc;

use sealward_core::{
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    organization::Organization,
};
use tokio::sync::watch;
use x509_parser::time::ASN1Time;

use crate::{
    background::key_change_reminder::due_time,
    certificates::{Certificate, Certificates},
    identity::token::Issuers,
    transport::tls::TlsContext,
    workload_api::Workload,
};

/// The certificates and keys that are in use now.
#[derive(Clone)]
pub(crate) struct CurrentTrust {
    pub(crate) tls_context: watch::Receiver<Arc<TlsContext>>,
    pub(crate) issuers: watch::Receiver<Arc<Issuers>>,
    /// The certificates of the settings of the collector of traces.
    pub(crate) collector: watch::Receiver<Arc<[Certificate]>>,
    /// The Workload API, if the server uses it.
    pub(crate) workload: Option<Workload>,
}

/// The trust in callers at one moment.
pub(crate) struct TrustFacts {
    pub(crate) certificates: Certificates,
    /// In the order of the file.
    pub(crate) revocation_lists: Vec<RevocationListFacts>,
    pub(crate) token_issuers: Vec<TokenIssuerFacts>,
}

/// A revocation list.
pub(crate) struct RevocationListFacts {
    pub(crate) issuer: String,
    /// Its number; empty if it has none.
    pub(crate) number: String,
    pub(crate) next_update: Option<ASN1Time>,
}

/// An issuer of bearer tokens.
pub(crate) struct TokenIssuerFacts {
    pub(crate) issuer: String,
    /// The number of keys that verify its tokens.
    pub(crate) keys: usize,
    /// When they were fetched, if they come from an address.
    pub(crate) fetch_time: Option<Timestamp>,
}

/// A served organization with the state of its key.
pub(crate) struct ServedOrganization {
    pub(crate) organization: Arc<Organization>,
    /// Whether the key is present. `None` if this server doesn't know.
    pub(crate) is_active: Option<bool>,
    /// The version of the key, and when it was set.
    pub(crate) key: Option<(KeyVersion, Timestamp)>,
    /// When the key is due for a change.
    pub(crate) due_time: Option<Timestamp>,
}

impl CurrentTrust {
    /// The trust at this time.
    pub(crate) fn facts(&self, now: Timestamp) -> TrustFacts {
        let tls_context = Arc::clone(&self.tls_context.borrow());
        let issuers = Arc::clone(&self.issuers.borrow());
        let certificates = Certificates {
            server: tls_context.certificate.certificates(),
            client_cas: tls_context.trust.client_cas().cloned().collect(),
            token_issuers: issuers.certificates(),
            collector: self.collector.borrow().to_vec(),
        };
        let revocation_lists = tls_context.trust.revocation_lists().map(|list| RevocationListFacts {
            issuer: list.issuer.clone(),
            number: list.number.clone().unwrap_or_default(),
            next_update: list.next_update,
        });
        let token_issuers = issuers.keys(now).map(|(issuer, keys, fetch_time)| TokenIssuerFacts {
            issuer: issuer.to_owned(),
            keys,
            fetch_time,
        });
        TrustFacts {
            certificates,
            revocation_lists: revocation_lists.collect(),
            token_issuers: token_issuers.collect(),
        }
    }
}

impl ServedOrganization {
    /// All served organizations, ordered by name.
    pub(crate) fn all(deployment: &Deployment) -> Vec<Self> {
        let served = deployment.organizations().into_iter().map(|organization| {
            let facts = organization.key_facts();
            Self {
                is_active: facts.map(|facts| facts.is_active),
                key: facts.and_then(|facts| facts.set),
                due_time: due_time(deployment, &organization).map(|(_, time)| time),
                organization,
            }
        });
        served.collect()
    }

    /// Whether the key is due for a change at this time.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.due_time.is_some_and(|time| time <= now)
    }
}
