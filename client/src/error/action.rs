//! What to do about an error.

use std::time::Duration;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Correct the call, what it relies on, or the client's setup. The same call would fail again.
    FixCall,
    /// Nothing was changed. Make the call again later, with growing pauses.
    Wait {
        /// How long the server says to wait.
        delay: Option<Duration>,
    },
    /// The call may have taken effect. Look before making it again.
    CheckOutcome,
    /// Nothing that a caller does will help. Report it, with the call's id.
    GiveUp,
}
