//! Raw bytes over TLS, to a service that answers at once, holds calls, or reads nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tower::service_fn;

use crate::{
    config::limits::Limits,
    development::Person,
    transport::{CallStage, connection::Connection, test_deployment::connect, test_server::TestServer},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that reads the body of `/read` and returns it, answers `/held` when a permit is available, `/large` with 32 MiB, and other paths
/// at once without reading.
struct Fixture {
    server: TestServer,
    begun: Arc<AtomicUsize>,
    /// One permit for each call that was dropped or answered.
    ended: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

const LARGE_BYTES: usize = 32 << 20;

struct Ended(Arc<Semaphore>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Fixture {
    async fn start(limits: Limits) -> Self {
        let (begun, ended, permits) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let parts = (Arc::clone(&begun), Arc::clone(&ended), Arc::clone(&permits));
        let service = service_fn(move |request: Request<Body>| {
            let (begun, ended, permits) = parts.clone();
            assert!(request.extensions().get::<Connection>().unwrap().tls.is_some());
            request.extensions().get::<CallStage>().unwrap().mark_working();
            begun.fetch_add(1, Ordering::SeqCst);
            async move {
                let _ended = Ended(ended);
                let (head, body) = request.into_parts();
                Ok(Response::new(match head.uri.path() {
                    "/read" => match body.collect().await {
                        Ok(body) => Body::new(Full::new(body.to_bytes())),
                        Err(_) => Body::empty(),
                    },
                    "/held" => {
                        permits.acquire().await.unwrap().forget();
                        Body::empty()
                    }
                    "/large" => Body::new(Full::new(Bytes::from(vec![b'x'; LARGE_BYTES]))),
                    _ => Body::empty(),
                }))
            }
        });
        Self { server: TestServer::start(limits, service).await, begun, ended, permits }
    }

    async fn connect(&self) -> Client {
        self.connect_as(Some(Person::Reader)).await
    }

    async fn connect_as(&self, person: Option<Person>) -> Client {
        let mut client = self.server.deployment.client(person);
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Client { stream: connect(self.server.address, client).await.unwrap(), received: Vec::new() }
    }

    async fn wait_until_begun(&self, count: usize) {
        while self.begun.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

struct Client {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close")
    }
}

/// A request with these further headers and this body.
fn post(path: &str, rest: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{rest}")
}

fn with_length(path: &str, length: usize) -> String {
    post(path, &format!("Content-Length: {length}\r\n\r\n"))
}

fn empty(path: &str) -> String {
    with_length(path, 0)
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next answer; `None` if the connection is closed.
    async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.receive().await {
                assert!(self.received.is_empty(), "{}", String::from_utf8_lossy(&self.received));
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        while self.received.len() < length {
            assert!(self.receive().await, "the answer is cut");
        }
        Some(Answer { status, head, body: self.received.drain(..length).collect() })
    }

    async fn receive(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.expect("no answer");
        read.is_ok_and(|count| count > 0)
    }

    /// The status of the answer to a request.
    async fn call(&mut self, request: impl AsRef<[u8]>) -> u16 {
        self.send(request).await;
        self.answer().await.unwrap().status
    }

    async fn ended(&mut self) {
        assert!(self.answer().await.is_none());
    }
}

#[tokio::test]
async fn connection_serves_many_calls_one_after_another() {
    let fixture = Fixture::start(Limits::default()).await;
    let mut client = fixture.connect().await;
    for number in 0..100 {
        let (request, body) = if number % 2 == 0 {
            (with_length("/read", 5) + "12345", &b"12345"[..])
        } else {
            (post("/read", "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2;x\r\n45\r\n0\r\n\r\n"), &b"12345"[..])
        };
        client.send(request).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, &*answer.body, answer.closes()), (200, body, false));
    }
    client.send(post("/read", "Connection: close\r\n\r\n")).await;
    assert!(client.answer().await.unwrap().closes());
    client.ended().await;
}

#[tokio::test]
async fn refused_request_gets_400_and_ends_the_connection() {
    let fixture = Fixture::start(Limits::default()).await;
    for refused in [
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        post("/read", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        post("/a%2Fb", "\r\n"),
        // The head is valid, and the call has begun.
        post("/read", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nx"),
        // The server of a proxy that reads the length differently would get a second request.
        post("/read", "Content-Length: 4\r\nContent-Length: 40\r\n\r\n") + "1234" + &empty("/smuggled"),
    ] {
        let mut client = fixture.connect().await;
        assert_eq!(client.call(empty("/")).await, 200);
        client.send(&refused).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (400, true), "{refused}");
        assert!(!answer.body.is_empty() && answer.head.contains("\r\ncontent-type: text/plain"), "{answer:?}");
        client.ended().await;
    }
}

#[tokio::test]
async fn second_request_before_the_end_of_the_first_is_never_served() {
    let fixture = Fixture::start(Limits::default()).await;
    // In the same packet, and while the first is running.
    let mut client = fixture.connect().await;
    client.send(empty("/read") + &empty("/read")).await;
    assert!(client.answer().await.is_some_and(|answer| answer.status == 200));
    client.ended().await;
    assert_eq!(fixture.begun(), 1);

    let mut client = fixture.connect().await;
    client.send(empty("/held")).await;
    fixture.wait_until_begun(2).await;
    client.send("G").await;
    fixture.permits.add_permits(1);
    // The answer may be under way before the byte arrives.
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.send("ET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let _answered_or_closed = client.receive().await;
}

#[tokio::test]
async fn call_whose_client_leaves_is_dropped() {
    let fixture = Fixture::start(Limits::default()).await;
    let mut client = fixture.connect().await;
    client.send(empty("/held")).await;
    fixture.wait_until_begun(1).await;
    drop(client);
    timeout(PATIENCE, fixture.ended.acquire()).await.unwrap().unwrap().forget();

    let mut client = fixture.connect().await;
    client.send(with_length("/read", 10) + "12345").await;
    fixture.wait_until_begun(2).await;
    drop(client);
    timeout(PATIENCE, fixture.ended.acquire()).await.unwrap().unwrap().forget();
}

/// A client that only ends its sending side looks like one that has left: until the answer is written, the system can't tell them apart.
#[tokio::test]
async fn call_whose_client_ends_its_sending_side_is_dropped() {
    let fixture = Fixture::start(Limits::default()).await;
    let mut client = fixture.connect().await;
    client.send(empty("/held")).await;
    fixture.wait_until_begun(1).await;
    client.stream.shutdown().await.unwrap();
    timeout(PATIENCE, fixture.ended.acquire()).await.unwrap().unwrap().forget();
    client.ended().await;
}

#[tokio::test]
async fn early_answer_arrives_and_a_short_rest_keeps_the_connection() {
    let limits = Limits { refused_request_read_time_max_ms: 10_000, ..Limits::default() };
    let fixture = Fixture::start(limits).await;
    let mut client = fixture.connect().await;
    for rest in [vec![0_u8; 10], vec![0_u8; 65_536]] {
        client.send(with_length("/", rest.len())).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (200, false));
        client.send(rest).await;
    }
    assert_eq!(client.call(empty("/read")).await, 200);
    // A longer one isn't waited for, but the answer arrives.
    client.send(with_length("/", 65_537)).await;
    assert!(client.answer().await.unwrap().closes());
    client.send([0_u8; 1_000]).await;
    client.ended().await;
}

#[tokio::test]
async fn early_answer_is_followed_by_the_end_of_the_connection_if_the_rest_is_late() {
    let fixture = Fixture::start(Limits::default()).await;
    for request in [with_length("/", 10), post("/", "Transfer-Encoding: chunked\r\n\r\n")] {
        let mut client = fixture.connect().await;
        client.send(request).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        client.ended().await;
    }
}

#[tokio::test]
async fn unread_answer_ends_the_connection() {
    let fixture = Fixture::start(Limits { answer_stall_max_ms: 1_000, ..Limits::default() }).await;
    let mut client = fixture.connect().await;
    client.send(empty("/large")).await;
    while fixture.server.shed.refused_by("answer_stall_max_ms") == 0 {
        tokio::task::yield_now().await;
    }
    // A client that reads gets all of it.
    let mut client = fixture.connect().await;
    client.send(empty("/large")).await;
    assert_eq!(client.answer().await.unwrap().body.len(), LARGE_BYTES);
}

#[tokio::test]
async fn slow_head_is_refused() {
    let fixture = Fixture::start(Limits { handshake_timeout_ms: 1_000, ..Limits::default() }).await;
    for begin in [&empty("/")[..30], "POST / HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut client = fixture.connect().await;
        assert_eq!(client.call(empty("/")).await, 200);
        client.send(begin).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (408, true));
        client.ended().await;
    }
}

#[tokio::test]
async fn headers_reach_the_gates_up_to_twice_the_limit() {
    let fixture = Fixture::start(Limits { header_list_size_max_bytes: 4_096, ..Limits::default() }).await;
    let with_header = |size: usize| post("/read", &format!("x: {}\r\n\r\n", "x".repeat(size)));
    let mut client = fixture.connect().await;
    assert_eq!(client.call(with_header(7_900)).await, 200);
    assert_eq!(client.call(with_header(8_192)).await, 431);
    client.ended().await;
    // As many as fit.
    let mut client = fixture.connect().await;
    assert_eq!(client.call(post("/read", &format!("{}\r\n", "x:\r\n".repeat(230)))).await, 200);
    assert_eq!(client.call(post("/read", &format!("{}\r\n", "x:\r\n".repeat(260)))).await, 431);
}

#[tokio::test]
async fn connection_without_calls_ends() {
    let limits = Limits {
        connection_unidentified_idle_max_seconds: 1,
        keepalive_interval_seconds: 1,
        keepalive_timeout_seconds: 1,
        ..Limits::default()
    };
    let fixture = Fixture::start(limits).await;
    for person in [None, Some(Person::Reader)] {
        let mut client = fixture.connect_as(person).await;
        assert_eq!(client.call(empty("/")).await, 200);
        client.ended().await;
    }
}

#[tokio::test]
async fn connection_that_has_to_close_says_so_in_its_last_answer() {
    for way in 0..3 {
        let age = if way == 0 { 1 } else { 3_600 };
        let fixture = Fixture::start(Limits { connection_age_max_seconds: age, ..Limits::default() }).await;
        let mut client = fixture.connect().await;
        let mut idle = fixture.connect().await;
        assert_eq!(idle.call(empty("/")).await, 200);
        client.send(empty("/held")).await;
        fixture.wait_until_begun(2).await;
        match way {
            0 => {}
            1 => fixture.server.replace_trust(),
            _ => fixture.server.drain.begin(),
        }
        // An idle connection closes at once, so the other one was asked to close too.
        idle.ended().await;
        assert!(!fixture.server.serving.is_finished());
        tokio::task::yield_now().await;
        fixture.permits.add_permits(1);
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{way}");
        client.ended().await;
        if way == 2 {
            timeout(PATIENCE, fixture.server.serving).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn call_longer_than_the_grace_is_cut_off() {
    let fixture = Fixture::start(Limits { connection_grace_seconds: 1, ..Limits::default() }).await;
    let mut client = fixture.connect().await;
    client.send(empty("/held")).await;
    fixture.wait_until_begun(1).await;
    fixture.server.replace_trust();
    client.ended().await;
    timeout(PATIENCE, fixture.ended.acquire()).await.unwrap().unwrap().forget();
}

#[tokio::test]
async fn connection_without_alpn_speaks_http_1() {
    let fixture = Fixture::start(Limits::default()).await;
    let mut client = fixture.server.deployment.client(None);
    client.alpn_protocols = Vec::new();
    let mut client = Client { stream: connect(fixture.server.address, client).await.unwrap(), received: Vec::new() };
    assert_eq!(client.call(empty("/read")).await, 200);
}
