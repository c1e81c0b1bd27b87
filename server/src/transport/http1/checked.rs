//! The bytes of a connection: checked before the protocol reads them, and written within bounds.

use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    exchange::{Exchange, StallBounds},
    filter::Filter,
};
use crate::transport::{listener::ConnectionStream, request_rules::Fault};

/// The size of one read.
const READ_BYTES: usize = 8 * 1024;

/// Bytes that are wiped when they are dropped: a body may contain a secret.
#[derive(Default)]
struct Wiped(BytesMut);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut().zeroize();
    }
}

/// A stream of checked bytes.
pub(super) struct Checked {
    stream: ConnectionStream,
    filter: Filter,
    /// Received bytes that aren't checked yet.
    input: Wiped,
    /// Checked bytes that aren't read yet.
    output: Wiped,
    exchange: Arc<Exchange>,
    is_refused: bool,
    /// The maximum time for a head.
    head_time_max: Duration,
    head_timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    stall: StallBounds,
}

impl Checked {
    pub(super) fn new(
        stream: ConnectionStream,
        filter: Filter,
        exchange: Arc<Exchange>,
        head_time_max: Duration,
        stall: StallBounds,
    ) -> Self {
        Self {
            stream,
            filter,
            input: Wiped::default(),
            output: Wiped::default(),
            exchange,
            is_refused: false,
            head_time_max,
            head_timer: None,
            stall,
        }
    }

    /// The stream itself, for the last bytes.
    pub(super) fn into_stream(self) -> ConnectionStream {
        self.stream
    }

    fn refuse(&mut self, fault: Fault) {
        self.is_refused = true;
        self.output = Wiped::default();
        self.exchange.refuse(fault);
    }

    /// Checks what was received. Returns whether there may be more to read.
    fn check(&mut self) -> bool {
        if self.exchange.is_early() {
            return false;
        }
        if self.filter.has_ended() {
            if self.exchange.is_sent() {
                self.filter.next();
                self.exchange.next();
            } else if self.input.0.is_empty() {
                // Only to notice that the client has left.
                return true;
            } else {
                self.exchange.mark_early();
                return false;
            }
        }
        if let Err(fault) = self.filter.pass(&mut self.input.0, &mut self.output.0) {
            self.refuse(fault);
            return false;
        }
        // The answer to a request can't have been sent before its last byte arrived, unless it was an early one.
        if self.filter.has_ended() && !self.input.0.is_empty() && !self.exchange.is_sent() {
            self.exchange.mark_early();
        }
        true
    }

    /// Whether the current head takes too long.
    fn is_head_late(&mut self, context: &mut Context<'_>) -> bool {
        if !self.filter.is_in_head() {
            self.head_timer = None;
            return false;
        }
        let max = self.head_time_max;
        let timer = self.head_timer.get_or_insert_with(|| {
            Box::pin(async move {
                let _never = timeout(max, pending::<()>()).await;
            })
        });
        timer.as_mut().poll(context).is_ready()
    }

    /// An error if a write can't continue.
    fn bounded<T>(&self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = written {
            if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                self.stall.shed.count("answer_stall_max_ms");
            }
            self.exchange.moves();
            return Poll::Ready(written);
        }
        self.exchange.poll_stalled(context, &self.stall).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Checked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.output.0.is_empty() {
                let count = this.output.0.len().min(buffer.remaining());
                if let Some(bytes) = this.output.0.get_mut(..count) {
                    buffer.put_slice(bytes);
                    bytes.zeroize();
                }
                this.output.0.advance(count);
                return Poll::Ready(Ok(()));
            }
            // A refused connection is ended by its owner, which was notified.
            if this.is_refused || !this.check() {
                return Poll::Pending;
            }
            if !this.output.0.is_empty() || (this.filter.has_ended() && !this.input.0.is_empty()) {
                continue;
            }
            let mut bytes = Zeroizing::new([0; READ_BYTES]);
            let mut received = ReadBuf::new(&mut *bytes);
            match Pin::new(&mut this.stream).poll_read(context, &mut received) {
                Poll::Ready(Ok(())) if received.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.input.0.extend_from_slice(received.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if this.is_head_late(context) {
                        this.refuse(Fault::HeadersTooSlow);
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for Checked {
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
            self.exchange.flushed();
        }
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut_down)
    }
}
