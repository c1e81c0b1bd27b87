//! Arriving requests: the memory of each until it is answered, and the maximum time for the arrival of a message.
//!
//! A call is charged for itself and its headers from its start to the end of its answer. It is charged for a message as soon as the length
//! is known, before anything is buffered, until the call is answered or the next message begins. A caller that sends too slowly is refused,
//! so that incomplete messages don't hold memory for long. The frames of the messages are checked as they arrive. An interrupted request isn't
//! an error. The decoder interprets the bytes.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use sealward_connect::{BufferBound, RequestError};
use sealward_core::{
    identity::Caller,
    policy::{Policy, Privilege},
};
use tokio::time::{Instant, Sleep};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    message::{FrameEvent, Frames},
    permission::Rpc,
    probe::takes_small_messages,
};
use crate::{
    call::CallFacts,
    config::limits::Limits,
    status::{self, BrokenMessage, Refusal},
    telemetry::shed::Shed,
    transport::{
        CallStage,
        budget::{Account, Bound, Bounds, Budget, Exhausted, Payer, Purpose, Reservation},
        connection::Connection,
    },
};

/// The memory of a call without its headers and its message: tasks, channels, and the state of its stream.
const CALL_BYTES: u64 = 8 * 1024;

/// The minimum of every limit, beyond one message: a call with headers of the maximum size.
const LEAST_BYTES: u64 = CALL_BYTES + 512 * 1024;

/// The overhead of a header beyond its name and its value, as in HTTP/2 (RFC 9113, section 6.5.2).
const HEADER_BYTES: u64 = 32;

/// The limits of arriving requests.
#[derive(Clone, Debug)]
pub(crate) struct ArrivalBounds {
    /// The budget of requests.
    pub(crate) requests: Arc<Budget>,
    /// The budget of answers that wait for their callers.
    pub(crate) answers: Arc<Budget>,
    /// The maximum size of a message.
    pub(crate) message_size_max_bytes: u32,
    /// The maximum size of a message of health and reflection.
    pub(crate) probe_message_size_max_bytes: u32,
    /// The maximum time for a message to arrive.
    pub(crate) message_time_max: Duration,
    /// Counts refusals.
    pub(crate) shed: Shed,
}

impl ArrivalBounds {
    /// The limits of the configuration.
    pub(crate) fn of(limits: &Limits, shed: &Shed) -> Self {
        // A budget smaller than one message would refuse messages that another limit allows. While a message is changed from JSON or gzip,
        // both of its forms are in memory.
        let least = 2 * u64::from(limits.message_size_max_bytes) + LEAST_BYTES;
        let bound = |name, bytes: u32| Bound { name, bytes: u64::from(bytes).max(least) };
        let requests = Bounds {
            // The part without the reserve has room for one message, too.
            process: Bound { name: "requests_max_bytes", bytes: u64::from(limits.requests_max_bytes).max(2 * least) },
            identity: bound("requests_per_identity_max_bytes", limits.requests_per_identity_max_bytes),
            connection: bound("requests_per_connection_max_bytes", limits.requests_per_connection_max_bytes),
        };
        let of_identity = bound("answers_per_identity_max_bytes", limits.answers_per_identity_max_bytes);
        let answers = Bounds {
            process: Bound { name: "answers_max_bytes", bytes: u64::from(limits.answers_max_bytes).max(2 * least) },
            identity: of_identity,
            // One connection may use the whole share of its identity.
            connection: of_identity,
        };
        ArrivalBounds {
            requests: Budget::new(Purpose::Requests, requests, shed.clone()),
            answers: Budget::new(Purpose::Answers, answers, shed.clone()),
            message_size_max_bytes: limits.message_size_max_bytes,
            probe_message_size_max_bytes: limits.probe_message_size_max_bytes,
            message_time_max: limits.message_time_max(),
            shed: shed.clone(),
        }
    }
}

/// Puts [`Arrival`] around a service.
#[derive(Clone)]
pub(crate) struct ArrivalLayer {
    bounds: ArrivalBounds,
}

