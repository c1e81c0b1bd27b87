//! Transport: connections, TLS handshakes and HTTP/2, with limits on memory and connections.
//!
//! Nothing here knows the rpcs.

pub(crate) mod budget;
pub(crate) mod connection;
pub(crate) mod connection_ending;
pub(crate) mod connection_limit;
pub(crate) mod file_descriptors;
pub(crate) mod handshake;
pub(crate) mod http2;
pub(crate) mod listener;
#[cfg(test)]
pub(crate) mod test_deployment;
pub(crate) mod tls;
