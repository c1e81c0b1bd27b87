"""A gRPC server that fails as a test needs it, for what the real server can't be made to do on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2


class FailingServer:
    """Answers each call with the next failure, and after the last one with an answer. A context manager."""

    def __init__(self, failures: list[Failure], *, tls: Path | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        #: The requests and headers of all calls, in their order.
        self.requests: list[bytes] = []
        self.metadata: list[dict[str, Any]] = []
        self.deadlines: list[float | None] = []
        self._failures = iter(failures)
        self._pauses = [failure for failure in failures if isinstance(failure, Pause)]
        self._headers = headers
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers([Handler(self)])
        if tls is None:
            self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        else:
            pair = ((tls / "server.key").read_bytes(), (tls / "server.pem").read_bytes())
            credentials = grpc.ssl_server_credentials([pair])
            self.endpoint = f"https://127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def answer(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.requests.append(data)
            self.metadata.append(dict(context.invocation_metadata()))
            self.deadlines.append(context.time_remaining())
            failure = next(self._failures, None)
        context.send_initial_metadata(self._headers)
        if failure is not None:
            failure.abort(context)
        return b""

    def answers(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield self.answer(data, context)

    def answers_to_all(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield self.answer(next(requests, b""), context)

    def __enter__(self) -> FailingServer:
        return self

    def __exit__(self, *_: object) -> None:
        for pause in self._pauses:
            pause.ended.set()
        self._server.stop(None).wait()


class Handler(grpc.GenericRpcHandler):
    """All methods; those that begin with Watch have a stream of answers, and imports of mailboxes one of requests too."""

    def __init__(self, server: FailingServer) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if "/Watch" in details.method:
            return grpc.unary_stream_rpc_method_handler(self._server.answers)
        if "/ImportMailboxes" in details.method:
            return grpc.stream_stream_rpc_method_handler(self._server.answers_to_all)
        return grpc.unary_unary_rpc_method_handler(self._server.answer)


class Failure:
    """An error with the details of the real server."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str | None = None,
        *,
        retry: float | None = None,
        domain: str = "sealward",
        more: Callable[[status_pb2.Status], None] = lambda status: None,
    ) -> None:
        status = status_pb2.Status(code=getattr(code_pb2, code.name), message="words")
        if reason is not None:
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata={"limit": "5"}))
        if retry is not None:
            delay = duration_pb2.Duration()
            delay.FromMicroseconds(int(retry * 1_000_000))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        more(status)
        self._code = code
        self._details = status.SerializeToString() if status.details else None

    def abort(self, context: grpc.ServicerContext) -> None:
        if self._details is not None:
            context.set_trailing_metadata([("grpc-status-details-bin", self._details)])
        context.abort(self._code, "words")


class Pause(Failure):
    """No answer until the server is stopped."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.ABORTED)
        #: Set when the server has the call.
        self.begun = threading.Event()
        #: Set when the server is stopped.
        self.ended = threading.Event()

    def abort(self, context: grpc.ServicerContext) -> None:
        self.begun.set()
        self.ended.wait()
        super().abort(context)
