//! Which failed calls are made again, and after how long: a decision without a clock.
//!
//! Only methods that read are repeated. A write whose answer got lost may have taken effect, so repeating it is for somebody who has
//! looked.

use std::time::Duration;

use tonic::Code;

use crate::{
    error::{Action, CallError},
    v1::ErrorReason,
};

/// How often and how patiently failed calls are repeated. Applies to methods that read, after failures that pass: UNAVAILABLE, or what
/// the server says to wait for. The call's timeout spans all of its attempts.
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

    /// How long to wait before making the call again, after `attempts` attempts of which the last one failed so; `None` gives the
    /// error to the caller. `chance` is between 0 and 1.
    pub(crate) fn pause(&self, attempts: u32, error: &CallError, chance: f64) -> Option<Duration> {
        if attempts >= self.attempts_max || !error.only_reads() || !passes(error) {
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

/// Whether the failure is of a kind that goes away by itself.
fn passes(error: &CallError) -> bool {
    let is_unavailable = error.code() == Code::Unavailable && error.reason() != ErrorReason::OutcomeUnknown;
    matches!(error.action(), Action::Wait { .. }) && (is_unavailable || error.retry_delay().is_some())
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::method::{GET_ORGANIZATION, Method, SET_KEY};

    fn error(method: &Method, code: Code, reason: &str, retry_delay: Option<Duration>) -> Box<CallError> {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "fieldseal", std::collections::HashMap::new());
        if let Some(delay) = retry_delay {
            details.set_retry_info(Some(delay));
        }
        CallError::from_status(method, Status::with_error_details(code, "", details))
    }

    fn pause(method: &Method, code: Code, reason: &str, retry_delay: Option<Duration>) -> Option<Duration> {
        RetryPolicy::default().pause(1, &error(method, code, reason, retry_delay), 1.0)
    }

    #[test]
    fn reads_are_repeated_after_failures_that_pass_and_writes_never() {
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
