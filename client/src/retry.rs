//! Which failed calls are made again, and after how long: a decision without a clock.
//!
//! A call whose answer got lost may have taken effect. Whether it is made again unasked depends on what a repetition does, which the
//! contract says of each method:
//!
//! | call | a repetition | not connected | UNAVAILABLE, nothing changed | waiting was advised | lost answer, OUTCOME_UNKNOWN |
//! |---|---|---|---|---|---|
//! | get, list and what else reads; a write with `validate_only` | reads again | again | again | again | again |
//! | create, update, delete with a request id, which the client draws unless it is told one | is recognised by the id | again | again | again | again |
//! | change of the key | finds that the text is the key already | again | again | again, but for SET_KEY_ALREADY_RUNNING | again |
//! | restore of the key | is KEY_ALREADY_ACTIVE, or another wrong try | | | | |
//! | creation of an organization | is ALREADY_EXISTS | | | | |
//! | reveal | is another audit record | | | | |
//! | create, update, delete without a request id | may be made twice | | | | |
//!
//! SET_KEY_ALREADY_RUNNING is for somebody who has looked: what runs may be the change that was asked for, or somebody else's, which this
//! one would replace. "Again" is always within the call's timeout and the policy's bounds. What is still unknown after that is
//! [`Action::CheckOutcome`], also where the last attempt alone surely changed nothing.

use std::time::Duration;

use tonic::Code;

use crate::{
    error::{Action, CallError},
    method::Repetition,
    v1::ErrorReason,
};

/// How often and how patiently failed calls are repeated. Applies to what reads, to writes that carry a request id, and to changes of the
/// key, after failures that pass: UNAVAILABLE, a connection that broke, or what the server says to wait for. The call's timeout
/// spans all of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is made at most, the first time included. 1: never again. Default: 4.
    pub attempts_max: u32,
    /// The pause after the first failure; it doubles with each one. Half of every pause is left to chance, so that clients that
    /// failed together don't come back together. Default: 100 ms.
    pub pause_first: Duration,
    /// The longest pause, and the longest one that a server's advice is followed for; a call that should wait longer fails at once and
    /// tells how long. Default: 5 s.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// Makes every call once.
    #[must_use]
    pub const fn never() -> Self {
        Self { attempts_max: 1, pause_first: Duration::ZERO, pause_max: Duration::ZERO }
    }

    /// Whether it ever makes a call again.
    pub(crate) fn repeats(&self) -> bool {
        self.attempts_max > 1
    }

    /// How long to wait before making the call again, after `attempts` attempts of which the last one failed so; `None` gives the
    /// error to the caller. `chance` is between 0 and 1.
    pub(crate) fn pause(&self, attempts: u32, error: &CallError, chance: f64) -> Option<Duration> {
        if attempts >= self.attempts_max || !passes(error) {
            return None;
        }
        let doubled = self.pause_first.saturating_mul(1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(self.pause_max).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        match error.retry_delay() {
            Some(advised) if advised > self.pause_max => None,
            Some(advised) => Some(pause.max(advised)),
            None => Some(pause),
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 4, pause_first: Duration::from_millis(100), pause_max: Duration::from_secs(5) }
    }
}

