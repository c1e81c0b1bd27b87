//! A server of this layer around any service, with development certificates and a port of its own.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Response};
use tokio::{sync::watch, task::JoinHandle};
use tonic::body::Body;
use tower::Service;

use crate::{
    config::limits::Limits,
    drain::Drain,
    telemetry::shed::Shed,
    transport::{
        connection_limit::ListenerSlots, handshake::Handshakes, listener::Hops, serving::Serving,
        test_deployment::TestDeployment, tls::TlsContext, workers::Workers,
    },
};

pub(crate) struct TestServer {
    pub(crate) deployment: TestDeployment,
    pub(crate) address: SocketAddr,
    pub(crate) tls_context: watch::Sender<Arc<TlsContext>>,
    pub(crate) drain: Drain,
    pub(crate) shed: Shed,
    /// Ends with the last connection after a drain.
    pub(crate) serving: JoinHandle<()>,
    _workers: Workers,
}

impl TestServer {
    pub(crate) async fn start<S>(limits: Limits, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    {
        let deployment = TestDeployment::new();
        let listener = TestDeployment::listener().await;
        let address = listener.address();
        let (tls_context, current) = watch::channel(deployment.tls_context());
        let (drain, shed) = (Drain::new(), Shed::default());
        let workers = Workers::start().unwrap();
        let slots = ListenerSlots::new(&limits, &shed, 0);
        let connections = listener.accept(
            current.clone(),
            Handshakes::for_tests(),
            workers.places(),
            &limits,
            slots,
            Hops::default(),
        );
        let serving = Serving::for_tests(&limits, current, &drain, &shed);
        let serving = tokio::spawn(serving.serve(connections, service));
        Self { deployment, address, tls_context, drain, shed, serving, _workers: workers }
    }

    /// Another context: the same server certificate, with another trust.
    pub(crate) fn replace_trust(&self) {
        self.tls_context.send_replace(self.deployment.tls_context());
    }
}
