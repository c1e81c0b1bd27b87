//! Accepts connections: separate accept loops for TLS and plaintext, handshakes with limits on the workers, one queue of finished
//! connections.
//!
//! The facts about a connection, its peer and the result of TLS, are determined once, and added to every request as [`Connection`]. Nothing
//! here decides about permissions.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use sealward_core::{identity::Identity, port::Clock as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixStream},
    runtime::Handle,
    sync::{mpsc, watch},
    time::{Instant, Sleep, timeout, timeout_at},
};
use tokio_rustls::server::TlsStream;

use crate::{
    config::{Hop, HopEntrance, Listen, limits::Limits},
    identity::ClientCertificate,
    ports::clock::SystemClock,
    transport::{
        connection::{Connection, ConnectionFacts, TlsFacts},
        connection_limit::{ConnectionSlot, ConnectionSlots, ListenerSlots, Owner},
        handshake::Handshakes,
        hop_sockets::{HopSocket, HopSocketError},
        keepalive::{Activity, Keepalive},
        peer::Peer,
        proxy_protocol,
        tls::{ALPN_HTTP_2, TlsContext, Trust},
        workers::{Place, Places},
    },
};

/// The maximum number of finished connections in the queue. Each waits for microseconds, so this never limits the server.
const FINISHED_MAX: usize = 64;

/// The pause of accepting when the system is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The first bytes of HTTP/2 (RFC 9113, section 3.4). No request of HTTP/1.1 is shorter.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The ways in which hops connect.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    by_certificate: BTreeMap<Identity, Arc<Hop>>,
    pub(crate) sockets: Vec<HopSocket>,
}

impl Hops {
    /// Binds the Unix sockets of hops.
    ///
    /// # Errors
    /// [`HopSocketError`]
    pub(crate) fn bind(hops: &[Arc<Hop>]) -> Result<Self, HopSocketError> {
        let certified = |hop: &Arc<Hop>| match &hop.entrance {
            HopEntrance::Certificate(identity) => Some((identity.clone(), Arc::clone(hop))),
            HopEntrance::UnixSocket { .. } => None,
        };
        Ok(Self { by_certificate: hops.iter().filter_map(certified).collect(), sockets: HopSocket::bind_all(hops)? })
    }
}

/// Bound sockets that don't accept yet.
pub(crate) struct Listener {
    tls: TcpListener,
    address: SocketAddr,
    plaintext: Option<(TcpListener, SocketAddr)>,
    load_balancers: Vec<IpNet>,
}

/// A listener can't be bound to its address.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: check that the address is local and the port is free")]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    source: io::Error,
}

impl Listener {
    /// Binds the configured addresses. From here on the system queues connections.
    ///
    /// # Errors
    /// [`BindError`]
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, BindError> {
        let (tls, address) = bind(listen.address).await?;
        let plaintext = match listen.plaintext_address {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { tls, address, plaintext, load_balancers: listen.proxy_protocol_from.clone() })
    }

    /// The address of the TLS listener, with the real port if port 0 is configured.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the plaintext listener, if there is one.
    pub(crate) fn plaintext_address(&self) -> Option<SocketAddr> {
        self.plaintext.as_ref().map(|(_, address)| *address)
    }

    /// Starts to accept. Dropping the receiver closes the sockets. Each handshake uses the current TLS context, so that certificates can be
    /// replaced while the server runs. Each connection has a slot of its listener, and a place on a worker.
    pub(crate) fn accept(
        self,
        tls_context: watch::Receiver<Arc<TlsContext>>,
        handshakes: Handshakes,
        places: Places,
        limits: &Limits,
        slots: ListenerSlots,
        hops: Hops,
    ) -> mpsc::Receiver<ConnectionStream> {
        let (finished, connections) = mpsc::channel(FINISHED_MAX);
        let door = |slots| AcceptLoop::new(limits, slots, places.clone(), finished.clone());
        let Hops { by_certificate, sockets } = hops;
        for (socket, slots) in sockets.into_iter().zip(slots.hops) {
            tokio::spawn(door(slots).run_on_unix_socket(socket, handshakes.clone()));
        }
        if let Some((listener, _)) = self.plaintext {
            tokio::spawn(door(slots.plaintext).run(listener, None));
        }
        let load_balancers = LoadBalancers { networks: self.load_balancers.into(), slots: slots.load_balancers };
        let tls = TlsDoor { tls_context, handshakes, load_balancers, hops: Arc::new(by_certificate) };
        tokio::spawn(door(slots.tls).run(self.tls, Some(tls)));
        connections
    }
}