/// Whether the failure is of a kind that goes away by itself, and the call one that can be made again.
fn passes(error: &CallError) -> bool {
    let is_unavailable = error.code() == Code::Unavailable;
    match (error.repetition(), error.action_of_attempt()) {
        (Repetition::Decided, _) | (_, Action::FixCall | Action::GiveUp) => false,
        (Repetition::Read, Action::CheckOutcome) => false,
        (Repetition::Recognised, Action::CheckOutcome) => is_unavailable,
        (Repetition::Read | Repetition::Recognised, Action::Wait { delay }) => {
            let needs_a_look =
                matches!(error.reason(), ErrorReason::SetKeyAlreadyRunning | ErrorReason::OutcomeUnknown);
            !needs_a_look && (is_unavailable || delay.is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::method::Method;

    const GET_ORGANIZATION: Method = Method::of(sealward::methods::GetOrganization);
    const SET_KEY: Method = Method::of(sealward::methods::SetDataEncryptionKey);

    fn error(method: &Method, code: Code, reason: &str, retry_delay: Option<Duration>) -> Box<CallError> {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "sealward", std::collections::HashMap::new());
        if let Some(delay) = retry_delay {
            details.set_retry_info(Some(delay));
        }
        CallError::from_status(method, Status::with_error_details(code, "", details))
    }

    fn pause(method: &Method, code: Code, reason: &str, retry_delay: Option<Duration>) -> Option<Duration> {
        RetryPolicy::default().pause(1, &error(method, code, reason, retry_delay), 1.0)
    }

    #[test]
    fn reads_are_repeated_after_failures_that_pass_and_what_is_decided_never() {
        let first = Some(Duration::from_millis(100));
        let unavailable =
            [("STORE_UNAVAILABLE", None), ("AUDIT_UNAVAILABLE", None), ("SHUTTING_DOWN", first), ("", None)];
        for (reason, advice) in unavailable {
            assert_eq!(pause(&GET_ORGANIZATION, Code::Unavailable, reason, advice), first, "{reason}");
            assert_eq!(pause(&SET_KEY, Code::Unavailable, reason, advice), None, "{reason}");
        }
        assert_eq!(pause(&GET_ORGANIZATION, Code::Unavailable, "OUTCOME_UNKNOWN", None), None);
        assert_eq!(pause(&GET_ORGANIZATION, Code::NotFound, "NOT_FOUND", None), None);
        assert_eq!(pause(&GET_ORGANIZATION, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None), None);
        assert_eq!(pause(&GET_ORGANIZATION, Code::Internal, "INTERNAL", None), None);
    }

    #[test]
    fn what_is_recognised_is_repeated_even_if_it_may_have_been_made() {
        let first = Some(Duration::from_millis(100));
        let method = SET_KEY.repeated(Repetition::Recognised);
        for reason in ["STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "SHUTTING_DOWN", "OUTCOME_UNKNOWN", ""] {
            assert_eq!(pause(&method, Code::Unavailable, reason, None), first, "{reason}");
        }
        let advised = Some(Duration::from_secs(5));
        assert_eq!(pause(&method, Code::ResourceExhausted, "KEY_CHANGE_QUOTA", advised), advised);
        for (code, reason) in [
            (Code::Aborted, "SET_KEY_ALREADY_RUNNING"),
            (Code::Aborted, "ETAG_MISMATCH"),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (Code::Cancelled, "CANCELLED"),
            (Code::Internal, "INTERNAL"),
        ] {
            assert_eq!(pause(&method, code, reason, advised), None, "{reason}");
        }
    }

    #[test]
    fn advice_is_followed_up_to_the_longest_pause() {
        let advised = |seconds| {
            let delay = Some(Duration::from_secs(seconds));
            pause(&GET_ORGANIZATION, Code::ResourceExhausted, "KEY_CHANGE_QUOTA", delay)
        };
        assert_eq!(advised(5), Some(Duration::from_secs(5)));
        assert_eq!(advised(6), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_attempts_end() {
        let policy = RetryPolicy { attempts_max: 100, ..RetryPolicy::default() };
        let error = error(&GET_ORGANIZATION, Code::Unavailable, "", None);
        let pauses = [1, 2, 3, 6, 7, 99].map(|attempts| policy.pause(attempts, &error, 1.0).unwrap().as_millis());
        assert_eq!(pauses, [100, 200, 400, 3_200, 5_000, 5_000]);
        assert_eq!(policy.pause(1, &error, 0.0), Some(Duration::from_millis(50)));
        assert_eq!(policy.pause(100, &error, 1.0), None);
        assert_eq!(RetryPolicy::never().pause(1, &error, 1.0), None);
    }
}
