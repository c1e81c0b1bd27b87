"""Errors: a failed call with the details that the server sent, and errors in the configuration of a client.

No error contains a secret: the contract excludes secrets from statuses, and what gRPC keeps of a call (its frames have the serialized
request and the token) is cut off with `without_frames`.
"""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from sealward import mail_v1, v1


class SetupError(ValueError):
    """An error in the configuration of a client."""


class Origin(enum.Enum):
    """The origin of a failure."""

    #: The server, or a proxy, answered with an error, or reset the stream.
    SERVER = "server"
    #: No connection; the call wasn't sent.
    NOT_CONNECTED = "not connected"
    #: The TLS handshake failed: client or server refused the other's certificate.
    TLS_REFUSED = "TLS refused"
    #: The connection broke, possibly after the call was sent. A server that refuses the client's certificate and closes the connection can
    #: look the same.
    BROKEN = "broken"
    #: The timeout expired.
    TIMED_OUT = "timed out"
    #: This program cancelled the call, or closed the client.
    CANCELLED = "cancelled"
    #: This side failed before the call was sent: the request is too large.
    CLIENT = "client"
    #: The answer can't be decoded as a message of the contract, or it is too large.
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class FieldViolation:
    """A violation in a request."""

    #: The field, as a path from the request: `mailbox.display_name`.
    field: str
    #: The description, for people.
    description: str
    #: The machine-readable reason, such as `TOO_LONG` or the reason of an entity's rule. Can be empty.
    reason: str


@dataclass(frozen=True)
class _Details:
    """The values of a SealwardError."""

    code: grpc.StatusCode
    message: str
    origin: Origin
    reason: v1.ErrorReason.ValueType = v1.ERROR_REASON_UNSPECIFIED
    mail_reason: mail_v1.ErrorReason.ValueType = mail_v1.ERROR_REASON_UNSPECIFIED
    reason_name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_violations: tuple[FieldViolation, ...] = ()
    retry_delay: datetime.timedelta | None = None
    call_id: str | None = None
    may_have_taken_effect: bool = False


class SealwardError(Exception):
    """A failed call. Contains no secrets: the contract excludes them from errors."""

    def __init__(self, details: _Details) -> None:
        super().__init__(details)
        self._details = details

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code."""
        return self._details.code

    @property
    def reason(self) -> v1.ErrorReason.ValueType:
        """The machine-readable reason. `ERROR_REASON_UNSPECIFIED` if there is none, or if this client doesn't know it."""
        return self._details.reason

    @property
    def mail_reason(self) -> mail_v1.ErrorReason.ValueType:
        """The reason of the mail application. `ERROR_REASON_UNSPECIFIED` for all other errors."""
        return self._details.mail_reason

    @property
    def reason_name(self) -> str | None:
        """The reason as on the wire, such as `KEY_MISMATCH`, also if this client doesn't know it. None if there is none."""
        return self._details.reason_name

    @property
    def message(self) -> str:
        """The server's message, or gRPC's if the server sent none. Can be empty."""
        return self._details.message

    @property
    def metadata(self) -> Mapping[str, str]:
        """The values of the reason by their names in the contract, such as `wanted_fingerprint` and `limit`."""
        return self._details.metadata

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """The violations of the request's fields."""
        return self._details.field_violations

    @property
    def retry_delay(self) -> datetime.timedelta | None:
        """The delay before a retry that the server requests."""
        return self._details.retry_delay

    @property
    def call_id(self) -> str | None:
        """The id of the call in the server's log."""
        return self._details.call_id

    @property
    def origin(self) -> Origin:
        """The origin of the failure."""
        return self._details.origin

    @property
    def may_have_taken_effect(self) -> bool:
        """Whether an attempt of the call may have taken effect, although the call failed. Check before you repeat the call. Always false for a
        call that changes nothing.
        """
        return self._details.may_have_taken_effect

    def mark_effect(self) -> None:
        """Notes that an attempt of the call may have taken effect. For this package."""
        self._details = replace(self._details, may_have_taken_effect=True)
        self.args = (self._details,)

    @property
    def is_method_unknown(self) -> bool:
        """Whether the server doesn't have the method, because it is older than this client."""
        if self.reason == v1.ERROR_REASON_METHOD_UNKNOWN:
            return True
        return self.code == grpc.StatusCode.UNIMPLEMENTED and self.reason_name is None

    def __str__(self) -> str:
        if self.is_method_unknown:
            return f"{self.reason_name or self.code.name}: {OLDER_SERVER}"
        what = _ORIGIN_TEXTS.get(self.origin) or self.reason_name or self.code.name
        return f"{what}: {self.message}" if self.message else what

    def __repr__(self) -> str:
        return f"SealwardError({self.code.name}, {str(self)!r}, call_id={self.call_id!r})"


