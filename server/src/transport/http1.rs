//! HTTP/1.1 on a connection, with the limits of HTTP/2.
//!
//! The protocol is served by a library that accepts more than the standard does. So [`filter`] checks every byte before the library reads
//! it: a request that could be read in two ways is answered with 400, and the connection closes. A connection has one call at a time. Bytes
//! that arrive before its answer was sent are never read, and the connection closes after the answer.
//!
//! A client that waits for its answer can't be asked to close. A connection that has to close says so in its next answer
//! (`connection: close`), and closes at once if no call is open. There is no PING: a connection without a call closes when HTTP/2 would have
//! closed a silent one.

mod body;
mod checked;
mod exchange;
pub(super) mod filter;
mod head;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{CONNECTION, EXPECT, TE, TRANSFER_ENCODING},
};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use self::{
    body::{AnswerBody, RequestBody},
    checked::Checked,
    exchange::{Exchange, StallBounds},
    filter::Filter,
};
use super::{
    budget::Account,
    calls::{Calls, EndsAt, OpenCall},
    closing::{Closing, REFUSED_LINGER},
    connection::Connection,
    discard::{Discard, Unread},
    listener::ConnectionStream,
    request_rules::Fault,
};
use crate::{config::limits::Limits, gates::metadata::SIZE_LEEWAY};

/// The minimum size of the buffers for the request and for the answer of a connection: the size of one write to a socket.
const BUFFER_LEAST_BYTES: usize = 64 * 1024;

/// The smallest header that HTTP/2 counts, without the characters of its name and its value.
const HEADER_LEAST_BYTES: usize = 32;

/// The maximum number of bytes that are read after the last answer, so that the client receives it.
const LINGER_BYTES_MAX: u64 = 64 * 1024;

/// Headers about the connection, which the service doesn't get.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Serves connections of HTTP/1.1.
#[derive(Clone)]
pub(super) struct Http1 {
    protocol: Builder,
    head_max_bytes: usize,
    limits: Limits,
    closing: Closing,
    stall: StallBounds,
    discard: Discard,
}

/// The parts that the calls of a connection share.
#[derive(Clone)]
struct Shared {
    facts: Connection,
    calls: Arc<Calls>,
    exchange: Arc<Exchange>,
    unread: Unread,
}

/// The way in which serving a connection ended.
enum Served {
    /// The client closed the connection, it had to close, or it failed.
    Ended(hyper::Result<()>),
    /// A request was refused.
    Refused,
    /// The connection was closed by force, for this reason.
    Forced(&'static str),
}

impl Http1 {
    /// Uses the limits of the configuration.
    pub(super) fn new(closing: Closing, discard: Discard) -> Self {
        let limits = closing.limits;
        // A layer answers headers above the limit with a reason, as for HTTP/2.
        let head_max_bytes =
            usize::try_from(limits.header_list_size_max_bytes.saturating_mul(SIZE_LEEWAY)).unwrap_or(usize::MAX);
        let mut protocol = Builder::new();
        protocol
            .timer(TokioTimer::new())
            // The time of a head is limited before the protocol reads it.
            .header_read_timeout(None)
            .max_headers(head_max_bytes / HEADER_LEAST_BYTES)
            .max_buf_size(BUFFER_LEAST_BYTES.max(head_max_bytes))
            // Bytes of an answer are counted until they are sent, not until they are copied.
            .writev(true);
        let stall =
            StallBounds { max: limits.answer_stall_max(), drain: closing.drain.clone(), shed: closing.shed.clone() };
        Self { protocol, head_max_bytes, limits, closing, stall, discard }
    }

