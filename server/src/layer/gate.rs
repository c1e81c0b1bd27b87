//! A gate: a decision about a call by its headers, and the tower plumbing around it.
//!
//! A gate is handed the head of a request and never its body, so that no gate can read one.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::status::Refusal;

/// A decision about a call.
pub(crate) trait Gate: Clone {
    /// Lets the call pass, and may leave what it found out in the extensions.
    ///
    /// # Errors
    /// The answer to a call that doesn't pass.
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal>;
}

/// Puts a gate before a service.
#[derive(Clone)]
pub(crate) struct GateLayer<G>(pub(crate) G);

/// A service behind a gate.
#[derive(Clone)]
pub(crate) struct Gated<G, S> {
    gate: G,
    inner: S,
}

impl<G: Gate, S> Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { gate: self.0.clone(), inner }
    }
}

impl<G, S> Service<Request<Body>> for Gated<G, S>
where
    G: Gate,
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = GatedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        match self.gate.admit(&mut head) {
            Ok(()) => GatedFuture::Admitted { answer: self.inner.call(Request::from_parts(head, body)) },
            Err(refusal) => GatedFuture::Refused { refusal },
        }
    }
}

pin_project! {
    /// The answer of the service, or of the gate.
    #[project = GatedFutureProjection]
    pub(crate) enum GatedFuture<F> {
        Admitted { #[pin] answer: F },
        Refused { refusal: Refusal },
    }
}

impl<F, E> Future for GatedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project() {
            GatedFutureProjection::Admitted { answer } => ready!(answer.poll(context)),
            GatedFutureProjection::Refused { refusal } => Ok(Status::from(refusal.clone()).into_http()),
        })
    }
}
