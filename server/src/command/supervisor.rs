//! Notifies systemd, or a supervisor with the same protocol, that a server is ready or stopping.
//!
//! Without `$NOTIFY_SOCKET`, it does nothing.

use sd_notify::NotifyState;

/// The server accepts calls. `systemctl status` shows `status`.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The server accepts no more calls, and finishes running ones.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// A failed notification doesn't stop the server: the supervisor reports its own timeout.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd notification failed");
    }
}
