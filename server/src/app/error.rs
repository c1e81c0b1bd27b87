//! Why a server doesn't start.

use sealward_core::{
    configuration::ConfigurationError,
    store::{OpenError, Unavailable},
};
use sealward_store::sqlite::DataFolderError;

use super::{data_folder::OtherStore, postgres::PostgresError};
use crate::{
    identity::token::TokenKeysError,
    root_key::RootKeySourceError,
    schema,
    telemetry::{metrics::access::MetricsTokenError, traces::CollectorError},
    transport::{hop_sockets::HopSocketError, listener::BindError, tls::TlsError},
    workload_api::WorkloadApiError,
};

/// Why a server doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A root key can't be loaded from its source.
    #[error("can't load the root key of root_key.sources[{index}]")]
    RootKey {
        /// The index of the source, from 0.
        index: usize,
        /// The cause.
        source: RootKeySourceError,
    },
    /// The clock is implausible.
    #[error("the clock is out of range: set it to a time in the years 1970 to 9999")]
    Clock,
    /// No root key is configured.
    #[error("root_key.sources is empty: add [[root_key.sources]]")]
    NoRootKey,
    /// The keys of a token issuer can't be used.
    #[error(transparent)]
    TokenKeys(#[from] TokenKeysError),
    /// The token of scrapers can't be used.
    #[error(transparent)]
    MetricsToken(#[from] MetricsTokenError),
    /// Traces can't be exported with these settings.
    #[error(transparent)]
    Traces(#[from] CollectorError),
    /// The Workload API provides no certificate.
    #[error(transparent)]
    WorkloadApi(#[from] WorkloadApiError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data folder can't be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The folder of the organizations' databases can't be used.
    #[error("the folder of the organizations' databases can't be used")]
    Organizations(#[source] std::io::Error),
    /// The data folder is that of another store or deployment.
    #[error(transparent)]
    OtherStore(#[from] OtherStore),
    /// The PostgreSQL database can't be used.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The configuration database can't be opened.
    #[error("the configuration database can't be opened")]
    Configuration(#[source] OpenError),
    /// The configuration database can't be used.
    #[error("the configuration database can't be used")]
    Prepare(#[from] ConfigurationError),
    /// A database isn't available.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The schema can't be served.
    #[error("the schema can't be served")]
    Schema(#[from] schema::DescriptorError),
    /// A listener can't be bound to its address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Unix socket of a hop can't be used.
    #[error(transparent)]
    HopSocket(#[from] HopSocketError),
    /// The threads that serve connections can't be started.
    #[error("the threads that serve connections can't be started: raise the limits of threads and file descriptors")]
    Workers(#[source] std::io::Error),
    /// Server reflection can't serve the contract.
    #[error("the contract can't be reflected")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}
