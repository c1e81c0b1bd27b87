//! The connection to a collector: OTLP over gRPC, within TLS or on this machine.
//!
//! The headers are read for each request, and the files of TLS for each connection: they can be replaced at any time. A request finds out
//! whether the files of TLS have changed since its connection was made, and then has another one, so that a CA that was removed is trusted no
//! longer. Texts of the collector are never logged: they may repeat the headers.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{Uri, uri::PathAndQuery};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{InvalidDnsNameError, ServerName},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;
use tower::service_fn;

use super::{
    headers::{Headers, HeadersError},
    otlp::{EXPORT, ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use crate::{
    certificates::{Certificate, Renewal, Usage},
    config::{COLLECTOR_UID, CollectorAddress, CollectorTls, Traces},
    error_chain,
    files::{
        cas::Cas,
        local_socket::{self, NotConnected},
        pem::{self, PemError},
        trusted_file::{self, Kind, TrustedFileError},
    },
};

/// The largest answer of a collector. It has a number and a text.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// The interval of PINGs while a request waits, and the maximum time for the answer to one.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The remedy of files that can't be used.
pub(crate) const FIX_FILES: &str = "correct the file, or the setting that names it; see docs/traces.md";

/// Why the settings of a collector can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The file of headers can't be used.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// The CAs can't be used.
    #[error("the CAs of the collector of traces can't be used (traces.ca)")]
    Ca(#[source] Box<dyn Error + Send + Sync>),
    /// The client certificate or its key can't be used.
    #[error(
        "the client certificate for the collector of traces can't be used (traces.client_certificate, traces.client_key)"
    )]
    Identity(#[from] PemError),
    /// They don't match, or TLS doesn't support them.
    #[error("TLS to the collector of traces can't be set up (traces.ca, traces.client_certificate, traces.client_key)")]
    Tls(#[from] rustls::Error),
    /// The host isn't a name or an IP address.
    #[error("the host of traces.endpoint is not a DNS name or an IP address")]
    Host(#[from] InvalidDnsNameError),
}

/// Checks that all files of the settings can be used. Returns their certificates. Blocks.
///
/// # Errors
/// [`CollectorError`]
pub(crate) fn check(settings: &Traces) -> Result<Vec<Certificate>, CollectorError> {
    read_headers(settings.headers_file.as_deref())?;
    Door::open(&settings.collector)?;
    match &settings.collector {
        CollectorAddress::Tls(tls) => certificates(tls),
        CollectorAddress::Loopback(_) | CollectorAddress::UnixSocket { .. } => Ok(Vec::new()),
    }
}

/// The certificates in the files.
fn certificates(tls: &CollectorTls) -> Result<Vec<Certificate>, CollectorError> {
    const COLLECTOR: &str = "the collector of traces";
    let mut found = match &tls.ca {
        Some(path) => {
            let cas = Cas::read(Some(path)).map_err(CollectorError::Ca)?;
            cas.certificates("traces.ca", &Usage::CaOf(COLLECTOR.to_owned()))
        }
        None => Vec::new(),
    };
    if let Some((chain, _)) = &tls.identity {
        let chain = pem::certificates(chain)?;
        found.extend(chain.iter().map(|certificate| {
            let usage = Usage::ClientOf(COLLECTOR.to_owned());
            Certificate::read("traces.client_certificate", usage, Renewal::ByHand, certificate)
        }));
    }
    Ok(found)
}

/// A collector. It is connected when the first request is sent, and again after a failure.
pub(super) struct Collector {
    settings: Traces,
    time_max: Duration,
    connection: Option<Connection>,
}

/// A connection, or several one after the other.
struct Connection {
    channel: Channel,
    /// The files of TLS when it was made; `None` if they couldn't be read.
    files: Option<[u8; 32]>,
}

/// Why spans weren't accepted.
pub(super) struct NotExported {
    /// Whether a repetition may succeed.
    pub(super) is_temporary: bool,
    /// For the log.
    pub(super) cause: String,
}

impl NotExported {
    fn here(error: &dyn Error) -> Self {
        Self { is_temporary: true, cause: error_chain::text(error) }
    }
}

impl Collector {
    pub(super) fn new(settings: Traces, time_max: Duration) -> Self {
        Self { settings, time_max, connection: None }
    }

    /// Sends spans. Returns how many of them the collector refused.
    ///
    /// # Errors
    /// [`NotExported`]
    pub(super) async fn export(&mut self, spans: &ExportTraceServiceRequest) -> Result<u64, NotExported> {
        let exported = match timeout(self.time_max, self.call(spans.clone())).await {
            Ok(exported) => exported,
            Err(_) => {
                let cause =
                    format!("no answer within {} ms (limits.trace_export_time_max_ms)", self.time_max.as_millis());
                Err(NotExported { is_temporary: true, cause })
            }
        };
        if exported.is_err() {
            // The next request has a new connection, with the files as they are then.
            self.connection = None;
        }
        exported
    }

    async fn call(&mut self, spans: ExportTraceServiceRequest) -> Result<u64, NotExported> {
        let settings = self.settings.clone();
        let (headers, files) = blocking(move || {
            Ok::<_, HeadersError>((read_headers(settings.headers_file.as_deref())?, digest(&settings.collector).ok()))
        })
        .await?;
        // Files that can't be read now don't end a connection.
        self.connection = self.connection.take().filter(|connection| files.is_none() || connection.files == files);
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection { channel: self.connect(), files },
        };
        let channel = self.connection.insert(connection).channel.clone();
        let mut request = Request::new(spans);
        *request.metadata_mut() = MetadataMap::from_headers(headers.expose());
        let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
        grpc.ready().await.map_err(|error| NotExported::here(&error))?;
        let codec = ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
        let answer =
            grpc.unary(request, PathAndQuery::from_static(EXPORT), codec).await.map_err(|status| refusal(&status))?;
        let refused = answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }

    /// A channel whose connections begin when they are needed, each with the files as they are then.
    fn connect(&self) -> Channel {
        let address = self.settings.collector.clone();
        let origin = origin(&address);
        let connector = service_fn(move |_: Uri| {
            let address = address.clone();
            async move {
                let door = spawn_blocking(move || Door::open(&address)).await?.map_err(io::Error::other)?;
                door.enter().await.map(TokioIo::new)
            }
        });
        // The connector has its own address. An endpoint of the scheme https would begin a second TLS within this one.
        let endpoint = Endpoint::from_static("http://collector")
            .origin(origin)
            .connect_timeout(self.time_max)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        endpoint.connect_with_connector_lazy(connector)
    }
}

/// Runs a check of files outside the runtime's own threads.
async fn blocking<T: Send + 'static, E: Error + Send + 'static>(
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, NotExported> {
    match spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| NotExported::here(&error)),
        Err(error) => Err(NotExported::here(&error)),
    }
}

fn read_headers(path: Option<&Path>) -> Result<Headers, HeadersError> {
    path.map_or_else(|| Ok(Headers::default()), Headers::read)
}

/// A digest of the files of TLS. Blocks.
fn digest(address: &CollectorAddress) -> Result<[u8; 32], TrustedFileError> {
    let CollectorAddress::Tls(tls) = address else { return Ok([0; 32]) };
    let (certificate, key) = tls.identity.as_ref().map(|(certificate, key)| (certificate, key)).unzip();
    let files = [(tls.ca.as_ref(), Kind::Certificates), (certificate, Kind::Certificates), (key, Kind::PrivateKey)];
    let mut digest = Sha256::new();
    for (path, kind) in files {
        let content = path.map(|path| trusted_file::read(path, kind)).transpose()?;
        // Each file on its own, so that nothing moves from one to the other unnoticed.
        digest.update(content.map(|content| Sha256::digest(&*content)).unwrap_or_default());
    }
    Ok(digest.finalize().into())
}

/// The refusal of a request. Only a status that was made here has a cause, and the text of any other isn't used.
fn refusal(status: &Status) -> NotExported {
    if let Some(source) = status.source() {
        return NotExported::here(source);
    }
    let is_temporary = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // The collector recovers only if it says so (OTLP, failures).
        Code::ResourceExhausted => status.get_details_retry_info().is_some(),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => false,
    };
    NotExported { is_temporary, cause: format!("the collector answered {:?}", status.code()) }
}

