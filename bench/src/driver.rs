//! A load generator for requests that differ from call to call, which h2load can't send. Unlike h2load, it presents a client certificate and
//! counts gRPC statuses.
//!
//! It runs on one thread. Its own CPU time is more than that of h2load: compare its rates only with each other.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use clap::Args;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, header};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use crate::{deployment::Caller, outcome::Outcome};

/// The length of the prefix of a gRPC message: a flag, and the length of the message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// The arguments of a load.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The method's path.
    #[arg(long)]
    method: String,
    /// The folder with the certificates of a development server.
    #[arg(long)]
    tls: PathBuf,
    /// The name of the client certificate in that folder.
    #[arg(long)]
    caller: Caller,
    /// Connections.
    #[arg(long)]
    connections: usize,
    /// Calls in flight on all connections together.
    #[arg(long)]
    in_flight: usize,
    /// A file with messages, each with its gRPC prefix.
    #[arg(long)]
    requests: PathBuf,
    /// The messages of a request: a stream if there are several.
    #[arg(long)]
    messages: usize,
    /// The time to send for, starting again with the first request after the last. Without it, each request is sent once.
    #[arg(long)]
    seconds: Option<f64>,
    /// The file to write a line for each call to: start in microseconds, gRPC status, microseconds until the end.
    #[arg(long)]
    log: PathBuf,
}

/// The arguments of a process that generates this load.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) method: &'a str,
    pub(crate) tls: &'a Path,
    pub(crate) caller: Caller,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) requests: &'a Path,
    pub(crate) messages: u64,
    pub(crate) seconds: Option<f64>,
    pub(crate) log: &'a Path,
}

impl Load<'_> {
    /// The arguments of this program that generate the load.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "drive".to_owned(),
            format!("--address={}", self.address),
            format!("--method={}", self.method),
            format!("--tls={}", self.tls.display()),
            format!("--caller={}", self.caller.name()),
            format!("--connections={}", self.connections),
            format!("--in-flight={}", self.in_flight),
            format!("--requests={}", self.requests.display()),
            format!("--messages={}", self.messages),
            format!("--log={}", self.log.display()),
        ];
        arguments.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        arguments
    }
}

/// A call that ended.
struct Call {
    start: Duration,
    status: i32,
    took: Duration,
}

/// The requests that are left to send.
struct Requests {
    all: Vec<Bytes>,
    next: AtomicUsize,
    end: Option<Instant>,
}

impl Requests {
    fn next(&self) -> Option<Bytes> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        match self.end {
            Some(end) if Instant::now() >= end => None,
            Some(_) => self.all.get(index % self.all.len().max(1)).cloned(),
            None => self.all.get(index).cloned(),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome<()> {
    let file =
        std::fs::read(&arguments.requests).map_err(|error| format!("{}: {error}", arguments.requests.display()))?;
    let messages = split(file.into())?;
    let all = messages.chunks(arguments.messages.max(1)).map(|messages| messages.concat().into()).collect();
    let mut senders = Vec::new();
    for _ in 0..arguments.connections {
        senders.push(connect(arguments.address, &arguments.tls, Some(arguments.caller)).await?);
    }

    let start = Instant::now();
    let end = arguments.seconds.map(|seconds| start + Duration::from_secs_f64(seconds));
    let requests = Arc::new(Requests { all, next: AtomicUsize::new(0), end });
    let head = Arc::new(head(arguments.address, &arguments.method)?);
    let mut callers = JoinSet::new();
    for sender in senders.iter().cycle().take(arguments.in_flight) {
        let (sender, requests, head) = (sender.clone(), Arc::clone(&requests), Arc::clone(&head));
        callers.spawn(async move {
            let mut calls = Vec::new();
            while let Some(request) = requests.next() {
                let started = Instant::now();
                let (status, _) = call(&sender, (*head).clone(), request, Answer::Dropped).await?;
                calls.push(Call { start: started - start, status, took: started.elapsed() });
            }
            Ok::<_, String>(calls)
        });
    }
    let calls: Vec<Vec<Call>> = callers.join_all().await.into_iter().collect::<Outcome<_>>()?;
    write_log(&arguments.log, calls.iter().flatten())
}

fn write_log<'a>(log: &Path, calls: impl Iterator<Item = &'a Call>) -> Outcome<()> {
    let mut text = String::new();
    for Call { start, status, took } in calls {
        let _infallible = writeln!(text, "{}\t{status}\t{}", start.as_micros(), took.as_micros());
    }
    std::fs::write(log, text).map_err(|error| format!("{}: {error}", log.display()))
}

/// Splits messages at their prefixes.
pub(crate) fn split(mut file: Bytes) -> Outcome<Vec<Bytes>> {
    let mut requests = Vec::new();
    while !file.is_empty() {
        let length = file.get(1..PREFIX_BYTES).map(|mut length| PREFIX_BYTES + length.get_u32() as usize);
        let length = length.filter(|length| *length <= file.len()).ok_or("the last message is incomplete")?;
        requests.push(file.split_to(length));
    }
    Ok(requests)
}

/// A message with its gRPC prefix.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// Makes one call with a bearer token, as h2load does, and returns the body of its answer: messages with their prefixes. An answer may
/// contain the caller's identity, so its length depends on the way that the caller is authenticated.
///
/// # Errors
/// The server can't be reached, or the gRPC status isn't 0.
pub(crate) async fn one_call(
    address: SocketAddr,
    tls: &Path,
    token: &str,
    method: &str,
    request: Vec<u8>,
) -> Outcome<Bytes> {
    let sender = connect(address, tls, None).await?;
    let mut head = head(address, method)?;
    let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| format!("the token: {error}"))?;
    head.headers_mut().insert(header::AUTHORIZATION, value);
    match call(&sender, head, request.into(), Answer::Kept).await? {
        (0, answer) if answer.len() >= PREFIX_BYTES => Ok(answer.freeze()),
        (status, _) => Err(format!("{method} was refused with the gRPC status {status}")),
    }
}

