//! Answers HTTP without TLS on the TLS port with HTTPS_REQUIRED, and closes the connection.
//!
//! A call over HTTP/2 gets the same answer as on the listener without TLS. A call of Connect over HTTP/1.1 gets an error of Connect, any other
//! request of HTTP/1.x a plain 400. The server reads only as much as the answer needs, and answers few such connections at a time.

use std::{
    convert::Infallible,
    io::{self, Cursor},
    net::SocketAddr,
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected};
use hyper::{body::Incoming, server::conn::http2::Builder};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    time::timeout,
};
use tonic::{Status, body::Body};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use super::graceful_close::close_gracefully;
use crate::{
    gates::trace::TraceLayer,
    status::Refusal,
    transport::{
        connection::{Connection, ConnectionFacts},
        http1::filter::call_head,
        without_tls::{self, Form},
    },
};

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The maximum number of such connections that are answered at once. Others are closed without an answer.
const AT_ONCE_MAX: usize = 16;

/// The maximum time for one of them.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The part of it in which a request of HTTP/1.x can show that it is a call.
const HEAD_TIME_MAX: Duration = Duration::from_millis(500);

/// The maximum size of the headers of such a call.
const HEADER_LIST_SIZE_MAX_BYTES: u32 = 16_384;

/// Answers connections without TLS.
pub(super) struct WrongPort {
    http2: Builder<TokioExecutor>,
    trace: TraceLayer,
    permits: Semaphore,
}

impl WrongPort {
    pub(super) fn new(trace: TraceLayer) -> Self {
        let mut http2 = Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).max_concurrent_streams(1).max_header_list_size(HEADER_LIST_SIZE_MAX_BYTES);
        Self { http2, trace, permits: Semaphore::new(AT_ONCE_MAX) }
    }

    /// Answers a connection that began with a capital letter, and closes it.
    pub(super) async fn answer(&self, mut stream: TcpStream, peer: SocketAddr) {
        let Ok(_permit) = self.permits.try_acquire() else { return };
        let answered = timeout(TIME_MAX, async {
            let begin = read_begin(&mut stream).await?;
            if begin == PREFACE {
                self.answer_call(&mut stream, peer).await;
            } else {
                self.answer_http_1(&mut stream, peer, begin).await?;
            }
            io::Result::Ok(())
        });
        if let Ok(Ok(())) = answered.await {
            close_gracefully(stream).await;
        }
    }

    /// The service that refuses every call.
    fn refusals(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
    + use<> {
        let refuse = |_: Request<Body>| async { Ok::<_, Infallible>(Status::from(Refusal::HttpsRequired).into_http()) };
        ServiceBuilder::new().layer(self.trace.clone()).service(service_fn(refuse))
    }

    /// Answers the first request of HTTP/1.x, of which these bytes have been read. Only a valid head can be a call.
    async fn answer_http_1(&self, stream: &mut TcpStream, peer: SocketAddr, mut begin: Vec<u8>) -> io::Result<()> {
        let head_max = usize::try_from(HEADER_LIST_SIZE_MAX_BYTES).unwrap_or(usize::MAX);
        let reading = async {
            loop {
                if let Some(head) = call_head(&begin, head_max) {
                    return io::Result::Ok(head);
                }
                if stream.read_buf(&mut begin).await? == 0 {
                    return Ok(None);
                }
            }
        };
        let head = timeout(HEAD_TIME_MAX, reading).await.unwrap_or(Ok(None))?;
        let called = head.and_then(|head| Some((Form::of(&head.headers)?, head)));
        let answer = match called {
            Some((form, mut head)) => {
                head.extensions.insert(connection_of(peer));
                let Ok(answer) = self.refusals().oneshot(without_tls::as_grpc(&head)).await;
                Status::from_header_map(answer.headers()).map_or_else(without_tls::plain, |status| form.answer(&status))
            }
            None => without_tls::plain(),
        };
        stream.write_all(&last_bytes(answer).await).await
    }

    /// Answers the first call of HTTP/2.
    async fn answer_call(&self, stream: &mut TcpStream, peer: SocketAddr) {
        let called = std::sync::Arc::new(Notify::new());
        let calls = std::sync::Arc::clone(&called);
        let connection = connection_of(peer);
        let service = self.refusals().map_request(move |request: Request<Incoming>| {
            calls.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(connection.clone());
            request
        });
        let (reader, writer) = stream.split();
        let transport = tokio::io::join(Cursor::new(PREFACE).chain(reader), writer);
        let serving = self.http2.serve_connection(TokioIo::new(transport), TowerToHyperService::new(service));
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            _ended = serving.as_mut() => {}
            () = called.notified() => {
                serving.as_mut().graceful_shutdown();
                let _broken_or_not = serving.await;
            }
        }
    }
}

fn connection_of(peer: SocketAddr) -> Connection {
    ConnectionFacts::plaintext(peer).into()
}

/// Reads the first bytes, until they are the preface of HTTP/2 or differ from it.
async fn read_begin(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(PREFACE.len());
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        let missing = PREFACE.len() - begin.len();
        let read = stream.take(missing.try_into().unwrap_or(u64::MAX)).read_buf(&mut begin).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begin)
}

/// The bytes of an answer after which the connection closes.
async fn last_bytes(answer: Response<Body>) -> Vec<u8> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", head.status.as_u16(), head.status.canonical_reason().unwrap_or_default())
            .into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answer_to_http_1_has_the_length_that_it_names() {
        let text = String::from_utf8(last_bytes(without_tls::plain()).await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{} bytes", body.len());
        assert!(body.starts_with("HTTPS_REQUIRED"));
    }
}
