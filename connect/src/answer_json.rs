//! The messages of an answer as JSON, between the layer of the framing and the services.
//!
//! This is a layer of its own, so that a service can put layers around it which complete and record each error of a call, also that of an
//! answer without a JSON form. It doesn't change the framing of gRPC around the messages.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use pin_project_lite::pin_project;
use prost_reflect::MessageDescriptor;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    buffer::Room,
    envelope::{Envelopes, Event, prefix},
    json::{self, JsonError},
};

/// The type of the messages in the answer to a request, if the caller reads them as JSON. It is in the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct JsonAnswer(pub(crate) MessageDescriptor);

/// An answer can't be converted: the service has made a message that has no JSON form.
#[derive(Debug, thiserror::Error)]
#[error("the answer has no JSON form")]
pub struct NoJsonForm(#[source] Option<JsonError>);

/// Puts [`AnswerJson`] around a service. It has to be inside [`FramingLayer`](crate::FramingLayer).
#[derive(Clone, Copy, Debug)]
pub struct AnswerJsonLayer {
    failed: fn(NoJsonForm) -> Status,
}

/// A service whose messages become JSON for callers that read JSON.
#[derive(Clone, Copy, Debug)]
pub struct AnswerJson<S> {
    layer: AnswerJsonLayer,
    inner: S,
}

impl AnswerJsonLayer {
    /// `failed` makes the status with which an answer ends that can't be converted.
    #[must_use]
    pub fn new(failed: fn(NoJsonForm) -> Status) -> Self {
        Self { failed }
    }
}

impl<S> Layer<S> for AnswerJsonLayer {
    type Service = AnswerJson<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerJson { layer: *self, inner }
    }
}

impl<S> Service<Request<Body>> for AnswerJson<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AnswerJsonFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let json = request.extensions_mut().remove::<JsonAnswer>();
        AnswerJsonFuture { answer: self.inner.call(request), json, failed: self.layer.failed }
    }
}

pin_project! {
    /// The answer, converted if necessary.
    pub struct AnswerJsonFuture<F> {
        #[pin]
        answer: F,
        json: Option<JsonAnswer>,
        failed: fn(NoJsonForm) -> Status,
    }
}

impl<F, E> Future for AnswerJsonFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        let Some(JsonAnswer(descriptor)) = this.json.take() else { return Poll::Ready(Ok(response)) };
        let failed = *this.failed;
        Poll::Ready(Ok(response.map(|inner| {
            Body::new(JsonBody {
                inner,
                descriptor,
                failed,
                arrived: Bytes::new(),
                envelopes: Envelopes::default(),
                out: VecDeque::new(),
                ended: false,
            })
        })))
    }
}

struct JsonBody {
    inner: Body,
    descriptor: MessageDescriptor,
    failed: fn(NoJsonForm) -> Status,
    /// The bytes of the service that aren't processed yet.
    arrived: Bytes,
    envelopes: Envelopes,
    /// The bytes to pass on.
    out: VecDeque<Bytes>,
    ended: bool,
}

impl JsonBody {
    /// Processes the bytes of the service, until there is something to pass on.
    fn process(&mut self) -> Result<(), NoJsonForm> {
        let event = self.envelopes.next(&mut self.arrived, &Room::unbounded()).map_err(|_| NoJsonForm(None))?;
        if let Some(Event::Message(flags, message)) = event {
            let text = json::encode(&self.descriptor, &message).map_err(|error| NoJsonForm(Some(error)))?;
            self.out.push_back(prefix(flags, text.len()).ok_or(NoJsonForm(None))?);
            self.out.push_back(Bytes::from_owner(text));
        }
        Ok(())
    }
}

impl http_body::Body for JsonBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(data) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if !this.arrived.is_empty() {
                if let Err(error) = this.process() {
                    this.ended = true;
                    let (status, mut trailers) = ((this.failed)(error), HeaderMap::new());
                    let ended = status.add_header(&mut trailers).map(|()| Frame::trailers(trailers));
                    return Poll::Ready(Some(ended));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.arrived = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => {
                    this.ended = true;
                    return Poll::Ready(end);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.out.is_empty() && (self.ended || self.arrived.is_empty() && self.inner.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use http::StatusCode;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use serde_json::{Value, json};
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::{FramingLayer, Methods};

    const WHO_AM_I: &str = "/sealward.v1.AccessService/WhoAmI";

    /// A call of Connect to a service that answers with these bytes as its message.
    async fn call(message: &'static [u8]) -> (StatusCode, Value) {
        let methods = Arc::new(Methods::new([sealward::FILE_DESCRIPTOR_SET]).unwrap());
        #[expect(clippy::disallowed_methods, reason = "stands for the service's own status")]
        let failed = AnswerJsonLayer::new(|error| {
            assert!(std::error::Error::source(&error).is_some());
            Status::data_loss("not converted")
        });
        let service = service_fn(async |_: Request<Body>| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [prefix(0, message.len()).unwrap(), Bytes::from_static(message)].map(Frame::data);
            let frames = frames.into_iter().chain([Frame::trailers(trailers)]).map(Ok::<_, Infallible>);
            Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames)))))
        });
        let request = Request::post(WHO_AM_I).header("content-type", "application/json");
        let request = request.body(Body::new(Full::new(Bytes::from_static(b"{}")))).unwrap();
        let service = FramingLayer::new(methods, 1_000).layer(failed.layer(service));
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        (head.status, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
    }

    #[tokio::test]
    async fn answer_without_a_json_form_ends_with_the_status_of_the_service() {
        let (status, answer) = call(b"\x0a\x01x").await;
        assert_eq!((status, &answer["identity"]), (StatusCode::OK, &json!("x")));
        // A text that isn't UTF-8.
        let (status, answer) = call(b"\x0a\x01\xff").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer, json!({ "code": "data_loss", "message": "not converted" }));
    }
}
