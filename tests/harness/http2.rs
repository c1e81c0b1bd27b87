//! HTTP/2 that no client library sends: endless messages, closed windows.

use std::net::SocketAddr;

use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use prost::{Message, bytes::Bytes};
use sealward_server::development::Person;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::Status;

use super::{Folder, PATIENCE, http::connect_tls};

/// A connection.
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A call whose message may be under way.
pub(crate) struct Call {
    pub answer: ResponseFuture,
    pub message: SendStream<Bytes>,
}

impl Connection {
    /// Over TLS, with the certificate of this person if there is one. Each answer has a window of this size, which never grows.
    pub(crate) async fn with_tls(folder: &Folder, address: &str, person: Option<Person>, window: u32) -> Self {
        let stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).await.unwrap();
        Self::over(connect_tls(folder, person, stream).await.unwrap(), window).await
    }

    /// Over a stream that is ready for HTTP/2.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, window: u32) -> Self {
        let (requests, connection) =
            Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
        Connection { requests, driver: tokio::spawn(connection) }
    }

    /// Begins a call, and sends these bytes of its message; more may follow. `None` if the connection accepts no calls.
    pub(crate) async fn begin(&mut self, path: &str, headers: &[(&'static str, &str)], bytes: Bytes) -> Option<Call> {
        let mut requests = self.requests.clone().ready().await.ok()?;
        let mut request = Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (answer, mut message) = requests.send_request(request.body(()).unwrap(), false).ok()?;
        message.send_data(bytes, false).ok()?;
        Some(Call { answer, message })
    }

    /// Begins a call, and sends its whole message. `None` if the connection accepts no calls.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        message: &impl Message,
    ) -> Option<Call> {
        let message = message.encode_to_vec();
        let mut call = self.begin(path, headers, framed(message.len(), &message)).await?;
        call.message.send_data(Bytes::new(), true).ok()?;
        Some(call)
    }

    /// Waits until the server has closed it.
    pub(crate) async fn closed(mut self) {
        let _broken_or_not = tokio::time::timeout(PATIENCE, &mut self.driver).await.expect("it stays open").unwrap();
    }

    /// Whether it is still open.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

impl Call {
    /// The status of an answer that is an error without a message; `None` where the stream was reset.
    pub(crate) async fn refusal(self) -> Option<Status> {
        let answer = tokio::time::timeout(PATIENCE, self.answer).await.expect("no answer").ok()?;
        Status::from_header_map(answer.headers())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The beginning of a message of this length, as gRPC frames it, with its first bytes.
pub(crate) fn framed(length: usize, message: &[u8]) -> Bytes {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// The reason that trailers or headers have, if they are an error's.
pub(crate) fn reason_of(headers: &HeaderMap) -> Option<String> {
    use tonic_types::StatusExt as _;
    Some(Status::from_header_map(headers)?.get_details_error_info()?.reason)
}
