//! What a stream has to know of the connection that it runs on: whether the connection is to end, and how soon.
//!
//! A connection that has to leave keeps its streams for a grace. After it, a stream that goes on for as long as its caller likes ends, and
//! one that has a bound of its own may come to its end; but where the server trusts other client certificates than when the
//! connection was made, every stream ends. Nothing here knows what a stream carries.

use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How far the end of a connection is, shared by the connection and the streams on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving {
    begun: CancellationToken,
    cut: CancellationToken,
    streams: TaskTracker,
}

impl Leaving {
    /// The grace of the connection is over.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// The connection ends, and every stream before it.
    pub(crate) fn cut(&self) {
        self.begun.cancel();
        self.cut.cancel();
    }

    /// Resolves when a stream without a bound of its own is to end.
    pub(crate) fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.begun.cancelled()
    }

    /// Resolves when every stream is to end.
    pub(crate) fn is_cut(&self) -> WaitForCancellationFuture<'_> {
        self.cut.cancelled()
    }

    /// Has the connection wait for a stream, until this is dropped.
    pub(crate) fn hold(&self) -> TaskTrackerToken {
        self.streams.token()
    }

    /// Whether there is a stream that the connection has to wait for.
    pub(crate) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Resolves when no stream is left that the connection has to wait for.
    pub(crate) async fn streams_ended(&self) {
        self.streams.close();
        self.streams.wait().await;
    }
}
