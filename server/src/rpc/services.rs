//! The services of all rpcs, found by the path of a call.
//!
//! A call needs one look-up and one box for its future. The router of tonic is for any pattern of paths, and costs several of both, which is
//! a twentieth of a short call.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use crate::status::Refusal;

/// The future of an answer.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

type Call = Box<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// All services. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Services(Arc<ServicesBuilder>);

/// Collects services.
#[derive(Default)]
pub(super) struct ServicesBuilder {
    /// By path: `/sealward.mail.v1.MailboxService/GetMailbox`.
    methods: HashMap<String, Call>,
    /// By name: `sealward.v1.AuditService`. Each finds its methods itself.
    services: HashMap<&'static str, Call>,
}

impl ServicesBuilder {
    /// Adds a method.
    pub(super) fn add_method(&mut self, path: String, call: impl Fn(Request<Body>) -> Answer + Send + Sync + 'static) {
        self.methods.insert(path, Box::new(call));
    }

    /// Adds a generated service.
    pub(super) fn add_service<S>(&mut self, service: S) -> &mut Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        // A generated service is always ready.
        self.services.insert(S::NAME, Box::new(move |request| service.clone().call(request)));
        self
    }

    pub(super) fn build(self) -> Services {
        Services(Arc::new(self))
    }

    fn find(&self, path: &str) -> Option<&Call> {
        self.methods.get(path).or_else(|| self.services.get(path.split('/').nth(1)?))
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        match self.0.find(request.uri().path()) {
            Some(call) => call(request),
            None => Box::pin(ready(Ok(Status::from(Refusal::MethodUnknown).into_http()))),
        }
    }
}
