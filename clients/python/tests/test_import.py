"""Imports of records, which stream in both directions, against the real server."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from dev_server import DevServer
from failing_server import FailingServer, Failure

import sealward
import sealward.aio
from sealward import mail_v1, v1

ORGANIZATION = "organizations/default"
PASSWORD = "canary in the mine 1"  # noqa: S105


def message(*names: str, parent: str = "", **values: Any) -> mail_v1.ImportMailboxesRequest:
    requests = [mail_v1.CreateMailboxRequest(mailbox=mail_v1.Mailbox(display_name=name, **values)) for name in names]
    return mail_v1.ImportMailboxesRequest(parent=parent, requests=requests)


def messages() -> list[mail_v1.ImportMailboxesRequest]:
    """Three mailboxes with a secret, the second of which is refused."""
    return [message("Sales", "x" * 201, parent=ORGANIZATION, password=PASSWORD), message("Support", password=PASSWORD)]


def check_results(results: list[mail_v1.ImportMailboxesResult], server: DevServer) -> None:
    assert [result.WhichOneof("result") for result in results] == ["name", "error", "name"]
    error = sealward.item_error(results[1].error)
    assert isinstance(error, sealward.SealwardError)
    assert (error.code, error.origin) == (grpc.StatusCode.INVALID_ARGUMENT, sealward.Origin.SERVER)
    assert error.reason == v1.ERROR_REASON_FIELD_INVALID
    assert [(violation.field, violation.reason) for violation in error.field_violations] == [("mailbox.display_name", "TOO_LONG")]
    assert not error.may_have_taken_effect
    assert PASSWORD not in f"{error!r} {error} {results} {messages()}"
    with server.connect("connector") as connector:
        revealed = connector.reveal_attributes(results[2].name, ["password"], purpose="a test")
    assert revealed["password"].expose_text() == PASSWORD


def test_import_has_a_result_for_each_request(server: DevServer) -> None:
    with server.connect("writer") as writer:
        check_results([result for response in writer.mailboxes.import_mailboxes(messages()) for result in response.results], server)


def test_import_with_asyncio_has_a_result_for_each_request(server: DevServer) -> None:
    async def produced() -> AsyncIterator[mail_v1.ImportMailboxesRequest]:
        for request in messages():
            yield request

    async def run() -> None:
        async with server.connect_aio("writer") as writer:
            for requests in (messages(), produced()):
                results = [result async for response in writer.mailboxes.import_mailboxes(requests) for result in response.results]
                await asyncio.to_thread(check_results, results, server)

    asyncio.run(run())


def test_results_arrive_while_requests_are_sent(server: DevServer) -> None:
    created: queue.SimpleQueue[str] = queue.SimpleQueue()

    def produced() -> Iterator[mail_v1.ImportMailboxesRequest]:
        yield message("first", parent=ORGANIZATION)
        # The next request needs the result of the first.
        yield message(f"after {created.get(timeout=30)}"[:200])

    with server.connect("writer") as writer, writer.mailboxes.import_mailboxes(produced()) as responses:
        for response in responses:
            for result in response.results:
                created.put(result.name)
    assert created.get(timeout=30).startswith(ORGANIZATION)


def test_results_arrive_while_requests_are_sent_with_asyncio(server: DevServer) -> None:
    async def run() -> int:
        created: asyncio.Queue[str] = asyncio.Queue()

        async def produced() -> AsyncIterator[mail_v1.ImportMailboxesRequest]:
            yield message("first", parent=ORGANIZATION)
            yield message(f"after {await created.get()}"[:200])

        count = 0
        async with server.connect_aio("writer") as writer, writer.mailboxes.import_mailboxes(produced()) as responses:
            async for response in responses:
                for result in response.results:
                    created.put_nowait(result.name)
                    count += 1
        return count

    assert asyncio.run(run()) == 2


def test_failed_import_is_an_error(server: DevServer) -> None:
    """The refusal of the call, and of its second message after the results of the first."""

    def checked(failure: sealward.SealwardError, reason: v1.ErrorReason.ValueType, *, is_in_doubt: bool) -> None:
        assert (failure.reason, failure.may_have_taken_effect) == (reason, is_in_doubt)
        assert failure.call_id

    wrong = [*messages(), message("Sales", parent="organizations/other")]
    with server.connect("reader") as reader, pytest.raises(sealward.SealwardError) as refused:
        list(reader.mailboxes.import_mailboxes(messages()))
    checked(refused.value, v1.ERROR_REASON_PRIVILEGE_MISSING, is_in_doubt=False)
    with server.connect("writer") as writer:
        stream = writer.mailboxes.import_mailboxes(wrong)
        assert next(stream).results[0].name
        with pytest.raises(sealward.SealwardError) as refused:
            list(stream)
        checked(refused.value, v1.ERROR_REASON_FIELD_INVALID, is_in_doubt=True)

    async def run() -> None:
        async with server.connect_aio("reader") as reader:
            with pytest.raises(sealward.SealwardError) as refused:
                await anext(reader.mailboxes.import_mailboxes(messages()))
            checked(refused.value, v1.ERROR_REASON_PRIVILEGE_MISSING, is_in_doubt=False)
        async with server.connect_aio("writer") as writer:
            stream = writer.mailboxes.import_mailboxes(wrong)
            assert (await anext(stream)).results[0].name
            with pytest.raises(sealward.SealwardError) as refused:
                [response async for response in stream]
            checked(refused.value, v1.ERROR_REASON_FIELD_INVALID, is_in_doubt=True)

    asyncio.run(run())


def test_exception_of_the_program_ends_the_import(server: DevServer) -> None:
    def produced() -> Iterator[mail_v1.ImportMailboxesRequest]:
        yield message("first", parent=ORGANIZATION)
        raise LookupError("no more rows")

    async def produced_async() -> AsyncIterator[mail_v1.ImportMailboxesRequest]:
        for request in produced():
            yield request

    with server.connect("writer") as writer, pytest.raises(LookupError, match="no more rows"):
        list(writer.mailboxes.import_mailboxes(produced()))

    async def run() -> None:
        async with server.connect_aio("writer") as writer:
            for requests in (produced(), produced_async()):
                with pytest.raises(LookupError, match="no more rows"):
                    [response async for response in writer.mailboxes.import_mailboxes(requests)]

    asyncio.run(run())


def test_cancelled_import_ends(server: DevServer) -> None:
    waiting: queue.SimpleQueue[None] = queue.SimpleQueue()

    def produced() -> Iterator[mail_v1.ImportMailboxesRequest]:
        yield message("first", parent=ORGANIZATION)
        waiting.get()

    with server.connect("writer") as writer:
        with writer.mailboxes.import_mailboxes(produced()) as stream:
            assert next(stream).results[0].name
        with pytest.raises(sealward.SealwardError) as cancelled:
            next(stream)
        assert cancelled.value.origin is sealward.Origin.CANCELLED
        assert cancelled.value.may_have_taken_effect
        waiting.put(None)

    async def run() -> list[str]:
        ended: list[str] = []

        async def produced_async() -> AsyncIterator[mail_v1.ImportMailboxesRequest]:
            yield message("first", parent=ORGANIZATION)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("requests")

        async with server.connect_aio("writer") as writer:
            async with writer.mailboxes.import_mailboxes(produced_async()) as stream:
                assert (await anext(stream)).results[0].name
            ended += [str(response) async for response in stream]
            # The client can still be used.
            await writer.access.who_am_i(v1.WhoAmIRequest())
        return ended

    assert asyncio.run(run()) == ["requests"]


def test_import_is_not_repeated(server: DevServer) -> None:
    tls = server.folder / "tls"

    async def run(endpoint: str) -> None:
        async with sealward.aio.connect(endpoint, ca=tls / "ca.pem", token_source=lambda _: "token") as client:
            with pytest.raises(sealward.SealwardError):
                await anext(client.mailboxes.import_mailboxes(messages()))

    for failure in (Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"), Failure(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")):
        with FailingServer([failure] * 4, tls=tls) as failing:
            with sealward.connect(failing.endpoint, ca=tls / "ca.pem", token_source=lambda _: "token") as client:
                with pytest.raises(sealward.SealwardError):
                    list(client.mailboxes.import_mailboxes(messages()))
            asyncio.run(run(failing.endpoint))
            assert len(failing.requests) == 2


def test_timeout_of_an_import_is_an_error(server: DevServer) -> None:
    waiting: queue.SimpleQueue[None] = queue.SimpleQueue()

    def produced() -> Iterator[mail_v1.ImportMailboxesRequest]:
        yield message("first", parent=ORGANIZATION)
        waiting.get()

    with server.connect("writer") as writer, pytest.raises(sealward.SealwardError) as late:
        list(writer.mailboxes.import_mailboxes(produced(), timeout=0.5))
    waiting.put(None)
    assert late.value.origin is sealward.Origin.TIMED_OUT or late.value.reason == v1.ERROR_REASON_DEADLINE_EXCEEDED
    with pytest.raises(sealward.SetupError, match="invalid timeout"):
        writer.mailboxes.import_mailboxes([], timeout=0)
