//! What to do about an error.

use std::time::Duration;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fix the call, its preconditions or the client's configuration. The same call would fail again.
    FixCall,
    /// Nothing was changed. Retry later, with exponential backoff.
    Wait {
        /// The delay that the server requests.
        delay: Option<Duration>,
    },
    /// The call may have taken effect. Check before you repeat it.
    CheckOutcome,
    /// The caller can't fix it. Report it with the call's id.
    GiveUp,
}
