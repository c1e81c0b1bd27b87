//! The bound sockets of a server.

use std::net::SocketAddr;

use super::error::StartError;
use crate::{
    config::Config,
    telemetry::metrics::Metrics,
    transport::listener::{Hops, Listener},
};

/// The sockets of `[listen]` and `[[hops]]`. The system queues connections to them.
pub(super) struct Sockets {
    pub(super) listener: Listener,
    pub(super) hops: Hops,
    pub(super) metrics: Option<Metrics>,
}

/// The addresses of the sockets, with the real ports instead of port 0.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) tls: SocketAddr,
    pub(super) plaintext: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
}

impl Sockets {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let listener = Listener::bind(&config.listen).await?;
        let hops = Hops::bind(&config.hops)?;
        let metrics = Metrics::bind(config).await?;
        Ok(Self { listener, hops, metrics })
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            tls: self.listener.address(),
            plaintext: self.listener.plaintext_address(),
            metrics: self.metrics.as_ref().map(Metrics::address),
        }
    }
}
