"""Calls over a connection, for asyncio: deadline, retries, tokens and errors, the same for every method."""

from __future__ import annotations

import asyncio
import atexit
import gc
import inspect
import os
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from sealward._call import CLIENT_HEADER, Call, check_process, checked_timeout, end_of, failure_of_requests, remaining, server_version
from sealward._errors import STATUS_LOST, SealwardError, cancelled, error_of, timed_out, without_frames
from sealward._method import Method, RequestT, ResponseT
from sealward._requests import AsyncRequests
from sealward._retry import may_have_taken_effect
from sealward._secret import Secret, hidden
from sealward._setup import Settings
from sealward._token import authorization, check_token

MessageT = TypeVar("MessageT", bound=Message)
RecordT = TypeVar("RecordT")


class Connection:
    """The connections to a server. For use in the event loop in which it was created."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server_version: str | None = None
        if settings.credentials is None:
            self.channel = grpc.aio.insecure_channel(settings.target, options=settings.options)
        else:
            self.channel = grpc.aio.secure_channel(settings.target, settings.credentials, options=settings.options)
        self._multicallables: dict[str, Any] = {}
        self._process = os.getpid()
        self._streams: weakref.WeakSet[ServerStream[Any]] = weakref.WeakSet()
        _open.add(self)

    async def unary(
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
            try:
                metadata = await self._metadata(call.needs_new_token, call.deadline)
            except SealwardError as error:
                call.mark(error)
                raise
            try:
                answered = invoke(call.request, timeout=call.remaining(time.monotonic()), metadata=metadata())
                response = await answered
                headers = await answered.initial_metadata()
            except grpc.RpcError as error:
                failure = error_of(error)
            except BaseException as error:
                failure = _failure_of(error)
            else:
                self._note_version(headers)
                result: ResponseT = response
                return result
            pause = call.failed(failure, time.monotonic())
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    def server_stream(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float | None) -> ServerStream[ResponseT]:
        """Opens a server stream. The call begins with the first message that is asked for."""
        invoke = self._multicallable(method, "unary_stream")
        limit = checked_timeout(timeout)
        sent = type(request)()
        sent.CopyFrom(request)
        end: float | None = None

        async def open_call(needs_new_token: bool) -> Any:
            nonlocal end
            if not needs_new_token:
                end = end_of(limit, time.monotonic())
            metadata = await self._metadata(needs_new_token, end)
            try:
                return invoke(sent, timeout=remaining(end, time.monotonic()), metadata=metadata())
            except BaseException as error:
                raise without_frames(error)

        stream = ServerStream[ResponseT](open_call, self._note_version, can_refresh_token=self._can_refresh_token)
        self._streams.add(stream)
        return stream

    async def client_stream(
        self,
        method: Method[RequestT, ResponseT],
        requests: AsyncIterable[RequestT] | Iterable[RequestT],
        timeout: float | None,
    ) -> ResponseT:
        """Sends a client stream and waits for the answer."""
        invoke = self._multicallable(method, "stream_unary")
        end = end_of(checked_timeout(timeout), time.monotonic())
        metadata = await self._metadata(False, end)
        status: _ServerStatus | None = None
        try:
            answered = invoke(requests, timeout=remaining(end, time.monotonic()), metadata=metadata())
            status = _ServerStatus(answered)
            response = await answered
            headers = await answered.initial_metadata()
        except grpc.RpcError as error:
            failure = error_of(error if status is None else await status.restored(error))
        except BaseException as error:
            failure = _failure_of(error)
        else:
            self._note_version(headers)
            result: ResponseT = response
            return result
        if may_have_taken_effect(failure):
            failure.mark_effect()
        raise failure

    def bidirectional_stream(
        self,
        method: Method[RequestT, ResponseT],
        requests: AsyncIterable[RequestT] | Iterable[RequestT],
        timeout: float | None,
    ) -> ServerStream[ResponseT]:
        """Opens a stream in both directions. The call begins with the first message that is asked for. A task of gRPC reads the requests as
        the server takes them.
        """
        invoke = self._multicallable(method, "stream_stream")
        limit = checked_timeout(timeout)
        sent = AsyncRequests(requests)

        async def open_call(needs_new_token: bool) -> Any:
            end = end_of(limit, time.monotonic())
            metadata = await self._metadata(needs_new_token, end)
            try:
                call = invoke(aiter(sent), timeout=remaining(end, time.monotonic()), metadata=metadata())
            except BaseException as error:
                raise without_frames(error)
            sent.belong_to(call)
            return call

        stream = ServerStream[ResponseT](open_call, self._note_version, can_refresh_token=False, requests=sent)
        self._streams.add(stream)
        return stream

    async def close(self) -> None:
        """Ends all calls and closes the connections."""
        # gRPC 1.66 doesn't end streams, and the tasks that wait for a message would wait for ever.
        for stream in list(self._streams):
            stream.end_call()
        await self.channel.close()

    def release(self) -> None:
        """Releases what gRPC has for this connection, at the end of the interpreter."""
        if self._process != os.getpid():
            return
        for stream in list(self._streams):
            stream.release()
        self._multicallables.clear()
        del self.channel

    @property
    def _can_refresh_token(self) -> bool:
        return self.settings.token is not None and getattr(self.settings.token, "can_refresh", True)

    async def _metadata(
        self,
        needs_new_token: bool,
        end: float | None,
    ) -> Callable[[], tuple[tuple[str, str], ...]]:
        """The headers of a call that ends at `end`. They are a function until gRPC needs them, because tools that print local variables would
        show the token.
        """
        source = self.settings.token
        if source is None:
            return lambda: (CLIENT_HEADER,)
        limit = remaining(end, time.monotonic())
        token: Secret = hidden(await _result(source(needs_new_token), limit), str)
        check_token(token, "bearer token")
        return lambda: (CLIENT_HEADER, authorization(token))

    def _note_version(self, headers: Any) -> None:
        self.server_version = server_version(headers) or self.server_version

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


#: The connections that exist.
_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def _release_all() -> None:
    """Releases all connections at the end of the interpreter. When gRPC's last object for asyncio is deleted, gRPC waits for its thread, and with
    gRPC 1.66 for ever if the interpreter has already stopped the thread.
    """
    connections = list(_open)
    for connection in connections:
        connection.release()
    if connections:
        # Also what only a cycle refers to, such as the frame of a coroutine.
        gc.collect()


atexit.register(_release_all)


class ServerStream(Generic[MessageT]):
    """The messages of a call that streams its answers, in order. Raises `SealwardError` if the call fails, the connection breaks or the server
    shuts down. Not repeated.

    An asynchronous iterator and context manager: leaving the context, or `cancel`, ends the call.
    """

    def __init__(
        self,
        open_call: Callable[[bool], Awaitable[Any]],
        note_version: Callable[[Any], None],
        *,
        can_refresh_token: bool,
        requests: AsyncRequests[Any] | None = None,
    ) -> None:
        self._open = open_call
        self._note_version = note_version
        self._can_refresh_token = can_refresh_token
        # What a stream in both directions sends. Such a call writes.
        self._requests = requests
        self._is_answered = False
        self._status: _ServerStatus | None = None
        self._call: Any = None
        self._is_cancelled = False

    def __aiter__(self) -> ServerStream[MessageT]:
        return self

    async def __anext__(self) -> MessageT:
        if self._is_cancelled:
            raise StopAsyncIteration
        if self._call is None:
            self._call = await self._open(False)
            if self._requests is not None:
                self._status = _ServerStatus(self._call)
        while True:
            try:
                message = await self._call.read()
                headers = await self._call.initial_metadata()
            except grpc.RpcError as error:
                failure = error_of(error if self._status is None else await self._status.restored(error))
            except BaseException as error:
                failure = _failure_of(error)
            else:
                self._note_version(headers)
                self._can_refresh_token = False
                if message is grpc.aio.EOF:
                    raise StopAsyncIteration
                self._is_answered = True
                received: MessageT = message
                return received
            if self._requests is not None:
                raise failure_of_requests(failure, self._requests.failure, is_answered=self._is_answered)
            if failure.code is not grpc.StatusCode.UNAUTHENTICATED or not self._can_refresh_token:
                raise failure
            # Before the first message only: the server refuses such a call before it does anything.
            self._can_refresh_token = False
            self._call = await self._open(True)

    def cancel(self) -> None:
        """Ends the call."""
        self._is_cancelled = True
        self.end_call()

    def end_call(self) -> None:
        """Ends gRPC's call, without an end of the iteration: the client was closed."""
        if self._call is not None:
            self._call.cancel()

    def release(self) -> None:
        """Releases gRPC's call, at the end of the interpreter."""
        self._is_cancelled = True
        self._call = None
        del self._open

    def __del__(self) -> None:
        # gRPC's task that reads the requests keeps the call, so that gRPC doesn't end it when the program no longer has it.
        if self._requests is not None:
            self.end_call()

    async def __aenter__(self) -> ServerStream[MessageT]:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.cancel()


