//! What is known of the connection that a request came over: its peer, what TLS established, its place, and how far its end is.
//!
//! It is worked out once, and goes with every request. Nothing here decides what a connection may be used for.

use std::{net::SocketAddr, sync::Arc};

use http::Extensions;
use rustls::pki_types::CertificateDer;

use crate::{
    identity::ClientCertificate,
    transport::{connection_limit::NoPlace, leaving::Leaving, tls::Trust},
};

/// What is known of the connection that a request came over; in every request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// What TLS established; `None` on the plaintext listener.
    pub(crate) tls: Option<TlsFacts>,
    /// Whether there is no place for it.
    pub(crate) no_place: Option<NoPlace>,
    /// How far its end is.
    pub(crate) leaving: Leaving,
}

/// What TLS established.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// The client's verified certificate, if it showed one that names somebody.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// All that the client showed: its certificate, and those between it and its CA.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// What that was verified by. Where another trust counts now, it has to be verified again.
    pub(crate) trust: Arc<Trust>,
}

impl Leaving {
    /// That of the connection which a call came over.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Connection>().map(|connection| connection.leaving.clone()).unwrap_or_default()
    }
}
