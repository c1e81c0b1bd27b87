//! The parts that a reload replaces while the server runs, each in a watch channel. The reloader sends, all others receive the current
//! value.

use std::sync::Arc;

use sealward_core::policy::Policy;
use tokio::sync::watch;

use crate::{
    certificates::Certificate,
    config::{Config, Log},
    facts::CurrentTrust,
    finding::Finding,
    identity::token::Issuers,
    reload::ReloadSenders,
    transport::tls::TlsContext,
    workload_api::Workload,
};

/// The receivers of the parts that a reload replaces.
#[derive(Clone)]
pub(super) struct Reloadable {
    pub(super) tls_context: watch::Receiver<Arc<TlsContext>>,
    pub(super) issuers: watch::Receiver<Arc<Issuers>>,
    pub(super) policy: watch::Receiver<Arc<Policy>>,
    pub(super) log: watch::Receiver<Log>,
    pub(super) findings: watch::Receiver<Arc<[Finding]>>,
    collector: watch::Receiver<Arc<[Certificate]>>,
    /// The Workload API, if the server uses it. It is followed, not reloaded.
    workload: Option<Workload>,
}

impl Reloadable {
    /// The certificates and keys that are in use now.
    pub(super) fn trust(&self) -> CurrentTrust {
        CurrentTrust {
            tls_context: self.tls_context.clone(),
            issuers: self.issuers.clone(),
            collector: self.collector.clone(),
            workload: self.workload.clone(),
        }
    }

    /// The receivers, with the values of the start, and the senders that replace the values.
    pub(super) fn new(
        config: &Config,
        tls_context: TlsContext,
        issuers: &Arc<Issuers>,
        collector: &[Certificate],
        workload: Option<Workload>,
    ) -> (Self, ReloadSenders) {
        let (tls_context_sender, tls_context) = watch::channel(Arc::new(tls_context));
        let (issuers_sender, issuers) = watch::channel(Arc::clone(issuers));
        let (policy_sender, policy) = watch::channel(Arc::new(config.policy()));
        let (log_sender, log) = watch::channel(config.log);
        let (findings_sender, findings) = watch::channel(Arc::default());
        let (collector_sender, collector) = watch::channel(Arc::from(collector));
        let senders = ReloadSenders {
            tls_context: tls_context_sender,
            issuers: issuers_sender,
            policy: policy_sender,
            log: log_sender,
            findings: findings_sender,
            collector: collector_sender,
        };
        (Self { tls_context, issuers, policy, log, findings, collector, workload }, senders)
    }
}
