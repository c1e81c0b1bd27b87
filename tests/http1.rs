//! HTTP/1.1: refused requests, limits and the end of connections, with raw bytes over TLS and without it.

use std::{sync::Arc, time::Duration};

use data_encoding::BASE64_NOPAD;
use prost::Message as _;
use rustls::{ClientConfig, pki_types::ServerName};
use sealward_server::{config::Config, development::Person, drain::Drained};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic_types::{StatusExt as _, pb};

use crate::{
    due::scraped,
    handshakes::Ca,
    harness::{
        Folder, PATIENCE, Server,
        http::{tls, tls_with},
        tokens::unix_seconds,
    },
};

const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection.
pub(crate) struct Http1 {
    stream: Box<dyn Io>,
    received: Vec<u8>,
}

/// An answer with a length, or in chunks.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    /// The status line and the headers, with lower-case names.
    pub head: Vec<String>,
    pub body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// The reason of the error.
    fn reason(&self) -> String {
        self.error().get_details_error_info().unwrap().reason
    }

    /// The error, which is in the headers.
    fn error(&self) -> Status {
        let headers = self.head.iter().skip(1).map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        });
        Status::from_header_map(&headers.collect()).unwrap()
    }
}

impl Http1 {
    /// A connection over TLS, with the certificate of a person or without one.
    pub(crate) async fn over_tls(folder: &Folder, address: &str, person: Option<Person>) -> Self {
        Self::with_tls(address, tls(folder, person)).await
    }

    async fn with_tls(address: &str, mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream);
        Self::over(stream.await.unwrap())
    }

    async fn without_tls(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed already.
        let _sent_or_not = self.stream.write_all(bytes.as_ref()).await;
        let _flushed_or_not = self.stream.flush().await;
    }

    /// The next answer; `None` if the connection is closed.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.receive().await {
                assert!(self.received.is_empty(), "{}", String::from_utf8_lossy(&self.received));
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        let head: Vec<String> = head
            .trim_end()
            .split("\r\n")
            .map(|line| match line.split_once(": ") {
                Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
                None => line.to_owned(),
            })
            .collect();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let body = if answer.header("transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else {
            let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            self.take(length).await
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Some(answer)
    }

    /// The content of a body in chunks.
    async fn chunks(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.take(1).await);
            }
            let length = usize::from_str_radix(str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
            content.extend(self.take(length).await);
            assert_eq!(self.take(2).await, b"\r\n");
            if length == 0 {
                return content;
            }
        }
    }

    /// The next bytes of an answer.
    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.receive().await, "the answer is cut");
        }
        self.received.drain(..length).collect()
    }

    async fn receive(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.expect("no answer");
        read.is_ok_and(|count| count > 0)
    }

    async fn call(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await.unwrap()
    }

    /// Begins a call with an empty message, and returns when the server asks for the message.
    async fn begin(&mut self, path: &str) {
        self.send(call(path, "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")).await;
        assert_eq!(self.answer().await.unwrap().status, 100);
    }

    async fn is_closed(&mut self) {
        assert!(self.answer().await.is_none());
    }
}

/// A call of gRPC-Web with these headers and this body. An error without an answer is in the headers.
fn call(path: &str, rest: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web+proto\r\n{rest}")
}

/// A call with an empty message.
fn complete(path: &str) -> String {
    call(path, "Content-Length: 5\r\n\r\n\0\0\0\0\0")
}

/// The head of a call whose body has this length.
fn begun(path: &str, length: usize) -> String {
    call(path, &format!("Content-Length: {length}\r\n\r\n"))
}

async fn connect(server: &Server, person: Option<Person>) -> Http1 {
    Http1::over_tls(server.folder(), server.address(), person).await
}

fn with_metrics(config: &mut Config) {
    config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
}

