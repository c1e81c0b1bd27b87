//! The answer of a service in gRPC, in the framing of the caller.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body::{Body as _, Frame};
use tonic::{Code, Status, body::Body};

use crate::{
    buffer::Room,
    envelope::{COMPRESSED, Envelopes, Event, prefix},
    error::{body as error_body, end_of_stream, http_status},
    gzip,
    headers::{GRPC_ACCEPT_ENCODING, accept_header, coding_header, is_grpc},
    methods::Methods,
    protocol::Protocol,
    text,
};

/// The flag of the message at the end of a stream in Connect.
const CONNECT_END: u8 = 2;

/// The flag of the frame with the trailers in gRPC-Web.
const WEB_TRAILERS: u8 = 0x80;

/// The prefix of trailers that are sent as headers in Connect.
const TRAILER_PREFIX: &str = "trailer-";

/// The form of the answers to a call.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) protocol: Protocol,
    /// Whether the method exists.
    pub(crate) is_known: bool,
    /// Whether messages are compressed: the caller accepts it, and they contain no secret.
    pub(crate) is_gzip: bool,
    pub(crate) methods: Arc<Methods>,
}

/// Changes an answer to this form.
pub(crate) async fn framed(response: Response<Body>, form: Form) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    // An answer without a body has its status in the headers.
    let status = Status::from_header_map(&head.headers);
    let protocol = form.protocol;
    if let Some(accepted) = head.headers.remove(GRPC_ACCEPT_ENCODING) {
        head.headers.insert(accept_header(protocol), accepted);
    }
    if protocol != Protocol::Grpc {
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
        head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        head.headers.remove(CONTENT_LENGTH);
    }
    match (protocol, status) {
        (Protocol::ConnectUnary(_), status) => {
            let answer = match status {
                Some(status) => Unary { message: None, status, trailers: HeaderMap::new() },
                None => collect(body).await,
            };
            let content = answer.into_content(&mut head, &form);
            head.headers.insert(CONTENT_LENGTH, content.len().into());
            Response::from_parts(head, Body::new(Whole(Some(content))))
        }
        (Protocol::ConnectStreaming(_), Some(status)) => {
            let end = end_of_stream(&status, &HeaderMap::new(), &form.methods);
            remove_grpc(&mut head.headers);
            let end = [prefix(CONNECT_END, end.len()).unwrap_or_default(), end.into()].concat();
            Response::from_parts(head, Body::new(Whole(Some(end.into()))))
        }
        // The caller finds the status in the headers.
        (Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText, Some(_)) => Response::from_parts(head, body),
        (_, None) => {
            if form.is_gzip {
                head.headers.insert(coding_header(protocol), HeaderValue::from_static(gzip::GZIP));
            }
            let body = AnswerBody {
                inner: body,
                form,
                arrived: Bytes::new(),
                envelopes: Envelopes::default(),
                out: VecDeque::new(),
                ended: false,
            };
            Response::from_parts(head, Body::new(body))
        }
    }
}

