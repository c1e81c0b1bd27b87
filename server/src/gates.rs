//! The layers that every call and every answer passes.
//!
//! The layers decide by headers only. Decisions that need the message come after them, such as the permission in an organization.

pub(crate) mod arrival;
mod connection_limit;
pub(crate) mod deadline;
pub(crate) mod forwarded;
pub(crate) mod gate;
pub(crate) mod http_gate;
pub(crate) mod identity;
pub(crate) mod message;
pub(crate) mod metadata;
pub(crate) mod permission;
mod probe;
mod tls_required;
pub(crate) mod trace;
mod trace_context;
pub(crate) mod version_header;

use std::{convert::Infallible, sync::Arc};

use crate::{
    audit::denials::Denials, identity::token::Issuers, status, telemetry::traces::Traces, transport::tls::TlsContext,
};
use http::{Request, Response};
use sealward_connect::{AnswerJsonLayer, FramingLayer, NoJsonForm};
use sealward_core::{policy::Policy, port::Clock};
use tokio::sync::watch;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceBuilder};

use self::{
    arrival::{ArrivalBounds, ArrivalLayer},
    connection_limit::WithinConnectionLimit,
    deadline::{DeadlineLayer, Deadlines},
    forwarded::ForgedHeaders,
    gate::GateLayer,
    http_gate::HttpGateLayer,
    identity::IdentityRequired,
    message::ServedFraming,
    metadata::MetadataGate,
    permission::PermissionRequired,
    tls_required::TlsRequired,
    trace::TraceLayer,
    trace_context::TraceContext,
};

/// The dependencies of the layers.
#[derive(Clone)]
pub(crate) struct Layers {
    /// Distinguishes calls from other requests.
    pub(crate) http_gate: HttpGateLayer,
    /// Changes the framing of other protocols to that of gRPC, and back.
    pub(crate) framing: FramingLayer,
    /// Assigns call ids, finds the rpcs, and logs and counts calls.
    pub(crate) trace: TraceLayer,
    /// Decides which calls are recorded for a collector.
    pub(crate) traces: Traces,
    /// Limits metadata.
    pub(crate) metadata: MetadataGate,
    /// The clock for the expiry of certificates.
    pub(crate) clock: Arc<dyn Clock>,
    /// The limits of deadlines.
    pub(crate) deadlines: Deadlines,
    /// The current trust in client certificates.
    pub(crate) tls_context: watch::Receiver<Arc<TlsContext>>,
    /// The current issuers of bearer tokens.
    pub(crate) issuers: watch::Receiver<Arc<Issuers>>,
    /// Reports headers of proxies that aren't hops.
    pub(crate) forged: ForgedHeaders,
    /// The current policy.
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
    /// Records refused calls in the audit trail.
    pub(crate) denials: Denials,
    /// The limits for arriving requests.
    pub(crate) arrival: ArrivalBounds,
}

/// The stack, from the outermost to the innermost layer.
pub(crate) fn stack<S>(
    layers: Layers,
) -> impl Layer<
    S,
    Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
                 + Clone
                 + Send
                 + 'static,
> + Clone
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let Layers {
        http_gate,
        framing,
        trace,
        traces,
        metadata,
        clock,
        deadlines,
        tls_context,
        issuers,
        forged,
        policy,
        denials,
        arrival,
    } = layers;
    ServiceBuilder::new()
        // Outermost: a request that isn't a call goes no further, and its answer is plain HTTP.
        .layer(http_gate)
        // Around everything that makes an error or counts bytes: the layers below know only gRPC, so that they are the same for all protocols.
        .layer(framing)
        // Around everything else, so that every call has an id and a log line with the code that the caller received, and every error has a
        // reason and the call id, including errors of the layers below and of tonic.
        .layer(trace)
        // Inside it, because an answer without a JSON form is an error, too.
        .layer(AnswerJsonLayer::new(not_converted))
        // Before the headers are used: checks their size, and the timeout.
        .layer(GateLayer(metadata))
        // Before anything can wait, so that the deadline counts from the start of the call.
        .layer(DeadlineLayer::new(deadlines))
        // One layer, because each moves the call.
        .layer(GateLayer((
            // Before all others: a call over a connection above the limit costs no work.
            WithinConnectionLimit,
            // Before identity: every caller without TLS gets this error, and nothing of its body is read.
            TlsRequired,
            // Before permission, which needs an identity.
            IdentityRequired::new(clock, tls_context, issuers, forged),
            // After identity: no other caller can make the server record a call.
            TraceContext::new(traces),
            // A caller that may not call the rpc in any organization can't send a message.
            PermissionRequired::new(policy, denials),
            // Before a message is read.
            ServedFraming,
        )))
        // Innermost: checks and admits the messages, and charges the caller, which is identified by now.
        .layer(ArrivalLayer::new(arrival))
        .into_inner()
}

