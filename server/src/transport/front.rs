//! The first service of every request: refuses requests that proxies read differently, and answers requests of HTTP/1.1 without TLS.
//!
//! All other requests go to the service of calls.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response, Version};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    connection::Connection,
    probe::Readiness,
    request_rules,
    without_tls::{self, Form},
};

/// The prefix of the paths of health checks, which need no TLS.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// A service of calls, behind the rules for all requests.
#[derive(Clone)]
pub(super) struct Front<S> {
    inner: S,
    readiness: Readiness,
}

impl<S> Front<S> {
    pub(super) fn new(inner: S, readiness: Readiness) -> Self {
        Self { inner, readiness }
    }

    /// The answer that needs no call.
    fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        // The bytes of HTTP/1.1 were checked before they became a request.
        if request.version() != Version::HTTP_11
            && let Err(fault) = request_rules::check(request)
        {
            let answer = fault.answer();
            // The answer to HEAD has no content (RFC 9110, section 9.3.2).
            return Some(if request.method() == Method::HEAD { answer.map(|_| Body::empty()) } else { answer });
        }
        let is_private = request.extensions().get::<Connection>().is_some_and(|connection| connection.is_private());
        if is_private { None } else { self.readiness.answer(request.method(), request.uri().path()) }
    }
}

impl<S> Service<Request<Body>> for Front<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = FrontFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(response) = self.answer(&request) {
            return FrontFuture::Answered { response: Some(response) };
        }
        let connection = request.extensions().get::<Connection>();
        let needs_tls = request.version() == Version::HTTP_11
            && connection.is_none_or(|connection| !connection.is_private())
            && !request.uri().path().starts_with(HEALTH);
        if !needs_tls {
            return FrontFuture::Called { answer: self.inner.call(request), form: None };
        }
        match Form::of(request.headers()) {
            Some(form) => {
                let (head, _unread) = request.into_parts();
                FrontFuture::Called { answer: self.inner.call(without_tls::as_grpc(&head)), form: Some(form) }
            }
            None => FrontFuture::Answered { response: Some(without_tls::plain()) },
        }
    }
}

pin_project! {
    /// The answer of the service, in the form of Connect if there is one, or of the front.
    #[project = FrontFutureProjection]
    pub(super) enum FrontFuture<F> {
        Called { #[pin] answer: F, form: Option<Form> },
        Answered { response: Option<Response<Body>> },
    }
}

impl<F> Future for FrontFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            FrontFutureProjection::Called { answer, form } => {
                let Ok(response) = ready!(answer.poll(context));
                let Some(form) = form else { return Poll::Ready(Ok(response)) };
                let status = Status::from_header_map(response.headers());
                Poll::Ready(Ok(status.map_or(response, |status| form.answer(&status))))
            }
            FrontFutureProjection::Answered { response } => {
                Poll::Ready(Ok(response.take().unwrap_or_else(without_tls::plain)))
            }
        }
    }
}
