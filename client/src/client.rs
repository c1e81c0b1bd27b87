//! One call, from an encoded request to an answer: deadline, limits, repetition and errors, the same for every method.
//!
//! What is called and what the bytes mean is for the files beside this one.

use std::{
    fmt,
    sync::{
        Arc,
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
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    bearer::Bearer,
    codec::{Answer, BytesCodec, Encoded},
    error::{CallError, Error, Origin},
    method::Method,
    random,
    retry::RetryPolicy,
    write::{Write, WriteOptions},
};

/// A client of one server. Cheap to clone; clones share a connection, which is made anew when it breaks.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    bearer: Option<Arc<Bearer>>,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    message_size_max_bytes: usize,
    /// Whether the server has answered anything yet.
    has_answer: Arc<AtomicBool>,
}

impl Client {
    /// The same client with another longest time of a call; see [`ClientBuilder::timeout`](crate::ClientBuilder::timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { timeout: timeout.into(), ..self.clone() }
    }

    /// The connection, for a generated client of your own. Timeouts, limits, retries and bearer tokens are the caller's then.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn new(
        channel: Channel,
        bearer: Option<Bearer>,
        timeout: Option<Duration>,
        retry: RetryPolicy,
        message_size_max_bytes: usize,
    ) -> Self {
        let has_answer = Arc::default();
        Self { channel, bearer: bearer.map(Arc::new), timeout, retry, message_size_max_bytes, has_answer }
    }

    /// What a write of this client sends for these options.
    pub(crate) fn write(&self, options: WriteOptions) -> Write {
        options.resolve(&self.retry)
    }

    /// Makes a call, again if that is safe and promising.
    pub(crate) async fn unary(&self, method: &Method, request: Encoded) -> Result<Answer, Error> {
        let deadline = self.deadline();
        let authorization = self.authorization()?;
        let mut attempts = 1;
        let mut in_doubt = false;
        loop {
            let outcome = self.attempt(method, request.clone(), authorization.as_ref(), deadline).await;
            let mut error = match self.noted(outcome) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            error.follows(&mut in_doubt);
            let Some(pause) = self.retry.pause(attempts, &error, random::fraction()) else { return Err(error.into()) };
            if deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return Err(error.into());
            }
            rest(pause).await;
            attempts += 1;
        }
    }

    /// Opens a stream. The timeout covers the opening only.
    pub(crate) async fn server_stream(&self, method: &Method, request: Encoded) -> Result<Streaming<Answer>, Error> {
        let mut request = Request::new(request);
        authorize(&mut request, self.authorization()?.as_ref());
        let open = async {
            let mut grpc = self.grpc();
            grpc.ready().await.map_err(|error| CallError::not_connected(method.repetition, error))?;
            let answered = grpc.server_streaming(request, path(method), BytesCodec).await;
            answered.map_err(|status| CallError::from_status(method, status))
        };
        let opened = within(self.deadline(), method, open).await;
        Ok(self.noted(opened)?.into_inner())
    }

    /// Sends a stream, and waits for the one answer to it. It takes as long as it takes: the timeout doesn't hold for it.
    pub(crate) async fn client_stream(
        &self,
        method: &Method,
        requests: impl Stream<Item = Encoded> + Send + 'static,
    ) -> Result<Answer, Error> {
        let mut requests = Request::new(requests);
        authorize(&mut requests, self.authorization()?.as_ref());
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| CallError::not_connected(method.repetition, error))?;
        let answered = grpc.client_streaming(requests, path(method), BytesCodec).await;
        let answered = answered.map_err(|status| CallError::from_status(method, status));
        Ok(self.noted(answered)?.into_inner())
    }

    /// Remembers whether the server has answered, and notes it at a failure after that.
    fn noted<T>(&self, outcome: Result<T, Box<CallError>>) -> Result<T, Box<CallError>> {
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
            grpc.ready().await.map_err(|error| CallError::not_connected(method.repetition, error))?;
            let mut request = Request::new(request);
            authorize(&mut request, authorization);
            if let Some(deadline) = deadline {
                request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            let answered = grpc.unary(request, path(method), BytesCodec).await;
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

/// Reads an answer as the message that the method gives.
pub(crate) fn decode<M: Message + Default>(answer: &Answer) -> Result<M, Error> {
    M::decode(answer.as_slice()).map_err(|error| CallError::unreadable(error).into())
}

/// tonic watches the deadline until the headers come; this also covers connecting, and the answer after them.
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

fn authorize<T>(request: &mut Request<T>, authorization: Option<&MetadataValue<Ascii>>) {
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.clone());
    }
}

fn path(method: &Method) -> PathAndQuery {
    PathAndQuery::try_from(method.path.as_ref()).expect("identifiers of a descriptor make a path")
}

#[expect(clippy::disallowed_methods, reason = "there is no event to wait for: the pause itself is the purpose")]
async fn rest(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes the status of a connection that broke")]
mod tests {
    use tonic::Status;

    use super::*;

    const IS_ACTIVE: Method = Method::of(sealward::methods::IsDataEncryptionActive);

    #[tokio::test]
    async fn a_failure_is_known_to_come_after_an_answer() {
        let client = Client::builder("http://127.0.0.1:1").plaintext().connect_lazy().unwrap();
        let broken = || {
            let mut status = Status::unavailable("");
            status.set_source(Arc::new(std::io::Error::other("reset")));
            Err::<(), _>(CallError::from_status(&IS_ACTIVE, status))
        };
        assert!(!client.noted(broken()).unwrap_err().is_after_answer());
        assert!(client.noted(Ok(())).is_ok());
        // Clones share the connection, and what is known of it.
        assert!(client.clone().noted(broken()).unwrap_err().is_after_answer());

        // A refusal is an answer too.
        let client = Client::builder("http://127.0.0.1:1").plaintext().connect_lazy().unwrap();
        let refused = Err::<(), _>(CallError::from_status(&IS_ACTIVE, Status::unavailable("")));
        assert!(!client.noted(refused).unwrap_err().is_after_answer());
        assert!(client.noted(broken()).unwrap_err().is_after_answer());
    }
}
