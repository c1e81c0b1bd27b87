//! What a reload replaces while the server runs, each part behind a watch: the reloader sends, all others read what is in force.

use std::sync::Arc;

use sealward_core::policy::Policy;
use tokio::sync::watch;

use crate::{
    config::{Config, Log},
    identity::token::Issuers,
    reload::InForce,
    transport::tls::TlsContext,
};

/// The parts that a reload replaces, to be read.
#[derive(Clone)]
pub(super) struct Reloadable {
    pub(super) tls_context: watch::Receiver<Arc<TlsContext>>,
    pub(super) issuers: watch::Receiver<Arc<Issuers>>,
    pub(super) policy: watch::Receiver<Arc<Policy>>,
    pub(super) log: watch::Receiver<Log>,
}

impl Reloadable {
    /// The parts that a start has loaded, and the senders that replace them.
    pub(super) fn new(config: &Config, tls_context: TlsContext, issuers: &Arc<Issuers>) -> (Self, InForce) {
        let (tls_context_sender, tls_context) = watch::channel(Arc::new(tls_context));
        let (issuers_sender, issuers) = watch::channel(Arc::clone(issuers));
        let (policy_sender, policy) = watch::channel(Arc::new(config.policy()));
        let (log_sender, log) = watch::channel(config.log);
        let senders = InForce {
            tls_context: tls_context_sender,
            issuers: issuers_sender,
            policy: policy_sender,
            log: log_sender,
        };
        (Self { tls_context, issuers, policy, log }, senders)
    }
}
