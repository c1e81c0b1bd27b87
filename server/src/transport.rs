//! Transport: connections, TLS handshakes and HTTP/2, within bounds of memory and of connections.
//!
//! Nothing here knows what a call asks for.

pub(crate) mod budget;
pub(crate) mod connection;
pub(crate) mod connection_limit;
pub(crate) mod file_descriptors;
pub(crate) mod handshake;
pub(crate) mod http2;
pub(crate) mod leaving;
pub(crate) mod listener;
#[cfg(test)]
pub(crate) mod test_deployment;
pub(crate) mod tls;
