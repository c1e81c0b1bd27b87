//! Whether a connection is ending, for the streams on it.
//!
//! A connection that has to close keeps its streams for a grace period. After it, streams without a time limit end, and streams with their
//! own limit may finish. But if the server's trust in client certificates has changed since the handshake, every stream ends. Nothing here
//! knows the content of a stream.

use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The state of the end of a connection, shared by the connection and its streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionEnding {
    begun: CancellationToken,
    cut: CancellationToken,
    streams: TaskTracker,
}

impl ConnectionEnding {
    /// Ends the streams without a time limit: the grace period is over.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// Ends every stream.
    pub(crate) fn cut(&self) {
        self.begun.cancel();
        self.cut.cancel();
    }

    /// Resolves when streams without a time limit have to end.
    pub(crate) fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.begun.cancelled()
    }

    /// Resolves when every stream has to end.
    pub(crate) fn is_cut(&self) -> WaitForCancellationFuture<'_> {
        self.cut.cancelled()
    }

    /// Makes the connection wait for a stream until the token is dropped.
    pub(crate) fn hold(&self) -> TaskTrackerToken {
        self.streams.token()
    }

    /// Whether the connection has to wait for a stream.
    pub(crate) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Resolves when the connection doesn't have to wait for any stream.
    pub(crate) async fn streams_ended(&self) {
        self.streams.close();
        self.streams.wait().await;
    }
}
