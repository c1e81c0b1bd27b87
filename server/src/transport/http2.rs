//! HTTP/2 on a connection: its limits, and the end of a connection.
//!
//! A connection that has to close gets a GOAWAY, finishes its calls, and is closed by force after a grace period. Clients reconnect without
//! an error. [`call`] has the protocol of a call, and the service its meaning.

mod call;
mod late_frames;

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    PingPong, RecvStream,
    server::{Builder, SendResponse},
};
use http::{Request, Response};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::body::Body;
use tower::Service;

use self::{
    call::{CallBounds, Ends},
    late_frames::LateFrames,
};
use crate::{
    config::limits::Limits,
    gates::metadata::SIZE_LEEWAY,
    transport::{calls::Calls, closing::Closing, discard::Discard, keepalive::Activity, listener::ConnectionStream},
};

/// The part of an answer that the protocol buffers beyond the caller's window: the size of one write to a socket.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The time in which frames of a reset stream may still arrive. Later frames are errors of the connection.
const RESET_STREAM_TIME: Duration = Duration::from_secs(5);

/// The bytes by which waiting frames of data may fall short of 256 bytes each, before h2 ends the connection. By h2's default, 544 short
/// messages of an import that waits for its rate would end it. With this budget, the flow control stops a call before that if its frames
/// have 15 bytes or more, as every message of an import with a record has. A frame takes some 300 bytes of memory, so waiting frames take
/// at most 2.5 MB of a connection with the default window. Only a caller whose call is read slowly can reach that, so an identified one.
fn data_frame_budget(stream_window: u32) -> usize {
    usize::try_from(stream_window).unwrap_or(usize::MAX).saturating_mul(16)
}

/// The window of a stream over a hop: the default of HTTP/2.
const HOP_STREAM_WINDOW_BYTES: u32 = 65_535;

/// The window of a hop's connection. One identity may have 32 streams in flight by default, which fill half of it.
const HOP_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves connections of HTTP/2.
#[derive(Clone)]
pub(super) struct Http2 {
    protocol: Builder,
    /// For the connections of hops, on which one caller must not end or stop the calls of others.
    protocol_of_hops: Builder,
    limits: Limits,
    closing: Closing,
    calls: CallBounds,
    discard: Discard,
}

impl Http2 {
    /// Uses the limits of the configuration.
    pub(super) fn new(closing: Closing, discard: Discard) -> Self {
        let limits = closing.limits;
        let streams_max = limits.concurrent_streams_max;
        let mut protocol = Builder::new();
        protocol
            .max_concurrent_streams(streams_max)
            // Each stream of a connection may be reset before all its frames have arrived.
            .max_concurrent_reset_streams(usize::try_from(streams_max).unwrap_or(usize::MAX))
            .reset_stream_duration(RESET_STREAM_TIME)
            // A layer answers headers above the limit with a reason. h2 answers much larger headers with a bare 431.
            .max_header_list_size(limits.header_list_size_max_bytes.saturating_mul(SIZE_LEEWAY).saturating_add(1))
            // Unread data is held in memory. One call may use half of the window, so that it doesn't block the others.
            .initial_connection_window_size(limits.connection_window_max_bytes)
            .initial_window_size(limits.connection_window_max_bytes / 2)
            .data_frame_budget(data_frame_budget(limits.connection_window_max_bytes / 2))
            .max_send_buffer_size(SEND_BUFFER_BYTES);
        let mut protocol_of_hops = protocol.clone();
        protocol_of_hops
            // A caller of the hop may reset all its streams at once. Calls with invalid headers only end themselves.
            .max_pending_accept_reset_streams(usize::try_from(streams_max).unwrap_or(usize::MAX))
            .max_local_error_reset_streams(None)
            // The streams of one caller that don't move leave room for those of others.
            .initial_window_size(HOP_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HOP_CONNECTION_WINDOW_BYTES)
            .data_frame_budget(data_frame_budget(HOP_CONNECTION_WINDOW_BYTES / 2));
        let calls = CallBounds {
            stall_max: limits.answer_stall_max(),
            drain: closing.drain.clone(),
            shed: closing.shed.clone(),
        };
        Self { protocol, protocol_of_hops, limits, closing, calls, discard }
    }

