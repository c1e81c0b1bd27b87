//! The other end of a connection, as in logs.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// An address.
    Address(SocketAddr),
    /// A process of this machine, connected to the Unix socket of the hop with this name.
    UnixSocket(Arc<str>),
}

impl Peer {
    /// Its address, if it has one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::UnixSocket(_) => None,
        }
    }

    /// Its IP address, if it has one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address().map(|address| address.ip())
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::UnixSocket(hop) => write!(f, "unix:{hop}"),
        }
    }
}