#[tokio::test]
async fn request_that_can_be_read_in_two_ways_is_refused_and_closes_the_connection() {
    let server = Server::start().await;
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
    let chunked = |body: &str| call(HEALTH, &format!("Transfer-Encoding: chunked\r\n\r\n{body}"));
    for request in [
        call(HEALTH, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        call(HEALTH, "Host: localhost\r\n\r\n"),
        call(HEALTH, "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        call(HEALTH, "Content-Length: 5, 5\r\n\r\n"),
        call(HEALTH, "Content-Length: +5\r\n\r\n"),
        "GET / HTTP/1.1\r\nx: y\r\n\r\n".to_owned(),
        call(HEALTH, "x: y\n\r\n"),
        call(HEALTH, "x: y\rz: y\r\n\r\n"),
        call(HEALTH, "x: y\r\n folded\r\n\r\n"),
        call(HEALTH, "Content-Length : 5\r\n\r\n"),
        call(HEALTH, "x: \0\r\n\r\n"),
        call(HEALTH, "x: \u{8}\r\n\r\n"),
        call(HEALTH, "Upgrade: h2c\r\n\r\n"),
        call(HEALTH, "Connection: Upgrade\r\n\r\n"),
        call(HEALTH, "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        call(HEALTH, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        call(HEALTH, "x_y: z\r\n\r\n"),
        chunked(&format!("5;{}\r\n", "x".repeat(300))),
        chunked("0x5\r\n"),
        chunked("5\n"),
        chunked("-5\r\n"),
        chunked("fffffffff\r\n"),
        chunked("0\r\nx: y\r\n\r\n"),
        line("GET https://other.example/ HTTP/1.1"),
        line("CONNECT localhost:443 HTTP/1.1"),
        line("GET localhost HTTP/1.1"),
        line("GET / HTTP/1.0"),
        line("GET / HTTP/1.1 "),
        line("PRI * HTTP/2.0"),
        line(&format!("POST {} HTTP/1.1", HEALTH.replace('/', "%2F"))),
        line(&format!("POST /{HEALTH} HTTP/1.1")),
        line(&format!("POST {HEALTH};x HTTP/1.1")),
        line(&format!("POST /x/..{HEALTH} HTTP/1.1")),
        line(&format!("POST /.{HEALTH} HTTP/1.1")),
        "\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let mut connection = connect(&server, None).await;
        assert_eq!(connection.call(complete(HEALTH)).await.status, 200);
        // Behind it, a request that nothing may serve.
        let answer = connection.call(request.clone() + &complete(HEALTH)).await;
        assert_eq!((answer.status, answer.closes()), (400, true), "{request:?}");
        assert_eq!(answer.header("sealward-server"), Some(env!("CARGO_PKG_VERSION")), "{answer:?}");
        assert!(!answer.body.contains("localhost") && answer.body.ends_with('\n'), "{answer:?}");
        connection.is_closed().await;
    }
}

#[tokio::test]
async fn one_connection_serves_many_calls_and_refusals() {
    let server = Server::start().await;
    let mut connection = connect(&server, Some(Person::Reader)).await;
    for _ in 0..50 {
        assert_eq!(connection.call(complete(HEALTH)).await.status, 200);
        let answer = connection.call("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.closes()), (405, false));
    }
    let mut stranger = connect(&server, None).await;
    for _ in 0..50 {
        let answer = stranger.call(complete(GET_MAILBOX)).await;
        assert_eq!((answer.reason(), answer.closes()), ("IDENTITY_REQUIRED".to_owned(), false));
    }
}

#[tokio::test]
async fn requests_one_behind_the_other_are_not_served() {
    let server = Server::start().await;
    let mut connection = connect(&server, None).await;
    assert_eq!(connection.call(complete(HEALTH) + &complete(HEALTH) + &complete(HEALTH)).await.status, 200);
    connection.is_closed().await;
}

#[tokio::test]
async fn early_answer_to_a_client_that_waits_for_continue_closes_the_connection() {
    let server = Server::start_with(|config| config.limits.refused_request_read_time_max_ms = 10_000).await;
    let mut connection = connect(&server, None).await;
    connection.send(call(GET_MAILBOX, "Expect: 100-continue\r\nContent-Length: 60\r\n\r\n")).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.reason(), answer.closes()), ("IDENTITY_REQUIRED".to_owned(), true));
    // A proxy that doesn't send the body now sends the next request.
    connection.send(complete(HEALTH)).await;
    connection.is_closed().await;

    // The body of a call that is served is asked for.
    let mut connection = connect(&server, None).await;
    connection.send(call(HEALTH, "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")).await;
    assert_eq!(connection.answer().await.unwrap().status, 100);
    let answer = connection.call([0_u8; 5]).await;
    assert_eq!((answer.status, answer.closes()), (200, false));
}

#[tokio::test]
async fn error_of_a_caller_that_sends_its_message_late_arrives() {
    let server = Server::start_with(|config| config.limits.refused_request_read_time_max_ms = 10_000).await;
    for length in [5, 50_000, 5_000_000] {
        let mut connection = connect(&server, None).await;
        connection.send(begun(GET_MAILBOX, length)).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.reason(), "IDENTITY_REQUIRED");
        // Within the limit, the connection waits for the message.
        assert_eq!(answer.closes(), length > 65_536);
    }
    // A client that sends everything before it reads.
    let mut connection = connect(&server, None).await;
    let answer = connection.call(begun(GET_MAILBOX, 60_000) + &"x".repeat(60_000)).await;
    assert_eq!(answer.reason(), "IDENTITY_REQUIRED");
    assert_eq!(connection.call(complete(HEALTH)).await.status, 200);
}

#[tokio::test]
async fn headers_have_the_limits_of_http_2() {
    let server = Server::start().await;
    let with = |size: usize| call(HEALTH, &format!("x: {}\r\n\r\n", "x".repeat(size)));
    let mut connection = connect(&server, None).await;
    assert_eq!(connection.call(with(17_000)).await.reason(), "METADATA_TOO_LARGE");
    let answer = connection.call(with(33_000)).await;
    assert_eq!((answer.status, answer.closes()), (431, true));
    connection.is_closed().await;
}

#[tokio::test]
async fn slow_callers_are_refused() {
    let server = Server::start_with(|config| {
        config.limits.handshake_timeout_ms = 1_000;
        config.limits.message_time_max_ms = 100;
        config.limits.connection_unidentified_idle_max_seconds = 1;
        config.limits.keepalive_interval_seconds = 1;
        config.limits.keepalive_timeout_seconds = 1;
    })
    .await;
    let mut connection = connect(&server, Some(Person::Reader)).await;
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\n").await;
    assert_eq!(connection.answer().await.unwrap().status, 408);
    connection.is_closed().await;

    let mut connection = connect(&server, Some(Person::Reader)).await;
    connection.send(begun(GET_MAILBOX, 5)).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.reason(), "MESSAGE_TOO_SLOW");

    for person in [None, Some(Person::Reader)] {
        connect(&server, person).await.is_closed().await;
    }
}

