//! Serves connections, each in its protocol and on its worker, until the server stops.

use std::{convert::Infallible, pin::pin, sync::Arc};

use http::{Request, Response};
use sealward_core::random::Random;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

use super::{
    budget::Budget,
    closing::Closing,
    discard::Discard,
    front::Front,
    http1::Http1,
    http2::Http2,
    listener::{ConnectionStream, Protocol},
    probe::Readiness,
    tls::TlsContext,
};
use crate::{config::limits::Limits, drain::Drain, telemetry::shed::Shed};

/// Serves connections.
#[derive(Clone)]
pub(crate) struct Serving {
    closing: Closing,
    http1: Http1,
    http2: Http2,
    readiness: Readiness,
}

/// The memory and the state that connections share with other parts of the server.
pub(crate) struct Shared {
    /// The budget of arriving requests.
    pub(crate) requests: Arc<Budget>,
    /// Whether the server is ready.
    pub(crate) readiness: Readiness,
    /// Counts refusals.
    pub(crate) shed: Shed,
}

impl Serving {
    /// Uses the limits of the configuration. `tls_context` has the current trust. `random` spreads the ends of connections.
    pub(crate) fn new(
        limits: &Limits,
        tls_context: watch::Receiver<Arc<TlsContext>>,
        random: Arc<dyn Random>,
        drain: Drain,
        shared: Shared,
    ) -> Self {
        let Shared { requests, readiness, shed } = shared;
        let discard = Discard::new(limits, requests);
        let closing = Closing { limits: *limits, tls_context, random, drain, shed };
        let http1 = Http1::new(closing.clone(), discard.clone());
        let http2 = Http2::new(closing.clone(), discard);
        Self { closing, http1, http2, readiness }
    }

    /// With default parts.
    #[cfg(test)]
    pub(crate) fn for_tests(
        limits: &Limits,
        tls_context: watch::Receiver<Arc<TlsContext>>,
        drain: &Drain,
        shed: &Shed,
    ) -> Self {
        let requests = crate::gates::arrival::ArrivalBounds::of(limits, shed).requests;
        let shared = Shared { requests, readiness: Readiness::default(), shed: shed.clone() };
        Self::new(limits, tls_context, Arc::new(crate::ports::random::SystemRandom), drain.clone(), shared)
    }

    /// Serves all connections until the server stops and the last connection has ended. Each request has its [`Connection`] in its
    /// extensions.
    ///
    /// [`Connection`]: crate::transport::connection::Connection
    pub(crate) async fn serve<S>(self, mut connections: mpsc::Receiver<ConnectionStream>, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let service = Front::new(service, self.readiness.clone());
        let tasks = TaskTracker::new();
        let mut begun = pin!(self.closing.drain.begun());
        loop {
            let stream = tokio::select! {
                () = &mut begun => break,
                stream = connections.recv() => stream,
            };
            let Some(stream) = stream else { break };
            let runtime = stream.runtime().clone();
            tasks.spawn_on(self.clone().serve_one(stream, service.clone()), &runtime);
        }
        // Closes the sockets, so that new clients don't wait.
        drop(connections);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve_one<S>(self, mut stream: ConnectionStream, service: Front<S>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let (peer, slot) = (stream.connection().peer.clone(), Arc::clone(stream.slot()));
        let protocol = tokio::select! {
            protocol = stream.protocol() => protocol,
            () = slot.closing() => return tracing::debug!(%peer, "silent connection closed to admit another one"),
            () = self.closing.drain.begun() => return tracing::debug!(%peer, "silent connection closed at shutdown"),
        };
        match protocol {
            Ok(Protocol::Http1) => self.http1.serve(stream, service).await,
            Ok(Protocol::Http2) => self.http2.serve(stream, service).await,
            Err(error) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection failed");
            }
        }
    }
}
