"""Values that don't print."""

from __future__ import annotations

from typing import NoReturn, TypeVar


class Secret:
    """A secret text or bytes. It prints as `Secret([REDACTED])`; only the methods `expose_…` return the value.

    It can't be pickled, and a copy is the same object. It has no equality and no order: compare the exposed values with
    `hmac.compare_digest`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        if not isinstance(value, (str, bytes)):
            raise TypeError(f"a secret is str or bytes, not {type(value).__name__}")
        self._value = value

    @property
    def is_text(self) -> bool:
        """Whether the value is text."""
        return isinstance(self._value, str)

    def expose_text(self) -> str:
        """Returns the text. Raises TypeError if the value is bytes."""
        if isinstance(self._value, str):
            return self._value
        raise TypeError("the secret is bytes: use expose_bytes")

    def expose_bytes(self) -> bytes:
        """Returns the value as bytes; a text is UTF-8. Raises ValueError if the text isn't valid Unicode."""
        if isinstance(self._value, bytes):
            return self._value
        # Python's own error has the text in its arguments. Text that isn't Unicode comes from arguments and variables in another encoding.
        if any("\ud800" <= character <= "\udfff" for character in self._value):
            raise ValueError("the secret isn't valid Unicode text")
        return self._value.encode()

    def __repr__(self) -> str:
        return "Secret([REDACTED])"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret can't be pickled: expose it")


_T = TypeVar("_T")


def hidden(value: _T | str | bytes, plain: type[str] | type[bytes]) -> _T | Secret:
    """The value, as a Secret if it is of the plain type."""
    return Secret(value) if isinstance(value, plain) else value  # type: ignore[return-value]
