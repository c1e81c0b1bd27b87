//! A stream whose peer has a maximum time to read each answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// A stream that fails if written data isn't flushed within the time. The time begins when the peer's window is full, and data that a slow
/// peer reads doesn't extend it.
pub(super) struct Timed<S> {
    stream: S,
    max: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, max: Duration) -> Self {
        Self { stream, max, deadline: None }
    }

    /// Fails after the maximum time. Without it, the peer is too slow, but not over its time yet.
    #[expect(
        clippy::disallowed_methods,
        reason = "a timer that is polled beside the bytes; timeout takes one future only"
    )]
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() && self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.max)));
        }
        let is_over = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready());
        if is_over { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { written }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.deadline = None;
        }
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut_down)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, task::Waker};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn reading_a_little_does_not_extend_the_time() {
        let (ours, mut theirs) = duplex(16);
        let mut timed = Timed::new(ours, Duration::from_millis(100));
        let answer = tokio::spawn(async move {
            timed.write_all(&[7; 64 * 1024]).await?;
            timed.flush().await
        });
        while !answer.is_finished() {
            // The other side is gone at the end.
            let _read = theirs.read(&mut [0]).await;
            let _always_passes = timeout(Duration::from_millis(5), pending::<()>()).await;
        }
        assert_eq!(answer.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn time_begins_when_the_window_is_full_and_ends_with_the_answer() {
        let (ours, mut theirs) = duplex(16);
        let mut timed = Timed::new(ours, Duration::from_secs(3_600));
        for _ in 0..3 {
            timed.write_all(&[7; 16]).await.unwrap();
            assert!(timed.deadline.is_none());
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut timed).poll_write(&mut context, &[7; 16]).is_pending());
            assert!(timed.deadline.is_some());
            theirs.read_exact(&mut [0; 8]).await.unwrap();
            timed.write_all(&[7; 8]).await.unwrap();
            assert!(timed.deadline.is_some(), "the answer isn't complete");
            theirs.read_exact(&mut [0; 16]).await.unwrap();
            timed.flush().await.unwrap();
            assert!(timed.deadline.is_none());
        }
    }
}
