//! The echo: a bare tonic server that answers each method with fixed bytes.
//!
//! The same tonic, TLS stack and answers as the server, and nothing else: no layers, no message types, no storage. Its codec copies bytes, so
//! it does less than a tonic server with generated types.

use std::{
    convert::Infallible,
    future::ready,
    path::{Path, PathBuf},
};

use axum::Router;
use bytes::{Buf as _, BufMut as _, Bytes};
use clap::Args;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::Grpc,
    service::Routes,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{
    answers,
    driver::{self, PREFIX_BYTES},
    outcome::Outcome,
};

/// What the echo prints before its address.
pub(crate) const GREETING: &str = "echo listens on ";

/// The arguments of the echo.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder with the certificates of a development server.
    #[arg(long)]
    tls: PathBuf,
    /// The folder with the answers.
    #[arg(long)]
    answers: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome<()> {
    let mut router = Router::new();
    for (method, answer) in answers::read(&arguments.answers)? {
        let messages: Vec<Bytes> =
            driver::split(answer)?.into_iter().map(|message| message.slice(PREFIX_BYTES..)).collect();
        let service = tower::service_fn(move |request: http::Request<axum::body::Body>| {
            let messages = messages.clone();
            async move { Ok::<_, Infallible>(answer_with(messages, request).await) }
        });
        router = router.route_service(&method, service);
    }

    let failed = |error: &dyn std::fmt::Display| format!("the echo can't be served: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let mut server = Server::builder().tls_config(tls(&arguments.tls)?).map_err(|error| failed(&error))?;
    println!("{GREETING}{address}");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    server.add_routes(Routes::from(router)).serve_with_incoming(incoming).await.map_err(|error| failed(&error))
}

/// Answers a call: a stream if there are several messages, after the last message of the request.
async fn answer_with(messages: Vec<Bytes>, request: http::Request<axum::body::Body>) -> http::Response<Body> {
    if let [message] = messages.as_slice() {
        let message = message.clone();
        let answering =
            tower::service_fn(move |_: Request<Bytes>| ready(Ok::<_, Status>(Response::new(message.clone()))));
        return Grpc::new(Bare).unary(answering, request).await;
    }
    let answering = tower::service_fn(move |request: Request<Streaming<Bytes>>| {
        let messages = messages.clone();
        async move {
            let mut requests = request.into_inner();
            while requests.message().await?.is_some() {}
            Ok::<_, Status>(Response::new(tokio_stream::iter(messages.into_iter().map(Ok::<_, Status>))))
        }
    });
    Grpc::new(Bare).streaming(answering, request).await
}

/// TLS as the server has it: its certificate, and client certificates that are optional.
fn tls(folder: &Path) -> Outcome<ServerTlsConfig> {
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let identity = Identity::from_pem(read("server.pem")?, read("server.key")?);
    let client_ca = Certificate::from_pem(read("ca.pem")?);
    Ok(ServerTlsConfig::new().identity(identity).client_ca_root(client_ca).client_auth_optional(true))
}

/// A codec of messages as bytes.
struct Bare;

impl Codec for Bare {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Bare;
    type Decoder = Bare;

    fn encoder(&mut self) -> Bare {
        Bare
    }

    fn decoder(&mut self) -> Bare {
        Bare
    }
}

impl Encoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
