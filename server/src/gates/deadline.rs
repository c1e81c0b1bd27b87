//! The deadline of a call: the caller's `grpc-timeout`, limited by the server's maximum, or the server's default.
//!
//! A call that answers with a stream has no default and no maximum, because watching a re-encryption can take hours. The caller's timeout
//! applies until its last message. Work in a separate task continues after the deadline.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::permission::Rpc;
use crate::{status::Refusal, transport::EndsAt};

pub(super) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The server's limits, for calls that don't answer with a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// The deadline of calls without a timeout.
    pub(crate) default: Duration,
    /// The maximum deadline.
    pub(crate) max: Duration,
}

/// Puts [`Deadline`] around a service.
#[derive(Clone)]
pub(crate) struct DeadlineLayer {
    deadlines: Deadlines,
}

/// A service whose calls end in time.
#[derive(Clone)]
pub(crate) struct Deadline<S> {
    layer: DeadlineLayer,
    inner: S,
}

impl DeadlineLayer {
    /// A layer before has added the rpc to the call's extensions.
    pub(crate) fn new(deadlines: Deadlines) -> Self {
        Self { deadlines }
    }

    fn time_for<B>(&self, request: &Request<B>) -> Option<Duration> {
        let requested = request.headers().get(GRPC_TIMEOUT).and_then(parse_timeout);
        if request.extensions().get::<Arc<Rpc>>().is_some_and(|rpc| rpc.is_stream) {
            requested
        } else {
            Some(requested.unwrap_or(self.deadlines.default).min(self.deadlines.max))
        }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The time counts from here, because the first poll of the future may come later.
        let deadline = self.layer.time_for(&request).and_then(|time| Instant::now().checked_add(time));
        DeadlineFuture { timer: deadline.map(timer), answer: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer, or DEADLINE_EXCEEDED.
    pub(crate) struct DeadlineFuture<F> {
        #[pin]
        answer: F,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(context) {
            let timer = this.timer.take();
            return Poll::Ready(answer.map(|response| within(timer, response)));
        }
        match this.timer {
            Some(timer) => {
                ready!(timer.as_mut().poll(context));
                Poll::Ready(Ok(Status::from(Refusal::DeadlineExceeded).into_http()))
            }
            None => Poll::Pending,
        }
    }
}

/// Applies the rest of the time to the body. The sender of the body gets the deadline too: it doesn't poll the body while it waits for the
/// caller.
fn within(timer: Option<Pin<Box<Sleep>>>, mut response: Response<Body>) -> Response<Body> {
    match timer {
        Some(timer) if !response.body().is_end_stream() => {
            response.extensions_mut().insert(EndsAt(timer.deadline()));
            response.map(|inner| Body::new(DeadlineBody { rest: Some(Rest { inner, timer }) }))
        }
        Some(_) | None => response,
    }
}

struct DeadlineBody {
    /// `None` after the deadline: the rest of the answer is dropped.
    rest: Option<Rest>,
}

struct Rest {
    inner: Body,
    timer: Pin<Box<Sleep>>,
}

impl http_body::Body for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(&mut rest.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(rest.timer.as_mut().poll(context));
        self.rest = None;
        let mut trailers = HeaderMap::new();
        let status = Status::from(Refusal::DeadlineExceeded);
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.inner.size_hint())
    }
}

#[expect(clippy::disallowed_methods, reason = "a timer that moves from the answer to its body; timeout_at has its own")]
fn timer(deadline: Instant) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(deadline))
}

/// Parses `grpc-timeout` as in gRPC over HTTP/2: at most 8 digits and a unit. Invalid values were refused before.
pub(super) fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    const DIGITS_MAX: usize = 8;
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use http_body_util::{BodyExt, Full, StreamBody};
    use tonic::Code;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const UNARY: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
    const STREAM: &str = "/sealward.v1.DataEncryptionService/WatchReencryption";

    fn layer() -> DeadlineLayer {
        DeadlineLayer::new(Deadlines { default: Duration::from_secs(30), max: Duration::from_secs(300) })
    }

    fn request(path: &str, timeout: Option<&'static str>) -> Request<Body> {
        let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
        if [UNARY, STREAM].contains(&path) {
            request.extensions_mut().insert(Arc::new(Rpc::new(&[], path == STREAM)));
        }
        if let Some(timeout) = timeout {
            request.headers_mut().insert(GRPC_TIMEOUT, HeaderValue::from_static(timeout));
        }
        request
    }

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        let parse = |text| parse_timeout(&HeaderValue::from_static(text));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("1u"), Some(Duration::from_micros(1)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for text in ["", "S", "10", "1s", "100000000S", "-1S", "+1S", "1.5S", " 1S", "1 S"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse_timeout(&HeaderValue::from_bytes(b"1\xff").unwrap()), None);
    }

    #[test]
    fn unary_call_has_a_deadline_and_a_stream_only_that_of_its_caller() {
        let time_for = |path, timeout| layer().time_for(&request(path, timeout)).map(|time| time.as_secs());
        assert_eq!(time_for(UNARY, None), Some(30));
        assert_eq!(time_for(UNARY, Some("5S")), Some(5));
        assert_eq!(time_for(UNARY, Some("300S")), Some(300));
        assert_eq!(time_for(UNARY, Some("301S")), Some(300));
        assert_eq!(time_for(UNARY, Some("9H")), Some(300));
        assert_eq!(time_for(UNARY, Some("soon")), Some(30));
        assert_eq!(time_for("/unknown/Method", None), Some(30));
        assert_eq!(time_for(STREAM, None), None);
        assert_eq!(time_for(STREAM, Some("9H")), Some(9 * 3600));
    }

    #[tokio::test]
    async fn call_without_an_answer_ends_at_its_deadline() {
        let service = layer().layer(service_fn(|_| pending::<Result<Response<Body>, Infallible>>()));
        let answer = service.oneshot(request(UNARY, Some("0m"))).await.unwrap();
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn stream_ends_at_its_deadline_with_trailers() {
        let service = layer().layer(service_fn(|_| async {
            let silent = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>());
            Ok::<_, Infallible>(Response::new(Body::new(silent)))
        }));
        let answer = service.oneshot(request(STREAM, Some("0m"))).await.unwrap();
        let trailers = answer.into_body().collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn an_answer_in_time_passes_unchanged() {
        let service = layer().layer(service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Body::new(Full::new(Bytes::from_static(b"message")))))
        }));
        let answer = service.oneshot(request(UNARY, None)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "message");
    }
}
