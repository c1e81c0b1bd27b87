//! What systemd, or whoever speaks its protocol, is told of a server: that it is ready, and that it ends.
//!
//! Without `$NOTIFY_SOCKET` nobody is told.

use sd_notify::NotifyState;

/// The server takes calls; `status` is what `systemctl status` shows.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The server takes no more calls, and ends those that run.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A supervisor that doesn't listen is no reason to end: it will say itself that it waited in vain.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd notification failed");
    }
}