/// The peer as in logs, audit trails and filters. A dual-stack socket reports IPv4 addresses in IPv6 form, which would be a second name for
/// the same address.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|source| BindError { address, source })
}

/// Accepts connections until `is_over`, and continues after temporary errors.
pub(crate) async fn accept(
    listener: TcpListener,
    keepalive: Keepalive,
    is_over: impl Fn() -> bool,
    take: impl Fn(TcpStream, SocketAddr),
) {
    let mut accepting = Accepting::default();
    while !is_over() {
        let Some((stream, peer)) = accepting.accepted(listener.accept().await).await else { continue };
        if let Err(error) = keepalive.set(&stream) {
            tracing::debug!(%peer, %error, "connection without keepalive");
        }
        take(stream, canonical(peer));
    }
}

/// How accepting on a socket goes.
#[derive(Default)]
struct Accepting {
    /// Whether the log already reports that it fails.
    is_failing: bool,
}

impl Accepting {
    /// What was accepted. After a temporary error, it waits and returns `None`.
    async fn accepted<T>(&mut self, outcome: io::Result<T>) -> Option<T> {
        match outcome {
            Ok(accepted) => {
                self.is_failing = false;
                return Some(accepted);
            }
            // The client closed the connection before it was accepted. This doesn't affect the next one.
            Err(error) if belongs_to_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "accepting connections failed; retrying");
                }
                let _always_passes = timeout(ACCEPT_PAUSE, std::future::pending::<()>()).await;
            }
        }
        None
    }
}

/// The load balancers whose connections begin with a header of the PROXY protocol.
#[derive(Clone)]
struct LoadBalancers {
    networks: Arc<[IpNet]>,
    /// The slots until the header is read. They aren't those of callers, because all have the addresses of load balancers.
    slots: Arc<ConnectionSlots>,
}

impl LoadBalancers {
    /// The client of a connection, of which only the header is read. `None` if the connection was refused.
    async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        handshakes: &Handshakes,
        deadline: Instant,
    ) -> Option<SocketAddr> {
        let slot = self.slots.acquire(&peer.into());
        let client = tokio::select! {
            client = timeout_at(deadline, proxy_protocol::client(stream, peer)) => client,
            () = slot.closing() => {
                tracing::debug!(%peer, "connection of a load balancer closed to admit another one");
                return None;
            }
        };
        match client {
            Ok(Ok(client)) => return Some(canonical(client)),
            Ok(Err(error)) => handshakes.refuse_load_balancer(peer, Some(&error)),
            Err(_) => handshakes.refuse_load_balancer(peer, None),
        }
        None
    }
}

/// The TLS of a listener.
#[derive(Clone)]
struct TlsDoor {
    tls_context: watch::Receiver<Arc<TlsContext>>,
    handshakes: Handshakes,
    load_balancers: LoadBalancers,
    /// The hops, by the identity of their certificates.
    hops: Arc<BTreeMap<Identity, Arc<Hop>>>,
}

/// Accepts on one socket until the receiver of connections is dropped.
struct AcceptLoop {
    slots: Arc<ConnectionSlots>,
    places: Places,
    keepalive: Keepalive,
    handshake_timeout: Duration,
    stall_max: Duration,
    finished: mpsc::Sender<ConnectionStream>,
}

