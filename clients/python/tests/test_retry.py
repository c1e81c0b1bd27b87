"""Retries, tokens and headers, against a server that fails on demand."""

from __future__ import annotations

import asyncio
import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from dev_server import DevServer
from failing_server import FailingServer, Failure, Pause
from network import ResettingServer

import sealward
import sealward.aio
from sealward import mail_v1, v1
from sealward._call import server_version
from sealward._errors import _Details
from sealward._keys import Watch
from sealward._method import READS
from sealward._retry import may_have_taken_effect

Code = grpc.StatusCode

#: Short pauses: the tests count attempts, and don't measure time.
FAST = sealward.RetryPolicy(pause_first=0.001, pause_max=0.01)

GET = mail_v1.GetMailboxRequest(name="a")
CREATE = mail_v1.CreateMailboxRequest(parent="a")
SET_KEY = v1.SetDataEncryptionKeyRequest(organization="a")
REVEAL = v1.RevealAttributesRequest(name="a")


def call(client: Any, request: Any) -> Any:
    """The client's method for a request."""
    return {
        "GetMailboxRequest": client.mailboxes.get_mailbox,
        "CreateMailboxRequest": client.mailboxes.create_mailbox,
        "SetDataEncryptionKeyRequest": client.data_encryption.set_data_encryption_key,
        "RevealAttributesRequest": client.secret_access.reveal_attributes,
    }[type(request).__name__](request)


def attempts(failures: list[Failure], request: Any, policy: sealward.RetryPolicy = FAST) -> tuple[int, sealward.SealwardError | None]:
    """The number of attempts of a call, and its error; the same for both clients."""

    async def with_asyncio(endpoint: str) -> sealward.SealwardError | None:
        async with sealward.aio.connect(endpoint, plaintext=True, retry=policy) as client:
            try:
                await call(client, request)
            except sealward.SealwardError as error:
                return error
        return None

    with FailingServer(failures) as server:
        asynchronous = asyncio.run(with_asyncio(server.endpoint))
        count = len(server.requests)
    failed = None
    with FailingServer(failures) as server, sealward.connect(server.endpoint, plaintext=True, retry=policy) as client:
        try:
            call(client, request)
        except sealward.SealwardError as error:
            failed = error
        assert len(server.requests) == count
        assert len(set(server.requests)) == 1, "a repetition differs from the call"
    assert repr(failed) == repr(asynchronous)
    return count, failed


def test_read_is_repeated_up_to_the_maximum() -> None:
    unavailable = Failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert attempts([unavailable] * 3, GET) == (4, None)
    count, error = attempts([unavailable] * 9, GET)
    assert count == 4
    assert error is not None
    assert error.reason == v1.ERROR_REASON_STORE_UNAVAILABLE
    assert not error.may_have_taken_effect
    assert attempts([unavailable] * 9, GET, sealward.RetryPolicy.never())[0] == 1


def test_write_is_repeated_with_the_same_idempotency_key() -> None:
    assert attempts([Failure(Code.UNAVAILABLE, "OUTCOME_UNKNOWN")], CREATE) == (2, None)
    with FailingServer([]) as server, sealward.connect(server.endpoint, plaintext=True) as client:
        client.mailboxes.create_mailbox(CREATE)
        client.mailboxes.create_mailbox(CREATE)
        keys = [mail_v1.CreateMailboxRequest.FromString(data).request_id for data in server.requests]
        assert len(set(keys)) == 2
        assert {uuid.UUID(key).version for key in keys} == {4}
        client.mailboxes.create_mailbox(mail_v1.CreateMailboxRequest(validate_only=True))
        assert mail_v1.CreateMailboxRequest.FromString(server.requests[-1]).request_id == ""