/// A service whose requests arrive within bounds.
#[derive(Clone)]
pub(crate) struct Arrival<S> {
    /// Shared, because a service is cloned for each call.
    layer: Arc<ArrivalLayer>,
    inner: S,
}

impl ArrivalLayer {
    pub(crate) fn new(bounds: ArrivalBounds) -> Self {
        Self { bounds }
    }

    /// The kind of caller whose budget a request uses. The policy is in the extensions if the layers before this one have used it.
    fn payer<B>(request: &Request<B>) -> Payer {
        let Some(caller) = request.extensions().get::<Caller>() else {
            let connection = request.extensions().get::<Connection>();
            return connection.map_or(Payer::Probe, |connection| connection.unidentified());
        };
        let identity = Arc::clone(&caller.identity);
        let policy = request.extensions().get::<Arc<Policy>>();
        if policy.is_some_and(|policy| policy.holds_everywhere(&identity, Privilege::CreateOrganizations)) {
            Payer::Administrator(identity)
        } else {
            Payer::Identity(identity)
        }
    }
}

impl<S> Layer<S> for ArrivalLayer {
    type Service = Arrival<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Arrival { layer: Arc::new(self.clone()), inner }
    }
}

impl<S> Service<Request<Body>> for Arrival<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ArrivalFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ArrivalLayer { bounds } = &*self.layer;
        let payer = ArrivalLayer::payer(&request);
        if let Payer::Identity(identity) | Payer::Administrator(identity) = &payer
            && let Some(connection) = request.extensions().get::<Connection>()
        {
            connection.slot.token_accepted(identity);
        }
        let connection = request.extensions().get::<Connection>().map(|connection| connection.share.clone());
        let connection = connection.unwrap_or_default();
        let path = request.uri().path();
        let call_bytes = CALL_BYTES + size_of_headers(request.headers()) + u64::try_from(path.len()).unwrap_or(0);
        let reserved = bounds.requests.account(payer.clone(), connection.clone()).reserve(call_bytes);
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(exhausted) => return ArrivalFuture::Refused { refusal: exhausted.into() },
        };
        let charge = Charge { call_bytes, reservation: Arc::new(Mutex::new(reservation)) };
        let is_probe = takes_small_messages(path);
        let takes_stream = request.extensions().get::<Arc<Rpc>>().is_some_and(|rpc| rpc.takes_stream);
        let size_max = if is_probe { bounds.probe_message_size_max_bytes } else { bounds.message_size_max_bytes };
        let size_limit = if is_probe { "probe_message_size_max_bytes" } else { "message_size_max_bytes" };
        if let Some(bound) = request.extensions().get::<BufferBound>() {
            let (charge, shed) = (charge.clone(), bounds.shed.clone());
            bound.set(move |message, all| {
                charge.buffer(message, all, (size_limit, size_max), &shed).map_err(Status::from)
            });
        }
        let facts = request.extensions().get::<CallFacts>().cloned().unwrap_or_default();
        let stage = request.extensions().get::<CallStage>().filter(|_| !is_probe).cloned();
        let request = request.map(|inner| {
            Body::new(ArrivingBody {
                inner: Some(inner),
                charge: charge.clone(),
                frames: Frames::new(takes_stream),
                facts,
                size_max,
                size_limit,
                time_max: bounds.message_time_max,
                // The first message is expected at once.
                deadline: Instant::now().checked_add(bounds.message_time_max),
                timer: None,
                takes_stream,
                stage,
                shed: bounds.shed.clone(),
            })
        });
        let answers = bounds.answers.account(payer, connection);
        ArrivalFuture::Admitted { answer: self.inner.call(request), charge: Some(charge), answers: Some(answers) }
    }
}

impl From<Exhausted> for Refusal {
    fn from(Exhausted(Bound { name, bytes }): Exhausted) -> Self {
        Refusal::RequestMemory { bound: name, limit: bytes }
    }
}

fn size_of_headers(headers: &HeaderMap) -> u64 {
    let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        u64::try_from(name.as_str().len() + value.len()).unwrap_or(u64::MAX).saturating_add(HEADER_BYTES)
    };
    headers.iter().map(size).fold(0, u64::saturating_add)
}

