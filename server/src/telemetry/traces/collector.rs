//! The connection to a collector: OTLP over gRPC, within TLS or on this machine.
//!
//! The files of the settings are read for each connection, and the headers for each request, so that they can be replaced at any time. Texts
//! of the collector are never logged: they may repeat the headers.

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
    config::{COLLECTOR_UID, CollectorAddress, CollectorTls, Traces},
    error_chain,
    files::{
        cas::Cas,
        local_socket::{self, NotConnected},
        pem::{self, PemError},
    },
};

/// The largest answer of a collector. It has a number and a text.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// The interval of PINGs while a request waits, and the maximum time for the answer to one.
const KEEPALIVE: Duration = Duration::from_secs(10);

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

/// Checks that all files of the settings can be used. Blocks.
///
/// # Errors
/// [`CollectorError`]
pub(crate) fn check(settings: &Traces) -> Result<(), CollectorError> {
    read_headers(settings.headers_file.as_deref())?;
    Door::open(&settings.collector).map(drop)
}

/// A collector. It is connected when the first request is sent, and again after a failure.
pub(super) struct Collector {
    settings: Traces,
    time_max: Duration,
    channel: Option<Channel>,
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
        Self { settings, time_max, channel: None }
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
            self.channel = None;
        }
        exported
    }

    async fn call(&mut self, spans: ExportTraceServiceRequest) -> Result<u64, NotExported> {
        let channel = match self.channel.clone() {
            Some(channel) => channel,
            None => self.channel.insert(self.connect().await?).clone(),
        };
        let path = self.settings.headers_file.clone();
        let headers = blocking(move || read_headers(path.as_deref())).await?;
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

    async fn connect(&self) -> Result<Channel, NotExported> {
        let address = self.settings.collector.clone();
        let door = Arc::new(blocking(move || Door::open(&address)).await?);
        let origin = door.origin();
        let connector = service_fn(move |_: Uri| {
            let door = Arc::clone(&door);
            async move { door.enter().await.map(TokioIo::new) }
        });
        // The connector has its own address. An endpoint of the scheme https would begin a second TLS within this one.
        let endpoint = Endpoint::from_static("http://collector")
            .origin(origin)
            .connect_timeout(self.time_max)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        Ok(endpoint.connect_with_connector_lazy(connector))
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

    /// The origin of requests, as in HTTP.
    fn origin(&self) -> Uri {
        let (scheme, authority) = match self {
            Self::Tls { host, port, .. } if host.contains(':') => ("https", format!("[{host}]:{port}")),
            Self::Tls { host, port, .. } => ("https", format!("{host}:{port}")),
            Self::Loopback(address) => ("http", address.to_string()),
            Self::UnixSocket { .. } => ("http", "localhost".to_owned()),
        };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        uri.unwrap_or_else(|_| Uri::from_static("http://localhost/"))
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
