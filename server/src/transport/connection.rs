//! The facts about the connection of a request: its peer, the result of TLS, the limit that it exceeds, its memory and its slot, and
//! whether it is ending.
//!
//! They are determined once per connection, and added to every request. Nothing here decides about permissions.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use http::Extensions;
use rustls::pki_types::CertificateDer;

use crate::{
    config::Hop,
    identity::ClientCertificate,
    transport::{
        budget::{ConnectionShare, Payer},
        connection_ending::ConnectionEnding,
        connection_limit::{LimitReached, SlotHandle},
        peer::Peer,
        tls::Trust,
    },
};

/// The facts about the connection of a request. They are in every request's extensions, and clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<ConnectionFacts>);

/// The content of [`Connection`].
#[derive(Debug)]
pub(crate) struct ConnectionFacts {
    /// The other end.
    pub(crate) peer: Peer,
    /// The other end, as the log shows it with each call.
    pub(crate) peer_text: Arc<str>,
    /// The result of TLS; `None` on the plaintext listener and on Unix sockets.
    pub(crate) tls: Option<TlsFacts>,
    /// The hop at the other end, if it is one. The callers of its calls are others.
    pub(crate) hop: Option<Arc<Hop>>,
    /// The connection limit that it exceeds, if any. Its calls are refused then.
    pub(crate) limit_reached: Option<LimitReached>,
    /// The memory that its calls use.
    pub(crate) share: ConnectionShare,
    /// Its slot.
    pub(crate) slot: SlotHandle,
    /// Whether it is ending.
    pub(crate) ending: ConnectionEnding,
    /// The trust when the connection of a hop without TLS was first watched. The callers that the hop names depend on it.
    pub(crate) first_trust: OnceLock<Arc<Trust>>,
}

/// The result of a TLS handshake.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// The client's verified certificate, if it has an identity.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// The certificates that the client sent: its own, and the intermediate ones.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// The trust that verified them. If the trust has changed since, they must be verified again.
    pub(crate) trust: Arc<Trust>,
}

impl Deref for Connection {
    type Target = ConnectionFacts;

    fn deref(&self) -> &ConnectionFacts {
        &self.0
    }
}

impl ConnectionFacts {
    /// The facts about a connection without TLS.
    pub(crate) fn plaintext(peer: impl Into<Peer>) -> Self {
        let peer = peer.into();
        let (peer_text, tls, hop, limit_reached) = (peer.to_string().into(), None, None, None);
        let (share, slot, ending, first_trust) = Default::default();
        Self { peer, peer_text, tls, hop, limit_reached, share, slot, ending, first_trust }
    }

    /// The same facts about a connection of this hop, if there is one.
    pub(crate) fn of_hop(mut self, hop: Option<Arc<Hop>>) -> Self {
        if hop.is_some() {
            self.share = ConnectionShare::of_a_hop();
        }
        self.hop = hop;
        self
    }

    /// Whether no one but the peer can read or change what is sent. On other connections, only health checks are served.
    pub(crate) fn is_private(&self) -> bool {
        self.tls.is_some() || self.hop.is_some()
    }

    /// The kind of caller of its calls without an identity.
    pub(crate) fn unidentified(&self) -> Payer {
        if self.hop.is_some() {
            Payer::UnidentifiedThroughHop
        } else if self.tls.is_some() {
            Payer::Unidentified
        } else {
            Payer::Probe
        }
    }
}

impl From<ConnectionFacts> for Connection {
    fn from(facts: ConnectionFacts) -> Self {
        Self(Arc::new(facts))
    }
}

impl ConnectionEnding {
    /// The state of the connection of a call.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Connection>().map(|connection| connection.ending.clone()).unwrap_or_default()
    }
}
