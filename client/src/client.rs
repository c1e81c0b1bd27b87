//! Calls, from an encoded request to an encoded answer: deadline, limits, retries and errors, the same for every method.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tonic::{
    Request, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::Channel,
};

use crate::{
    bearer::Bearer,
    codec::{Answer, BytesCodec, Encoded},
    error::{CallError, Error, Origin},
    method::Method,
    random,
    retry::RetryPolicy,
    write::{ResolvedWrite, WriteOptions},
};

/// A client of one server. Clones are cheap and share a connection, which is restored if it breaks.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    bearer: Option<Arc<Bearer>>,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    message_size_max_bytes: usize,
    /// Whether the server has answered a call.
    has_answer: Arc<AtomicBool>,
    /// The version in the server's last answer.
    server_version: Arc<Mutex<Option<Arc<str>>>>,
}

impl Client {
    /// Returns a client with another timeout; see [`ClientBuilder::timeout`](crate::ClientBuilder::timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { timeout: timeout.into(), ..self.clone() }
    }

    /// Returns the connection, for other generated clients. Timeouts, limits, retries and bearer tokens of this client don't apply to it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Returns the version that the server reported in its last answer. `None`: no call was answered, or the server doesn't report it. The text
    /// comes from the server, and has at most 64 characters, which are printable ASCII.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        self.server_version.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(str::to_owned)
    }

    pub(crate) fn new(
        channel: Channel,
        bearer: Option<Bearer>,
        timeout: Option<Duration>,
        retry: RetryPolicy,
        message_size_max_bytes: usize,
    ) -> Self {
        Self {
            channel,
            bearer: bearer.map(Arc::new),
            timeout,
            retry,
            message_size_max_bytes,
            has_answer: Arc::default(),
            server_version: Arc::default(),
        }
    }

    /// Resolves the options of a write.
    pub(crate) fn write(&self, options: WriteOptions) -> ResolvedWrite {
        options.resolve(&self.retry)
    }

    /// Makes a call, with retries by the policy.
    pub(crate) async fn unary(&self, method: &Method, request: Encoded) -> Result<Answer, Error> {
        let deadline = self.deadline();
        let authorization = self.authorization()?;
        let mut attempts = 1;
        let mut in_doubt = false;
        loop {
            let outcome = self.attempt(method, request.clone(), authorization.as_ref(), deadline).await;
            let mut error = match self.record_answer(outcome) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            error.inherit_doubt(&mut in_doubt);
            let Some(pause) = self.retry.pause(attempts, &error, random::fraction()) else { return Err(error.into()) };
            if deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return Err(error.into());
            }
            sleep(pause).await;
            attempts += 1;
        }
    }

    /// Opens a server stream. The timeout applies only to the opening.
    pub(crate) async fn server_stream(&self, method: &Method, request: Encoded) -> Result<Streaming<Answer>, Error> {
        let mut request = Request::new(request);
        identify(&mut request, self.authorization()?.as_ref());
        let open = async {
            let mut grpc = self.grpc();
            grpc.ready().await.map_err(|error| CallError::not_connected(method.retry_safety, error))?;
            let answered = grpc.server_streaming(request, path(method), BytesCodec).await;
            answered.map_err(|status| CallError::from_status(method, status))
        };
        let opened = within(self.deadline(), method, open).await;
        Ok(self.record_answer(opened)?.into_inner())
    }

    /// Opens a stream in both directions. The timeout doesn't apply.
    pub(crate) async fn bidirectional_stream(
        &self,
        method: &Method,
        requests: impl Stream<Item = Encoded> + Send + 'static,
    ) -> Result<Streaming<Answer>, Error> {
        let mut requests = Request::new(requests);
        identify(&mut requests, self.authorization()?.as_ref());
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| CallError::not_connected(method.retry_safety, error))?;
        let answered = grpc.streaming(requests, path(method), BytesCodec).await;
        let answered = answered.map_err(|status| CallError::from_status(method, status));
        Ok(self.record_answer(answered)?.into_inner())
    }

    /// Sends a client stream and waits for the answer. The timeout doesn't apply.
    pub(crate) async fn client_stream(
        &self,
        method: &Method,
        requests: impl Stream<Item = Encoded> + Send + 'static,
    ) -> Result<Answer, Error> {
        let mut requests = Request::new(requests);
        identify(&mut requests, self.authorization()?.as_ref());
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| CallError::not_connected(method.retry_safety, error))?;
        let answered = grpc.client_streaming(requests, path(method), BytesCodec).await;
        let answered = answered.map_err(|status| CallError::from_status(method, status));
        Ok(self.record_answer(answered)?.into_inner())
    }

    fn record_version(&self, metadata: &MetadataMap) {
        let Some(version) = metadata.get(SERVER_VERSION).and_then(|version| version.to_str().ok()) else { return };
        let mut known = self.server_version.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(version) && version.len() <= VERSION_MAX_LENGTH {
            *known = Some(version.into());
        }
    }

    /// Records that the server answered. Marks a failure if the server had answered before.
    fn record_answer<T>(&self, outcome: Result<T, Box<CallError>>) -> Result<T, Box<CallError>> {
        let is_answer = outcome.as_ref().map_or_else(|error| error.origin() == Origin::Server, |_| true);
        let was_answered = self.has_answer.fetch_or(is_answer, Ordering::Relaxed);
        outcome.map_err(|error| if was_answered { error.after_answer() } else { error })
    }

    async fn attempt(
        &self,
        method: &Method,
        request: Encoded,
        authorization: Option<&MetadataValue<Ascii>>,
        deadline: Option<Instant>,
    ) -> Result<Answer, Box<CallError>> {
        let call = async {
            let mut grpc = self.grpc();
            grpc.ready().await.map_err(|error| CallError::not_connected(method.retry_safety, error))?;
            let mut request = Request::new(request);
            identify(&mut request, authorization);
            if let Some(deadline) = deadline {
                request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            let answered = grpc.unary(request, path(method), BytesCodec).await;
            match &answered {
                Ok(answer) => self.record_version(answer.metadata()),
                Err(status) => self.record_version(status.metadata()),
            }
            answered.map_err(|status| CallError::from_status(method, status))
        };
        Ok(within(deadline, method, call).await?.into_inner())
    }

    fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        Ok(self.bearer.as_ref().map(|bearer| bearer.header()).transpose()?)
    }

    fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone())
            .max_encoding_message_size(self.message_size_max_bytes)
            .max_decoding_message_size(self.message_size_max_bytes)
    }

    fn deadline(&self) -> Option<Instant> {
        self.timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("message_size_max_bytes", &self.message_size_max_bytes)
            .finish_non_exhaustive()
    }
}

