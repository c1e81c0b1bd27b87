//! Every call has an id and a span, and ends as one line in the log, with the code and the reason that its caller saw.
//!
//! Logged are rpc, peer, identity, organization, code, reason and duration: never a header's value and nothing of a message but the name
//! of an organization that exists. What lies under an error is logged here too, from the status's source; the caller gets only the id
//! to ask for it. A call is a line at `info`, one that failed on our side at `warn`, and a health check at `debug`.

use std::{
    error::Error,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fieldseal_core::{
    port::Clock,
    random::{self, Random},
};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service};
use tracing::{Span, field::Empty};

use super::is_health;
use crate::{error_chain, listener::Connection};

/// As much of a path as is logged. Ours are shorter; others may be as long as headers can be.
const PATH_LENGTH_MAX: usize = 128;

/// The id of a call, which its log lines, its errors and its audit records carry. A UUIDv7, so that ids sort by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallId(Arc<str>);

impl CallId {
    fn draw(clock: &dyn Clock, random: &dyn Random) -> Self {
        let unix_millis = clock.now().unix_millis().max(0).unsigned_abs();
        let id = uuid::Builder::from_unix_timestamp_millis(unix_millis, &random::bytes(random)).into_uuid();
        Self(id.as_hyphenated().to_string().into())
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for CallId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts [`Trace`] around a service.
#[derive(Clone)]
pub(crate) struct TraceLayer {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A service whose calls are logged.
#[derive(Clone)]
pub(crate) struct Trace<S> {
    layer: TraceLayer,
    inner: S,
}

impl TraceLayer {
    /// Clock and randomness make the call ids.
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Trace<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call_id = CallId::draw(self.layer.clock.as_ref(), self.layer.random.as_ref());
        let path = request.uri().path();
        let span = tracing::info_span!(
            "call",
            call_id = call_id.as_str(),
            rpc = path.get(..PATH_LENGTH_MAX).unwrap_or(path),
            peer = peer(&request).map(tracing::field::display),
            identity = Empty,
            organization = Empty,
        );
        let log = CallLog { span, begun: Instant::now(), is_probe: is_health(path), ended: false };
        request.extensions_mut().insert(call_id);
        // The layers below decide in their `call`, so that has to happen in the span too.
        let answer = log.span.in_scope(|| self.inner.call(request));
        TraceFuture { answer, log: Some(log) }
    }
}

fn peer<B>(request: &Request<B>) -> Option<SocketAddr> {
    request.extensions().get::<Connection>().map(|connection| connection.peer)
}

pin_project! {
    /// The answer, watched.
    pub(crate) struct TraceFuture<F> {
        #[pin]
        answer: F,
        log: Option<CallLog>,
    }
}

impl<F, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.log.as_ref().map(|log| log.span.enter());
        let response = ready!(this.answer.poll(context))?;
        drop(entered);
        let Some(mut log) = this.log.take() else { return Poll::Ready(Ok(response)) };
        if let Some(outcome) = Outcome::of(response.headers()) {
            log.end(&outcome, response.extensions().get::<Status>().and_then(Error::source));
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(response.map(|inner| Body::new(TraceBody { inner, log }))))
    }
}

struct TraceBody {
    inner: Body,
    log: CallLog,
}

impl http_body::Body for TraceBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let entered = this.log.span.enter();
        let polled = ready!(Pin::new(&mut this.inner).poll_frame(context));
        drop(entered);
        if let Some(Ok(frame)) = &polled
            && let Some(outcome) = frame.trailers_ref().and_then(Outcome::of)
        {
            this.log.end(&outcome, None);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How a call came out, as its caller saw it.
struct Outcome {
    code: Code,
    /// The reason of an error, in the contract's words.
    reason: Option<String>,
}

impl Outcome {
    /// Reads headers or trailers; `None` if they don't end the call.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
        let status = if code == Code::Ok { None } else { Status::from_header_map(headers) };
        let reason = status.and_then(|status| Some(status.get_details_error_info()?.reason));
        Some(Self { code, reason })
    }
}

/// Writes one line about a call, when it ends or when nobody waits for its end any more.
struct CallLog {
    span: Span,
    begun: Instant,
    is_probe: bool,
    ended: bool,
}

impl CallLog {
    fn end(&mut self, outcome: &Outcome, cause: Option<&(dyn Error + 'static)>) {
        self.ended = true;
        let duration_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let cause = cause.map(error_chain::text);
        let cause = cause.as_deref();
        let (code, reason) = (outcome.code, outcome.reason.as_deref());
        match code {
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unavailable => {
                tracing::warn!(parent: &self.span, ?code, reason, duration_us, cause, "answered");
            }
            Code::Ok if self.is_probe => tracing::debug!(parent: &self.span, ?code, duration_us, "answered"),
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => {
                tracing::info!(parent: &self.span, ?code, reason, duration_us, cause, "answered")
            }
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Outcome { code: Code::Cancelled, reason: None }, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, random::SystemRandom};

    #[test]
    fn call_ids_are_uuids_of_version_7_and_differ() {
        let draw = || CallId::draw(&SystemClock, &SystemRandom);
        let id: uuid::Uuid = draw().as_str().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_ne!(draw(), draw());
    }
}
