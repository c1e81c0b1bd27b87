//! The responses of a stream, which a separate task sends. Its final status is never lost.
//!
//! A stream that ends without an error was sent completely. So it ends with an error unless the task reports that it is done, even if the
//! task panics or the caller reads slowly. The transport limits the time that a response may wait for its caller: it drops a response that
//! waits too long, which counts as a caller that left. This module doesn't know the content.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use crate::status;

/// The sender.
pub(crate) struct Answers<T> {
    sender: mpsc::Sender<T>,
    end: Arc<End>,
}

/// The stream that the caller receives.
pub(crate) struct Answered<T> {
    receiver: mpsc::Receiver<T>,
    end: Arc<End>,
}

/// The final status of the stream. `None` without an error.
struct End(Mutex<Option<Status>>);

/// The caller has left, or the transport has dropped the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left;

/// A stream of responses, with a buffer of one.
pub(crate) fn answers<T>() -> (Answers<T>, Answered<T>) {
    let (sender, receiver) = mpsc::channel(1);
    let end = Arc::new(End(Mutex::new(Some(status::broken()))));
    (Answers { sender, end: Arc::clone(&end) }, Answered { receiver, end })
}

impl<T> Answers<T> {
    /// Sends a response, once the caller has received the one before.
    pub(crate) async fn send(&self, answer: T) -> Result<(), Left> {
        self.sender.send(answer).await.map_err(|_| Left)
    }

    /// Resolves when the caller has left.
    pub(crate) async fn left(&self) {
        self.sender.closed().await;
    }

    /// Ends the stream successfully.
    pub(crate) fn done(self) {
        *self.end.status() = None;
    }

    /// Ends the stream with an error, without waiting for the caller.
    pub(crate) fn fail(self, status: Status) {
        *self.end.status() = Some(status);
    }
}

impl End {
    fn status(&self) -> MutexGuard<'_, Option<Status>> {
        // No panic is possible under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Stream for Answered<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.receiver.poll_recv(context)) {
            Some(answer) => Poll::Ready(Some(Ok(answer))),
            None => Poll::Ready(self.end.status().take().map(Err)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;
    use crate::status::Refusal;

    async fn taken(answered: Answered<u8>) -> (Vec<u8>, Option<Code>) {
        let all: Vec<_> = answered.collect().await;
        let taken = all.iter().filter_map(|answer| answer.as_ref().ok().copied()).collect();
        (taken, all.last().and_then(|last| last.as_ref().err()).map(Status::code))
    }

    #[tokio::test]
    async fn a_stream_ends_without_an_error_only_if_it_is_done() {
        let (sending, answered) = answers();
        sending.send(1).await.unwrap();
        sending.done();
        assert_eq!(taken(answered).await, (vec![1], None));
        let (sending, answered) = answers();
        sending.send(1).await.unwrap();
        drop(sending);
        assert_eq!(taken(answered).await, (vec![1], Some(Code::Internal)));
    }

    #[tokio::test]
    async fn caller_that_reads_late_finds_the_error() {
        let (sending, answered) = answers();
        sending.send(1).await.unwrap();
        timeout(Duration::ZERO, sending.send(2)).await.unwrap_err();
        sending.fail(Refusal::ConnectionEnding.into());
        assert_eq!(taken(answered).await, (vec![1], Some(Code::Unavailable)));
    }

    #[tokio::test]
    async fn departed_caller_is_detected() {
        let (sending, answered) = answers::<u8>();
        drop(answered);
        sending.left().await;
        assert_eq!(sending.send(1).await, Err(Left));
    }
}
