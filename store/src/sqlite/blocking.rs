//! Work that waits for a disk, off the runtime's threads.

use sealward_core::store::Cause;

/// Runs what may block on a thread made for that. It runs to its end even if nobody waits for it any more.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Cause> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Cause(error.into()))
}