/// Decodes an answer.
pub(crate) fn decode<M: Message + Default>(answer: &Answer) -> Result<M, Error> {
    M::decode(answer.as_slice()).map_err(|error| CallError::unreadable(error).into())
}

/// Applies the deadline to a call. tonic's own deadline ends with the response headers; this one covers connecting and the whole answer.
async fn within<T>(
    deadline: Option<Instant>,
    method: &Method,
    call: impl Future<Output = Result<T, Box<CallError>>>,
) -> Result<T, Box<CallError>> {
    match deadline {
        Some(deadline) => timeout_at(deadline, call).await.unwrap_or_else(|_| Err(CallError::timed_out(method))),
        None => call.await,
    }
}

/// Adds the metadata of every call: the version of this client, and the bearer token if there is one.
fn identify<T>(request: &mut Request<T>, authorization: Option<&MetadataValue<Ascii>>) {
    request.metadata_mut().insert(CLIENT_VERSION, MetadataValue::from_static(OWN_VERSION));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.clone());
    }
}

/// The metadata with the language and version of a client. The server logs it, and decides nothing by it.
const CLIENT_VERSION: &str = "sealward-client";
const OWN_VERSION: &str = concat!("rust/", env!("CARGO_PKG_VERSION"));

/// The metadata with the version of the server.
const SERVER_VERSION: &str = "sealward-server";
/// Longer than any version; a longer text isn't a version.
const VERSION_MAX_LENGTH: usize = 64;

fn path(method: &Method) -> PathAndQuery {
    PathAndQuery::try_from(method.path.as_ref()).expect("identifiers of a descriptor are a valid path")
}

#[expect(clippy::disallowed_methods, reason = "a pause between retries has no event to wait for")]
async fn sleep(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test creates the status of a broken connection")]
mod tests {
    use tonic::Status;

    use super::*;

    const IS_ACTIVE: Method = Method::of(sealward::methods::IsDataEncryptionActive);

    #[tokio::test]
    async fn failure_after_an_answer_is_recognized() {
        let client = Client::builder("http://127.0.0.1:1").plaintext().connect_lazy().unwrap();
        let broken = || {
            let mut status = Status::unavailable("");
            status.set_source(Arc::new(std::io::Error::other("reset")));
            Err::<(), _>(CallError::from_status(&IS_ACTIVE, status))
        };
        assert!(!client.record_answer(broken()).unwrap_err().server_answered_before());
        assert!(client.record_answer(Ok(())).is_ok());
        // Clones share the connection and this state.
        assert!(client.clone().record_answer(broken()).unwrap_err().server_answered_before());

        // A refusal is an answer too.
        let client = Client::builder("http://127.0.0.1:1").plaintext().connect_lazy().unwrap();
        let refused = Err::<(), _>(CallError::from_status(&IS_ACTIVE, Status::unavailable("")));
        assert!(!client.record_answer(refused).unwrap_err().server_answered_before());
        assert!(client.record_answer(broken()).unwrap_err().server_answered_before());
    }
}
