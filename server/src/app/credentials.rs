//! The keys and certificates of a server at its start.

use std::sync::Arc;

use sealward_core::crypto::root_key::{RootKey, RootKeySet};

use super::error::StartError;
use crate::{
    config::Config,
    ports::{clock::SystemClock, random::SystemRandom},
    root_key,
    transport::tls::{ServerCertificate, TlsContext, Trust},
    workload_api::Follower,
};

/// The keys and certificates of a deployment. They match each other.
pub(super) struct Credentials {
    pub(super) root_key: Arc<dyn RootKey>,
    pub(super) certificate: Arc<ServerCertificate>,
    pub(super) trust: Arc<Trust>,
    /// Created from the certificate and the trust.
    pub(super) tls_context: TlsContext,
    /// The client of the Workload API, if the server uses it.
    pub(super) follower: Option<Follower>,
}

impl Credentials {
    /// Reads the root keys, then the files of `[tls]`, or waits for the Workload API.
    pub(super) async fn load(config: &Config) -> Result<Self, StartError> {
        let root_key = load_root_keys(config).await?;
        let follower = match config.tls.certificate.workload_api() {
            Some(api) => {
                Some(Follower::start(api, &config.limits, Arc::new(SystemClock), Arc::new(SystemRandom)).await?)
            }
            None => None,
        };
        let update = follower.as_ref().map(Follower::first);
        let certificate = Arc::new(ServerCertificate::load(&config.tls, update.as_deref())?);
        let trust = Arc::new(Trust::load(&config.tls, update.as_deref())?);
        let tls_context = TlsContext::new(config.tls.minimum_version, &certificate, &trust)?;
        Ok(Self { root_key, certificate, trust, tls_context, follower })
    }
}

async fn load_root_keys(config: &Config) -> Result<Arc<dyn RootKey>, StartError> {
    let mut keys = Vec::new();
    for (index, source) in config.root_key_sources.iter().enumerate() {
        keys.push(root_key::load(source).await.map_err(|source| StartError::RootKey { index, source })?);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or(StartError::NoRootKey)?;
    Ok(Arc::new(RootKeySet::new(current, keys.collect())))
}