OLDER_SERVER = "the server doesn't have this method: it may be older than this client"

_ORIGIN_TEXTS = {
    Origin.NOT_CONNECTED: "can't connect to the server",
    Origin.TLS_REFUSED: "TLS handshake failed",
    Origin.BROKEN: "connection lost before the response",
    Origin.TIMED_OUT: "the call timed out",
    Origin.UNREADABLE: "can't decode the response",
}

_DOMAIN = "sealward"
_MAIL_DOMAIN = "sealward.mail"
_REASON_PREFIX = "ERROR_REASON_"
_REASON_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,62}\Z")
_DETAILS_KEY = "grpc-status-details-bin"


def error_of(error: grpc.RpcError) -> SealwardError:
    """The typed error for gRPC's, which becomes its cause."""
    call: Any = error
    code: grpc.StatusCode = call.code()
    message: str = call.details() or ""
    trailers: Iterable[tuple[str, str | bytes]] = call.trailing_metadata() or ()
    status = next((_status_of(value) for key, value in trailers if key == _DETAILS_KEY), None)
    typed = SealwardError(_details_of(code, message, status))
    typed.__cause__ = without_frames(error)
    return typed


def error_of_status(code: grpc.StatusCode, status: status_pb2.Status) -> SealwardError:
    """The typed error for a status that the server sent in an answer."""
    return SealwardError(_details_of(code, status.message, status))


def timed_out() -> SealwardError:
    """The error of a call that timed out before gRPC had it."""
    return SealwardError(_timed_out())


def cancelled() -> SealwardError:
    """The error of a call that this program cancelled, or whose client it closed."""
    return SealwardError(_Details(grpc.StatusCode.CANCELLED, CANCELLED_HERE, Origin.CANCELLED))


def _timed_out() -> _Details:
    reason = v1.ERROR_REASON_DEADLINE_EXCEEDED
    return _Details(grpc.StatusCode.DEADLINE_EXCEEDED, "", Origin.TIMED_OUT, reason, reason_name="DEADLINE_EXCEEDED")


def _details_of(code: grpc.StatusCode, message: str, status: status_pb2.Status | None) -> _Details:
    if status is None:
        origin = _origin_of(code, message)
        if origin is Origin.TIMED_OUT:
            return _timed_out()
        # gRPC reports a lost status as INTERNAL. Whether the call took effect isn't known, as after a lost connection.
        return _Details(grpc.StatusCode.UNAVAILABLE if origin is Origin.BROKEN else code, message, origin)
    info = _detail(status, error_details_pb2.ErrorInfo)
    is_mail = info.domain == _MAIL_DOMAIN
    is_ours = is_mail or info.domain == _DOMAIN
    reason = v1.ERROR_REASON_UNSPECIFIED
    mail_reason = mail_v1.ERROR_REASON_UNSPECIFIED
    if is_mail:
        mail_reason = dict(mail_v1.ErrorReason.items()).get(_REASON_PREFIX + info.reason, mail_reason)
    elif is_ours:
        reason = dict(v1.ErrorReason.items()).get(_REASON_PREFIX + info.reason, reason)
    retry = _detail(status, error_details_pb2.RetryInfo)
    return _Details(
        code=code,
        message=message,
        origin=Origin.SERVER,
        reason=reason,
        mail_reason=mail_reason,
        reason_name=info.reason if is_ours and _REASON_NAME.match(info.reason) else None,
        metadata=dict(info.metadata) if is_ours else {},
        field_violations=tuple(
            FieldViolation(violation.field, violation.description, violation.reason)
            for violation in _detail(status, error_details_pb2.BadRequest).field_violations
        ),
        retry_delay=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
        call_id=_detail(status, error_details_pb2.RequestInfo).request_id or None,
    )


