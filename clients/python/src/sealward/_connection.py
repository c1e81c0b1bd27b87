"""Calls over a connection: deadline, retries, tokens and errors, the same for every method."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from sealward._call import CLIENT_HEADER, Call, check_process, checked_timeout, end_of, failure_of_requests, remaining, server_version
from sealward._errors import error_of, without_frames
from sealward._method import Method, RequestT, ResponseT
from sealward._requests import Requests
from sealward._retry import may_have_taken_effect
from sealward._secret import Secret, hidden
from sealward._setup import Settings
from sealward._token import authorization, check_token

MessageT = TypeVar("MessageT", bound=Message)
RecordT = TypeVar("RecordT")


class Connection:
    """The connections to a server. Safe for use by several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server_version: str | None = None
        if settings.credentials is None:
            self.channel = grpc.insecure_channel(settings.target, options=settings.options)
        else:
            self.channel = grpc.secure_channel(settings.target, settings.credentials, options=settings.options)
        self._multicallables: dict[str, Any] = {}
        self._process = os.getpid()
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()
        # Called once: by `close`, when nothing refers to the connection, or at the end of the interpreter.
        self._close = weakref.finalize(self, _close, self.channel, self._streams, self._process)

    def unary(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        timeout: float | None,
    ) -> ResponseT:
        """Makes a call, with retries by the policy."""
        settings = self.settings
        call = Call(
            method,
            request,
            policy=settings.retry,
            deadline=time.monotonic() + (checked_timeout(timeout) or settings.timeout),
            can_refresh_token=self._can_refresh_token,
        )
        invoke = self._multicallable(method, "unary_unary")
        while True:
            metadata = self._metadata(call.needs_new_token)
            try:
                response, answered = invoke.with_call(call.request, timeout=call.remaining(time.monotonic()), metadata=metadata())
            except grpc.RpcError as error:
                failure = error_of(error)
            except BaseException as error:
                raise without_frames(error)
            else:
                self._note_version(answered)
                result: ResponseT = response
                return result
            pause = call.failed(failure, time.monotonic())
            if pause is None:
                raise failure
            time.sleep(pause)

    def server_stream(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float | None) -> ServerStream[ResponseT]:
        """Opens a server stream."""
        invoke = self._multicallable(method, "unary_stream")
        end = end_of(checked_timeout(timeout), time.monotonic())
        sent = type(request)()
        sent.CopyFrom(request)

        def open_call(needs_new_token: bool) -> Any:
            metadata = self._metadata(needs_new_token)
            try:
                call = invoke(sent, timeout=remaining(end, time.monotonic()), metadata=metadata())
            except BaseException as error:
                raise without_frames(error)
            self._streams.add(call)
            return call

        return ServerStream(open_call, self._note_version, can_refresh_token=self._can_refresh_token)

    def client_stream(self, method: Method[RequestT, ResponseT], requests: Iterable[RequestT], timeout: float | None) -> ResponseT:
        """Sends a client stream and waits for the answer."""
        invoke = self._multicallable(method, "stream_unary")
        end = end_of(checked_timeout(timeout), time.monotonic())
        metadata = self._metadata(False)
        try:
            response, answered = invoke.with_call(iter(requests), timeout=remaining(end, time.monotonic()), metadata=metadata())
        except grpc.RpcError as error:
            failure = error_of(error)
        except BaseException as error:
            raise without_frames(error)
        else:
            self._note_version(answered)
            result: ResponseT = response
            return result
        if may_have_taken_effect(failure):
            failure.mark_effect()
        raise failure

    def bidirectional_stream(
        self,
        method: Method[RequestT, ResponseT],
        requests: Iterable[RequestT],
        timeout: float | None,
    ) -> ServerStream[ResponseT]:
        """Opens a stream in both directions. A thread of gRPC reads the requests as the server takes them."""
        invoke = self._multicallable(method, "stream_stream")
        end = end_of(checked_timeout(timeout), time.monotonic())
        sent = Requests(requests)

        def open_call(needs_new_token: bool) -> Any:
            metadata = self._metadata(needs_new_token)
            try:
                call = invoke(iter(sent), timeout=remaining(end, time.monotonic()), metadata=metadata())
            except BaseException as error:
                raise without_frames(error)
            sent.belong_to(call)
            self._streams.add(call)
            return call

        return ServerStream(open_call, self._note_version, can_refresh_token=False, requests=sent)

    def close(self) -> None:
        """Ends all calls and closes the connections."""
        self._close()

    @property
    def _can_refresh_token(self) -> bool:
        return self.settings.token is not None and getattr(self.settings.token, "can_refresh", True)

    def _metadata(self, needs_new_token: bool) -> Callable[[], tuple[tuple[str, str], ...]]:
        """The headers of a call. They are a function until gRPC needs them, because tools that print local variables would show the token."""
        source = self.settings.token
        if source is None:
            return lambda: (CLIENT_HEADER,)
        token: Secret = hidden(source(needs_new_token), str)
        check_token(token, "bearer token")
        return lambda: (CLIENT_HEADER, authorization(token))

    def _note_version(self, answered: Any) -> None:
        self.server_version = server_version(answered.initial_metadata()) or self.server_version

    def _multicallable(self, method: Method[RequestT, ResponseT], kind: str) -> Any:
        check_process(self._process)
        known = self._multicallables.get(method.path)
        if known is None:
            known = getattr(self.channel, kind)(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._multicallables[method.path] = known
        return known


def _close(channel: grpc.Channel, streams: weakref.WeakSet[Any], process: int) -> None:
    """Ends the streams of a channel and closes it, except in a forked process, which doesn't have gRPC's threads.

    The interpreter stops gRPC's thread wherever it is when the program ends. If the thread then holds the lock of a call, the program hangs when it
    deletes this call. So the thread must be done with each call first.
    """
    if process != os.getpid():
        return
    for call in list(streams):
        call.cancel()
        _wait_for_last_event(call)
    channel.close()


def _wait_for_last_event(call: Any) -> None:
    """Waits until gRPC's thread is done with a cancelled call. gRPC has no public way to do this: the callbacks of a call run after its status,
    which isn't always the last event.
    """
    state: Any = getattr(call, "_state", None)
    if hasattr(state, "condition") and hasattr(state, "due"):
        with state.condition:
            state.condition.wait_for(lambda: not state.due, _END_MAX_SECONDS)


#: Maximum time until gRPC has ended a cancelled stream, which takes no answer of the server. A bound, for a call from gRPC's own thread.
_END_MAX_SECONDS = 5.0


class ServerStream(Generic[MessageT]):
    """The messages of a call that streams its answers, in order. Raises `SealwardError` if the call fails, the connection breaks or the server
    shuts down. Not repeated.

    An iterator and a context manager: leaving the context, or `cancel`, ends the call.
    """

    def __init__(
        self,
        open_call: Callable[[bool], Any],
        note_version: Callable[[Any], None],
        *,
        can_refresh_token: bool,
        requests: Requests[Any] | None = None,
    ) -> None:
        self._open = open_call
        self._note_version = note_version
        self._can_refresh_token = can_refresh_token
        # What a stream in both directions sends. Such a call writes.
        self._requests = requests
        self._is_answered = False
        self._call = open_call(False)

    def __iter__(self) -> ServerStream[MessageT]:
        return self

    def __next__(self) -> MessageT:
        while True:
            try:
                message: MessageT = next(self._call)
            except StopIteration:
                raise StopIteration from None
            except grpc.RpcError as error:
                failure = error_of(error)
            except BaseException as error:
                raise without_frames(error)
            else:
                if self._can_refresh_token:
                    self._can_refresh_token = False
                self._is_answered = True
                self._note_version(self._call)
                return message
            if self._requests is not None:
                raise failure_of_requests(failure, self._requests.failure, is_answered=self._is_answered)
            if failure.code is not grpc.StatusCode.UNAUTHENTICATED or not self._can_refresh_token:
                raise failure
            # Before the first message only: the server refuses such a call before it does anything.
            self._can_refresh_token = False
            self._call = self._open(True)

    def cancel(self) -> None:
        """Ends the call."""
        self._call.cancel()

    def __enter__(self) -> ServerStream[MessageT]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.cancel()


def iterate_pages(
    fetch: Callable[..., ResponseT],
    request: RequestT,
    records: Callable[[ResponseT], Iterable[RecordT]],
    timeout: float | None,
) -> Iterator[RecordT]:
    """Iterates over the records of all pages. The pages aren't a snapshot: a record that is created, changed or deleted between two calls may
    be missing. An unchanged record appears exactly once.
    """
    next_request = type(request)()
    next_request.CopyFrom(request)
    while True:
        page = fetch(next_request, timeout=timeout)
        yield from records(page)
        token = getattr(page, "next_page_token")
        if not token:
            return
        setattr(next_request, "page_token", token)
