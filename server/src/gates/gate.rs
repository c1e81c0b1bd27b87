//! A gate: a decision about a call by its headers, and its tower layer.
//!
//! A gate gets only the head of a request, so that it can't read the body.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt as _};

use crate::status::Refusal;

/// A decision about a call.
pub(crate) trait Gate: Clone {
    /// Admits the call, and may add facts to its extensions.
    ///
    /// # Errors
    /// The refusal of the call.
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal>;

    /// An event that may change a refusal, if any. The call waits for it, and the gate decides again.
    fn wait(&self, _head: &Parts, _refusal: &Refusal) -> Option<Wait> {
        None
    }
}

/// Gates one behind the other. Each decides only about calls that those before it have admitted.
impl<A: Gate, B: Gate, C: Gate, D: Gate, E: Gate, F: Gate> Gate for (A, B, C, D, E, F) {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        let (a, b, c, d, e, f) = self;
        a.admit(head)?;
        b.admit(head)?;
        c.admit(head)?;
        d.admit(head)?;
        e.admit(head)?;
        f.admit(head)
    }

    fn wait(&self, head: &Parts, refusal: &Refusal) -> Option<Wait> {
        let (a, b, c, d, e, f) = self;
        let wait = a.wait(head, refusal).or_else(|| b.wait(head, refusal)).or_else(|| c.wait(head, refusal));
        wait.or_else(|| d.wait(head, refusal)).or_else(|| e.wait(head, refusal)).or_else(|| f.wait(head, refusal))
    }
}

/// Resolves when a gate may decide differently. Its creator limits its time.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Puts a gate before a service.
#[derive(Clone)]
pub(crate) struct GateLayer<G>(pub(crate) G);

/// A service behind a gate.
#[derive(Clone)]
pub(crate) struct Gated<G, S> {
    /// Shared, because a service is cloned for each call.
    gate: Arc<G>,
    inner: S,
}

impl<G: Gate, S> Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { gate: Arc::new(self.0.clone()), inner }
    }
}

impl<G, S> Service<Request<Body>> for Gated<G, S>
where
    G: Gate + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
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
            Err(refusal) => match self.gate.wait(&head, &refusal) {
                None => GatedFuture::Refused { refusal },
                Some(wait) => {
                    let (gate, inner) = (Arc::clone(&self.gate), self.inner.clone());
                    GatedFuture::Waiting { answer: Box::pin(admit_after(wait, gate, inner, head, body)) }
                }
            },
        }
    }
}

async fn admit_after<G, S>(
    wait: Wait,
    gate: Arc<G>,
    inner: S,
    mut head: Parts,
    body: Body,
) -> Result<Response<Body>, S::Error>
where
    G: Gate,
    S: Service<Request<Body>, Response = Response<Body>>,
{
    wait.await;
    match gate.admit(&mut head) {
        Ok(()) => inner.oneshot(Request::from_parts(head, body)).await,
        Err(refusal) => Ok(Status::from(refusal).into_http()),
    }
}

pin_project! {
    /// The answer of the service, or of the gate.
    #[project = GatedFutureProjection]
    pub(crate) enum GatedFuture<F: Future> {
        Admitted { #[pin] answer: F },
        Refused { refusal: Refusal },
        Waiting { answer: Pin<Box<dyn Future<Output = F::Output> + Send>> },
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
            GatedFutureProjection::Waiting { answer } => ready!(answer.as_mut().poll(context)),
        })
    }
}
