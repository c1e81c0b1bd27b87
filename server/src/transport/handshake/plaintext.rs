//! Answers HTTP without TLS on the TLS port with HTTPS_REQUIRED, and closes the connection.
//!
//! A call over HTTP/2 gets the same answer as on the listener without TLS. HTTP/1.x gets a plain 400. The server reads only as much as the
//! answer needs, and answers few such connections at a time.

use std::{convert::Infallible, io::Cursor, net::SocketAddr, time::Duration};

use http::Request;
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
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::graceful_close::close_gracefully;
use crate::{
    gates::{complete::CompleteLayer, trace::TraceLayer},
    status::Refusal,
    transport::{connection::Connection, connection_ending::ConnectionEnding},
};

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The maximum number of such connections that are answered at once. Others are closed without an answer.
const AT_ONCE_MAX: usize = 16;

/// The maximum time for one of them.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The maximum size of the headers of such a call.
const HEADER_LIST_SIZE_MAX_BYTES: u32 = 16_384;

/// The answer to HTTP/1.x.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 52\r\n\
    connection: close\r\n\
    \r\n\
    HTTPS_REQUIRED: this port speaks TLS: use https://.\n";

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
            if is_http2(&mut stream).await? {
                self.answer_call(&mut stream, peer).await;
            } else {
                stream.write_all(BAD_REQUEST).await?;
            }
            std::io::Result::Ok(())
        });
        if let Ok(Ok(())) = answered.await {
            close_gracefully(stream).await;
        }
    }

    /// Answers the first call.
    async fn answer_call(&self, stream: &mut TcpStream, peer: SocketAddr) {
        let called = std::sync::Arc::new(Notify::new());
        let calls = std::sync::Arc::clone(&called);
        let connection = Connection { peer, tls: None, limit_reached: None, ending: ConnectionEnding::default() };
        let refuse = |_: Request<Body>| async { Ok::<_, Infallible>(Status::from(Refusal::HttpsRequired).into_http()) };
        let service = ServiceBuilder::new().layer(self.trace.clone()).layer(CompleteLayer).service(service_fn(refuse));
        let service = service.map_request(move |request: Request<Incoming>| {
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

/// Whether the connection begins with the preface of HTTP/2. Reads at most the preface.
async fn is_http2(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut begin = Vec::with_capacity(PREFACE.len());
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        let missing = PREFACE.len() - begin.len();
        let read = stream.take(missing.try_into().unwrap_or(u64::MAX)).read_buf(&mut begin).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begin == PREFACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_http_1_has_the_length_that_it_names() {
        let text = std::str::from_utf8(BAD_REQUEST).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{} bytes", body.len());
        assert!(body.starts_with("HTTPS_REQUIRED"));
    }
}
