//! HTTP/2 on each connection: its bounds, and how a connection ends.
//!
//! A connection has to leave when it is old, when the server believes other client CAs or revocation lists than when it was made, when
//! there is no place for it, and when the server ends. It is told so (GOAWAY), finishes the calls it has, and is cut off after a grace.
//! Clients make another one and see no error. What the calls are is the service's matter.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use fieldseal_core::random::{self, Random};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2::Builder};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::{
    config::limits::Limits,
    drain::Drain,
    layer::metadata::SIZE_LEEWAY,
    listener::{Connection, ConnectionStream},
    tls::Terms,
};

/// Serves connections.
#[derive(Clone)]
pub(crate) struct Http2 {
    protocol: Builder<TokioExecutor>,
    age_max: Duration,
    grace: Duration,
    handshake_timeout: Duration,
    terms: watch::Receiver<Arc<Terms>>,
    random: Arc<dyn Random>,
    drain: Drain,
}

impl Http2 {
    /// With the bounds of the configuration. The watch tells what the server believes now, randomness spreads the ends of connections.
    pub(crate) fn new(
        limits: &Limits,
        terms: watch::Receiver<Arc<Terms>>,
        random: Arc<dyn Random>,
        drain: Drain,
    ) -> Self {
        let mut protocol = Builder::new(TokioExecutor::new());
        protocol
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.concurrent_streams_max)
            // A layer answers what is over the limit with a reason; hyper refuses what is as large as it is told, with a bare 431.
            .max_header_list_size(limits.header_list_size_max_bytes.saturating_mul(SIZE_LEEWAY).saturating_add(1))
            .keep_alive_interval(limits.keepalive_interval())
            .keep_alive_timeout(limits.keepalive_timeout());
        Self {
            protocol,
            age_max: limits.connection_age_max(),
            grace: limits.connection_grace(),
            handshake_timeout: limits.handshake_timeout(),
            terms,
            random,
            drain,
        }
    }

    /// Serves every connection until the server is told to end and the last one has ended. Each request carries the [`Connection`] it
    /// came over.
    pub(crate) async fn serve<S>(self, mut connections: mpsc::Receiver<ConnectionStream>, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let tasks = TaskTracker::new();
        let mut begun = pin!(self.drain.begun());
        loop {
            let stream = tokio::select! {
                () = &mut begun => break,
                stream = connections.recv() => stream,
            };
            let Some(stream) = stream else { break };
            tasks.spawn(self.clone().serve_one(stream, service.clone()));
        }
        // Closes the sockets, so that nobody waits for a server that takes no more.
        drop(connections);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve_one<S>(self, stream: ConnectionStream, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let facts = stream.connection().clone();
        let peer = facts.peer;
        let carried = facts.clone();
        let called = Arc::new(Notify::new());
        let calls = Arc::clone(&called);
        let service = service.map_request(move |request: Request<Incoming>| {
            calls.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(carried.clone());
            request
        });
        let mut connection =
            pin!(self.protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
        let ended = tokio::select! {
            ended = connection.as_mut() => Ok(ended),
            reason = self.has_to_leave(&facts, &called) => {
                tracing::debug!(%peer, reason, "a connection is told to leave");
                connection.as_mut().graceful_shutdown();
                timeout(self.grace, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection broke");
            }
            Err(_) => tracing::debug!(%peer, "a connection is cut off: its calls took longer than the grace"),
        }
    }

    /// Resolves when this connection has to leave, with the reason.
    async fn has_to_leave(&self, connection: &Connection, called: &Notify) -> &'static str {
        if connection.no_place.is_some() {
            // The answer to its first call says why. Who makes none has no more time than a handshake.
            let _in_time = timeout(self.handshake_timeout, called.notified()).await;
            return "its identity has as many connections as it may";
        }
        let earlier = async {
            tokio::select! {
                () = self.drain.begun() => "the server ends",
                () = self.distrusts(connection) => "other client CAs or revocation lists count now",
            }
        };
        timeout(less_a_part(self.age_max, &*self.random), earlier).await.unwrap_or("it is old")
    }

    /// Resolves when the server believes others than when this connection was made.
    async fn distrusts(&self, connection: &Connection) {
        let changed = match &connection.tls {
            Some(tls) => {
                let mut terms = self.terms.clone();
                let other = |terms: &Arc<Terms>| !Arc::ptr_eq(&terms.trust, &tls.trust);
                terms.wait_for(other).await.is_ok()
            }
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }
}

/// From nine tenths of the duration to all of it.
fn less_a_part(duration: Duration, random: &dyn Random) -> Duration {
    let part = f64::from(u16::from_le_bytes(random::bytes(random))) / f64::from(u16::MAX);
    duration - duration.mul_f64(part / 10.0)
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::client::conn::http2::{self as client, SendRequest};
    use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
    use tokio::{net::TcpStream, sync::Semaphore, task::JoinHandle};
    use tokio_rustls::TlsConnector;
    use tower::service_fn;

    use super::*;
    use crate::{
        config::{Config, Listen},
        development::Development,
        handshake::Handshakes,
        listener::Listener,
        pem,
        places::Places,
        random::SystemRandom,
        shed::Shed,
    };

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A server that answers calls of `/held` when a permit is there, and others at once.
    struct Fixture {
        _folder: tempfile::TempDir,
        config: Config,
        development: Development,
        address: SocketAddr,
        terms: watch::Sender<Arc<Terms>>,
        drain: Drain,
        begun: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        serving: JoinHandle<()>,
    }

    /// A client's connection, and its driver, which ends with it.
    struct Client {
        sender: SendRequest<Empty<Bytes>>,
        driver: JoinHandle<hyper::Result<()>>,
    }

    impl Fixture {
        async fn start(limits: Limits) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let development = Development::prepare(folder.path()).unwrap();
            let config = development.config().unwrap();
            let any = Listen {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                plaintext_address: None,
                metrics_address: None,
            };
            let listener = Listener::bind(&any).await.unwrap();
            let address = listener.address();
            let (terms, believed) = watch::channel(Arc::new(Terms::load(&config.tls).unwrap()));
            let drain = Drain::new();
            let (begun, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
            let (counted, awaited) = (Arc::clone(&begun), Arc::clone(&permits));
            let service = service_fn(move |request: Request<Body>| {
                assert!(request.extensions().get::<Connection>().is_some());
                let is_held = request.uri().path() == "/held";
                counted.fetch_add(usize::from(is_held), Ordering::SeqCst);
                let awaited = Arc::clone(&awaited);
                async move {
                    if is_held {
                        awaited.acquire().await.unwrap().forget();
                    }
                    Ok(Response::new(Body::empty()))
                }
            });
            let places = Places::new(limits.connections_per_identity_max, Shed::default());
            let connections = listener.accept(believed.clone(), Handshakes::for_tests(), &places, &limits);
            let http2 = Http2::new(&limits, believed, Arc::new(SystemRandom), drain.clone());
            let serving = tokio::spawn(http2.serve(connections, service));
            Self { _folder: folder, config, development, address, terms, drain, begun, permits, serving }
        }

        async fn connect(&self) -> Client {
            let mut roots = RootCertStore::empty();
            roots.add(pem::certificates(&self.development.ca()).unwrap().remove(0)).unwrap();
            let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = TcpStream::connect(self.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
            let (sender, connection) = client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            Client { sender, driver: tokio::spawn(connection) }
        }

        /// Other terms: the same server certificate, a trust of its own.
        fn exchange_trust(&self) {
            self.terms.send_replace(Arc::new(Terms::load(&self.config.tls).unwrap()));
        }
    }

    impl Client {
        fn call(&mut self, path: &str) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
            let request = Request::builder().uri(format!("https://localhost{path}")).body(Empty::new()).unwrap();
            self.sender.send_request(request)
        }

        /// A call under way.
        async fn begin(&mut self, fixture: &Fixture) -> JoinHandle<hyper::Result<Response<Incoming>>> {
            let before = fixture.begun.load(Ordering::SeqCst);
            let call = tokio::spawn(self.call("/held"));
            while fixture.begun.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            call
        }

        /// Waits until the connection takes no more calls.
        async fn told_to_leave(&mut self) {
            let told = async { while self.call("/").await.is_ok() {} };
            timeout(PATIENCE, told).await.unwrap();
        }

        async fn ended(self) {
            let _broken_or_not = timeout(PATIENCE, self.driver).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn another_trust_tells_older_connections_to_leave_when_their_calls_are_done() {
        let fixture = Fixture::start(Limits::default()).await;
        let mut client = fixture.connect().await;
        let call = client.begin(&fixture).await;
        fixture.exchange_trust();
        client.told_to_leave().await;

        let mut younger = fixture.connect().await;
        let next = younger.begin(&fixture).await;
        fixture.permits.add_permits(2);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
        client.ended().await;
        assert_eq!(next.await.unwrap().unwrap().status(), 200);
        assert_eq!(younger.call("/").await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn another_server_certificate_leaves_connections_as_they_are() {
        let fixture = Fixture::start(Limits::default()).await;
        let mut client = fixture.connect().await;
        let other = {
            let terms = fixture.terms.borrow();
            Terms { server_config: Arc::clone(&terms.server_config), trust: Arc::clone(&terms.trust) }
        };
        fixture.terms.send_replace(Arc::new(other));
        for _ in 0..100 {
            assert_eq!(client.call("/").await.unwrap().status(), 200);
        }
    }

    #[tokio::test]
    async fn an_old_connection_is_told_to_leave() {
        let fixture = Fixture::start(Limits { connection_age_max_seconds: 1, ..Limits::default() }).await;
        fixture.connect().await.ended().await;
    }

    #[tokio::test]
    async fn calls_longer_than_the_grace_are_cut_off() {
        let limits = Limits { connection_grace_seconds: 1, ..Limits::default() };
        let fixture = Fixture::start(limits).await;
        let mut client = fixture.connect().await;
        let call = client.begin(&fixture).await;
        fixture.exchange_trust();
        assert!(timeout(PATIENCE, call).await.unwrap().unwrap().is_err());
        client.ended().await;
    }

    #[tokio::test]
    async fn a_drain_waits_for_the_calls_of_every_connection() {
        let fixture = Fixture::start(Limits::default()).await;
        let (mut client, idle) = (fixture.connect().await, fixture.connect().await);
        let call = client.begin(&fixture).await;
        fixture.drain.begin();
        idle.ended().await;
        client.told_to_leave().await;
        assert!(!fixture.serving.is_finished());
        fixture.permits.add_permits(1);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
        timeout(PATIENCE, fixture.serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn as_many_calls_run_on_a_connection_as_may_and_one_more_waits() {
        let fixture = Fixture::start(Limits { concurrent_streams_max: 2, ..Limits::default() }).await;
        let mut client = fixture.connect().await;
        // After an answer the client knows the limit.
        assert_eq!(client.call("/").await.unwrap().status(), 200);
        let running = [client.begin(&fixture).await, client.begin(&fixture).await];
        let mut third = pin!(client.begin(&fixture));
        // Another connection is served meanwhile, and has calls of its own.
        let mut other = fixture.connect().await;
        tokio::select! {
            biased;
            _ = third.as_mut() => panic!("a call too many was begun"),
            answer = other.call("/") => assert_eq!(answer.unwrap().status(), 200),
        }
        fixture.permits.add_permits(1);
        let third = timeout(PATIENCE, third).await.unwrap();
        fixture.permits.add_permits(2);
        for call in running.into_iter().chain([third]) {
            assert_eq!(call.await.unwrap().unwrap().status(), 200);
        }
    }

    #[tokio::test]
    async fn headers_are_passed_on_up_to_twice_the_limit_and_not_one_byte_past_it() {
        let fixture = Fixture::start(Limits { header_list_size_max_bytes: 4_096, ..Limits::default() }).await;
        let mut client = fixture.connect().await;
        // As RFC 9113 counts, section 6.5.2: names, values, and 32 bytes for each.
        let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];
        let others: usize = pseudo.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let mut is_taken = async |size: usize| {
            let request = Request::builder().uri("https://localhost/").header("x", "x".repeat(size - others - 33));
            let answer = client.sender.send_request(request.body(Empty::new()).unwrap()).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        assert!(is_taken(8_192).await);
        assert!(!is_taken(8_193).await);
        assert!(is_taken(8_192).await);
    }

    #[test]
    fn connections_of_one_moment_end_within_the_last_tenth_of_their_age() {
        struct All(u8);
        impl Random for All {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        let age = Duration::from_secs(100);
        assert_eq!(less_a_part(age, &All(0)), age);
        assert_eq!(less_a_part(age, &All(255)), Duration::from_secs(90));
    }
}
