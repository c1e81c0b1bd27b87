"""Key changes: what is sent, and when following a re-encryption ends. Knows no connection."""

from __future__ import annotations

import secrets

import grpc

from sealward import v1
from sealward._errors import Origin, SealwardError
from sealward._secret import Secret

#: Crockford's Base32: no I, L, O and U.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS = 7
_GROUP_CHARACTERS = 5

#: The pause before a stream is opened again, in seconds, and the maximum number of consecutive failures: a restart of the server takes seconds.
RESUME_PAUSE = 1.0
_FAILURES_MAX = 60
_FAILURES_MAX_AT_FIRST = 5

#: The states in which a re-encryption doesn't continue without another call.
_ENDED = frozenset(
    {
        v1.Reencryption.STATE_NONE,
        v1.Reencryption.STATE_WAITING,
        v1.Reencryption.STATE_DONE,
        v1.Reencryption.STATE_DONE_WITH_UNREADABLE_CELLS,
    }
)


def generate_key_text() -> Secret:
    """Generates an encryption key with 175 random bits: seven groups of five characters of Crockford's Base32, with hyphens, such as
    `8FQ2M-…`. Its format is that of keys that the server generates.
    """
    while True:
        groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARACTERS)) for _ in range(_GROUPS))
        text = "-".join(groups)
        # The rule requires a letter and a numeral. A key without one of them, about 1 in 500,000, is discarded.
        if any(character.isdigit() for character in text) and any(character.isalpha() for character in text):
            return Secret(text)


def key_request(organization: str, key: Secret, *, change_encryption_key: bool) -> v1.SetDataEncryptionKeyRequest:
    """The request for a change or a restore."""
    # protobuf's error for text that isn't Unicode would contain it.
    key.expose_bytes()
    return v1.SetDataEncryptionKeyRequest(organization=organization, encryption_key=key.expose_text(), change_encryption_key=change_encryption_key)


class Watch:
    """The state of following a re-encryption. `is_reachable` is whether the server has just answered."""

    def __init__(self, *, is_reachable: bool = False) -> None:
        self._has_message = is_reachable
        self._has_ended = False
        self._failures = 0

    @property
    def has_ended(self) -> bool:
        """Whether the last message is of a re-encryption that has ended."""
        return self._has_ended

    def received(self, progress: v1.Reencryption) -> None:
        """Notes a message."""
        self._has_message = True
        self._failures = 0
        self._has_ended = progress.state in _ENDED

    def may_resume(self, error: SealwardError) -> bool:
        """Whether to open the stream again after this error: it is transient, and the number of consecutive failures is within the limit."""
        self._failures += 1
        failures_max = _FAILURES_MAX if self._has_message else _FAILURES_MAX_AT_FIRST
        return _is_transient(error) and self._failures <= failures_max


def _is_transient(error: SealwardError) -> bool:
    if error.code is grpc.StatusCode.CANCELLED:
        # The server or a proxy reset the stream, for example at a shutdown.
        return error.origin is Origin.SERVER and error.reason_name is None
    return error.code is grpc.StatusCode.UNAVAILABLE and error.origin is not Origin.TLS_REFUSED