/// The origin of requests, as in HTTP.
fn origin(address: &CollectorAddress) -> Uri {
    let (scheme, authority) = match address {
        CollectorAddress::Tls(CollectorTls { host, port, .. }) if host.contains(':') => {
            ("https", format!("[{host}]:{port}"))
        }
        CollectorAddress::Tls(CollectorTls { host, port, .. }) => ("https", format!("{host}:{port}")),
        CollectorAddress::Loopback(address) => ("http", address.to_string()),
        CollectorAddress::UnixSocket { .. } => ("http", "localhost".to_owned()),
    };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
    uri.unwrap_or_else(|_| Uri::from_static("http://localhost/"))
}

/// A byte stream to a collector.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How streams to a collector begin.
enum Door {
    Tls { host: String, port: u16, name: ServerName<'static>, connector: TlsConnector },
    Loopback(std::net::SocketAddr),
    UnixSocket { path: PathBuf, uid: Option<u32> },
}

impl Door {
    /// Reads the files of TLS. Blocks.
    fn open(address: &CollectorAddress) -> Result<Self, CollectorError> {
        Ok(match address {
            CollectorAddress::Loopback(address) => Self::Loopback(*address),
            CollectorAddress::UnixSocket { path, uid } => Self::UnixSocket { path: path.clone(), uid: *uid },
            CollectorAddress::Tls(tls) => Self::Tls {
                host: tls.host.clone(),
                port: tls.port,
                name: tls.host.clone().try_into()?,
                connector: TlsConnector::from(Arc::new(client_config(tls)?)),
            },
        })
    }

    async fn enter(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tls { host, port, name, connector } => {
                let stream = connected(TcpStream::connect((host.as_str(), *port)).await?)?;
                Box::new(connector.connect(name.clone(), stream).await?)
            }
            Self::Loopback(address) => Box::new(connected(TcpStream::connect(address).await?)?),
            Self::UnixSocket { path, uid } => {
                let connected = local_socket::connect(path, *uid, COLLECTOR_UID).await;
                Box::new(connected.map_err(|error| match error {
                    NotConnected::Io(error) => error,
                    NotConnected::WrongUser(error) => io::Error::other(error),
                })?)
            }
        })
    }
}

fn connected(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn client_config(tls: &CollectorTls) -> Result<ClientConfig, CollectorError> {
    let roots = Cas::read(tls.ca.as_deref()).and_then(|cas| cas.roots()).map_err(CollectorError::Ca)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match &tls.identity {
        Some((certificate, key)) => {
            builder.with_client_auth_cert(pem::certificates(certificate)?, pem::private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