impl AcceptLoop {
    fn new(
        limits: &Limits,
        slots: Arc<ConnectionSlots>,
        places: Places,
        finished: mpsc::Sender<ConnectionStream>,
    ) -> Self {
        Self {
            slots,
            places,
            keepalive: Keepalive::of(limits),
            handshake_timeout: limits.handshake_timeout(),
            stall_max: limits.answer_stall_max(),
            finished,
        }
    }

    async fn run(self, listener: TcpListener, tls: Option<TlsDoor>) {
        let taken = self.finished.clone();
        let take = |stream, peer| self.spawn_handshake(stream, peer, tls.as_ref());
        tokio::select! {
            () = accept(listener, self.keepalive, || taken.is_closed(), take) => {}
            // The server drains. The socket closes with this task, and the system refuses new connections.
            () = taken.closed() => {}
        }
    }

    async fn run_on_unix_socket(self, socket: HopSocket, handshakes: Handshakes) {
        let taken = self.finished.clone();
        let serving = async {
            let mut accepting = Accepting::default();
            while !taken.is_closed() {
                match accepting.accepted(socket.accept().await).await {
                    Some(Ok(stream)) => self.spawn_on_unix_socket(stream, socket.hop()),
                    Some(Err(uid)) => handshakes.refuse_user(&socket.hop().name, uid),
                    None => {}
                }
            }
        };
        tokio::select! {
            () = serving => {}
            () = taken.closed() => {}
        }
    }

    /// In a separate task, so that a slow client doesn't delay others, and on the worker that serves the connection afterwards.
    fn spawn_handshake(&self, stream: TcpStream, peer: SocketAddr, tls: Option<&TlsDoor>) {
        let deadline = Instant::now() + self.handshake_timeout;
        let tls = tls.cloned();
        let is_proxied =
            tls.as_ref().is_some_and(|tls| proxy_protocol::is_expected(&tls.load_balancers.networks, peer));
        let (finished, slots, stall_max) = (self.finished.clone(), Arc::clone(&self.slots), self.stall_max);
        // The client of a load balancer isn't known yet.
        let slot = (!is_proxied).then(|| slots.acquire(&peer.into()));
        let place = self.places.take();
        // A socket belongs to the runtime that waits for its bytes.
        let stream = stream.into_std();
        place.runtime().clone().spawn(async move {
            let mut stream = match stream.and_then(TcpStream::from_std) {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%peer, %error, "accepted connection not served"),
            };
            // Answers are small and written at once, so Nagle's algorithm would only delay them.
            let _slower_without = stream.set_nodelay(true);
            let (peer, slot) = match (slot, &tls) {
                (Some(slot), _) => (peer, slot),
                (None, Some(TlsDoor { load_balancers, handshakes, .. })) => {
                    let client = load_balancers.client(&mut stream, peer, handshakes, deadline).await;
                    let Some(client) = client else { return };
                    (client, slots.acquire(&client.into()))
                }
                (None, None) => return,
            };
            let (transport, hops) = match tls {
                Some(TlsDoor { tls_context, handshakes, hops, .. }) => {
                    let tls_context = Arc::clone(&tls_context.borrow());
                    let accepted = tokio::select! {
                        accepted = handshakes.accept(stream, peer, &tls_context, deadline) => accepted,
                        () = slot.closing() => return tracing::debug!(%peer, "handshake ended to admit another connection"),
                    };
                    let Some(stream) = accepted else { return };
                    (Transport::Tls(stream, Arc::clone(&tls_context.trust)), Some(hops))
                }
                None => (Transport::Plaintext(stream), None),
            };
            let tls = transport.tls_facts(peer);
            let identity = tls.as_ref().and_then(|tls| Some(&tls.certificate.as_ref()?.identity));
            let hop = identity.and_then(|identity| hops?.get(&**identity).cloned());
            let owner = identity.map(|identity| match &hop {
                Some(hop) => Owner::Hop(Arc::clone(&hop.name)),
                None => Owner::Identity(Arc::clone(identity)),
            });
            let limit_reached = owner.and_then(|owner| slot.identify(&owner).err());
            let slot_handle = slot.handle();
            let facts = ConnectionFacts { tls, limit_reached, slot: slot_handle, ..ConnectionFacts::plaintext(peer) };
            // Fails when the server drains; the connection closes then.
            let stream = ConnectionStream::new(transport, facts.of_hop(hop).into(), deadline, stall_max, slot, place);
            let _drained = finished.send(stream).await;
        });
    }

    fn spawn_on_unix_socket(&self, stream: UnixStream, hop: &Arc<Hop>) {
        let deadline = Instant::now() + self.handshake_timeout;
        let peer = Peer::UnixSocket(Arc::clone(&hop.name));
        let (finished, slot, stall_max) = (self.finished.clone(), self.slots.acquire(&peer), self.stall_max);
        let limit_reached = slot.identify(&Owner::Hop(Arc::clone(&hop.name))).err();
        let facts = ConnectionFacts { limit_reached, slot: slot.handle(), ..ConnectionFacts::plaintext(peer) };
        let facts = facts.of_hop(Some(Arc::clone(hop)));
        let place = self.places.take();
        let stream = stream.into_std();
        place.runtime().clone().spawn(async move {
            let transport = match stream.and_then(UnixStream::from_std) {
                Ok(stream) => Transport::UnixSocket(stream),
                Err(error) => return tracing::warn!(peer = %facts.peer, %error, "accepted connection not served"),
            };
            let stream = ConnectionStream::new(transport, facts.into(), deadline, stall_max, slot, place);
            let _drained = finished.send(stream).await;
        });
    }
}