/// The status of a call whose answer has no JSON form.
fn not_converted(error: NoJsonForm) -> Status {
    // Within the call's span. The line of a call has no cause for an error that follows the headers.
    tracing::warn!(error = &error as &dyn std::error::Error, "answer not converted to JSON");
    status::internal(error)
}

#[cfg(test)]
mod tests {
    //! The whole stack, without a network: the tests add the same extensions to requests as the listener.

    use std::{
        collections::HashMap, net::SocketAddr, pin::Pin, sync::LazyLock, task::Context, task::Poll, time::Duration,
    };

    use sealward_core::{
        id::Timestamp,
        identity::{Caller, Identity},
        policy::{Binding, Privilege, Role, Scope},
    };
    use tonic::Code;
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    use sealward_connect::Methods;

    use super::{
        gate::Gate,
        permission::{Rpc, RpcTable},
        *,
    };
    use crate::{
        call::CallFacts,
        config::{Pages, limits::Limits},
        identity::ClientCertificate,
        ports::{clock::SystemClock, random::SystemRandom},
        rpc::Services,
        status::Refusal,
        telemetry::{samples::Samples, shed::Shed},
        transport::{
            connection::{Connection, ConnectionFacts, TlsFacts},
            test_deployment::TestDeployment,
        },
    };

    const GET: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
    const CREATE: &str = "/sealward.mail.v1.MailboxService/CreateMailbox";
    const FORGOTTEN: &str = "/sealward.mail.v1.MailboxService/ForgottenMailbox";
    const HEALTH: &str = "/grpc.health.v1.Health/Check";
    const NEVER: Timestamp = Timestamp::from_unix_micros(i64::MAX);

    /// A body that must not be read.
    struct Untouchable;