def test_failure_after_an_unknown_outcome_may_have_taken_effect() -> None:
    failures = [Failure(Code.UNAVAILABLE, "OUTCOME_UNKNOWN"), Failure(Code.PERMISSION_DENIED, "PRIVILEGE_MISSING")]
    count, error = attempts(failures, CREATE)
    assert count == 2
    assert error is not None
    assert error.may_have_taken_effect
    failures[0] = Failure(Code.UNAVAILABLE, "SHUTTING_DOWN")
    assert not attempts(failures, CREATE)[1].may_have_taken_effect  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "origin", "reason", "expected"),
    [
        (Code.UNAVAILABLE, sealward.Origin.BROKEN, None, True),
        (Code.DEADLINE_EXCEEDED, sealward.Origin.TIMED_OUT, None, True),
        (Code.CANCELLED, sealward.Origin.CANCELLED, None, True),
        (Code.INTERNAL, sealward.Origin.UNREADABLE, None, True),
        (Code.UNAVAILABLE, sealward.Origin.NOT_CONNECTED, None, False),
        (Code.UNAVAILABLE, sealward.Origin.TLS_REFUSED, None, False),
        (Code.RESOURCE_EXHAUSTED, sealward.Origin.CLIENT, None, False),
        (Code.UNAVAILABLE, sealward.Origin.SERVER, "OUTCOME_UNKNOWN", True),
        (Code.UNAVAILABLE, sealward.Origin.SERVER, "SHUTTING_DOWN", False),
        (Code.UNAVAILABLE, sealward.Origin.SERVER, None, True),
        (Code.PERMISSION_DENIED, sealward.Origin.SERVER, None, False),
    ],
)
def test_outcome_is_unknown_after_some_failures(code: Code, origin: sealward.Origin, reason: str | None, expected: bool) -> None:
    value = v1.ErrorReason.Value(f"ERROR_REASON_{reason or 'UNSPECIFIED'}")
    error = sealward.SealwardError(_Details(code, "", origin, value, reason_name=reason))
    assert may_have_taken_effect(error) is expected