fn belongs_to_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

enum Transport {
    Tls(Box<TlsStream<TcpStream>>, Arc<Trust>),
    Plaintext(TcpStream),
    UnixSocket(UnixStream),
}

impl Transport {
    fn tls_facts(&self, peer: SocketAddr) -> Option<TlsFacts> {
        match self {
            Transport::Tls(stream, trust) => {
                let chain: Arc<[_]> = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
                let certificate = client_certificate_of(stream, trust, peer).map(Arc::new);
                Some(TlsFacts { certificate, chain, trust: Arc::clone(trust) })
            }
            Transport::Plaintext(_) | Transport::UnixSocket(_) => None,
        }
    }

    /// The protocol that was agreed on in the handshake.
    fn protocol(&self) -> Option<Protocol> {
        let Transport::Tls(stream, _) = self else { return None };
        match stream.get_ref().1.alpn_protocol()? {
            ALPN_HTTP_2 => Some(Protocol::Http2),
            _ => Some(Protocol::Http1),
        }
    }

    fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Transport::Tls(stream, _) => Pin::new(stream),
            Transport::Plaintext(stream) => Pin::new(stream),
            Transport::UnixSocket(stream) => Pin::new(stream),
        }
    }
}

/// The client's certificate in a handshake; see [`client_certificate`].
pub(crate) fn client_certificate_of(
    stream: &TlsStream<TcpStream>,
    trust: &Trust,
    peer: SocketAddr,
) -> Option<ClientCertificate> {
    let (_, session) = stream.get_ref();
    // The chain of a resumed session isn't verified again: a CA may have expired since.
    let is_resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    client_certificate(session.peer_certificates().unwrap_or_default(), trust, is_resumed, peer)
}

