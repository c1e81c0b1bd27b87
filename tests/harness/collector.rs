//! A collector of traces in the test's process: OTLP over gRPC and TLS, with a client certificate. It keeps every byte of every request.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    trace::v1::Span,
};
use prost::{Message as _, bytes::Bytes};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sealward_server::{
    config::{CollectorAddress, CollectorTls, Config, Traces},
    development::Person,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Folder, PATIENCE};

/// The value of the header that requests have.
pub(crate) const SECRET: &str = "Bearer 0pq8xRk5-hunter2";

/// The path of the one rpc.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A running collector. Clones share what it received.
#[derive(Clone)]
pub(crate) struct Collector {
    received: Arc<Mutex<Vec<Received>>>,
    count: watch::Sender<usize>,
    /// The next replies. Then it accepts everything.
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Received {
    pub headers: HeaderMap,
    /// All bytes of its body.
    pub body: Bytes,
    pub spans: Vec<Span>,
    /// `service.name` and other attributes of the process.
    pub resource: Vec<(String, String)>,
    /// Whether it was accepted.
    pub is_accepted: bool,
}

/// How a collector answers a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// It accepts all spans but this number.
    Rejects(i64),
    /// With this code of gRPC, and the headers of the request in its text.
    Refuses(u32),
}

impl Collector {
    fn new() -> Self {
        Self { received: Arc::default(), count: watch::Sender::default(), replies: Arc::default() }
    }

    /// A collector with the development certificate of this folder, and its port. It serves clients with a certificate of the same CA.
    pub(crate) async fn over_tls(folder: &Folder) -> (Self, u16) {
        let development = folder.development();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(development.ca()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
        let tls = folder.path().join("tls");
        let chain = CertificateDer::pem_file_iter(tls.join("server.pem")).unwrap().map(Result::unwrap).collect();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(tls.join("server.key")).unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let collector = Self::new();
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serving.serve(stream).await;
                    }
                });
            }
        });
        (collector, port)
    }

    /// A collector on a Unix socket.
    pub(crate) fn on_unix_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let collector = Self::new();
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        collector
    }

    /// A collector on a loopback address.
    pub(crate) async fn on_loopback() -> (Self, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::new();
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (collector, address)
    }

    /// Answers the next requests with these, one after the other.
    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let service = service_fn(move |request| self.clone().answer(request));
        // A server that stops resets the connection.
        let _reset_or_not =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        assert_eq!(request.uri().path(), EXPORT);
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or(Reply::Rejects(0));
        let message = ExportTraceServiceRequest::decode(&body[5..]).unwrap();
        let [resource_spans] = &message.resource_spans[..] else { panic!("{message:?}") };
        let [scope_spans] = &resource_spans.scope_spans[..] else { panic!("{message:?}") };
        let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
        let received = Received {
            headers: head.headers.clone(),
            body: body.clone(),
            spans: scope_spans.spans.clone(),
            resource: attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect(),
            is_accepted: matches!(reply, Reply::Rejects(_)),
        };
        self.received.lock().unwrap().push(received);
        self.count.send_modify(|count| *count += 1);
        let answer = Response::builder().header("content-type", "application/grpc");
        Ok(match reply {
            Reply::Rejects(rejected_spans) => {
                let partial = ExportTracePartialSuccess { rejected_spans, error_message: SECRET.to_owned() };
                let answered = ExportTraceServiceResponse { partial_success: (rejected_spans > 0).then_some(partial) };
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let body = Full::new(super::http::framed(&answered).into()).with_trailers(async { Some(Ok(trailers)) });
                answer.body(BoxBody::new(body)).unwrap()
            }
            Reply::Refuses(code) => {
                let echoed = head.headers.get("authorization").unwrap().clone();
                let answer = answer.header("grpc-status", code.to_string()).header("grpc-message", echoed);
                answer.body(BoxBody::new(Full::default())).unwrap()
            }
        })
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The accepted spans, once they meet the condition.
    pub(crate) async fn spans(&self, are_complete: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut count = self.count.subscribe();
        let waiting = async {
            loop {
                count.borrow_and_update();
                let accepted = self.received().into_iter().filter(|request| request.is_accepted);
                let spans: Vec<Span> = accepted.flat_map(|request| request.spans).collect();
                if are_complete(&spans) {
                    return spans;
                }
                count.changed().await.unwrap();
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(spans) => spans,
            Err(_) => panic!(
                "spans are missing: {:#?}",
                self.received().iter().flat_map(|all| names(&all.spans)).collect::<Vec<_>>()
            ),
        }
    }

    /// Waits until there were this many requests.
    pub(crate) async fn requests(&self, wanted: usize) {
        let mut count = self.count.subscribe();
        timeout(PATIENCE, count.wait_for(|count| *count >= wanted)).await.expect("requests are missing").unwrap();
    }
}

/// The settings of a server for a collector over TLS at this port of localhost, with a client certificate and a secret header.
pub(crate) fn settings(folder: &Folder, port: u16) -> Traces {
    let headers = folder.path().join("traces.headers");
    fs::write(&headers, format!("authorization: {SECRET}\n")).unwrap();
    let development = folder.development();
    let identity = (development.certificate(Person::Auditor), development.key(Person::Auditor));
    let host = "localhost".to_owned();
    let tls = CollectorTls { host, port, ca: Some(development.ca()), identity: Some(identity) };
    Traces { collector: CollectorAddress::Tls(tls), headers_file: Some(headers) }
}

/// Traces every call, and exports spans at once.
pub(crate) fn trace_all(config: &mut Config, traces: Traces) {
    config.traces = Some(traces);
    config.limits.trace_calls_per_million = 1_000_000;
    config.limits.trace_batch_wait_max_ms = 10;
}

fn text(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// The value of an attribute of a span.
pub(crate) fn attribute(span: &Span, name: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key == name).map(text)
}

/// The names of spans.
pub(crate) fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}