/// The charge of a call.
#[derive(Clone)]
struct Charge {
    call_bytes: u64,
    reservation: Arc<Mutex<Reservation>>,
}

impl Charge {
    /// Charges a message of this length instead of the previous one.
    fn message(&self, bytes: u32) -> Result<(), Exhausted> {
        let mut reservation = self.reservation.lock().unwrap_or_else(PoisonError::into_inner);
        reservation.resize(self.call_bytes.saturating_add(bytes.into()))
    }

    /// Charges the memory of a message that is collected before its length in gRPC is known.
    fn buffer(
        &self,
        message: usize,
        all: usize,
        (bound, limit): (&'static str, u32),
        shed: &Shed,
    ) -> Result<(), Refusal> {
        if message > usize::try_from(limit).unwrap_or(usize::MAX) {
            shed.count(bound);
            return Err(Refusal::MessageTooLarge { bound, limit });
        }
        Ok(self.message(u32::try_from(all).unwrap_or(u32::MAX))?)
    }

    /// Releases the charge of the message.
    fn no_message(&self) {
        let _never_exhausted = self.message(0);
    }
}

pin_project! {
    /// The answer, or the refusal.
    #[project = ArrivalFutureProjection]
    pub(crate) enum ArrivalFuture<F> {
        Admitted { #[pin] answer: F, charge: Option<Charge>, answers: Option<Account> },
        Refused { refusal: Refusal },
    }
}

impl<F, E> Future for ArrivalFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ArrivalFutureProjection::Admitted { answer, charge, answers } => {
                let mut response = ready!(answer.poll(context))?;
                if let (Some(charge), Some(answers)) = (charge.take(), answers.take())
                    && !response.body().is_end_stream()
                {
                    response.extensions_mut().insert(answers);
                    charge.no_message();
                    response = response.map(|inner| Body::new(ChargedBody { inner, _charge: charge }));
                }
                Poll::Ready(Ok(response))
            }
            ArrivalFutureProjection::Refused { refusal } => Poll::Ready(Ok(Status::from(refusal.clone()).into_http())),
        }
    }
}

/// The body of an answer. The call is charged until it ends.
struct ChargedBody {
    inner: Body,
    _charge: Charge,
}

impl http_body::Body for ChargedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a request.
struct ArrivingBody {
    /// `None` after the request was refused: nothing more of it is read.
    inner: Option<Body>,
    charge: Charge,
    frames: Frames,
    facts: CallFacts,
    size_max: u32,
    size_limit: &'static str,
    time_max: Duration,
    /// The deadline for the arriving message to be complete; `None` between the messages of a stream.
    deadline: Option<Instant>,
    /// The timer of the deadline. It is created when the body has to wait, which most calls never do.
    timer: Option<Pin<Box<Sleep>>>,
    takes_stream: bool,
    /// `None` for health checks, for which a stopping server doesn't wait.
    stage: Option<CallStage>,
    shed: Shed,
}

impl ArrivingBody {
    fn refuse(&mut self, refused: impl Into<Refused>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Refused(status) = refused.into();
        self.inner = None;
        self.timer = None;
        Poll::Ready(Some(Err(status)))
    }

    fn interrupted(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.facts.request_cut();
        self.refuse(Refusal::Cancelled)
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Err(broken) = self.frames.end() {
            return self.refuse(broken);
        }
        mark_working(&mut self.stage);
        self.inner = None;
        Poll::Ready(None)
    }

    #[expect(clippy::disallowed_methods, reason = "a timer that is polled together with the body, across frames")]
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().poll(context).is_ready()
    }

    /// Checks received bytes, before they are buffered.
    fn take(&mut self, data: &[u8]) -> Result<(), Refused> {
        let Self { frames, charge, deadline, timer, stage, .. } = self;
        frames.take(data, |event| {
            match event {
                FrameEvent::Begun if self.takes_stream && deadline.is_none() => {
                    *deadline = Instant::now().checked_add(self.time_max);
                }
                // Nothing of it is buffered. The decoder has the same limit, but its error doesn't name it.
                FrameEvent::Length(length) if length > self.size_max => {
                    self.shed.count(self.size_limit);
                    return Err(Refusal::MessageTooLarge { bound: self.size_limit, limit: self.size_max }.into());
                }
                FrameEvent::Length(length) => charge.message(length).map_err(Refusal::from)?,
                FrameEvent::Whole if self.takes_stream => {
                    *deadline = None;
                    *timer = None;
                    mark_working(stage);
                }
                // The decoder waits for the end of the request, and so does the timer.
                FrameEvent::Begun | FrameEvent::Whole => {}
            }
            Ok(())
        })
    }
}