/// The client's certificate; `None` if it has no valid identity, or if its CA may not issue for this identity. The connection stays open,
/// and its calls have no identity from the certificate.
fn client_certificate(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    is_resumed: bool,
    peer: SocketAddr,
) -> Option<ClientCertificate> {
    let certificate = ClientCertificate::from_der(chain.first()?)
        .inspect_err(|error| tracing::warn!(%peer, error = error as &dyn std::error::Error, "client certificate without valid identity"))
        .ok()?;
    let identity = &certificate.identity;
    let now = SystemClock.now();
    let verified =
        if is_resumed { trust.verify(chain, identity, now) } else { trust.verify_name(chain, identity, now) };
    verified
        .inspect_err(|error| tracing::warn!(%peer, %identity, %error, "client certificate refused: its CA has expired or may not sign for this name"))
        .ok()?;
    Some(certificate)
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A finished connection: its bytes, its facts, and its slot.
pub(crate) struct ConnectionStream {
    transport: Transport,
    connection: Connection,
    /// The first bytes, if they were read to find the protocol.
    begin: BytesMut,
    preface: Preface,
    activity: Activity,
    stall: Stall,
    slot: Arc<ConnectionSlot>,
    /// Its place on the worker that serves it.
    place: Place,
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The first bytes that are missing, as many as in the HTTP/2 preface, and their deadline. Nothing else limits that time.
struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

/// The deadline for a peer that doesn't read written data.
struct Stall {
    max: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Returns an error after the maximum waiting time.
    #[expect(
        clippy::disallowed_methods,
        reason = "a timer that is polled beside the bytes; timeout takes one future only"
    )]
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let max = self.max;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(max)));
        deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl ConnectionStream {
    #[expect(
        clippy::disallowed_methods,
        reason = "a timer that is polled beside the bytes; timeout_at takes one future only"
    )]
    fn new(
        transport: Transport,
        connection: Connection,
        deadline: Instant,
        stall_max: Duration,
        slot: Arc<ConnectionSlot>,
        place: Place,
    ) -> Self {
        let preface = Preface { missing: PREFACE.len(), deadline: Box::pin(tokio::time::sleep_until(deadline)) };
        let stall = Stall { max: stall_max, deadline: None };
        let (begin, activity) = (BytesMut::new(), Activity::new(Instant::now()));
        Self { transport, connection, begin, preface, activity, stall, slot, place }
    }

    /// Its slot, which it keeps until it is dropped.
    pub(crate) fn slot(&self) -> &Arc<ConnectionSlot> {
        &self.slot
    }

    /// The runtime of its worker.
    pub(crate) fn runtime(&self) -> &Handle {
        self.place.runtime()
    }

    /// Whether data arrives from the peer.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Its protocol: the one agreed on in the handshake, otherwise HTTP/2 if it begins with its preface.
    ///
    /// # Errors
    /// The connection failed, or the first bytes took too long.
    pub(crate) async fn protocol(&mut self) -> io::Result<Protocol> {
        if let Some(protocol) = self.transport.protocol() {
            return Ok(protocol);
        }
        while self.begin.len() < PREFACE.len() {
            if !PREFACE.starts_with(&self.begin) {
                return Ok(Protocol::Http1);
            }
            let mut bytes = [0; PREFACE.len()];
            let missing = PREFACE.len() - self.begin.len();
            let mut read = ReadBuf::new(bytes.get_mut(..missing).unwrap_or_default());
            poll_fn(|context| self.poll_read_transport(context, &mut read)).await?;
            if read.filled().is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.begin.extend_from_slice(read.filled());
        }
        Ok(if *self.begin == *PREFACE { Protocol::Http2 } else { Protocol::Http1 })
    }

    /// Reads from the transport. Only the first bytes have a deadline.
    fn poll_read_transport(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.transport.io().poll_read(context, buffer);
        let count = buffer.filled().len().saturating_sub(before);
        if count > 0 {
            self.activity.note(Instant::now());
        }
        if self.preface.missing > 0 {
            self.preface.missing = self.preface.missing.saturating_sub(count);
            if read.is_pending() && self.preface.deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }

    /// Its facts.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl AsyncRead for ConnectionStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begin.is_empty() {
            return self.poll_read_transport(context, buffer);
        }
        let count = self.begin.len().min(buffer.remaining());
        let begin = self.begin.split_to(count);
        buffer.put_slice(&begin);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ConnectionStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.transport.io().poll_write(context, buffer);
        self.stall.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.transport.io().poll_write_vectored(context, buffers);
        self.stall.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tls(stream, _) => stream.is_write_vectored(),
            Transport::Plaintext(stream) => stream.is_write_vectored(),
            Transport::UnixSocket(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.transport.io().poll_flush(context);
        self.stall.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = self.transport.io().poll_shutdown(context);
        self.stall.bounded(context, shut_down)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS12};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::client;

    use super::*;
    use crate::{
        development::Person,
        telemetry::shed::Shed,
        transport::{
            connection_limit::LimitReached,
            test_deployment::{TestDeployment, connect},
            workers::Workers,
        },
    };

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_has_its_ipv4_address() {
        for (given, named) in [
            ("[::ffff:127.0.0.1]:7", "127.0.0.1:7"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ] {
            assert_eq!(canonical(given.parse().unwrap()).to_string(), named);
        }
    }

    /// Listeners on free ports, with the development certificates.
    struct Fixture {
        deployment: TestDeployment,
        address: SocketAddr,
        plaintext_address: SocketAddr,
        _workers: Workers,
    }

    async fn listen(limits: Limits) -> (Fixture, mpsc::Receiver<ConnectionStream>) {
        let deployment = TestDeployment::new();
        let listener = TestDeployment::listener().await;
        let (address, plaintext_address) = (listener.address(), listener.plaintext_address().unwrap());
        let tls_context = watch::channel(deployment.tls_context()).1;
        let workers = Workers::start().unwrap();
        let handshakes = Handshakes::for_tests();
        let slots = ListenerSlots::new(&limits, &Shed::default(), 0);
        let connections = listener.accept(tls_context, handshakes, workers.places(), &limits, slots, Hops::default());
        (Fixture { deployment, address, plaintext_address, _workers: workers }, connections)
    }

    impl Fixture {
        fn client(&self, person: Option<Person>) -> ClientConfig {
            self.deployment.client(person)
        }

        async fn connect(&self, config: ClientConfig) -> io::Result<client::TlsStream<TcpStream>> {
            connect(self.address, config).await
        }
    }

    #[tokio::test]
    async fn connection_has_its_peer_and_identity() {
        let (fixture, mut connections) = listen(Limits::default()).await;

        let client = fixture.connect(fixture.client(Some(Person::Admin))).await.unwrap();
        let connection = connections.recv().await.unwrap().connection().clone();
        assert_eq!(connection.peer, client.get_ref().0.local_addr().unwrap().into());
        let certificate = connection.tls.as_ref().unwrap().certificate.as_ref().unwrap();
        assert_eq!(certificate.identity.to_string(), "cn:admin");

        let _client = fixture.connect(fixture.client(None)).await.unwrap();
        assert!(connections.recv().await.unwrap().connection().tls.as_ref().unwrap().certificate.is_none());

        let client = TcpStream::connect(fixture.plaintext_address).await.unwrap();
        let connection = connections.recv().await.unwrap().connection().clone();
        assert_eq!(connection.peer, client.local_addr().unwrap().into());
        assert!(connection.tls.is_none());
    }

    #[tokio::test]
    async fn an_unidentified_connection_gives_way_to_a_new_one() {
        let (fixture, mut connections) = listen(Limits { connections_max: 2, ..Limits::default() }).await;
        let _first = fixture.connect(fixture.client(None)).await.unwrap();
        let served = connections.recv().await.unwrap();
        let mut closing = pin!(served.slot().closing());
        assert!(timeout(Duration::ZERO, closing.as_mut()).await.is_err());
        let _second = fixture.connect(fixture.client(Some(Person::Admin))).await.unwrap();
        timeout(Duration::from_secs(60), closing).await.unwrap();
        assert!(connections.recv().await.unwrap().connection().limit_reached.is_none());
    }

    #[tokio::test]
    async fn an_unfinished_handshake_gives_way_to_a_new_connection() {
        let (fixture, mut connections) = listen(Limits { connections_max: 1, ..Limits::default() }).await;
        let mut silent = TcpStream::connect(fixture.address).await.unwrap();
        let _second = fixture.connect(fixture.client(Some(Person::Admin))).await.unwrap();
        assert!(connections.recv().await.unwrap().connection().limit_reached.is_none());
        assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn connection_over_the_limit_of_its_identity_has_no_slot() {
        let (fixture, mut connections) = listen(Limits { connections_per_identity_max: 1, ..Limits::default() }).await;
        let mut next = async |person| {
            let client = fixture.connect(fixture.client(person)).await.unwrap();
            (client, connections.recv().await.unwrap())
        };
        let (_, first) = next(Some(Person::Admin)).await;
        let (_, second) = next(Some(Person::Admin)).await;
        let (_, other) = next(Some(Person::Reader)).await;
        let unidentified = [next(None).await, next(None).await];
        assert_eq!(second.connection().limit_reached, Some(LimitReached::Identity { limit: 1 }));
        let with_slot = [&first, &other, &unidentified[0].1, &unidentified[1].1];
        assert!(with_slot.iter().all(|stream| stream.connection().limit_reached.is_none()));
        drop(first);
        assert_eq!(next(Some(Person::Admin)).await.1.connection().limit_reached, None);
    }

    #[tokio::test]
    async fn other_protocols_and_older_versions_are_refused_in_the_handshake() {
        let (fixture, _connections) = listen(Limits::default()).await;
        let mut http_3 = fixture.client(None);
        http_3.alpn_protocols = vec![b"h3".to_vec()];
        let refused = fixture.connect(http_3).await.unwrap_err().to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");

        let tls_1_2 = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let refused = fixture.connect(tls_1_2).await.unwrap_err().to_string();
        assert!(refused.contains("ProtocolVersion"), "{refused}");
    }

    #[tokio::test]
    async fn protocol_is_the_one_of_the_handshake_or_of_the_first_bytes() {
        let (fixture, mut connections) = listen(Limits::default()).await;
        /// The offered protocols, the first bytes, and the protocol to serve.
        type Case = (&'static [&'static [u8]], &'static [u8], Protocol);
        const CASES: [Case; 6] = [
            (&[b"h2"], b"", Protocol::Http2),
            (&[b"http/1.1"], b"", Protocol::Http1),
            (&[b"http/1.1", b"h2"], b"", Protocol::Http2),
            (&[], PREFACE, Protocol::Http2),
            (&[], b"GET / HTTP/1.1\r\n", Protocol::Http1),
            (&[], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", Protocol::Http1),
        ];
        for (alpn, begin, protocol) in CASES {
            let mut client = fixture.client(None);
            client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            let mut sent = fixture.connect(client).await.unwrap();
            sent.write_all(begin).await.unwrap();
            let mut stream = connections.recv().await.unwrap();
            assert_eq!(stream.protocol().await.unwrap(), protocol, "{begin:?}");
            // All bytes are still there.
            let mut read = vec![0; begin.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, begin);
        }
    }

    #[tokio::test]
    async fn silent_connection_is_closed() {
        let (fixture, mut connections) = listen(Limits { handshake_timeout_ms: 100, ..Limits::default() }).await;
        let mut silent_in_tls = TcpStream::connect(fixture.address).await.unwrap();
        assert_eq!(silent_in_tls.read(&mut [0]).await.unwrap(), 0);

        let _silent_after_it = fixture.connect(fixture.client(None)).await.unwrap();
        let error = connections.recv().await.unwrap().read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn stopped_listener_closes_its_sockets() {
        let (fixture, connections) = listen(Limits::default()).await;
        drop(connections);
        for address in [fixture.address, fixture.plaintext_address] {
            let refused = async { while TcpStream::connect(address).await.is_ok() {} };
            timeout(Duration::from_secs(10), refused).await.unwrap();
        }
    }

    #[tokio::test]
    async fn address_in_use_is_named() {
        let (fixture, _connections) = listen(Limits::default()).await;
        let taken = Listen {
            address: fixture.address,
            plaintext_address: None,
            proxy_protocol_from: Vec::new(),
            metrics_address: None,
        };
        assert_eq!(
            Listener::bind(&taken).await.err().unwrap().to_string(),
            format!("can't listen on {}: check that the address is local and the port is free", fixture.address)
        );
    }
}