#[tokio::test]
async fn unfinished_messages_are_counted_across_connections() {
    let server = Server::start_with(|config| {
        config.limits.message_size_max_bytes = 262_144;
        config.limits.requests_per_identity_max_bytes = 1_048_576;
    })
    .await;
    let mut held = Vec::new();
    let refused = loop {
        let mut connection = connect(&server, Some(Person::Reader)).await;
        // A message of 250,000 bytes, of which nothing follows.
        connection.send(begun(GET_MAILBOX, 250_005)).await;
        connection.send([0_u8, 0, 3, 208, 144]).await;
        match timeout(Duration::from_millis(500), connection.answer()).await {
            Ok(answer) => break answer.unwrap(),
            Err(_) => held.push(connection),
        }
        assert!(held.len() < 10, "nothing is counted");
    };
    assert_eq!(refused.reason(), "REQUEST_MEMORY_LIMIT");
    assert!(!held.is_empty());
    drop(held);
}

#[tokio::test]
async fn connections_of_an_identity_are_limited() {
    let server = Server::start_with(|config| config.limits.connections_per_identity_max = 1).await;
    let mut first = connect(&server, Some(Person::Reader)).await;
    assert_eq!(first.call(complete(HEALTH)).await.status, 200);
    let mut second = connect(&server, Some(Person::Reader)).await;
    let answer = second.call(complete(GET_MAILBOX)).await;
    assert_eq!((answer.reason(), answer.closes()), ("CONNECTION_LIMIT".to_owned(), true));
    second.is_closed().await;
    assert_eq!(first.call(complete(HEALTH)).await.status, 200);
}

#[tokio::test]
async fn unidentified_connections_replace_the_oldest() {
    let server = Server::start_with(|config| config.limits.connections_unidentified_per_address_max = 2).await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&server, None).await;
        assert_eq!(connection.call(complete(HEALTH)).await.status, 200);
        connections.push(connection);
    }
    connections[0].is_closed().await;
    assert_eq!(connections[2].call(complete(HEALTH)).await.status, 200);
}

#[tokio::test]
async fn old_connection_closes_after_an_answer_that_says_so() {
    let server = Server::start_with(|config| config.limits.connection_age_max_seconds = 1).await;
    let mut idle = connect(&server, Some(Person::Reader)).await;
    let mut busy = connect(&server, Some(Person::Reader)).await;
    busy.begin(GET_MAILBOX).await;
    idle.is_closed().await;
    // The age of the second one is reached at most a tenth later.
    timeout(Duration::from_secs(2), busy.answer()).await.unwrap_err();
    let answer = busy.call([0_u8; 5]).await;
    assert!(answer.closes(), "{answer:?}");
    busy.is_closed().await;
}

#[tokio::test]
async fn change_of_trust_closes_connections_and_a_drain_waits_for_calls() {
    let server = Server::start().await;
    let mut idle = connect(&server, Some(Person::Reader)).await;
    let mut busy = connect(&server, Some(Person::Reader)).await;
    assert_eq!(idle.call(complete(HEALTH)).await.status, 200);
    busy.begin(GET_MAILBOX).await;
    // The same CA twice is another trust.
    let ca = server.folder().development().ca();
    let text = std::fs::read_to_string(&ca).unwrap();
    std::fs::write(&ca, format!("{text}{}", crate::reload::another_ca())).unwrap();
    server.reload().await;
    idle.is_closed().await;
    let answer = busy.call([0_u8; 5]).await;
    assert!(answer.closes(), "{answer:?}");
    busy.is_closed().await;

    let mut idle = connect(&server, Some(Person::Reader)).await;
    assert_eq!(idle.call(complete(HEALTH)).await.status, 200);
    let (_, drained) = {
        let stopping = server.stop_at_once();
        stopping.await
    };
    assert!(matches!(drained, Drained::Whole | Drained::CutShort));
    idle.is_closed().await;
}