class _ServerStatus:
    """The server's status of a stream of requests. If the server answers while a request is being written, gRPC replaces its status by an internal
    one, before or after it arrives.
    """

    def __init__(self, call: Any) -> None:
        self._received: asyncio.Future[grpc.RpcError] = asyncio.get_running_loop().create_future()
        # Called for each status that gRPC sets.
        call.add_done_callback(self._note)

    async def restored(self, error: grpc.RpcError) -> grpc.RpcError:
        """The error to report for an error of gRPC: with the server's status, if gRPC has replaced it."""
        call: Any = error
        if call.details() != STATUS_LOST:
            return error
        try:
            async with asyncio.timeout(_STATUS_WAIT_SECONDS):
                return await self._received
        except TimeoutError:
            return error

    def _note(self, call: Any) -> None:
        try:
            _error_of_call(call).send(None)
        except StopIteration as done:
            error: Any = done.value
            is_failure = error.code() is not grpc.StatusCode.OK and error.details() != STATUS_LOST
            if is_failure and not self._received.done():
                self._received.set_result(error)


async def _error_of_call(call: Any) -> grpc.aio.AioRpcError:
    """The error of a call that has a status, so that nothing here waits."""
    return grpc.aio.AioRpcError(
        code=await call.code(),
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=await call.trailing_metadata(),
        details=await call.details(),
    )


