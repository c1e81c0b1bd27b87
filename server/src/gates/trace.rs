//! Assigns an id to every call, finds its rpc, completes its errors with the id and a reason, counts it, and logs one line with the code and
//! the reason that the caller received. It also ends the recording of a call that is traced for a collector.
//!
//! The line has rpc, peer, protocol, client, identity, trace, organization, code, reason and duration. It never has the value of a header except
//! the version of the client, if that is well formed, and nothing of a message except the name of an existing organization. The cause of an error is logged too, from the status's source; the caller gets only the
//! call id. A call is logged at `info`, a failure of the server at `warn`, and a health check at `debug`. Refused calls, and failed calls
//! of callers without an identity, are sampled, because their callers control their number.
//!
//! A call with an interrupted request is logged as CANCELLED, even if the layers below returned another code: the caller didn't receive it.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use sealward::v1::ErrorReason;
use sealward_connect::Protocol;
use sealward_core::{port::Clock, random::Random};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service};

use super::{permission::RpcTable, probe::is_health, version_header::client_version};
use crate::{
    call::{CallFacts, Origin},
    error_chain,
    status::{self, reason_name},
    telemetry::{
        calls::{Calls, Method},
        samples::{Kind, Samples, Who},
        traces::span::CallEnd,
    },
};

/// The message of a call's line.
const ANSWERED: &str = "answered";

/// Puts [`Trace`] around a service.
#[derive(Clone)]
pub(crate) struct TraceLayer {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    samples: Samples,
    rpcs: Arc<RpcTable>,
    calls: Calls,
}

/// A service whose calls are logged.
#[derive(Clone)]
pub(crate) struct Trace<S> {
    /// Shared, because a service is cloned for each call.
    layer: Arc<TraceLayer>,
    inner: S,
}

impl TraceLayer {
    /// The clock and the randomness generate the call ids. A call gets its rpc into its extensions, for the layers below.
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, samples: Samples, rpcs: Arc<RpcTable>) -> Self {
        let calls = Calls::new(rpcs.in_order().into_keys());
        Self { clock, random, samples, rpcs, calls }
    }

    /// The counted calls.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace { layer: Arc::new(self.clone()), inner }
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
        let origin = Origin::of(&request, client_version(request.headers()));
        let facts = CallFacts::draw(self.layer.clock.as_ref(), self.layer.random.as_ref(), origin);
        let path = request.uri().path();
        let (rpc, is_probe) = (self.layer.rpcs.get(path).cloned(), is_health(path));
        let method = match &rpc {
            Some(rpc) => Method::Rpc(rpc.place),
            None if is_probe => Method::Health,
            None => Method::Other,
        };
        self.layer.calls.begin(method);
        let protocol = request.extensions().get::<Protocol>();
        let is_connect = matches!(protocol, Some(Protocol::ConnectUnary(_) | Protocol::ConnectStreaming(_)));
        let layer = Arc::clone(&self.layer);
        let log = CallLog { facts: facts.clone(), layer, method, is_probe, is_connect, ended: false };
        if let Some(rpc) = rpc {
            request.extensions_mut().insert(rpc);
        }
        // The layers below decide in their `call`, so it must be work for this call.
        let entered = facts.enter();
        request.extensions_mut().insert(facts);
        let answer = self.inner.call(request);
        drop(entered);
        TraceFuture { answer, log: Some(log) }
    }
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
        let entered = this.log.as_ref().map(|log| log.facts.enter());
        let mut response = ready!(this.answer.poll(context))?;
        drop(entered);
        let Some(mut log) = this.log.take() else { return Poll::Ready(Ok(response)) };
        if let Some(outcome) = log.complete(response.headers_mut()) {
            log.end(&outcome, response.extensions().get::<Status>().and_then(cause));
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(response.map(|inner| Body::new(TraceBody { inner, log }))))
    }
}

/// The cause of a status. A status that passed through a body has itself as its source, which isn't a cause.
fn cause<'a>(status: &'a Status) -> Option<&'a (dyn Error + 'static)> {
    let cause = status.source()?;
    let mut causes = std::iter::successors(Some(cause), |error: &&'a (dyn Error + 'static)| (*error).source());
    if causes.any(|error| error.is::<Status>()) { None } else { Some(cause) }
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
        let entered = this.log.facts.enter();
        let mut polled = ready!(Pin::new(&mut this.inner).poll_frame(context));
        drop(entered);
        if let Some(Ok(frame)) = &mut polled
            && let Some(outcome) = frame.trailers_mut().and_then(|trailers| this.log.complete(trailers))
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

/// The outcome of a call, as the caller received it.
struct Outcome {
    code: Code,
    /// The reason of an error, as in the contract.
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

/// Counts a call and logs one line about it, when it ends or is dropped.
struct CallLog {
    facts: CallFacts,
    layer: Arc<TraceLayer>,
    method: Method,
    is_probe: bool,
    is_connect: bool,
    ended: bool,
}

impl CallLog {
    /// Completes an error in headers or trailers. Returns the outcome; `None` if they don't end the call.
    fn complete(&self, headers: &mut HeaderMap) -> Option<Outcome> {
        status::complete(headers, self.facts.id());
        Outcome::of(headers)
    }