fn remove_grpc(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_grpc(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// A collected answer.
struct Unary {
    message: Option<Bytes>,
    status: Status,
    trailers: HeaderMap,
}

async fn collect(body: Body) -> Unary {
    let mut body = pin!(body);
    let (mut envelopes, mut message, mut trailers) = (Envelopes::default(), None, None);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = match frame.map(Frame::into_data) {
            Ok(Ok(mut data)) => {
                while let Ok(Some(event)) = envelopes.next(&mut data, &Room::unbounded()) {
                    if let Event::Message(_, data) = event {
                        message = Some(data);
                    }
                }
                continue;
            }
            Ok(Err(frame)) => frame,
            // The service has failed without a status.
            Err(_) => break,
        };
        trailers = frame.into_trailers().ok();
    }
    let status = trailers.as_ref().and_then(Status::from_header_map).unwrap_or_else(no_status);
    Unary { message, status, trailers: trailers.unwrap_or_default() }
}

#[expect(clippy::disallowed_methods, reason = "a service that ends without a status has made none")]
fn no_status() -> Status {
    Status::new(Code::Internal, "the answer ended without a status")
}

impl Unary {
    /// The content of the answer. Completes its head.
    fn into_content(self, head: &mut http::response::Parts, form: &Form) -> Bytes {
        remove_grpc(&mut head.headers);
        for (name, value) in &self.trailers {
            if !is_grpc(name)
                && let Ok(name) = HeaderName::try_from(format!("{TRAILER_PREFIX}{name}"))
            {
                head.headers.append(name, value.clone());
            }
        }
        let message = match (self.status.code(), self.message) {
            (Code::Ok, Some(message)) => Ok(message),
            (Code::Ok, None) => Err(no_status()),
            (_, _) => Err(self.status),
        };
        match message {
            Ok(message) => match form.is_gzip.then(|| gzip::compress(&message)).flatten() {
                Some(compressed) => {
                    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(gzip::GZIP));
                    compressed
                }
                None => message,
            },
            Err(status) => {
                // A server without the path answers 404.
                let is_unknown = status.code() == Code::Unimplemented && !form.is_known;
                head.status = if is_unknown { StatusCode::NOT_FOUND } else { http_status(status.code()) };
                debug_assert_ne!(head.status, StatusCode::OK);
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                error_body(&status, &form.methods).to_string().into()
            }
        }
    }
}

/// A body of known content.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().filter(|content| !content.is_empty()).map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        http_body::SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// The body of an answer that is sent as it is made.
struct AnswerBody {
    inner: Body,
    form: Form,
    /// The bytes of the service that aren't processed yet.
    arrived: Bytes,
    envelopes: Envelopes,
    /// The frames to send.
    out: VecDeque<Frame<Bytes>>,
    ended: bool,
}

impl AnswerBody {
    /// Adds bytes to the frames to send. A text is decoded part by part.
    fn push(&mut self, data: Bytes) {
        let data = if self.form.protocol == Protocol::GrpcWebText { text::encode(&data) } else { data };
        if !data.is_empty() {
            self.out.push_back(Frame::data(data));
        }
    }

    fn push_message(&mut self, flags: u8, message: &Bytes) {
        let mut framed = BytesMut::with_capacity(message.len().saturating_add(5));
        framed.extend_from_slice(&prefix(flags, message.len()).unwrap_or_default());
        framed.extend_from_slice(message);
        self.push(framed.freeze());
    }

    /// Processes the bytes of the service, until there is something to send.
    fn process(&mut self) -> Result<(), Status> {
        if !self.form.is_gzip {
            let data = std::mem::take(&mut self.arrived);
            self.push(data);
            return Ok(());
        }
        let event = self.envelopes.next(&mut self.arrived, &Room::unbounded()).map_err(|_| no_status())?;
        if let Some(Event::Message(flags, message)) = event {
            match gzip::compress(&message) {
                Some(compressed) => self.push_message(flags | COMPRESSED, &compressed),
                None => self.push_message(flags, &message),
            }
        }
        Ok(())
    }

    fn end(&mut self, trailers: HeaderMap) {
        self.ended = true;
        match self.form.protocol {
            Protocol::Grpc => self.out.push_back(Frame::trailers(trailers)),
            Protocol::GrpcWeb | Protocol::GrpcWebText => {
                let mut text = Vec::new();
                for (name, value) in &trailers {
                    text.extend_from_slice(name.as_str().as_bytes());
                    text.extend_from_slice(b": ");
                    text.extend_from_slice(value.as_bytes());
                    text.extend_from_slice(b"\r\n");
                }
                self.push_message(WEB_TRAILERS, &text.into());
            }
            Protocol::ConnectStreaming(_) | Protocol::ConnectUnary(_) => {
                let status = Status::from_header_map(&trailers).unwrap_or_else(no_status);
                let end = end_of_stream(&status, &trailers, &self.form.methods);
                self.push_message(CONNECT_END, &end.into());
            }
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(frame) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if !this.arrived.is_empty() {
                if let Err(status) = this.process() {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.arrived = data,
                    Err(frame) => this.end(frame.into_trailers().unwrap_or_default()),
                },
                Some(Err(status)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
                None => this.ended = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.out.is_empty()
    }
}