/// Why a request isn't read further.
struct Refused(Status);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused(refusal.into())
    }
}

impl From<BrokenMessage> for Refused {
    fn from(broken: BrokenMessage) -> Self {
        Refused(status::broken_message(broken))
    }
}

/// The first message has arrived.
fn mark_working(stage: &mut Option<CallStage>) {
    if let Some(stage) = stage.take() {
        stage.mark_working();
    }
}

impl http_body::Body for ArrivingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *inner).poll_frame(context);
        let has_ended = inner.is_end_stream();
        let frame = match polled {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Pending if this.is_late(context) => {
                this.shed.count("message_time_max_ms");
                return this.refuse(Refusal::MessageTooSlow { limit: this.time_max });
            }
            Poll::Pending => return Poll::Pending,
            // In HTTP/2, a body ends with a flag. A body that ends without it was reset by the client.
            Poll::Ready(None) if has_ended => return this.end(),
            Poll::Ready(None) => return this.interrupted(),
            Poll::Ready(Some(Err(status))) => {
                return match RequestError::of(&status) {
                    Some(error) => this.refuse(Refused(status::broken_request(error))),
                    None => this.interrupted(),
                };
            }
        };
        if let Some(data) = frame.data_ref()
            && let Err(refused) = this.take(data)
        {
            return this.refuse(refused);
        }
        if frame.is_trailers() || this.is_end_stream() {
            mark_working(&mut this.stage);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        // If the end is invalid, the body must be polled once more to report it.
        self.inner.as_ref().is_none_or(|inner| inner.is_end_stream() && self.frames.end().is_ok())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), |inner| inner.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::SocketAddr};

    use http_body_util::{BodyExt as _, Full, StreamBody};
    use sealward_core::identity::Identity;
    use tokio::sync::mpsc;
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::transport::connection::ConnectionFacts;

    const UNARY: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
    const STREAM: &str = "/sealward.v1.OrganizationService/ImportOrganization";
    const HEALTH: &str = "/grpc.health.v1.Health/Check";

    type Sender = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

    fn prefixed(length: u32, message: &[u8]) -> Bytes {
        [&[0][..], &length.to_be_bytes(), message].concat().into()
    }

    fn bounds(connection: u64, time: Duration) -> ArrivalBounds {
        let shed = Shed::default();
        let budget = |purpose, connection| {
            let bounds = Bounds {
                process: Bound { name: "requests_max_bytes", bytes: 1 << 30 },
                identity: Bound { name: "requests_per_identity_max_bytes", bytes: 1 << 30 },
                connection: Bound { name: "requests_per_connection_max_bytes", bytes: connection },
            };
            Budget::new(purpose, bounds, shed.clone())
        };
        ArrivalBounds {
            requests: budget(Purpose::Requests, connection),
            answers: budget(Purpose::Answers, 1 << 30),
            message_size_max_bytes: 65_536,
            probe_message_size_max_bytes: 1_024,
            message_time_max: time,
            shed,
        }
    }

    /// A body that ends as one of HTTP/2 does, with a flag.
    struct Sent {
        frames: mpsc::Receiver<Result<Frame<Bytes>, Infallible>>,
        ended: bool,
    }

    impl http_body::Body for Sent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let frame = ready!(self.frames.poll_recv(context));
            self.ended = frame.is_none();
            Poll::Ready(frame)
        }

        fn is_end_stream(&self) -> bool {
            self.ended
        }
    }

    fn connection() -> Connection {
        ConnectionFacts::plaintext(SocketAddr::from(([192, 0, 2, 1], 4711))).into()
    }

    /// A call whose service reads its request to the end, and the received bytes.
    async fn call(
        bounds: &ArrivalBounds,
        path: &str,
        connection: &Connection,
    ) -> (Sender, tokio::task::JoinHandle<Result<usize, Status>>) {
        let layer = ArrivalLayer::new(bounds.clone());
        let service = layer.layer(service_fn(|request: Request<Body>| async move {
            Ok::<_, Infallible>(match request.into_body().collect().await {
                Ok(body) => Response::new(Body::new(http_body_util::Full::new(body.to_bytes()))),
                Err(status) => status.into_http(),
            })
        }));
        let (sender, receiver) = mpsc::channel(8);
        let mut request =
            Request::builder().uri(path).body(Body::new(Sent { frames: receiver, ended: false })).unwrap();
        request.extensions_mut().insert(connection.clone());
        if path != HEALTH {
            let rpc = Rpc::new(&[], path == STREAM);
            request.extensions_mut().insert(Arc::new(if path == STREAM { rpc.taking_a_stream() } else { rpc }));
            request.extensions_mut().insert(Caller {
                identity: Identity::CommonName("ada".to_owned()).into(),
                peer: None,
                hop: None,
                call_id: Arc::default(),
            });
        }
        let answer = tokio::spawn(async move {
            let response = service.oneshot(request).await.unwrap();
            if let Some(status) = Status::from_header_map(response.headers()) {
                return Err(status);
            }
            Ok(response.into_body().collect().await.unwrap().to_bytes().len())
        });
        (sender, answer)
    }

    async fn send(sender: &Sender, bytes: Bytes) {
        let _refused_already = sender.send(Ok(Frame::data(bytes))).await;
    }

    #[track_caller]
    fn is_refused(outcome: Result<usize, Status>, code: Code, reason: &str) {
        let status = outcome.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "sealward"));
    }

    /// The limit that refused a call.
    fn bound_of(outcome: &Result<usize, Status>) -> Option<String> {
        let details = outcome.as_ref().unwrap_err().get_error_details();
        details.error_info().unwrap().metadata.get("bound").cloned()
    }

    #[test]
    fn smallest_budgets_have_room_for_both_forms_of_a_message() {
        let limits = Limits {
            message_size_max_bytes: 67_108_864,
            requests_max_bytes: 16_777_216,
            requests_per_identity_max_bytes: 1_048_576,
            requests_per_connection_max_bytes: 1_048_576,
            ..Limits::default()
        };
        let bounds = ArrivalBounds::of(&limits, &Shed::default());
        let caller = Payer::Identity(Identity::CommonName("ada".to_owned()).into());
        let account = bounds.requests.account(caller, Default::default());
        assert!(account.reserve(2 * u64::from(limits.message_size_max_bytes) + CALL_BYTES).is_ok());
    }

    #[tokio::test]
    async fn a_message_is_charged_when_its_length_is_known_and_until_the_answer() {
        let connection = connection();
        // Two calls, and one message of 1,000 bytes.
        let limit = 2 * (CALL_BYTES + u64::try_from(UNARY.len()).unwrap()) + 1_000;
        let bounds = bounds(limit, Duration::from_secs(60));
        let (first, first_answer) = call(&bounds, UNARY, &connection).await;
        let (second, second_answer) = call(&bounds, UNARY, &connection).await;
        // Byte by byte, which callers may do.
        for byte in &prefixed(1_000, &[]) {
            send(&first, Bytes::copy_from_slice(&[*byte])).await;
        }
        while first.capacity() < first.max_capacity() {
            tokio::task::yield_now().await;
        }
        send(&second, prefixed(1, &[])).await;
        let refused = second_answer.await.unwrap();
        assert_eq!(bound_of(&refused).as_deref(), Some("requests_per_connection_max_bytes"));
        is_refused(refused, Code::ResourceExhausted, "REQUEST_MEMORY_LIMIT");
        assert_eq!(bounds.shed.refused_by("requests_per_connection_max_bytes"), 1);
        send(&first, vec![0; 1_000].into()).await;
        drop(first);
        assert_eq!(first_answer.await.unwrap().unwrap(), 1_005);
        // All of it is released.
        let (third, answer) = call(&bounds, UNARY, &connection).await;
        send(&third, prefixed(1_000, &[0; 1_000])).await;
        drop(third);
        assert_eq!(answer.await.unwrap().unwrap(), 1_005);
    }

    #[tokio::test]
    async fn reset_request_is_cut_off_and_counts_as_cancelled() {
        let bounds = bounds(1 << 30, Duration::from_secs(60));
        for (message, is_reset) in [(prefixed(5, b"whole"), false), (prefixed(5, b"reset"), true)] {
            let facts = CallFacts::default();
            let sent = Body::new(Full::new(message.clone()));
            // A stream ends without the flag of HTTP/2.
            let cut = Body::new(StreamBody::new(tokio_stream::once(Ok::<_, Infallible>(Frame::data(message.clone())))));
            let mut request = Request::builder().uri(UNARY).body(if is_reset { cut } else { sent }).unwrap();
            request.extensions_mut().insert(facts.clone());
            let service = ArrivalLayer::new(bounds.clone()).layer(service_fn(async |request: Request<Body>| {
                let read = request.into_body().collect().await;
                Ok::<_, Infallible>(read.map_or_else(Status::into_http, |_| Response::new(Body::empty())))
            }));
            let answer = service.oneshot(request).await.unwrap();
            let code = Status::from_header_map(answer.headers()).map(|status| status.code());
            assert_eq!((code, facts.was_cut()), (is_reset.then_some(Code::Cancelled), is_reset));
        }
    }

    #[tokio::test]
    async fn a_message_that_arrives_too_slowly_is_refused() {
        let bounds = bounds(1 << 30, Duration::from_millis(20));
        let connection = connection();
        // No bytes, a part of a message, and a complete message without the end of the request.
        for sent in [&[][..], &prefixed(10, &[0; 9]), &prefixed(10, &[0; 10])] {
            let (sender, answer) = call(&bounds, UNARY, &connection).await;
            if !sent.is_empty() {
                send(&sender, Bytes::copy_from_slice(sent)).await;
            }
            is_refused(answer.await.unwrap(), Code::DeadlineExceeded, "MESSAGE_TOO_SLOW");
        }
        assert_eq!(bounds.shed.refused_by("message_time_max_ms"), 3);
    }

    #[tokio::test]
    async fn time_between_messages_of_a_stream_does_not_count() {
        let bounds = bounds(1 << 30, Duration::from_millis(20));
        let connection = connection();
        let (sender, answer) = call(&bounds, STREAM, &connection).await;
        send(&sender, prefixed(3, b"one")).await;
        let mut ticks = tokio::time::interval(Duration::from_millis(60));
        ticks.tick().await;
        ticks.tick().await;
        send(&sender, prefixed(3, b"two")).await;
        drop(sender);
        assert_eq!(answer.await.unwrap().unwrap(), 16);
        let (sender, answer) = call(&bounds, STREAM, &connection).await;
        send(&sender, prefixed(3, b"one")).await;
        send(&sender, prefixed(3, b"t")).await;
        is_refused(answer.await.unwrap(), Code::DeadlineExceeded, "MESSAGE_TOO_SLOW");
    }

    #[tokio::test]
    async fn oversized_message_is_refused_with_its_limit_and_not_charged() {
        for (path, size, limit) in
            [(UNARY, 65_537, "message_size_max_bytes"), (HEALTH, 1_025, "probe_message_size_max_bytes")]
        {
            let bounds = bounds(CALL_BYTES + 100, Duration::from_secs(60));
            let (sender, answer) = call(&bounds, path, &connection()).await;
            send(&sender, prefixed(size, b"part")).await;
            let refused = answer.await.unwrap();
            assert_eq!(bound_of(&refused).as_deref(), Some(limit));
            is_refused(refused, Code::OutOfRange, "MESSAGE_TOO_LARGE");
            assert_eq!(bounds.shed.refused_by(limit), 1);
        }
    }
}