    /// Serves a connection until it has ended. Each request has its [`Connection`] in its extensions.
    pub(super) async fn serve<S>(self, stream: ConnectionStream, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let facts = stream.connection().clone();
        let (peer, slot) = (facts.peer.clone(), Arc::clone(stream.slot()));
        let (calls, exchange) = (Arc::new(Calls::default()), Arc::new(Exchange::default()));
        let unread = self.discard.of(&facts);
        let shared =
            Shared { facts: facts.clone(), calls: Arc::clone(&calls), exchange: Arc::clone(&exchange), unread };
        let filter = Filter::new(self.head_max_bytes);
        let head_time_max = self.limits.handshake_timeout();
        let checked = Checked::new(stream, filter, Arc::clone(&exchange), head_time_max, self.stall.clone());
        let answer = service_fn(move |request| answer(service.clone(), request, shared.clone()));
        let mut connection = self.protocol.serve_connection(TokioIo::new(checked), answer);

        let mut has_to_close = pin!(self.reason_to_close(&facts, &slot, &calls, &exchange));
        let mut has_to_end = pin!(self.closing.reason_to_force(&facts, &slot, &calls));
        let mut is_closing = false;
        let served = loop {
            tokio::select! {
                // With the end of the sending side, so that everything is sent before.
                ended = Pin::new(&mut connection) => break Served::Ended(ended),
                () = exchange.refused() => break Served::Refused,
                () = slot.closing() => break Served::Forced("closed to admit another connection"),
                reason = has_to_close.as_mut(), if !is_closing => {
                    tracing::debug!(%peer, reason, "connection closes after its call");
                    is_closing = true;
                    exchange.close_after_answer();
                    Pin::new(&mut connection).graceful_shutdown();
                }
                reason = has_to_end.as_mut(), if is_closing => break Served::Forced(reason),
            }
        };
        let fault = exchange.unanswered_fault();
        let stream = connection.into_parts().io.into_inner().into_stream();
        let last_answer = match served {
            Served::Ended(Ok(())) => None,
            Served::Refused => {
                tracing::debug!(%peer, ?fault, "request refused before it was read");
                fault
            }
            Served::Ended(Err(error)) => {
                return tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection failed");
            }
            Served::Forced(reason) => return tracing::debug!(%peer, reason, "connection closed by force"),
        };
        tokio::select! {
            () = close(stream, last_answer) => {}
            () = slot.closing() => {}
        }
    }

    /// Resolves with the reason when this connection has to close.
    async fn reason_to_close(
        &self,
        connection: &Connection,
        slot: &super::connection_limit::ConnectionSlot,
        calls: &Calls,
        exchange: &Exchange,
    ) -> &'static str {
        tokio::select! {
            reason = self.closing.reason_to_close(connection, slot, calls) => reason,
            () = exchange.early() => "bytes before the end of the call",
            () = calls.none_open_for(self.idle_max()) => "no calls",
        }
    }

    /// The time after which HTTP/2 closes a silent connection.
    fn idle_max(&self) -> Duration {
        self.limits.keepalive_interval() + self.limits.keepalive_timeout()
    }
}

/// Answers one call.
async fn answer<S>(service: S, request: Request<Incoming>, shared: Shared) -> Result<Response<AnswerBody>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send,
{
    let Shared { facts, calls, exchange, unread } = shared;
    let open: OpenCall = calls.open();
    let (sender, mut returned) = oneshot::channel();
    let mut request = request.map(|body| Body::new(RequestBody::new(body, sender)));
    if facts.limit_reached.is_some() || asks_to_close(request.headers()) {
        exchange.close_after_answer();
    }
    let waits_for_continue = request.headers().contains_key(EXPECT);
    for name in OF_THE_CONNECTION {
        request.headers_mut().remove(name);
    }
    let extensions = request.extensions_mut();
    extensions.insert(facts);
    extensions.insert(open.stage());
    let Ok(response) = service.oneshot(request).await;

    let (mut head, body) = response.into_parts();
    let account = head.extensions.get::<Account>().cloned();
    exchange.begin_answer(account, head.extensions.get::<EndsAt>().map(|ends_at| ends_at.0));
    let rest = returned.try_recv();
    // Nobody knows whether a client that waits for 100 (Continue) still sends the body after another answer, so the next bytes can't be read
    // (RFC 9110, section 10.1.1).
    let is_body_uncertain = waits_for_continue && !matches!(rest, Err(TryRecvError::Closed));
    if is_body_uncertain {
        exchange.close_after_answer();
    }
    let is_longer = |rest: &Incoming| rest.size_hint().upper().is_none_or(|left| left > unread.max_bytes());
    if rest.as_ref().is_ok_and(is_longer) || exchange.is_closing() {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // Beside the answer: a client may send all of its request before it reads.
    match rest {
        Ok(rest) if is_body_uncertain => drop(rest),
        Ok(rest) => drop(tokio::spawn(async move { unread.drop_rest(rest).await })),
        Err(TryRecvError::Empty) => drop(tokio::spawn(async move { unread.drop_returned(returned).await })),
        // All of it was read.
        Err(TryRecvError::Closed) => {}
    }
    Ok(Response::from_parts(head, AnswerBody::new(body, Arc::new(open), exchange)))
}

/// Whether the client closes the connection after this request.
fn asks_to_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Closes a connection so that the client receives the last answer, which may still have to be sent. If it were closed with unread bytes, the
/// system would reset it, and the reset could discard the answer.
async fn close(mut stream: ConnectionStream, last_answer: Option<Fault>) {
    let closing = async {
        if let Some(fault) = last_answer {
            stream.write_all(&fault.last_answer()).await?;
        }
        // The protocol may have done it.
        let _done = stream.shutdown().await;
        tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _closes_in_any_case = timeout(REFUSED_LINGER, closing).await;
}
