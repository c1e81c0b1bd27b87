//! Streams of messages from the server.

use std::marker::PhantomData;

use prost::Message;
use tonic::Streaming;

use crate::{
    client::decode,
    codec::Answer,
    error::{CallError, Error},
    method::Method,
};

/// The messages of a server-streaming call, in order.
pub struct MessageStream<M> {
    method: Method,
    stream: Streaming<Answer>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> MessageStream<M> {
    pub(crate) fn new(method: Method, stream: Streaming<Answer>) -> Self {
        Self { method, stream, message: PhantomData }
    }

    /// Waits for the next message. `None` after the end of the stream.
    ///
    /// # Errors
    /// [`Error`] if the call fails, the connection breaks or the server shuts down.
    pub async fn next(&mut self) -> Result<Option<M>, Error> {
        let answer = self.stream.message().await;
        let answer = answer.map_err(|status| CallError::from_status(&self.method, status).after_answer())?;
        answer.as_ref().map(decode).transpose()
    }
}