    fn end(&mut self, outcome: &Outcome, cause: Option<&(dyn Error + 'static)>) {
        self.ended = true;
        let (code, reason, cause) = match outcome {
            _ if self.facts.was_cut() => (Code::Cancelled, None, None),
            Outcome { code, reason } => (*code, reason.as_deref(), cause.map(error_chain::text)),
        };
        let duration = self.facts.duration();
        self.layer.calls.end(self.method, code, duration);
        if let Some(recording) = self.facts.recording() {
            let method = self.layer.calls.rpc(self.method);
            recording.end(&CallEnd { method, is_connect: self.is_connect, code, reason });
        }
        if self.is_sampled(code, reason) && !self.layer.samples.is_first(self.kind(code, reason)) {
            return;
        }
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let cause = cause.as_deref();
        let _entered = self.facts.enter();
        match code {
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unavailable => {
                tracing::warn!(?code, reason, duration_us, cause, "{ANSWERED}");
            }
            Code::Ok if self.is_probe => tracing::debug!(?code, duration_us, "{ANSWERED}"),
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
                tracing::info!(?code, reason, duration_us, cause, "{ANSWERED}");
            }
        }
    }

    /// Whether the line is sampled, because a caller without permissions can cause any number of such calls.
    fn is_sampled(&self, code: Code, reason: Option<&str>) -> bool {
        if code == Code::Ok {
            return false;
        }
        self.facts.identity().is_none()
            || reason.is_some_and(|reason| SAMPLED.iter().any(|sampled| reason_name(*sampled) == reason))
    }

    fn kind(&self, code: Code, reason: Option<&str>) -> Kind {
        let who = match (self.facts.identity(), self.facts.peer().cloned()) {
            (Some(identity), _) => Who::Identity(identity.to_string()),
            (None, Some(peer)) => Who::Connection(peer),
            (None, None) => Who::Unknown,
        };
        let reason = reason.map_or_else(|| format!("{code:?}"), str::to_owned);
        Kind { who, event: ANSWERED, reason: reason.into() }
    }
}

/// The reasons for refusals of identified callers before any work is done.
const SAMPLED: [ErrorReason; 5] = [
    ErrorReason::PrivilegeMissing,
    ErrorReason::MethodUnknown,
    ErrorReason::RateLimited,
    ErrorReason::ConnectionLimit,
    ErrorReason::CompressionNotServed,
];

impl Drop for CallLog {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Outcome { code: Code::Cancelled, reason: None }, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{
        gates::permission::Rpc,
        ports::{clock::SystemClock, random::SystemRandom},
        status::Refusal,
        telemetry::shed::Shed,
    };

    fn trace() -> TraceLayer {
        let (samples, rpcs) = (Samples::new(10, Shed::default()), Arc::default());
        TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), samples, rpcs)
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "what the framework does")]
    async fn error_in_the_trailers_is_completed() {
        let service = trace().layer(service_fn(|_| async {
            let mut trailers = HeaderMap::new();
            Status::out_of_range("too large").add_header(&mut trailers).unwrap();
            let body = Full::new(Bytes::from_static(b"message")).with_trailers(async { Some(Ok(trailers)) });
            Ok::<_, Infallible>(Response::new(Body::new(body)))
        }));
        let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        let status = Status::from_header_map(answer.trailers().unwrap()).unwrap();
        assert_eq!(status.get_details_error_info().unwrap().reason, "MESSAGE_TOO_LARGE");
        assert!(!status.get_details_request_info().unwrap().request_id.is_empty());
        assert_eq!(answer.to_bytes(), "message");
    }

    #[tokio::test]
    async fn call_is_counted_once_with_the_code_that_the_caller_received() {
        const PATH: &str = "/sealward.v1.AccessService/WhoAmI";
        let rpcs = Arc::new(RpcTable::new([(PATH.to_owned(), Rpc::new(&[], false))].into()));
        let trace =
            TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), Samples::new(10, Shed::default()), rpcs);
        let service = trace.layer(service_fn(|request: Request<Body>| async move {
            let is_known = request.extensions().get::<Arc<Rpc>>().is_some();
            let status = if is_known { Status::from(Refusal::DeadlineExceeded) } else { Status::ok("") };
            Ok::<_, Infallible>(status.into_http())
        }));
        let request = |path: &str| Request::post(path).body(Body::empty()).unwrap();
        for path in [PATH, "/a.B/C", "/a.B/D"] {
            service.clone().oneshot(request(path)).await.unwrap();
        }
        // A call whose caller has left.
        drop(service.clone().call(request(PATH)));
        let _in_flight = service.clone().call(request(PATH));
        let rows: Vec<_> = trace.calls().rows().filter(|row| row.was_called()).map(|row| row.counted()).collect();
        assert_eq!(
            rows,
            [
                ("sealward.v1.AccessService/WhoAmI", 1, vec![("CANCELLED", 1), ("DEADLINE_EXCEEDED", 1)]),
                ("other", 0, vec![("OK", 2)]),
            ]
        );
    }
}