def test_last_attempt_may_have_taken_effect() -> None:
    unknown = [Failure(Code.UNAVAILABLE, "OUTCOME_UNKNOWN")]
    assert attempts(unknown, SET_KEY)[1].may_have_taken_effect  # type: ignore[union-attr]
    assert not attempts(unknown, GET)[1].may_have_taken_effect  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("failure", "request_", "count"),
    [
        (Failure(Code.UNAVAILABLE, "OUTCOME_UNKNOWN"), GET, 1),
        (Failure(Code.UNAVAILABLE), GET, 2),
        (Failure(Code.ABORTED, "SET_KEY_ALREADY_RUNNING", retry=0.001), CREATE, 1),
        (Failure(Code.ABORTED, "ETAG_MISMATCH"), CREATE, 1),
        (Failure(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry=0.001), GET, 2),
        (Failure(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED"), GET, 1),
        (Failure(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry=60), GET, 1),
        (Failure(Code.NOT_FOUND, "NOT_FOUND"), GET, 1),
        (Failure(Code.INTERNAL, "INTERNAL"), GET, 1),
        (Failure(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"), GET, 1),
        (Failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"), REVEAL, 1),
        (Failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"), SET_KEY, 1),
        (Failure(Code.UNAVAILABLE, "OUTCOME_UNKNOWN"), SET_KEY, 1),
        (Failure(Code.UNAVAILABLE), SET_KEY, 1),
        (Failure(Code.UNAUTHENTICATED, "IDENTITY_REQUIRED"), GET, 1),
    ],
)
def test_only_what_is_safe_is_repeated(failure: Failure, request_: Any, count: int) -> None:
    assert attempts([failure], request_)[0] == count


@pytest.mark.parametrize("reason", ["OUTCOME_UNKNOWN", "STORE_UNAVAILABLE", None])
def test_key_change_is_not_repeated(reason: str | None) -> None:
    async def run(endpoint: str) -> None:
        async with sealward.aio.connect(endpoint, plaintext=True, retry=FAST) as client:
            await client.change_key("a", "key")

    with FailingServer([Failure(Code.UNAVAILABLE, reason)]) as server, pytest.raises(sealward.SealwardError):
        asyncio.run(run(server.endpoint))
    assert len(server.requests) == 1
    with FailingServer([Failure(Code.UNAVAILABLE, reason)]) as server:
        with sealward.connect(server.endpoint, plaintext=True, retry=FAST) as client, pytest.raises(sealward.SealwardError):
            client.change_key("a", "key")
    assert len(server.requests) == 1


def test_no_attempt_begins_after_the_deadline() -> None:
    slow = sealward.RetryPolicy(pause_first=60, pause_max=60)
    unavailable = [Failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE")] * 9
    assert attempts(unavailable, GET, slow)[0] == 1


def test_every_call_has_a_deadline() -> None:
    with FailingServer([]) as server, sealward.connect(server.endpoint, plaintext=True) as client:
        client.mailboxes.get_mailbox(GET)
        client.mailboxes.get_mailbox(GET, timeout=300)
        default, own = server.deadlines
        assert default is not None
        assert own is not None
        assert 1 < default < 40 < own < 310


def test_pauses_double_up_to_the_maximum() -> None:
    error = sealward.SealwardError(_Details(Code.UNAVAILABLE, "", sealward.Origin.SERVER))
    policy = sealward.RetryPolicy(attempts_max=10_000)

    def pause(attempts: int, jitter: float = 1.0, error: sealward.SealwardError = error) -> float | None:
        return policy.pause(attempts, error, is_read=True, is_idempotent=False, jitter=jitter)

    assert [pause(attempts) for attempts in (1, 2, 3, 6, 7, 9_999)] == pytest.approx([0.1, 0.2, 0.4, 3.2, 5, 5])
    assert pause(1, jitter=0) == pytest.approx(0.05)
    assert pause(10_000) is None
    for seconds, expected in ((5, 5), (6, None)):
        delay = datetime.timedelta(seconds=seconds)
        advised = sealward.SealwardError(_Details(Code.UNAVAILABLE, "", sealward.Origin.SERVER, retry_delay=delay))
        assert pause(1, error=advised) == expected


def test_reads_are_those_of_the_contract() -> None:
    """The service configuration names exactly the methods that the contract declares free of side effects."""
    from google.protobuf.descriptor_pb2 import MethodOptions

    from sealward import _methods

    pool = v1.WhoAmIRequest.DESCRIPTOR.file.pool
    free = set()
    for method in _methods.ALL:
        service, _, name = method.path[1:].partition("/")
        descriptor = pool.FindServiceByName(service).methods_by_name[name]
        if descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS and not descriptor.server_streaming:
            free.add(method.path)
    assert set(READS) <= {method.path for method in _methods.ALL}
    assert free <= set(READS)


def test_default_policy_is_that_of_the_service_configuration(root: Path) -> None:
    (entry,) = json.loads((root / "clients/service_config.json").read_text())["methodConfig"]
    default = sealward.RetryPolicy()
    assert entry["retryPolicy"] == {
        "maxAttempts": default.attempts_max,
        "initialBackoff": f"{default.pause_first}s",
        "maxBackoff": f"{default.pause_max:.0f}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }


def test_unknown_reason_and_broken_details_are_readable() -> None:
    count, error = attempts([Failure(Code.FAILED_PRECONDITION, "REASON_OF_TOMORROW")], GET)
    assert count == 1
    assert error is not None
    assert error.reason == v1.ERROR_REASON_UNSPECIFIED
    assert error.reason_name == "REASON_OF_TOMORROW"
    assert error.metadata == {"limit": "5"}
    assert str(error) == "REASON_OF_TOMORROW: words"
    other = attempts([Failure(Code.FAILED_PRECONDITION, "QUOTA", domain="example.org")], GET)[1]
    assert other is not None
    assert other.reason_name is None
    assert str(other) == "FAILED_PRECONDITION: words"
    control = attempts([Failure(Code.FAILED_PRECONDITION, "A\x1b[31m")], GET)[1]
    assert control is not None
    assert control.reason_name is None

    def garble(status: Any) -> None:
        status.details.add(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff")

    garbled = attempts([Failure(Code.FAILED_PRECONDITION, "NOT_FOUND", more=garble)], GET)[1]
    assert garbled is not None
    assert garbled.reason == v1.ERROR_REASON_NOT_FOUND
    assert garbled.field_violations == ()


def test_method_that_an_older_server_lacks_is_named() -> None:
    for failure in (Failure(Code.UNIMPLEMENTED), Failure(Code.UNIMPLEMENTED, "METHOD_UNKNOWN")):
        error = attempts([failure], GET)[1]
        assert error is not None
        assert error.is_method_unknown
        assert str(error).endswith("the server doesn't have this method: it may be older than this client")
    other = attempts([Failure(Code.UNIMPLEMENTED, "COMPRESSION_NOT_SERVED")], GET)[1]
    assert other is not None
    assert not other.is_method_unknown


def test_versions_are_exchanged() -> None:
    headers = (("sealward-server", "0.2.0"),)
    with FailingServer([], headers=headers) as server, sealward.connect(server.endpoint, plaintext=True) as client:
        assert client.server_version is None
        client.mailboxes.get_mailbox(GET)
        assert client.server_version == "0.2.0"
        assert server.metadata[0]["sealward-client"] == f"python/{sealward.__version__}"
        assert server.metadata[0]["user-agent"].startswith(f"sealward-python/{sealward.__version__} ")
    for text in ("1 2", "x" * 65, "", "\u00e4"):
        assert server_version([("sealward-server", text)]) is None


# Tokens, which need TLS.


class Tokens:
    """A token source that counts."""

    def __init__(self) -> None:
        self.refreshes: list[bool] = []

    def __call__(self, force_refresh: bool) -> str:
        self.refreshes.append(force_refresh)
        return f"token-{len(self.refreshes)}"


UNAUTHENTICATED = Failure(Code.UNAUTHENTICATED, "IDENTITY_REQUIRED")


def test_token_source_is_asked_again_once(server: DevServer) -> None:
    tls = server.folder / "tls"
    for failures, succeeds in (([UNAUTHENTICATED], True), ([UNAUTHENTICATED] * 2, False)):
        tokens = Tokens()
        with FailingServer(failures, tls=tls) as failing:
            with sealward.connect(failing.endpoint, ca=tls / "ca.pem", token_source=tokens) as client:
                # Also a call that is otherwise never repeated.
                if succeeds:
                    client.secret_access.reveal_attributes(REVEAL)
                else:
                    with pytest.raises(sealward.SealwardError) as refused:
                        client.secret_access.reveal_attributes(REVEAL)
                    assert refused.value.reason == v1.ERROR_REASON_IDENTITY_REQUIRED
            assert tokens.refreshes == [False, True]
            assert [metadata["authorization"] for metadata in failing.metadata] == ["Bearer token-1", "Bearer token-2"]


def test_retry_after_a_new_token_uses_the_cache_again(server: DevServer) -> None:
    tls = server.folder / "tls"
    unavailable = Failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    for failures in ([UNAUTHENTICATED, unavailable, unavailable], [UNAUTHENTICATED, unavailable, UNAUTHENTICATED]):
        tokens = Tokens()
        with FailingServer(failures, tls=tls) as failing:
            with sealward.connect(failing.endpoint, ca=tls / "ca.pem", token_source=tokens, retry=FAST) as client:
                if failures[-1] is unavailable:
                    client.mailboxes.get_mailbox(GET)
                    assert tokens.refreshes == [False, True, False, False]
                else:
                    # Still only one new token per call.
                    with pytest.raises(sealward.SealwardError):
                        client.mailboxes.get_mailbox(GET)
                    assert tokens.refreshes == [False, True, False]


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_new_token_does_not_extend_the_timeout_of_a_stream(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = server.folder / "tls"
    request = v1.WatchReencryptionRequest(organization="a")
    clock = Clock()
    monkeypatch.setattr("sealward._connection.time", clock)
    monkeypatch.setattr("sealward.aio._connection.time", clock)

    def token(force_refresh: bool) -> str:
        clock.now += 100
        return "token"

    async def run(endpoint: str) -> None:
        async with sealward.aio.connect(endpoint, ca=tls / "ca.pem", token_source=token) as client:
            assert len([message async for message in client.data_encryption.watch_reencryption(request, timeout=1_000)]) == 1

    with FailingServer([UNAUTHENTICATED], tls=tls) as failing:
        with sealward.connect(failing.endpoint, ca=tls / "ca.pem", token_source=token) as client:
            assert len(list(client.data_encryption.watch_reencryption(request, timeout=1_000))) == 1
        assert [round(deadline or 0, -2) for deadline in failing.deadlines] == [900, 800]
    with FailingServer([UNAUTHENTICATED], tls=tls) as failing:
        asyncio.run(run(failing.endpoint))
        assert [round(deadline or 0, -2) for deadline in failing.deadlines] == [900, 800]


def test_token_source_of_a_stream_is_asked_again_once(server: DevServer) -> None:
    tls = server.folder / "tls"
    request = v1.WatchReencryptionRequest(organization="a")
    tokens = Tokens()
    with FailingServer([UNAUTHENTICATED], tls=tls) as failing:
        with sealward.connect(failing.endpoint, ca=tls / "ca.pem", token_source=tokens) as client:
            assert len(list(client.data_encryption.watch_reencryption(request))) == 1
        assert tokens.refreshes == [False, True]

    async def run(endpoint: str, source: Any) -> int:
        async with sealward.aio.connect(endpoint, ca=tls / "ca.pem", token_source=source) as client:
            await client.secret_access.reveal_attributes(REVEAL)
            return len([message async for message in client.data_encryption.watch_reencryption(request)])

    tokens = Tokens()

    async def source(force_refresh: bool) -> sealward.Secret:
        return sealward.Secret(tokens(force_refresh))

    with FailingServer([UNAUTHENTICATED, UNAUTHENTICATED], tls=tls) as failing, pytest.raises(sealward.SealwardError):
        asyncio.run(run(failing.endpoint, source))
    with FailingServer([UNAUTHENTICATED], tls=tls) as failing:
        assert asyncio.run(run(failing.endpoint, tokens)) == 1


def test_fixed_token_is_not_repeated(server: DevServer) -> None:
    tls = server.folder / "tls"
    with FailingServer([UNAUTHENTICATED], tls=tls) as failing:
        with sealward.connect(failing.endpoint, ca=tls / "ca.pem", bearer_token="fixed") as client:  # noqa: S106
            with pytest.raises(sealward.SealwardError):
                client.mailboxes.get_mailbox(GET)
        assert len(failing.requests) == 1


def test_watched_key_change_continues_after_a_break(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealward._client.RESUME_PAUSE", 0.001)
    monkeypatch.setattr("sealward.aio._client.RESUME_PAUSE", 0.001)
    failures = [None, Failure(Code.UNAVAILABLE, "SHUTTING_DOWN"), Failure(Code.CANCELLED), Failure(Code.UNAVAILABLE, "CONNECTION_ENDING")]
    with FailingServer(failures) as failing, sealward.connect(failing.endpoint, plaintext=True) as client:  # type: ignore[arg-type]
        change = client.change_key("a", "key")
        assert len(list(change)) == 1
        assert len(failing.requests) == 5

    async def run(endpoint: str) -> int:
        async with sealward.aio.connect(endpoint, plaintext=True) as client:
            return len([progress async for progress in await client.change_key("a", "key")])

    with FailingServer(failures) as failing:  # type: ignore[arg-type]
        assert asyncio.run(run(failing.endpoint)) == 1
        assert len(failing.requests) == 5
    # A server that has answered may restart for a minute. One that never answered is reported after a few attempts.
    shutting_down = Failure(Code.UNAVAILABLE, "SHUTTING_DOWN")
    with FailingServer([None, *[shutting_down] * 61]) as failing:  # type: ignore[list-item]
        with sealward.connect(failing.endpoint, plaintext=True) as client, pytest.raises(sealward.SealwardError):
            list(client.change_key("a", "key"))
        assert len(failing.requests) == 62
    with FailingServer([shutting_down] * 6) as failing:
        with sealward.connect(failing.endpoint, plaintext=True) as client, pytest.raises(sealward.SealwardError):
            list(client.watch_reencryption("a"))
        assert len(failing.requests) == 6


def test_only_a_reset_by_the_other_end_resumes_a_watch() -> None:
    def may_resume(origin: sealward.Origin, reason_name: str | None = None) -> bool:
        return Watch().may_resume(sealward.SealwardError(_Details(Code.CANCELLED, "", origin, reason_name=reason_name)))

    assert may_resume(sealward.Origin.SERVER)
    assert not may_resume(sealward.Origin.SERVER, "REASON_OF_TOMORROW")
    assert not may_resume(sealward.Origin.CANCELLED)


def test_reset_of_a_stream_is_not_a_cancellation_by_this_program() -> None:
    request = v1.WatchReencryptionRequest(organization="a")

    async def run(endpoint: str) -> list[sealward.SealwardError]:
        async with sealward.aio.connect(endpoint, plaintext=True) as client:
            with pytest.raises(sealward.SealwardError) as unary:
                await client.mailboxes.get_mailbox(GET)
            with pytest.raises(sealward.SealwardError) as stream:
                await anext(client.data_encryption.watch_reencryption(request))
            return [unary.value, stream.value]

    with ResettingServer() as server:
        errors = asyncio.run(run(server.endpoint))
        with sealward.connect(server.endpoint, plaintext=True) as client:
            with pytest.raises(sealward.SealwardError) as unary:
                client.mailboxes.get_mailbox(GET)
            with pytest.raises(sealward.SealwardError) as stream:
                next(client.data_encryption.watch_reencryption(request))
            errors += [unary.value, stream.value]
    assert {(error.code, error.origin) for error in errors} == {(Code.CANCELLED, sealward.Origin.SERVER)}


def test_cancellation_by_this_program_has_its_origin(server: DevServer) -> None:
    with server.connect("admin") as admin:
        stream = admin.data_encryption.watch_reencryption(v1.WatchReencryptionRequest(organization="organizations/default"))
        stream.cancel()
        with pytest.raises(sealward.SealwardError) as cancelled:
            list(stream)
        assert cancelled.value.origin is sealward.Origin.CANCELLED


class Waiting:
    """A call of asyncio that waits for the server, in a task. An asynchronous context manager."""

    def __init__(self, kind: str) -> None:
        self._pause = Pause()
        self._server = FailingServer([self._pause])
        self.client = sealward.aio.connect(self._server.endpoint, plaintext=True)
        self.stream = self.client.data_encryption.watch_reencryption(v1.WatchReencryptionRequest(organization="a"))
        self.task: asyncio.Task[object] = asyncio.ensure_future(self.client.mailboxes.get_mailbox(GET) if kind == "unary" else anext(self.stream))

    async def __aenter__(self) -> Waiting:
        await asyncio.to_thread(self._pause.begun.wait)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await asyncio.to_thread(self._server.__exit__)


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_task_that_nobody_cancelled_gets_an_error(kind: str) -> None:
    async def closed() -> None:
        async with Waiting(kind) as waiting:
            await waiting.client.close()
            with pytest.raises(sealward.SealwardError) as failed:
                await waiting.task
            assert failed.value.origin is sealward.Origin.CANCELLED
            assert failed.value.code is Code.CANCELLED

    async def stream_cancelled() -> None:
        async with Waiting(kind) as waiting:
            waiting.stream.cancel()
            with pytest.raises(sealward.SealwardError) as failed:
                await waiting.task
            assert failed.value.origin is sealward.Origin.CANCELLED

    async def task_cancelled() -> None:
        async with Waiting(kind) as waiting:
            waiting.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting.task
        async with Waiting(kind) as waiting:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await waiting.task

    asyncio.run(closed())
    if kind == "stream":
        asyncio.run(stream_cancelled())
    asyncio.run(task_cancelled())


def test_coroutine_of_a_token_has_the_timeout_of_the_call(server: DevServer) -> None:
    async def never(force_refresh: bool) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def failing(force_refresh: bool) -> str:
        raise TimeoutError("of the source")

    async def run() -> None:
        ca = server.folder / "tls/ca.pem"
        watch = v1.WatchReencryptionRequest(organization="a")
        async with sealward.aio.connect(server.endpoint, ca=ca, token_source=never) as client:
            for call in (
                client.mailboxes.get_mailbox(GET, timeout=0.01),
                client.organizations.import_organization([], timeout=0.01),
                anext(client.data_encryption.watch_reencryption(watch, timeout=0.01)),
            ):
                # The outer limit only ends a test that fails.
                async with asyncio.timeout(20):
                    with pytest.raises(sealward.SealwardError) as late:
                        await call
                assert late.value.origin is sealward.Origin.TIMED_OUT
                assert late.value.reason == v1.ERROR_REASON_DEADLINE_EXCEEDED
        async with sealward.aio.connect(server.endpoint, ca=ca, token_source=failing) as client:
            with pytest.raises(TimeoutError, match="of the source"):
                await client.mailboxes.get_mailbox(GET)

    asyncio.run(run())
