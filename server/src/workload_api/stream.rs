//! A stream of updates from the agent's socket.

use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Request, Streaming,
    client::Grpc,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Uri},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{
    error::Lost,
    message::{X509SvidRequest, X509SvidResponse},
};
use crate::{
    config::{WorkloadApi, limits::Limits},
    files::local_socket,
};

const METHOD: PathAndQuery = PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchX509SVID");

/// The metadata that each call must have, so that no other server can be made to send it (SPIFFE Workload Endpoint, section 6.1).
const SECURITY_METADATA: (&str, &str) = ("workload.spiffe.io", "true");

/// The maximum time to connect, and to get the first message. An agent answers within milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The interval of pings, which detect an agent that hangs. Servers of gRPC-Go, such as SPIRE, refuse more than one ping in five minutes.
const PING_INTERVAL: Duration = Duration::from_secs(330);

const AGENT_UID: &str = "tls.spiffe_agent_uid";

/// Opens a stream. The agent sends the first message immediately.
pub(super) async fn open(api: &WorkloadApi, limits: &Limits) -> Result<Streaming<X509SvidResponse>, Lost> {
    let opened = timeout(ANSWER_MAX, async {
        let socket = local_socket::connect(&api.socket, api.agent_uid, AGENT_UID).await?;
        call(channel(socket).await?, limits).await
    });
    opened.await.unwrap_or_else(|_| Err(Lost::Silent(ANSWER_MAX.as_secs())))
}

async fn channel(socket: UnixStream) -> Result<Channel, Lost> {
    // The connection is open already. A channel that loses it isn't used again.
    let mut socket = Some(TokioIo::new(socket));
    let connector = service_fn(move |_: Uri| {
        let socket = socket.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        async move { socket }
    });
    let endpoint = Endpoint::from_static("http://localhost")
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(ANSWER_MAX);
    endpoint.connect_with_connector(connector).await.map_err(Lost::Transport)
}

async fn call(channel: Channel, limits: &Limits) -> Result<Streaming<X509SvidResponse>, Lost> {
    let message_max_bytes = usize::try_from(limits.workload_api_message_max_bytes).unwrap_or(usize::MAX);
    let mut grpc = Grpc::new(channel).max_decoding_message_size(message_max_bytes);
    grpc.ready().await.map_err(Lost::Transport)?;
    let mut request = Request::new(X509SvidRequest {});
    let (key, value) = SECURITY_METADATA;
    request.metadata_mut().insert(key, MetadataValue::from_static(value));
    let codec = ProstCodec::<X509SvidRequest, X509SvidResponse>::default();
    Ok(grpc.server_streaming(request, METHOD, codec).await?.into_inner())
}