    /// Serves a connection until it has ended. Each request has its [`Connection`] in its extensions.
    ///
    /// [`Connection`]: crate::transport::connection::Connection
    pub(super) async fn serve<S>(self, stream: ConnectionStream, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let facts = stream.connection().clone();
        let (peer, activity, slot) = (facts.peer.clone(), stream.activity(), Arc::clone(stream.slot()));
        let calls = Arc::new(Calls::default());
        let mut served = {
            let (facts, calls) = (facts.clone(), Arc::clone(&calls));
            // One reference for each call, instead of a clone of every part.
            let ends = Arc::new(Ends { bounds: self.calls.clone(), unread: self.discard.of(&facts) });
            move |mut request: Request<RecvStream>, respond: SendResponse<Bytes>| {
                let open = calls.open();
                request.extensions_mut().insert(facts.clone());
                request.extensions_mut().insert(open.stage());
                let (service, ends) = (service.clone(), Arc::clone(&ends));
                // In a separate task, so that no call waits for another call's handler. In a box, because a task is moved several times, and
                // this one has kilobytes.
                tokio::spawn(Box::pin(async move {
                    call::serve(service, request, respond, &ends).await;
                    drop(open);
                }));
            }
        };
        let protocol = if facts.hop.is_some() { &self.protocol_of_hops } else { &self.protocol };
        // The stream itself limits the time until the first frame.
        let begun = tokio::select! {
            begun = protocol.handshake::<_, Bytes>(LateFrames::new(stream)) => begun,
            () = slot.closing() => return tracing::debug!(%peer, "silent connection closed to admit another one"),
            () = self.closing.drain.begun() => return tracing::debug!(%peer, "silent connection closed at shutdown"),
        };
        let mut connection = match begun {
            Ok(connection) => connection,
            Err(error) => {
                return tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection failed");
            }
        };
        let mut cut = pin!({
            let (pings, closing) = (connection.ping_pong(), slot.closing());
            async {
                tokio::select! {
                    () = self.keepalive_expired(pings, &activity) => "no answer to the keepalive ping",
                    () = closing => "closed to admit another connection",
                }
            }
        });
        let end = tokio::select! {
            ended = accept(&mut connection, &mut served) => Served::Ended(ended),
            reason = &mut cut => Served::Forced(reason),
            reason = self.closing.reason_to_close(&facts, &slot, &calls) => Served::AskedToClose(reason),
        };
        let end = match end {
            Served::AskedToClose(reason) => {
                tracing::debug!(%peer, reason, "connection asked to close");
                connection.graceful_shutdown();
                tokio::select! {
                    ended = accept(&mut connection, &mut served) => Served::Ended(ended),
                    reason = &mut cut => Served::Forced(reason),
                    reason = self.closing.reason_to_force(&facts, &slot, &calls) => Served::Forced(reason),
                }
            }
            end @ (Served::Ended(_) | Served::Forced(_)) => end,
        };
        match end {
            Served::Ended(Ok(())) | Served::AskedToClose(_) => {}
            Served::Ended(Err(error)) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection failed");
            }
            Served::Forced(reason) => tracing::debug!(%peer, reason, "connection closed by force"),
        }
    }

    /// Resolves when the peer was silent for an interval, and doesn't answer a ping in time.
    async fn keepalive_expired(&self, pings: Option<PingPong>, activity: &Activity) {
        let Some(mut pings) = pings else { return pending().await };
        loop {
            if let Some(silent_at) = activity.silent_at(self.limits.keepalive_interval(), Instant::now()) {
                let _waited = timeout_at(silent_at, pending::<()>()).await;
                continue;
            }
            // If an earlier ping has no answer yet, that answer counts.
            let (before, _under_way) = (activity.last(), pings.send_ping(h2::Ping::opaque()));
            let pong = poll_fn(|context| pings.poll_pong(context));
            let answered = timeout(self.limits.keepalive_timeout(), pong).await;
            // Any received data counts, not only the pong.
            if activity.last() == before && !matches!(answered, Ok(Ok(_))) {
                return;
            }
        }
    }
}

