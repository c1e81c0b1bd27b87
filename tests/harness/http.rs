//! Requests of HTTP/2 with any method, headers and bytes, which no gRPC library would send.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::bytes::Bytes;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Folder, Person};

/// A connection.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// The TLS configuration of a client of this folder's server, with the certificate of a person or without one.
pub(crate) fn tls(folder: &Folder, person: Option<Person>) -> ClientConfig {
    let development = folder.development();
    tls_with(folder, person.map(|person| [development.certificate(person), development.key(person)]))
}

/// The same, with these files of a certificate and its key if there are any.
pub(crate) fn tls_with(folder: &Folder, identity: Option<[PathBuf; 2]>) -> ClientConfig {
    tls_trusting(&folder.development().ca(), identity)
}

/// The same, for a server with a certificate of this CA.
pub(crate) fn tls_trusting(ca: &Path, identity: Option<[PathBuf; 2]>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(ca.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some([certificate, key]) => {
            let chain = CertificateDer::pem_file_iter(certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A TLS connection to this folder's server, with the certificate of a person or without one.
pub(crate) async fn connect_tls(
    folder: &Folder,
    person: Option<Person>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(tls(folder, person)));
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

impl Http {
    /// Connects over TLS, with the certificate of a person or without one.
    pub(crate) async fn over_tls(folder: &Folder, address: &str, person: Option<Person>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(connect_tls(folder, person, stream).await.unwrap()).await
    }

    pub(crate) async fn without_tls(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Connects to a Unix socket.
    pub(crate) async fn over_unix_socket(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).await.unwrap()).await
    }

    /// Over a stream that is ready for HTTP/2.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// Sends a request, and reads the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Vec<u8>>) -> hyper::Result<Answer> {
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    }
}

impl Answer {
    /// The status in it.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        let in_either = [&self.headers, &self.trailers].into_iter().find_map(Status::from_header_map);
        let Some(status) = in_either else { panic!("no status: {self:?}") };
        status
    }

    /// Code and reason of the error in it.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (tonic::Code, String) {
        let status = self.status();
        let details = status.get_error_details();
        assert!(details.request_info().is_some_and(|info| !info.request_id.is_empty()), "{status:?}");
        (status.code(), details.error_info().unwrap().reason.clone())
    }
}

/// A call, as gRPC frames it, of a method under `https://localhost`.
pub(crate) fn call(path: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    Request::post(format!("https://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

/// A message as gRPC frames it.
pub(crate) fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}
