//! A client whose connections can be inspected, and blocked for reading.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use sealward_client::v1::{ListOrganizationsRequest, organization_service_client::OrganizationServiceClient};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

/// A caller with one configuration of TLS, sessions to resume included.
#[derive(Clone)]
pub(crate) struct Caller {
    address: String,
    tls: Arc<ClientConfig>,
    connections: Arc<Mutex<Vec<Made>>>,
}

/// A connection as it was made.
#[derive(Clone)]
pub(crate) struct Made {
    pub server_certificate: CertificateDer<'static>,
    pub is_resumed: bool,
    pub valve: Arc<Valve>,
}

/// Holds back what a connection could read.
pub(crate) struct Valve {
    held: Mutex<Held>,
    written: watch::Sender<usize>,
}

#[derive(Default)]
struct Held {
    is_shut: bool,
    reader: Option<Waker>,
}

impl Caller {
    /// A caller that trusts this CA and has this certificate; all in PEM.
    pub(crate) fn new(address: &str, server_ca: &str, certificate: &str, key: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(server_ca.as_bytes()) {
            roots.add(ca.unwrap()).unwrap();
        }
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
        let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { address: address.to_owned(), tls: Arc::new(tls), connections: Arc::default() }
    }

    /// A channel that connects with its first call, and again if needed.
    pub(crate) fn channel(&self) -> Channel {
        let caller = self.clone();
        let connect = service_fn(move |_: Uri| {
            let caller = caller.clone();
            async move { caller.connect().await.map(TokioIo::new) }
        });
        // The connector speaks TLS, so that the channel doesn't have to.
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
    }

    async fn connect(&self) -> io::Result<TlsStream<Valved>> {
        let stream = TcpStream::connect(&self.address).await?;
        let valve = Arc::new(Valve { held: Mutex::default(), written: watch::Sender::new(0) });
        let stream = Valved { stream, valve: Arc::clone(&valve) };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        self.connections.lock().unwrap().push(Made {
            server_certificate: session.peer_certificates().unwrap()[0].clone(),
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            valve,
        });
        Ok(stream)
    }

    /// The connections that were opened on the caller's side.
    pub(crate) fn connections(&self) -> Vec<Made> {
        self.connections.lock().unwrap().clone()
    }
}

/// How often a call is repeated that a closing connection refused.
const ATTEMPTS_MAX: usize = 3;

/// A call that every role but the connector's may make.
pub(crate) async fn call(channel: &Channel) -> Result<(), Status> {
    let mut organizations = OrganizationServiceClient::new(channel.clone());
    let mut attempts = 1;
    loop {
        match organizations.list_organizations(ListOrganizationsRequest::default()).await {
            // By the gRPC specification, a client repeats a call that was never sent; tonic leaves that to its user.
            Err(status) if attempts < ATTEMPTS_MAX && was_never_sent(&status) => attempts += 1,
            outcome => return outcome.map(drop),
        }
    }
}

fn was_never_sent(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |error: &&(dyn Error + 'static)| (*error).source());
    causes.filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled)
}

impl Valve {
    /// Stops reading.
    pub(crate) fn shut(&self) {
        self.held.lock().unwrap().is_shut = true;
    }

    /// Resumes reading.
    pub(crate) fn open(&self) {
        let mut held = self.held.lock().unwrap();
        held.is_shut = false;
        if let Some(reader) = held.reader.take() {
            reader.wake();
        }
    }

    /// Counts the written bytes.
    pub(crate) fn written(&self) -> watch::Receiver<usize> {
        self.written.subscribe()
    }
}

/// A connection behind a valve.
struct Valved {
    stream: TcpStream,
    valve: Arc<Valve>,
}

impl AsyncRead for Valved {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = self.valve.held.lock().unwrap();
        if held.is_shut {
            held.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(held);
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Valved {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.valve.written.send_modify(|total| *total += bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