    impl http_body::Body for Untouchable {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            panic!("the body was read");
        }
    }

    fn peer() -> SocketAddr {
        "192.0.2.1:4711".parse().unwrap()
    }

    fn request(path: &str, connection: Option<Connection>) -> Request<Body> {
        let request = Request::post(format!("http://localhost{path}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc");
        let mut request = request.body(Body::new(Untouchable)).unwrap();
        if let Some(connection) = connection {
            request.extensions_mut().insert(connection);
        }
        request
    }

    fn connection(tls: Option<TlsFacts>) -> Connection {
        ConnectionFacts { tls, ..ConnectionFacts::plaintext(peer()) }.into()
    }

    fn over_tls(certificate: Option<(&str, Timestamp)>) -> Option<Connection> {
        let certificate = certificate.map(|(name, not_after)| {
            let identity = Identity::CommonName(name.to_owned()).into();
            Arc::new(ClientCertificate { identity, sha256: [0; 32], not_after })
        });
        let (chain, trust) = (Arc::from([]), Arc::clone(&tls_context().trust));
        Some(connection(Some(TlsFacts { certificate, chain, trust })))
    }

    /// The same for all, as without a reload.
    fn tls_context() -> Arc<TlsContext> {
        static TLS_CONTEXT: LazyLock<Arc<TlsContext>> = LazyLock::new(|| TestDeployment::new().tls_context());
        Arc::clone(&TLS_CONTEXT)
    }

    fn samples() -> Samples {
        Samples::new(10, Shed::default())
    }

    fn trace(rpcs: RpcTable) -> TraceLayer {
        TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), samples(), Arc::new(rpcs))
    }

    fn forged() -> ForgedHeaders {
        ForgedHeaders::new(samples())
    }

    fn no_issuers() -> watch::Receiver<Arc<Issuers>> {
        watch::channel(Arc::default()).1
    }

    /// A stack whose `reader` may read records, without services: an admitted call gets UNIMPLEMENTED.
    async fn call(request: Request<Body>) -> Response<Body> {
        let binding = Binding {
            identity: Identity::CommonName("reader".to_owned()),
            role: Role::RecordReader.into(),
            scope: Scope::All,
        };
        let rpcs = HashMap::from([
            (GET.to_owned(), Rpc::new(&[Privilege::ReadRecords], false)),
            (CREATE.to_owned(), Rpc::new(&[Privilege::WriteRecords], false)),
            (FORGOTTEN.to_owned(), Rpc::new(&[], false)),
        ]);
        let layers = Layers {
            http_gate: HttpGateLayer::new(Pages::default(), samples()),
            framing: FramingLayer::new(
                Arc::new(Methods::new([sealward::FILE_DESCRIPTOR_SET]).unwrap()),
                4 * 1024 * 1024,
            ),
            trace: trace(RpcTable::new(rpcs)),
            traces: Traces::default(),
            metadata: MetadataGate::new(16_384, Shed::default()),
            clock: Arc::new(SystemClock),
            deadlines: Deadlines { default: Duration::from_secs(60), max: Duration::from_secs(60) },
            tls_context: watch::channel(tls_context()).1,
            issuers: no_issuers(),
            forged: forged(),
            policy: watch::channel(Arc::new(Policy::new(vec![binding]))).1,
            denials: Denials::nowhere(),
            arrival: ArrivalBounds::of(&Limits::default(), &Shed::default()),
        };
        stack(layers).layer(Services::default()).oneshot(request).await.unwrap()
    }

    async fn status(request: Request<Body>) -> (Code, String) {
        let response = call(request).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        assert!(!status.get_details_request_info().unwrap().request_id.is_empty());
        (status.code(), status.get_details_error_info().unwrap().reason)
    }

    #[tokio::test]
    async fn without_tls_only_health_is_answered_and_no_body_is_read() {
        let plaintext = || Some(connection(None));
        let refused = (Code::FailedPrecondition, "HTTPS_REQUIRED".to_owned());
        assert_eq!(status(request(GET, plaintext())).await, refused);
        assert_eq!(status(request("/nothing/There", plaintext())).await, refused);
        assert_eq!(status(request("/grpc.health.v1.HealthX/Check", plaintext())).await, refused);
        // A connection without facts counts as plaintext.
        assert_eq!(status(request(GET, None)).await, refused);
        // These services don't include health checks, but the call reached them.
        assert_eq!(status(request(HEALTH, plaintext())).await, (Code::Unimplemented, "METHOD_UNKNOWN".to_owned()));
    }

    #[tokio::test]
    async fn request_that_is_not_a_call_is_refused_first() {
        let changed = async |path, connection, change: fn(&mut Request<Body>)| {
            let mut request = request(path, connection);
            change(&mut request);
            let answer = call(request).await;
            assert!(!answer.headers().contains_key("grpc-status"));
            answer.status().as_u16()
        };
        let text = |request: &mut Request<Body>| {
            request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        };
        let page = |request: &mut Request<Body>| {
            request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        };
        for path in [GET, HEALTH, "/nothing/There"] {
            for connection in [None, over_tls(None), over_tls(Some(("reader", NEVER)))] {
                assert_eq!(
                    changed(path, connection.clone(), |request| *request.method_mut() = http::Method::GET).await,
                    405
                );
                assert_eq!(changed(path, connection.clone(), text).await, 415);
                assert_eq!(changed(path, connection, page).await, 403);
            }
        }
    }

    #[tokio::test]
    async fn call_with_another_compression_is_unimplemented_and_lists_served_encodings() {
        let mut request = request(GET, over_tls(Some(("reader", NEVER))));
        request.headers_mut().insert("grpc-encoding", "br".parse().unwrap());
        let answer = call(request).await;
        assert_eq!(answer.headers()["grpc-accept-encoding"], "gzip");
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.get_details_error_info().unwrap().reason, "COMPRESSION_NOT_SERVED");
    }

    #[tokio::test]
    async fn caller_without_a_valid_certificate_has_no_identity() {
        let refused = (Code::Unauthenticated, "IDENTITY_REQUIRED".to_owned());
        assert_eq!(status(request(GET, over_tls(None))).await, refused);
        assert_eq!(status(request(GET, over_tls(Some(("reader", Timestamp::from_unix_micros(0)))))).await, refused);
        let mut forwarded = request(GET, over_tls(None));
        forwarded.headers_mut().insert("x-forwarded-client-cert", "Subject=\"CN=reader\"".parse().unwrap());
        assert_eq!(status(forwarded).await, refused);
    }

    /// A clock with a fixed time.
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_micros(self.0)
        }
    }

    #[test]
    fn clock_out_of_range_is_unavailable_and_can_be_retried() {
        let gate = IdentityRequired::new(Arc::new(At(-1)), watch::channel(tls_context()).1, no_issuers(), forged());
        let admitted = |path| {
            let (mut head, _) = request(path, over_tls(Some(("reader", NEVER)))).into_parts();
            gate.admit(&mut head)
        };
        let status = Status::from(admitted(GET).unwrap_err());
        let details = status.get_error_details();
        assert_eq!((status.code(), &*details.error_info().unwrap().reason), (Code::Unavailable, "CLOCK_OUT_OF_RANGE"));
        assert!(details.retry_info().is_some());
        assert_eq!(admitted(HEALTH), Ok(()));
    }

    #[test]
    fn certificate_is_accepted_until_its_last_second() {
        let admitted = |now| {
            let gate =
                IdentityRequired::new(Arc::new(At(now)), watch::channel(tls_context()).1, no_issuers(), forged());
            let not_after = Timestamp::from_unix_micros(1_000);
            let (mut head, _) = request(GET, over_tls(Some(("reader", not_after)))).into_parts();
            gate.admit(&mut head)
        };
        assert_eq!(admitted(1_000), Ok(()));
        assert_eq!(admitted(1_001), Err(Refusal::CertificateExpired));
        assert!(Status::from(Refusal::CertificateExpired).message().contains("expired"));
    }

    #[test]
    fn certificate_is_verified_again_after_a_change_of_trust() {
        let (sender, watched) = watch::channel(tls_context());
        let gate = IdentityRequired::new(Arc::new(SystemClock), watched, no_issuers(), forged());
        let admitted = || {
            // Its chain is empty, which no trust verifies.
            let (mut head, _) = request(GET, over_tls(Some(("reader", NEVER)))).into_parts();
            gate.admit(&mut head)
        };
        assert_eq!(admitted(), Ok(()));
        sender.send_replace(TestDeployment::new().tls_context());
        assert_eq!(admitted(), Err(Refusal::CertificateNotTrusted));
    }

    #[tokio::test]
    async fn rpc_is_open_to_callers_with_its_privilege_in_any_organization() {
        let as_caller = |name, path| request(path, over_tls(Some((name, NEVER))));
        let refused = (Code::PermissionDenied, "PRIVILEGE_MISSING".to_owned());
        let passed = (Code::Unimplemented, "METHOD_UNKNOWN".to_owned());
        assert_eq!(status(as_caller("reader", GET)).await, passed);
        assert_eq!(status(as_caller("reader", CREATE)).await, refused);
        assert_eq!(status(as_caller("stranger", GET)).await, refused);
        assert_eq!(status(as_caller("reader", FORGOTTEN)).await, refused);
        assert_eq!(status(as_caller("reader", "/sealward.mail.v1.MailboxService/Nothing")).await, passed);
        // Permission needs an identity: a caller without one learns nothing about the served rpcs.
        assert_eq!(status(request("/nothing/There", over_tls(None))).await.0, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn handler_receives_caller_call_id_and_policy() {
        let gates = ServiceBuilder::new()
            .layer(trace(RpcTable::default()))
            .layer(GateLayer(IdentityRequired::new(
                Arc::new(SystemClock),
                watch::channel(tls_context()).1,
                no_issuers(),
                forged(),
            )))
            .service_fn(|request: Request<Body>| async move {
                let caller = request.extensions().get::<Caller>().unwrap();
                assert_eq!(caller.identity.to_string(), "cn:reader");
                assert_eq!(caller.peer, Some(peer()));
                assert_eq!(caller.call_id, *request.extensions().get::<CallFacts>().unwrap().id());
                assert_eq!(request.headers().len(), 1);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            });
        let mut request = request(GET, over_tls(Some(("reader", NEVER))));
        request.headers_mut().insert("X-Forwarded-User", "admin".parse().unwrap());
        gates.oneshot(request).await.unwrap();
    }
}
