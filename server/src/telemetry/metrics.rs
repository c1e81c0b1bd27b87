//! Metrics for scrapers of `listen.metrics_address`, in OpenMetrics or in the older text format of Prometheus. Probes are answered there too.
//!
//! The listener serves GET and HEAD of its paths over HTTP/1.1. Its connections are few, and each has limited times: for the handshake, for
//! the head of a request, for reading an answer, and for its age. [`table`] has all metrics, [`alerts`] and [`panels`] what is made of
//! them.

pub(crate) mod access;
mod alerts;
pub(crate) mod documents;
mod exposition;
mod figures;
mod format;
mod panels;
mod process;
mod samples;
mod scrape;
mod table;
mod timed;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};
use tonic::body::Body;

pub(crate) use self::scrape::Sources;
use self::{
    access::{Access, Refused},
    format::Format,
    scrape::Scraper,
    timed::Timed,
};
use crate::{
    config::{Config, MetricsAccess, limits::Limits},
    drain::Drain,
    identity::ClientCertificate,
    telemetry::{
        counters::Counters,
        samples::{Kind, Samples, Who},
    },
    transport::{
        connection_limit::{Bounds, ConnectionSlots},
        handshake::Handshakes,
        keepalive::Keepalive,
        listener::{BindError, accept, bind, client_certificate_of},
        probe::Readiness,
        request_rules::text,
        tls::TlsContext,
    },
};

/// The largest request head: a line and some headers.
const REQUEST_MAX_BYTES: usize = 16 * 1024;

/// The path of metrics.
const PATH: &str = "/metrics";

/// The listener for scrapers.
pub(crate) struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
    access: MetricsAccess,
}

/// The parts that the listener shares with the others.
pub(crate) struct Shared {
    pub(crate) handshakes: Handshakes,
    pub(crate) samples: Samples,
    pub(crate) readiness: Readiness,
    pub(crate) drain: Drain,
}

impl Metrics {
    /// Binds the configured address. Port 0 selects a free port. `None` if no address is configured.
    pub(crate) async fn bind(config: &Config) -> Result<Option<Self>, BindError> {
        let Some(address) = config.listen.metrics_address else { return Ok(None) };
        let (listener, address) = bind(address).await?;
        Ok(Some(Metrics { listener, address, access: config.metrics.clone() }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers scrapes until the server drains. The drain doesn't wait for scrapes.
    pub(crate) async fn serve(self, sources: Sources, shared: Shared) {
        let limits = sources.limits;
        let bounds = Bounds::unidentified(limits.metrics_connections_max, "metrics_connections_max");
        let slots = ConnectionSlots::new(bounds, sources.shed.clone());
        let tls = self.access.tls.then(|| sources.trust.tls_context.clone());
        let refused = Counters::new(Refused::names());
        let scraper = Scraper::new(sources, Arc::clone(&slots), refused.clone());
        let drain = shared.drain.clone();
        let connections = Connections { scraper, access: Access::new(&self.access), refused, tls, limits, shared };
        let connections = Arc::new(connections);
        let accepting = accept(
            self.listener,
            Keepalive::of(&limits),
            || drain.has_begun(),
            |stream, peer| {
                let (connections, slot, drain) = (Arc::clone(&connections), slots.acquire(&peer.into()), drain.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = connections.serve(stream, peer) => {}
                        () = slot.closing() => tracing::debug!(%peer, "metrics connection closed to admit another one"),
                        () = drain.begun() => {}
                    }
                });
            },
        );
        tokio::select! {
            () = accepting => {}
            () = drain.begun() => {}
        }
    }
}

/// Serves the connections of scrapers.
struct Connections {
    scraper: Scraper,
    access: Access,
    /// Refused scrapes, by cause.
    refused: Counters,
    /// The current context of handshakes; `None` without TLS.
    tls: Option<watch::Receiver<Arc<TlsContext>>>,
    limits: Limits,
    shared: Shared,
}

impl Connections {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let Some(tls) = &self.tls else { return self.serve_http(stream, peer, None).await };
        let context = tls.borrow().for_http_1();
        let deadline = Instant::now() + self.limits.handshake_timeout();
        let Some(stream) = self.shared.handshakes.accept(stream, peer, &context, deadline).await else { return };
        let certificate = client_certificate_of(&stream, &context.trust, peer);
        let (trust, mut current) = (Arc::clone(&context.trust), tls.clone());
        tokio::select! {
            () = self.serve_http(stream, peer, certificate) => {}
            // The certificate must be verified again, in a new handshake.
            _ = current.wait_for(|now| !Arc::ptr_eq(&now.trust, &trust)) => {
                tracing::debug!(%peer, "metrics connection closed, because client CAs or revocation lists changed");
            }
        }
    }

    /// Serves a connection, which may be silent for the time limit of a handshake, before a request and between two.
    async fn serve_http<S>(&self, stream: S, peer: SocketAddr, certificate: Option<ClientCertificate>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (limits, certificate) = (&self.limits, &certificate);
        let service = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(request, peer, certificate.as_ref()).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_timeout())
            .max_buf_size(REQUEST_MAX_BYTES)
            .serve_connection(TokioIo::new(Timed::new(stream, limits.answer_stall_max())), service);
        match timeout(limits.connection_age_max(), connection).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "metrics connection failed"),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        certificate: Option<&ClientCertificate>,
    ) -> Response<Body> {
        // Without its content, which no request needs.
        let (head, _) = request.into_parts();
        let (method, path) = (&head.method, head.uri.path());
        // Probes need no credentials: they disclose nothing else.
        if let Some(answer) = self.shared.readiness.answer(method, path) {
            return answer;
        }
        if path != PATH {
            return text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let now = self.scraper.now();
        if let Err(cause) = self.access.admit(certificate, &head.headers, now).await {
            return self.refuse(cause, peer);
        }
        self.metrics(&head.headers).await
    }

    fn refuse(&self, cause: Refused, peer: SocketAddr) -> Response<Body> {
        const EVENT: &str = "scrape refused";
        let cause = cause.name();
        self.refused.add(cause, 1);
        if self.shared.samples.is_first(Kind { who: Who::Address(peer.ip()), event: EVENT, reason: cause.into() }) {
            tracing::info!(%peer, cause, "{EVENT}");
        }
        let mut answer =
            text(StatusCode::UNAUTHORIZED, "metrics need a client certificate or a token that the server accepts\n");
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        answer
    }

    /// The answer to GET and HEAD: the library leaves out the content for HEAD.
    async fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let Some(format) = Format::accepted(headers) else {
            return text(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE);
        };
        let content = exposition::text(&self.scraper.samples().await, format);
        let mut answer = Response::new(Body::new(http_body_util::Full::from(content)));
        let fields =
            [(CONTENT_TYPE, format.content_type()), (VARY, "accept, authorization"), (CACHE_CONTROL, "no-store")];
        answer.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
        answer
    }
}

/// The response to a scraper that accepts neither format.
const NOT_ACCEPTABLE: &str = "metrics are available as application/openmetrics-text or text/plain; version=0.0.4\n";