async fn connect(address: SocketAddr, tls: &Path, caller: Option<Caller>) -> Outcome<SendRequest<Bytes>> {
    let failed = |error: &dyn std::fmt::Display| format!("can't connect to {address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let connector = TlsConnector::from(Arc::new(client_config(tls, caller)?));
    let name = ServerName::IpAddress(address.ip().into());
    let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
    // Windows that never fill, as h2load has them.
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

const WINDOW_BYTES: u32 = (1 << 30) - 1;

fn client_config(tls: &Path, caller: Option<Caller>) -> Outcome<ClientConfig> {
    let read = |name: &str| std::fs::read(tls.join(name)).map_err(|error| format!("{name}: {error}"));
    let failed = |error: &dyn std::fmt::Display| format!("TLS of the load generator: {error}");
    let certificates =
        |name: &str| sealward_pem::certificates(&read(name)?).map_err(|error| format!("{name}: {error}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem")?);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots);
    let mut config = if let Some(name) = caller.map(Caller::name) {
        let key = sealward_pem::private_key(&read(&format!("{name}.key"))?).map_err(|error| failed(&error))?;
        config.with_client_auth_cert(certificates(&format!("{name}.pem"))?, key).map_err(|error| failed(&error))?
    } else {
        config.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn head(address: SocketAddr, method: &str) -> Outcome<Request<()>> {
    Request::post(format!("https://{address}{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())
        .map_err(|error| format!("{method}: {error}"))
}

/// What happens to the bytes of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Kept,
    Dropped,
}

/// Makes a call, and returns its gRPC status and the answer.
async fn call(
    sender: &SendRequest<Bytes>,
    head: Request<()>,
    request: Bytes,
    answer: Answer,
) -> Outcome<(i32, BytesMut)> {
    let failed = |error: h2::Error| format!("a call failed: {error}");
    let mut sender = sender.clone().ready().await.map_err(failed)?;
    let (response, mut body) = sender.send_request(head, false).map_err(failed)?;
    body.send_data(request, true).map_err(failed)?;
    let (head, mut body) = response.await.map_err(failed)?.into_parts();
    let mut kept = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(failed)?;
        body.flow_control().release_capacity(chunk.len()).map_err(failed)?;
        if answer == Answer::Kept {
            kept.extend_from_slice(&chunk);
        }
    }
    let trailers = body.trailers().await.map_err(failed)?;
    let status = status(&head.headers).or_else(|| trailers.as_ref().and_then(status));
    Ok((status.ok_or("an answer has no gRPC status")?, kept))
}

fn status(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_at_their_prefixes() {
        let file: Bytes = [framed(b"one"), framed(b""), framed(b"three")].concat().into();
        assert_eq!(split(file.clone()).unwrap(), [framed(b"one"), framed(b""), framed(b"three")]);
        assert!(split(file.slice(..file.len() - 1)).is_err());
        assert!(split(file.slice(..3)).is_err());
    }
}
