"""Decides which calls are repeated, and when. Knows no connection and no clock."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from sealward import v1
from sealward._errors import Origin, SealwardError


@dataclass(frozen=True)
class RetryPolicy:
    """The retries of calls that are safe to repeat. Streams aren't repeated."""

    #: Maximum number of attempts, including the first. 1 disables retries. Default: 4.
    attempts_max: int = 4
    #: Pause after the first failure, in seconds. It doubles with each further failure. Half of each pause is random jitter, so that clients
    #: don't retry at the same time. Default: 0.1.
    pause_first: float = 0.1
    #: Maximum pause, in seconds. If the server requests a longer delay, the call fails at once, and the error has the delay. Default: 5.
    pause_max: float = 5.0

    @staticmethod
    def never() -> RetryPolicy:
        """A policy without retries."""
        return RetryPolicy(attempts_max=1)

    def pause(self, attempts: int, error: SealwardError, *, is_read: bool, is_idempotent: bool, jitter: float) -> float | None:
        """The pause before the next attempt, in seconds, after `attempts` attempts with `error` as the last failure. None if the call isn't
        repeated. `jitter` is between 0 and 1.
        """
        if attempts >= self.attempts_max or not is_retryable(error, is_read=is_read, is_idempotent=is_idempotent):
            return None
        # The exponent is bounded, because a float is.
        pause = min(self.pause_first * 2.0 ** min(attempts - 1, 64), self.pause_max) * (0.5 + jitter / 2)
        if error.retry_delay is None:
            return pause
        requested = error.retry_delay.total_seconds()
        return None if requested > self.pause_max else max(pause, requested)


def is_retryable(error: SealwardError, *, is_read: bool, is_idempotent: bool) -> bool:
    """Whether the failure is transient, and the call safe to repeat. A read changes nothing; the server recognizes the repetition of an
    idempotent call.
    """
    if not (is_read or is_idempotent) or error.origin is Origin.TLS_REFUSED:
        return False
    if error.reason == v1.ERROR_REASON_SET_KEY_ALREADY_RUNNING:
        return False
    if error.reason == v1.ERROR_REASON_OUTCOME_UNKNOWN and not is_idempotent:
        return False
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return True
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_delay is not None


def may_have_taken_effect(error: SealwardError) -> bool:
    """Whether the server may have carried out a call that failed like this, if the call changes something."""
    if error.origin is Origin.SERVER:
        # Without a reason, the error may be a proxy's, or the end of a stream.
        return error.code in _UNCERTAIN_CODES if error.reason_name is None else error.reason in _UNCERTAIN_REASONS
    return error.origin in (Origin.BROKEN, Origin.TIMED_OUT, Origin.CANCELLED, Origin.UNREADABLE)


#: The reasons of the server for an unknown outcome.
_UNCERTAIN_REASONS = (v1.ERROR_REASON_OUTCOME_UNKNOWN, v1.ERROR_REASON_DEADLINE_EXCEEDED, v1.ERROR_REASON_CANCELLED)

#: The codes of errors without a reason, after which the outcome is unknown.
_UNCERTAIN_CODES = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
)