#: Maximum time until gRPC has a status that the server sent before the connection refused more requests, in seconds.
_STATUS_WAIT_SECONDS = 1.0


async def iterate_pages(
    fetch: Callable[..., Awaitable[ResponseT]],
    request: RequestT,
    records: Callable[[ResponseT], Iterable[RecordT]],
    timeout: float | None,
) -> AsyncIterator[RecordT]:
    """Iterates over the records of all pages. The pages aren't a snapshot: a record that is created, changed or deleted between two calls may
    be missing. An unchanged record appears exactly once.
    """
    next_request = type(request)()
    next_request.CopyFrom(request)
    while True:
        page = await fetch(next_request, timeout=timeout)
        for record in records(page):
            yield record
        token = getattr(page, "next_page_token")
        if not token:
            return
        setattr(next_request, "page_token", token)


def _failure_of(error: BaseException) -> SealwardError:
    """The failure of a call for an exception other than gRPC's errors. Raises the exception if it isn't one. gRPC reports a call that was
    cancelled, or whose channel was closed, as the cancellation of the task that waits. If nothing cancelled this task, this is an error.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            return cancelled()
    raise without_frames(error)


async def _result(value: Any, limit: float | None) -> Any:
    """What a token source returned. A coroutine has the time limit of the call."""
    if not inspect.isawaitable(value):
        return value
    try:
        async with asyncio.timeout(limit) as scope:
            return await value
    except TimeoutError:
        # Otherwise, it is an error of the source.
        if not scope.expired():
            raise
    raise timed_out()
