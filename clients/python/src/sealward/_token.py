"""Bearer tokens, which authenticate calls with or without a client certificate."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from sealward._errors import SetupError
from sealward._secret import Secret

#: Returns the token for a call. The argument is True if the server has refused the last token: return a new one, not a cached one. Called
#: for each attempt of a call, possibly from several threads. The time limit of the call doesn't interrupt it: limit its own requests.
TokenSource: TypeAlias = Callable[[bool], str | Secret]

#: A TokenSource for asyncio; a coroutine function, or a plain function. The time limit of the call also limits the coroutine, but not a plain
#: function, which blocks the event loop until it returns.
AsyncTokenSource: TypeAlias = Callable[[bool], str | Secret | Awaitable[str | Secret]]


class StaticToken:
    """A token that doesn't change."""

    #: Whether another call can return another token.
    can_refresh = False

    def __init__(self, token: Secret) -> None:
        check_token(token, "bearer token")
        self._token = token

    def __call__(self, force_refresh: bool) -> Secret:
        return self._token


class FileToken:
    """A file with a token. Read for each attempt, so that the token can be replaced before it expires."""

    can_refresh = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def __call__(self, force_refresh: bool) -> Secret:
        try:
            token = Secret(self._path.read_bytes())
        except OSError as error:
            raise SetupError(_unreadable(self._path, error)) from None
        check_token(token, f"token file {self._path}")
        return Secret(token.expose_bytes().decode().strip())


def _unreadable(path: Path, error: OSError) -> str:
    """The text for an unreadable file. It has the path only if it is in a folder that exists: a token can be given where a path is expected."""
    if path.parent != Path() and path.parent.is_dir():
        return f"can't read the token file {path}: {error.strerror}"
    return f"can't read the token file: {error.strerror} (the path isn't shown, because it can be a token)"


def check_token(token: Secret, origin: str) -> None:
    """Validates a token. The errors are more specific than the server's, which only reports an invalid token."""
    problem = _problem_of(token)
    if problem is not None:
        raise SetupError(f"the {origin} {problem}")


def authorization(token: Secret) -> tuple[str, str]:
    """The header of a call. Only for use in an expression: a local variable may be printed."""
    return "authorization", f"Bearer {token.expose_text().strip()}"


def _problem_of(token: Secret) -> str | None:
    try:
        data = token.expose_bytes()
    except ValueError:
        return "isn't valid Unicode: a token has only letters, digits and -._~+/="
    if data.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark: save it as UTF-8 without one"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16: save it as UTF-8 without a byte order mark"
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        return "isn't valid UTF-8: a token has only letters, digits and -._~+/="
    if not text:
        return "is empty"
    if text[:7].lower() == "bearer ":
        return 'begins with "Bearer ": use only the token'
    if text.startswith("{"):
        return "is JSON: use only the token, such as the value of access_token"
    if any(character.isspace() for character in text):
        return "has more than one word: use only the token"
    # The characters of RFC 6750, section 2.1.
    if not re.fullmatch(r"[A-Za-z0-9\-._~+/=]+", text):
        return "has an invalid character: a token has only letters, digits and -._~+/="
    return None
