//! Adds a reason and the call id to every error, in the headers of an answer without a body, or in the trailers after one. The origin of
//! the error doesn't matter.
//!
//! `status` defines the details.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::trace::CallId;
use crate::status;

/// Puts [`Complete`] around a service.
#[derive(Clone, Copy)]
pub(crate) struct CompleteLayer;

/// A service whose errors are complete.
#[derive(Clone)]
pub(crate) struct Complete<S> {
    inner: S,
}

impl<S> Layer<S> for CompleteLayer {
    type Service = Complete<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Complete { inner }
    }
}

impl<S> Service<Request<Body>> for Complete<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CompleteFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call_id = request.extensions().get::<CallId>().cloned().unwrap_or_default();
        CompleteFuture { answer: self.inner.call(request), call_id }
    }
}

pin_project! {
    /// The answer, completed.
    pub(crate) struct CompleteFuture<F> {
        #[pin]
        answer: F,
        call_id: CallId,
    }
}

impl<F, E> Future for CompleteFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(context))?;
        if response.headers().contains_key(Status::GRPC_STATUS) {
            status::complete(response.headers_mut(), this.call_id.as_str());
            return Poll::Ready(Ok(response));
        }
        let call_id = this.call_id.clone();
        Poll::Ready(Ok(response.map(|inner| Body::new(CompleteBody { inner, call_id }))))
    }
}

struct CompleteBody {
    inner: Body,
    call_id: CallId,
}

impl http_body::Body for CompleteBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut polled = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            status::complete(trailers, self.call_id.as_str());
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderMap;
    use http_body_util::{BodyExt, Full};
    use tonic_types::StatusExt;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "what the framework does")]
    async fn error_in_the_trailers_is_completed() {
        let service = CompleteLayer.layer(service_fn(|_| async {
            let mut trailers = HeaderMap::new();
            Status::out_of_range("too large").add_header(&mut trailers).unwrap();
            let body = Full::new(Bytes::from_static(b"message")).with_trailers(async { Some(Ok(trailers)) });
            Ok::<_, Infallible>(Response::new(Body::new(body)))
        }));
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(CallId::from("the-call"));
        let answer = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        let status = Status::from_header_map(answer.trailers().unwrap()).unwrap();
        assert_eq!(status.get_details_error_info().unwrap().reason, "MESSAGE_TOO_LARGE");
        assert_eq!(status.get_details_request_info().unwrap().request_id, "the-call");
        assert_eq!(answer.to_bytes(), "message");
    }
}
