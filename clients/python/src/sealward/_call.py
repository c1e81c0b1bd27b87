"""A call with its attempts, as decisions: what is sent, until when, and what follows a failure. Knows no connection, so that the blocking
client and the one for asyncio share it.
"""

from __future__ import annotations

import os
import random
import re
import uuid
from collections.abc import Iterable
from typing import Generic, overload

import grpc

from sealward import _version
from sealward._errors import SealwardError, SetupError
from sealward._method import Method, RequestT, ResponseT
from sealward._retry import RetryPolicy, may_have_taken_effect

#: What this client is, in each call. The server decides nothing by it.
CLIENT_HEADER = ("sealward-client", f"python/{_version.VERSION}")

#: The header with the server's version.
_SERVER_KEY = "sealward-server"
_SERVER_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,64}\Z")


class Call(Generic[RequestT, ResponseT]):
    """The state of a unary call."""

    def __init__(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        policy: RetryPolicy,
        deadline: float,
        can_refresh_token: bool,
    ) -> None:
        if not isinstance(request, method.request):
            raise TypeError(f"the request is a {type(request).__name__}, not a {method.request.__name__}")
        #: The request to send, with an idempotency key if it can have one.
        self.request = with_request_id(method, request)
        #: When the call ends, on the monotonic clock.
        self.deadline = deadline
        #: Whether the next attempt needs a new token, because the server refused the token of the last attempt.
        self.needs_new_token = False
        self._has_new_token = False
        self._policy = policy
        self._is_read = method.is_read
        self._is_idempotent = bool(getattr(self.request, "request_id", ""))
        self._can_refresh_token = can_refresh_token
        self._attempts = 1
        self._may_have_taken_effect = False

    def remaining(self, now: float) -> float:
        """The time limit of the next attempt, in seconds."""
        return remaining(self.deadline, now)

    def failed(self, error: SealwardError, now: float) -> float | None:
        """The pause before the next attempt, in seconds. None if the call has failed. Marks an error after which the outcome isn't known."""
        if not self._is_read and may_have_taken_effect(error):
            self._may_have_taken_effect = True
        self.mark(error)
        self.needs_new_token = error.code is grpc.StatusCode.UNAUTHENTICATED and self._can_refresh_token and not self._has_new_token
        if self.needs_new_token:
            # Once per call. The server refuses such a call before it does anything.
            self._has_new_token = True
            return 0.0
        pause = self._policy.pause(
            self._attempts,
            error,
            is_read=self._is_read,
            is_idempotent=self._is_idempotent,
            jitter=random.random(),  # noqa: S311 (spreads retries; not a secret)
        )
        if pause is None or now + pause >= self.deadline:
            return None
        self._attempts += 1
        return pause

    def mark(self, error: SealwardError) -> None:
        """Marks an error if an attempt of the call may have taken effect."""
        if self._may_have_taken_effect:
            error.mark_effect()


def failure_of_requests(failure: SealwardError, failure_of_program: Exception | None, *, is_answered: bool) -> Exception:
    """What a stream in both directions raises: the program's own exception, if it couldn't produce a request. After an answer, other
    requests may have been executed too.
    """
    if failure_of_program is not None:
        return failure_of_program
    if is_answered or may_have_taken_effect(failure):
        failure.mark_effect()
    return failure


def with_request_id(method: Method[RequestT, ResponseT], request: RequestT) -> RequestT:
    """A copy of the request that the caller can't change during the call, with a new idempotency key if it can have one and has none."""
    sent = type(request)()
    sent.CopyFrom(request)
    if method.has_request_id and not getattr(sent, "request_id") and not getattr(sent, "validate_only", False):
        setattr(sent, "request_id", new_request_id())
    return sent


def new_request_id() -> str:
    """Generates an idempotency key for the field `request_id`. If you store it before the call, you can repeat the call after a crash."""
    return str(uuid.uuid4())


def checked_timeout(timeout: float | None) -> float | None:
    """A time limit of the caller, in seconds."""
    if timeout is not None and not timeout > 0:
        raise SetupError(f"invalid timeout {timeout!r}: use a number of seconds above 0")
    return timeout


def end_of(timeout: float | None, now: float) -> float | None:
    """When a stream with this time limit ends, on the monotonic clock, with all its attempts. None if it has no limit."""
    return None if timeout is None else now + timeout


@overload
def remaining(end: float, now: float) -> float: ...
@overload
def remaining(end: None, now: float) -> None: ...
@overload
def remaining(end: float | None, now: float) -> float | None: ...
def remaining(end: float | None, now: float) -> float | None:
    """The time limit of an attempt that begins now, in seconds."""
    return None if end is None else max(end - now, _ATTEMPT_MIN_SECONDS)


#: The time limit of an attempt after the end. It fails, with the error that all calls have that time out.
_ATTEMPT_MIN_SECONDS = 0.001


def check_process(process: int) -> None:
    """Refuses a client in a forked process, in which gRPC's connections and threads don't exist: calls would hang or fail."""
    if process != os.getpid():
        raise RuntimeError("this client was created before a fork: create a client in each process")


def server_version(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The server's version in the headers of an answer. It is text from outside, so anything but a version is ignored."""
    for key, value in metadata or ():
        if key == _SERVER_KEY and isinstance(value, str) and _SERVER_VERSION.match(value):
            return value
    return None
