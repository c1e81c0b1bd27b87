"""The requests of a stream in both directions. If the program fails to produce one, the call ends, and the program gets its own exception
where it reads the answers. gRPC would only log it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

RequestT = TypeVar("RequestT", bound=Message)


class Requests(Generic[RequestT]):
    """The requests that a thread of gRPC reads."""

    def __init__(self, requests: Iterable[RequestT]) -> None:
        #: The exception of the program.
        self.failure: Exception | None = None
        self._requests = requests
        self._is_open = threading.Event()
        # gRPC ends a call that the program no longer has. Its thread has these requests, and so must not keep the call.
        self._call: weakref.ref[Any] | None = None

    def belong_to(self, call: Any) -> None:
        """Sets the call that sends the requests."""
        self._call = weakref.ref(call)
        self._is_open.set()

    def __iter__(self) -> Iterator[RequestT]:
        try:
            yield from self._requests
        except Exception as error:
            self.failure = error
            self._is_open.wait()
            _cancel(self._call)


class AsyncRequests(Generic[RequestT]):
    """The requests that a task of gRPC reads."""

    def __init__(self, requests: AsyncIterable[RequestT] | Iterable[RequestT]) -> None:
        #: The exception of the program.
        self.failure: Exception | None = None
        self._requests = requests
        self._call: weakref.ref[Any] | None = None

    def belong_to(self, call: Any) -> None:
        """Sets the call that sends the requests."""
        self._call = weakref.ref(call)

    async def __aiter__(self) -> AsyncIterator[RequestT]:
        try:
            if isinstance(self._requests, AsyncIterable):
                async for request in self._requests:
                    yield request
            else:
                for request in self._requests:
                    yield request
        except Exception as error:
            self.failure = error
            _cancel(self._call)


def _cancel(reference: weakref.ref[Any] | None) -> None:
    call = None if reference is None else reference()
    if call is not None:
        call.cancel()
