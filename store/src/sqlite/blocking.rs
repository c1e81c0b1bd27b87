//! Runs work that waits for a disk outside the runtime's threads.

use sealward_core::store::Cause;

/// Runs blocking work on a thread for that purpose. The work runs to its end even if the caller stops waiting.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Cause> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Cause(error.into()))
}