/// The way in which serving a connection ended.
enum Served {
    /// The client closed the connection, or it failed.
    Ended(Result<(), h2::Error>),
    /// The client was asked to close the connection, for this reason.
    AskedToClose(&'static str),
    /// The connection was closed by force, for this reason.
    Forced(&'static str),
}

/// Drives the connection and starts its calls, until it has ended. No data is lost if the future is dropped before.
async fn accept(
    connection: &mut h2::server::Connection<LateFrames<ConnectionStream>, Bytes>,
    serve: &mut impl FnMut(Request<RecvStream>, SendResponse<Bytes>),
) -> Result<(), h2::Error> {
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        serve(request, respond);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http_body_util::{Empty, Full};
    use hyper::{
        body::Incoming,
        client::conn::http2::{self as client, SendRequest},
    };
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::Semaphore,
        task::JoinHandle,
    };
    use tokio_rustls::client::TlsStream;
    use tower::service_fn;

    use super::*;
    use crate::{
        development::Person,
        transport::{
            CallStage, connection::Connection, connection_ending::ConnectionEnding, test_deployment::connect,
            test_server::TestServer, tls::TlsContext,
        },
    };

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A server that answers calls of `/held` when a permit is available, those of `/stream` when their connection ends, and others
    /// immediately.
    struct Fixture {
        server: TestServer,
        begun: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
        /// One permit for each answer of `/large` whose memory was freed.
        freed: Arc<Semaphore>,
    }

    /// The bytes of a large answer.
    struct Large(Vec<u8>, Arc<Semaphore>);

    impl AsRef<[u8]> for Large {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Large {
        fn drop(&mut self) {
            self.1.add_permits(1);
        }
    }

    /// A client's connection, and its driver, which ends with it.
    struct Client {
        sender: SendRequest<Empty<Bytes>>,
        driver: JoinHandle<hyper::Result<()>>,
    }

    impl Fixture {
        async fn start(limits: Limits) -> Self {
            let (begun, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
            let (counted, awaited) = (Arc::clone(&begun), Arc::clone(&permits));
            let freed = Arc::new(Semaphore::new(0));
            let large = Arc::clone(&freed);
            let service = service_fn(move |request: Request<Body>| {
                assert!(request.extensions().get::<Connection>().is_some());
                request.extensions().get::<CallStage>().unwrap().mark_working();
                let is_held = request.uri().path() == "/held";
                counted.fetch_add(usize::from(is_held), Ordering::SeqCst);
                let awaited = Arc::clone(&awaited);
                let ending = ConnectionEnding::of(request.extensions());
                let stream = (request.uri().path() == "/stream").then(|| (ending.hold(), ending));
                let large = (request.uri().path() == "/large").then(|| Large(vec![0; 1 << 20], Arc::clone(&large)));
                async move {
                    if is_held {
                        awaited.acquire().await.unwrap().forget();
                    }
                    if let Some((_held, ending)) = &stream {
                        ending.is_cut().await;
                    }
                    let body = large.map(|large| Body::new(Full::new(Bytes::from_owner(large))));
                    Ok(Response::new(body.unwrap_or_else(Body::empty)))
                }
            });
            Self { server: TestServer::start(limits, service).await, begun, permits, freed }
        }

        async fn connect(&self) -> Client {
            self.connect_as(None).await
        }

        async fn connect_as(&self, person: Option<Person>) -> Client {
            let stream = self.tls(person).await;
            let (sender, connection) = client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            Client { sender, driver: tokio::spawn(connection) }
        }

        /// A connection that is driven frame by frame, with a window of this size for its answers.
        async fn frames(&self, window: u32) -> h2::client::SendRequest<Bytes> {
            let stream = self.tls(None).await;
            let handshake = h2::client::Builder::new().initial_window_size(window).handshake(stream);
            let (requests, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            requests
        }

        async fn tls(&self, person: Option<Person>) -> TlsStream<TcpStream> {
            connect(self.server.address, self.server.deployment.client(person)).await.unwrap()
        }
    }

    impl Client {
        fn call(&mut self, path: &str) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
            let request = Request::builder().uri(format!("https://localhost{path}")).body(Empty::new()).unwrap();
            self.sender.send_request(request)
        }

        /// A running call.
        async fn begin(&mut self, fixture: &Fixture) -> JoinHandle<hyper::Result<Response<Incoming>>> {
            let before = fixture.begun.load(Ordering::SeqCst);
            let call = tokio::spawn(self.call("/held"));
            while fixture.begun.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            call
        }

        /// Waits until the connection accepts no more calls.
        async fn wait_until_closing(&mut self) {
            let closing = async { while self.call("/").await.is_ok() {} };
            timeout(PATIENCE, closing).await.unwrap();
        }

        async fn ended(self) {
            let _broken_or_not = timeout(PATIENCE, self.driver).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn change_of_trust_closes_older_connections_after_their_calls() {
        let fixture = Fixture::start(Limits::default()).await;
        let mut client = fixture.connect().await;
        let call = client.begin(&fixture).await;
        fixture.server.replace_trust();
        client.wait_until_closing().await;

        let mut younger = fixture.connect().await;
        let next = younger.begin(&fixture).await;
        fixture.permits.add_permits(2);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
        client.ended().await;
        assert_eq!(next.await.unwrap().unwrap().status(), 200);
        assert_eq!(younger.call("/").await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn change_of_server_certificate_keeps_connections() {
        let fixture = Fixture::start(Limits::default()).await;
        let mut client = fixture.connect().await;
        let other = {
            let tls_context = fixture.server.tls_context.borrow();
            TlsContext {
                server_config: Arc::clone(&tls_context.server_config),
                trust: Arc::clone(&tls_context.trust),
                certificate: tls_context.certificate.clone(),
            }
        };
        fixture.server.tls_context.send_replace(Arc::new(other));
        for _ in 0..100 {
            assert_eq!(client.call("/").await.unwrap().status(), 200);
        }
    }

    #[tokio::test]
    async fn old_connection_gets_goaway() {
        let fixture = Fixture::start(Limits { connection_age_max_seconds: 1, ..Limits::default() }).await;
        fixture.connect().await.ended().await;
    }

    #[tokio::test]
    async fn stream_that_crosses_the_last_goaway_ends_no_other_call() {
        const HEADERS: u8 = 1;
        const PING: u8 = 6;
        const GOAWAY: u8 = 7;
        const WINDOW_UPDATE: u8 = 8;
        let frame = |kind: u8, flags: u8, stream: u32, content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap().to_be_bytes();
            [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
        };
        // HPACK: POST, https, then the path and the authority as new names and values that aren't indexed.
        let held = [&[0x83, 0x87, 0x04, 0x05][..], b"/held", &[0x01, 0x09], b"localhost"].concat();
        let begin = |stream| frame(HEADERS, 0b101, stream, &held);

        let fixture = Fixture::start(Limits::default()).await;
        let mut client = fixture.tls(None).await;
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), begin(1)].concat();
        client.write_all(&preface).await.unwrap();
        while fixture.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        fixture.server.replace_trust();
        let mut goaways = Vec::new();
        let mut is_answered = false;
        while !(is_answered && goaways.len() == 2) {
            let mut header = [0; 9];
            timeout(PATIENCE, client.read_exact(&mut header)).await.unwrap().unwrap();
            let mut content = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]).try_into().unwrap()];
            client.read_exact(&mut content).await.unwrap();
            match header[3] {
                // With the answer, the client begins a stream, and allows more of its answer.
                PING if header[4] == 0 => {
                    let late = [frame(PING, 1, 0, &content), begin(3), frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0])];
                    client.write_all(&late.concat()).await.unwrap();
                }
                GOAWAY => {
                    goaways.push(content);
                    if goaways.len() == 2 {
                        fixture.permits.add_permits(1);
                    }
                }
                HEADERS => is_answered = header[8] == 1,
                _ => {}
            }
        }
        // The last stream, and no error.
        assert_eq!(goaways, [[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]);
        assert_eq!(timeout(PATIENCE, client.read_to_end(&mut Vec::new())).await.unwrap().ok(), Some(0));
    }

    #[tokio::test]
    async fn streams_keep_an_old_connection_no_longer_than_a_transfer_may_take() {
        let limits = Limits {
            connection_age_max_seconds: 1,
            connection_grace_seconds: 1,
            transfer_time_max_seconds: 1,
            ..Limits::default()
        };
        let fixture = Fixture::start(limits).await;
        let mut client = fixture.connect().await;
        let stream = tokio::spawn(client.call("/stream"));
        client.ended().await;
        let _answered_or_cut_off = timeout(PATIENCE, stream).await.unwrap();
        assert_eq!(fixture.server.shed.refused_by("transfer_time_max_seconds"), 1);
    }

    #[tokio::test]
    async fn calls_longer_than_the_grace_are_cut_off() {
        let limits = Limits { connection_grace_seconds: 1, ..Limits::default() };
        let fixture = Fixture::start(limits).await;
        let mut client = fixture.connect().await;
        let call = client.begin(&fixture).await;
        fixture.server.replace_trust();
        assert!(timeout(PATIENCE, call).await.unwrap().unwrap().is_err());
        client.ended().await;
    }

    #[tokio::test]
    async fn a_drain_waits_for_the_calls_of_every_connection() {
        let fixture = Fixture::start(Limits::default()).await;
        let (mut client, idle) = (fixture.connect().await, fixture.connect().await);
        let call = client.begin(&fixture).await;
        fixture.server.drain.begin();
        idle.ended().await;
        client.wait_until_closing().await;
        assert!(!fixture.server.serving.is_finished());
        fixture.permits.add_permits(1);
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
        timeout(PATIENCE, fixture.server.serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn calls_on_a_connection_past_the_limit_wait() {
        let fixture = Fixture::start(Limits { concurrent_streams_max: 2, ..Limits::default() }).await;
        let mut client = fixture.connect().await;
        // After an answer the client knows the limit.
        assert_eq!(client.call("/").await.unwrap().status(), 200);
        let running = [client.begin(&fixture).await, client.begin(&fixture).await];
        let mut third = pin!(client.begin(&fixture));
        // Another connection is served meanwhile, and has separate limits.
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
    async fn headers_reach_the_gates_up_to_twice_the_limit() {
        let fixture = Fixture::start(Limits { header_list_size_max_bytes: 4_096, ..Limits::default() }).await;
        let mut client = fixture.connect().await;
        // As in RFC 9113, section 6.5.2: names, values, and 32 bytes for each header.
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

    fn request(path: &str) -> Request<()> {
        Request::post(format!("https://localhost{path}")).body(()).unwrap()
    }

    /// A complete call, which arrives after everything that was sent before it.
    async fn round_trip(requests: &mut h2::client::SendRequest<Bytes>) {
        let (answer, _) = requests.send_request(request("/"), true).unwrap();
        assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap().status(), 200);
    }

    #[tokio::test]
    async fn unread_answer_is_freed_at_any_window_size() {
        let fixture = Fixture::start(Limits { answer_stall_max_ms: 100, ..Limits::default() }).await;
        for window in [0, 1, 65_535] {
            let mut requests = fixture.frames(window).await;
            let (answer, _) = requests.send_request(request("/large"), true).unwrap();
            let mut body = timeout(PATIENCE, answer).await.unwrap().unwrap().into_body();
            timeout(PATIENCE, fixture.freed.acquire()).await.unwrap().unwrap().forget();
            let reset = async { while !matches!(body.data().await, Some(Err(_)) | None) {} };
            timeout(PATIENCE, reset).await.unwrap();
            // The connection is unchanged.
            round_trip(&mut requests).await;
        }
    }

    #[tokio::test]
    async fn body_of_a_refused_request_is_read_up_to_the_limit() {
        let fixture = Fixture::start(Limits {
            refused_request_read_max_bytes: 1_000,
            refused_request_read_time_max_ms: 10_000,
            ..Limits::default()
        })
        .await;
        let mut requests = fixture.frames(65_535).await;
        for (size, is_reset) in [(1_000, false), (1_001, true)] {
            let (answer, mut stream) = requests.send_request(request("/"), false).unwrap();
            assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap().status(), 200);
            stream.send_data(vec![0; size].into(), false).unwrap();
            round_trip(&mut requests).await;
            let reset = std::future::poll_fn(|context| stream.poll_reset(context));
            if is_reset {
                assert_eq!(timeout(PATIENCE, reset).await.unwrap().unwrap(), h2::Reason::NO_ERROR);
            } else {
                assert!(timeout(Duration::from_millis(50), reset).await.is_err());
            }
        }
    }

    #[tokio::test]
    async fn unread_body_is_accepted_up_to_the_connection_window() {
        let fixture = Fixture::start(Limits { connection_window_max_bytes: 131_072, ..Limits::default() }).await;
        let mut requests = fixture.frames(65_535).await;
        round_trip(&mut requests).await;
        let mut held = Vec::new();
        for expected in [65_536, 65_536, 0] {
            let (answer, mut stream) = requests.send_request(request("/held"), false).unwrap();
            stream.reserve_capacity(131_072);
            round_trip(&mut requests).await;
            assert_eq!(stream.capacity(), expected);
            stream.send_data(vec![0; expected].into(), false).unwrap();
            held.push((answer, stream));
        }
        fixture.permits.add_permits(3);
    }

    #[tokio::test]
    async fn an_unidentified_connection_without_calls_ends() {
        let limits = Limits { connection_unidentified_idle_max_seconds: 1, ..Limits::default() };
        let fixture = Fixture::start(limits).await;
        let mut identified = fixture.connect_as(Some(Person::Reader)).await;
        fixture.connect().await.ended().await;
        assert_eq!(identified.call("/").await.unwrap().status(), 200);
    }
}