#[tokio::test]
async fn client_certificate_that_expires_on_an_open_connection_is_refused() {
    // Enough for the start of a server and a handshake on a busy machine.
    const VALID: Duration = Duration::from_secs(6);
    let folder = Folder::new();
    let ca = Ca::for_clients_of(&folder);
    let client_ca = folder.path().join("client-ca.pem");
    let server = Server::start_in(folder, |config| config.tls.client_ca = Some(client_ca)).await;
    let certificate = ca.certificate_until(server.folder(), "reader", unix_seconds() + VALID.as_secs());
    let mut connection = Http1::with_tls(server.address(), tls_with(server.folder(), Some(certificate))).await;
    let answer = connection.call(complete(GET_MAILBOX)).await;
    assert_ne!(answer.reason(), "IDENTITY_REQUIRED");
    // It is valid to the end of its last second. The connection stays open meanwhile.
    timeout(VALID + Duration::from_secs(1), connection.answer()).await.unwrap_err();
    let answer = connection.call(complete(GET_MAILBOX)).await;
    assert_eq!((answer.reason(), answer.closes()), ("IDENTITY_REQUIRED".to_owned(), false));
    assert!(answer.error().message().contains("certificate has expired"), "{answer:?}");
    // Health needs no identity.
    assert_eq!(connection.call(complete(HEALTH)).await.status, 200);
}

/// Code, message and reason of an error of Connect.
fn connect_error(error: &str) -> (String, String) {
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    let details: Vec<_> = error["details"].as_array().unwrap().iter().collect();
    let info = details.iter().find(|detail| detail["type"] == "google.rpc.ErrorInfo").unwrap();
    assert!(details.iter().any(|detail| detail["type"] == "google.rpc.RequestInfo"), "{error}");
    let info = BASE64_NOPAD.decode(info["value"].as_str().unwrap().as_bytes()).unwrap();
    assert!(!error["message"].as_str().unwrap().is_empty());
    (error["code"].as_str().unwrap().to_owned(), pb::ErrorInfo::decode(&*info).unwrap().reason)
}

#[tokio::test]
async fn call_without_tls_gets_https_required_in_the_form_of_its_protocol() {
    let server = Server::start().await;
    let required = ("failed_precondition".to_owned(), "HTTPS_REQUIRED".to_owned());
    for address in [server.address(), server.plaintext_address.as_ref().unwrap()] {
        let send = async |content_type: &str| {
            let body = "{\"name\":\"secret\"}";
            let length = body.len();
            let mut connection = Http1::without_tls(address).await;
            let head = format!("POST {GET_MAILBOX} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n");
            connection.call(format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
        };
        for content_type in ["application/json", "application/proto", "application/json; charset=utf-8"] {
            let answer = send(content_type).await;
            assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")));
            assert_eq!(connect_error(&answer.body), required);
            assert!(!answer.body.contains("secret"));
        }
        for content_type in ["application/connect+json", "application/connect+proto"] {
            let answer = send(content_type).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
            let end: serde_json::Value = serde_json::from_str(&answer.body[5..]).unwrap();
            assert_eq!((answer.body.as_bytes()[0], connect_error(&end["error"].to_string())), (2, required.clone()));
        }
        let answer = send("text/plain").await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/plain; charset=utf-8")));
        assert!(answer.body.starts_with("HTTPS_REQUIRED"), "{answer:?}");
    }
}

#[tokio::test]
async fn probes_are_answered_on_the_listeners_without_tls() {
    let server = Server::start_with(with_metrics).await;
    let plaintext = server.plaintext_address.clone().unwrap();
    for address in [&*plaintext, server.metrics_address()] {
        let mut connection = Http1::without_tls(address).await;
        for path in ["/livez", "/readyz"] {
            let answer = connection.call(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            assert_eq!((answer.status, answer.closes()), (200, false));
            assert_eq!(answer.header("sealward-server"), Some(env!("CARGO_PKG_VERSION")));
            assert!(["alive\n", "ready\n"].contains(&&*answer.body), "{answer:?}");
            let answer = connection.call(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            assert_eq!((answer.status, &*answer.body), (200, ""));
            let posted = connection.call(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
            assert_eq!(posted.await.status, 405);
        }
    }
    scraped(server.metrics_address()).await;
    // Over TLS, only calls are answered.
    let mut connection = connect(&server, None).await;
    assert_eq!(connection.call("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 405);
}
