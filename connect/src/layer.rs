//! The layer: detects the protocol of a request, and changes the framing of request and answer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, Request, Response, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::{
    answer,
    answer_json::JsonAnswer,
    buffer::{BufferBound, Room},
    headers::{CONNECT_PROTOCOL_VERSION, GRPC_ENCODING, accepts_gzip, is_gzip, to_grpc},
    methods::{Method, Methods},
    protocol::{Protocol, Unsupported},
    request,
};

/// The version of Connect.
const CONNECT_VERSION: &str = "1";

/// Puts [`Framing`] around a service.
#[derive(Clone, Debug)]
pub struct FramingLayer {
    methods: Arc<Methods>,
    message_size_max: usize,
}

/// A service that receives calls in all protocols, around one that knows only gRPC.
///
/// The inner service finds in the extensions of a request: its [`Protocol`], unless it is gRPC; [`Unsupported`], if the protocol can't
/// carry the call, which the service has to refuse; and the [`BufferBound`] of its memory. It must have an
/// [`AnswerJson`](crate::AnswerJson) inside, which makes its messages JSON for callers that read JSON.
#[derive(Clone, Debug)]
pub struct Framing<S> {
    layer: FramingLayer,
    inner: S,
}

impl FramingLayer {
    /// Serves these methods. The maximum size of a message, in bytes, applies to each of its forms: as sent, decompressed, as JSON, and
    /// binary.
    #[must_use]
    pub fn new(methods: Arc<Methods>, message_size_max: usize) -> Self {
        Self { methods, message_size_max }
    }

    /// Changes a request to gRPC. Returns the form of its answer; `None` if nothing has to be changed.
    fn framed(&self, request: Request<Body>) -> (Request<Body>, Option<answer::Form>) {
        let Some(protocol) = protocol_of(request.headers()) else { return (request, None) };
        let is_http1 = request.version() < Version::HTTP_2;
        let may_be_compressed = protocol != Protocol::Grpc
            || request.headers().contains_key(GRPC_ENCODING)
            || accepts_gzip(request.headers(), protocol);
        if !may_be_compressed && !is_http1 {
            return (request, None);
        }
        let (mut head, inner) = request.into_parts();
        let method = self.methods.get(head.uri.path());
        let unsupported = unsupported(protocol, method.map(|method| &**method), &head.headers, is_http1);
        let is_gzip = is_gzip(&head.headers, protocol);
        let is_gzip_accepted = accepts_gzip(&head.headers, protocol);
        let form = request::Form {
            is_bare: matches!(protocol, Protocol::ConnectUnary(_)),
            is_text: protocol == Protocol::GrpcWebText,
            is_gzip,
            json: method.filter(|_| protocol.is_json()).map(|method| method.input.clone()),
            content_length: content_length(&head.headers),
            takes_stream: method.is_some_and(|method| method.takes_stream),
        };
        to_grpc(&mut head.headers, protocol, is_gzip);
        if protocol != Protocol::Grpc {
            head.extensions.insert(protocol);
        }
        if let Some(method) = method.filter(|_| protocol.is_json()) {
            head.extensions.insert(JsonAnswer(method.output.clone()));
        }
        let body = match (method, unsupported) {
            // The service refuses the call without reading it.
            (_, Some(unsupported)) => {
                head.extensions.insert(unsupported);
                inner
            }
            (None, None) => inner,
            (Some(_), None) if form.is_grpc() => inner,
            (Some(_), None) => {
                let bound = BufferBound::default();
                head.extensions.insert(bound.clone());
                request::body(inner, form, Room::new(self.message_size_max, bound))
            }
        };
        let answer = answer::Form {
            protocol,
            is_known: method.is_some(),
            is_gzip: is_gzip_accepted && method.is_some_and(|method| method.may_be_compressed),
            methods: Arc::clone(&self.methods),
        };
        (Request::from_parts(head, body), Some(answer))
    }
}

/// The protocol of a request with exactly one content type.
fn protocol_of(headers: &HeaderMap) -> Option<Protocol> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Protocol::of_content_type(value.to_str().ok()?),
        (_, _) => None,
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why the protocol can't carry the call, if it can't.
fn unsupported(
    protocol: Protocol,
    method: Option<&Method>,
    headers: &HeaderMap,
    is_http1: bool,
) -> Option<Unsupported> {
    if protocol == Protocol::Grpc {
        return is_http1.then_some(Unsupported::GrpcOverHttp1);
    }
    let mut versions = headers.get_all(CONNECT_PROTOCOL_VERSION).iter();
    if protocol.is_connect()
        && (versions.next().is_some_and(|version| version != CONNECT_VERSION) || versions.next().is_some())
    {
        return Some(Unsupported::ConnectVersion);
    }
    let method = method?;
    match protocol {
        Protocol::GrpcWeb | Protocol::GrpcWebText if method.takes_stream => Some(Unsupported::ClientStreaming),
        Protocol::ConnectUnary(_) if method.has_stream() => Some(Unsupported::NeedsStreaming),
        Protocol::ConnectStreaming(_) if !method.has_stream() => Some(Unsupported::NeedsUnary),
        Protocol::ConnectStreaming(_) if is_http1 && method.takes_stream && method.returns_stream => {
            Some(Unsupported::BidirectionalOverHttp1)
        }
        Protocol::Grpc
        | Protocol::GrpcWeb
        | Protocol::GrpcWebText
        | Protocol::ConnectUnary(_)
        | Protocol::ConnectStreaming(_) => None,
    }
}

impl<S> Layer<S> for FramingLayer {
    type Service = Framing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Framing { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Framing<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error: Send, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = FramingFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (request, form) = self.layer.framed(request);
        let answer = self.inner.call(request);
        match form {
            None => FramingFuture::Passed { answer },
            Some(form) => {
                FramingFuture::Framed { answer: Box::pin(async { Ok(answer::framed(answer.await?, form).await) }) }
            }
        }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The answer, in the framing of the caller.
    #[project = FramingFutureProjection]
    #[allow(missing_docs)]
    pub enum FramingFuture<F, E> {
        /// An answer that isn't changed.
        Passed { #[pin] answer: F },
        /// An answer that is changed.
        Framed { answer: Boxed<Result<Response<Body>, E>> },
    }
}

impl<F, E> Future for FramingFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            FramingFutureProjection::Passed { answer } => answer.poll(context),
            FramingFutureProjection::Framed { answer } => answer.as_mut().poll(context),
        }
    }
}
