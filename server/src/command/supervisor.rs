//! Notifies systemd, or another supervisor with its protocol, that a server is ready and that it stops.
//!
//! Without `$NOTIFY_SOCKET` it notifies no supervisor.

use sd_notify::NotifyState;

/// The server takes calls; `status` is what `systemctl status` shows.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The server takes no more calls, and ends those that run.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// A supervisor that doesn't listen is no reason to end: it reports itself that it waited in vain.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor can't be notified");
    }
}