_Detail = TypeVar("_Detail")


def _detail(status: status_pb2.Status, detail_type: type[_Detail]) -> _Detail:
    """The detail of a type; an empty one if it is missing or malformed."""
    detail: Any = detail_type()
    for packed in status.details:
        if packed.Is(detail.DESCRIPTOR):
            try:
                packed.Unpack(detail)
            except DecodeError:
                return detail_type()
            break
    found: _Detail = detail
    return found


def _status_of(value: str | bytes) -> status_pb2.Status | None:
    try:
        return status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
    except DecodeError:
        return None


def _origin_of(code: grpc.StatusCode, message: str) -> Origin:
    """The origin of a status without details. gRPC makes statuses of its own, which differ from a proxy's only in their text."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Origin.TIMED_OUT
    if code is grpc.StatusCode.CANCELLED:
        return Origin.CANCELLED if message in (CANCELLED_HERE, _CLOSED_HERE) else Origin.SERVER
    if code is grpc.StatusCode.INTERNAL and message.startswith("Exception deserializing response"):
        return Origin.UNREADABLE
    if code is grpc.StatusCode.INTERNAL and message == STATUS_LOST:
        return Origin.BROKEN
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in message:
        return Origin.CLIENT if message.lower().startswith("sent") else Origin.UNREADABLE
    if code is not grpc.StatusCode.UNAVAILABLE:
        return Origin.SERVER
    lower = message.lower()
    for origin, words in _UNAVAILABLE_WORDS:
        if any(word in lower for word in words):
            return origin
    return Origin.SERVER


#: The messages of gRPC if this program cancels a call or closes the channel. If the server or a proxy resets the stream, the code is the same.
CANCELLED_HERE = "Locally cancelled by application!"
_CLOSED_HERE = "Channel closed!"

#: The message of grpc.aio if the server answers a stream of requests while a request is being written, and the server's status is lost.
STATUS_LOST = "Internal error from Core"

#: A part of gRPC's messages about a message over the client's limit: "Sent message larger than max", "Received message larger than max".
_TOO_LARGE = "message larger than max"

#: What gRPC says when it has no connection or loses it, in lower case. The first that is found counts: a failed handshake is also a failed
#: connection. A server that refuses the client's certificate does so after the handshake of TLS 1.3: the client then can't decrypt ("tsi_").
_UNAVAILABLE_WORDS = (
    (Origin.TLS_REFUSED, ("handshake", "ssl_error", "certificate", "peer did not", "hostname verification", "tsi_")),
    (
        Origin.NOT_CONNECTED,
        (
            "failed to connect",
            "no connection established",
            "connections to all backends failing",
            "dns resolution failed",
            "empty address list",
        ),
    ),
    (
        Origin.BROKEN,
        ("socket closed", "goaway", "connection reset", "broken pipe", "transport", "recvmsg", "stream removed"),
    ),
)


_E = TypeVar("_E", bound=BaseException)


def without_frames(error: _E) -> _E:
    """Cuts off the tracebacks of an error and of its causes. The frames of gRPC have the serialized request and the headers as local
    variables, and some tools print those.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            current.__traceback__ = None
            pending += [current.__cause__, current.__context__]
    return error
