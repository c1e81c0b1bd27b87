//! Transport: connections, TLS handshakes, HTTP/1.1 and HTTP/2, with limits on memory and connections.
//!
//! Nothing here knows the rpcs.

pub(crate) mod budget;
mod calls;
mod closing;
pub(crate) mod connection;
pub(crate) mod connection_ending;
pub(crate) mod connection_limit;
mod discard;
pub(crate) mod file_descriptors;
mod front;
pub(crate) mod handshake;
pub(crate) mod hop_sockets;
mod http1;
mod http2;
pub(crate) mod keepalive;
pub(crate) mod listener;
pub(crate) mod peer;
pub(crate) mod probe;
mod proxy_protocol;
pub(crate) mod request_rules;
pub(crate) mod serving;
#[cfg(test)]
pub(crate) mod test_deployment;
#[cfg(test)]
mod test_server;
pub(crate) mod tls;
mod without_tls;
pub(crate) mod workers;

pub(crate) use self::calls::{CallStage, EndsAt};
#[cfg(fuzzing)]
pub(crate) use self::http1::filter::unchanged_by_splitting;
