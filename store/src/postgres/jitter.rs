//! Waits of random length, so that those who were in conflict don't meet again.

use std::{
    hash::{BuildHasher as _, RandomState},
    ops::Range,
    time::Duration,
};

use tokio::time::sleep;

/// Waits before another attempt.
#[expect(clippy::disallowed_methods, reason = "nothing reports that others have made way, or that a server is back")]
pub(super) async fn pause(range: Range<Duration>) {
    sleep(jitter(range)).await;
}

/// Returns a random time in the range.
fn jitter(range: Range<Duration>) -> Duration {
    // The standard library's only source of randomness. It needs no quality.
    let random = RandomState::new().hash_one(());
    let width = range.end.saturating_sub(range.start).as_nanos().max(1);
    let part = u64::try_from(u128::from(random) % width).unwrap_or(0);
    range.start.saturating_add(Duration::from_nanos(part))
}
