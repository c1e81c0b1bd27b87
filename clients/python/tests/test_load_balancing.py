"""Several servers, and connections that end: no call fails."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer
from network import CountingProxy, NameServer

import sealward
from sealward import mail_v1, v1

ORGANIZATION = "organizations/default"
LIST = mail_v1.ListMailboxesRequest(parent=ORGANIZATION)

#: Calls over two servers: enough that a policy without balance can't look balanced.
CALLS = 40


@dataclass
class Pair:
    """Two servers over copies of one folder. The first has one more mailbox, by which its answers are recognized."""

    writing: DevServer
    reading: DevServer

    @property
    def target(self) -> str:
        return f"ipv4:127.0.0.1:{self.writing.port},127.0.0.2:{self.reading.port}"

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {"endpoint": self.target, "domain_name": "localhost"} | more


@pytest.fixture
def pair(program: Path, tmp_path: Path) -> Iterator[Pair]:
    with DevServer(program, tmp_path / "one") as server:
        create(server, "both")
        port = server.port
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    # The same port of two addresses, as the two addresses of a name have it.
    with (
        DevServer(program, tmp_path / "one", listen=f"127.0.0.1:{port}") as writing,
        DevServer(program, tmp_path / "two", listen=f"127.0.0.2:{port}") as reading,
    ):
        create(writing, "only the first")
        yield Pair(writing, reading)


def create(server: DevServer, name: str) -> mail_v1.Mailbox:
    request = mail_v1.CreateMailboxRequest(parent=ORGANIZATION, mailbox=mail_v1.Mailbox(display_name=name, password=name))
    with server.connect("writer") as writer:
        return writer.mailboxes.create_mailbox(request)


def counted(client: sealward.Client) -> Counter[int]:
    """How many calls found how many mailboxes: one from the second server, two from the first."""
    return Counter(len(client.mailboxes.list_mailboxes(LIST).mailboxes) for _ in range(CALLS))


def until_both_answer(client: sealward.Client) -> None:
    """The connections to the two servers aren't ready at the same moment."""
    for _ in range(1_000):
        if len(counted(client)) == 2:
            return
    raise AssertionError("only one server answers")


def test_reads_are_balanced_over_two_servers(pair: Pair, report: list[str]) -> None:
    with pair.writing.connect("reader", **pair.arguments()) as reader:
        until_both_answer(reader)
        found = counted(reader)
        assert found == {1: CALLS // 2, 2: CALLS // 2}
    report.append(f"load balancing: {CALLS} reads, {found[2]} by the first server, {found[1]} by the second")

    async def run() -> Counter[int]:
        async with pair.writing.connect_aio("reader", **pair.arguments()) as reader:
            for _ in range(1_000):
                answers = [await reader.mailboxes.list_mailboxes(LIST) for _ in range(CALLS)]
                found = Counter(len(answer.mailboxes) for answer in answers)
                if found == {1: CALLS // 2, 2: CALLS // 2}:
                    break
            return found

    assert asyncio.run(run()) == {1: CALLS // 2, 2: CALLS // 2}


def test_name_is_resolved_to_all_its_addresses(pair: Pair) -> None:
    with NameServer(["127.0.0.1", "127.0.0.2"]) as names:
        endpoint = f"dns://127.0.0.1:{names.port}/sealward.example.org:{pair.writing.port}"
        with pair.writing.connect("reader", endpoint=endpoint, domain_name="localhost") as reader:
            until_both_answer(reader)
            assert counted(reader) == {1: CALLS // 2, 2: CALLS // 2}
        # No service configuration is read from DNS.
        assert {name for name in names.names if "_grpc_config" in name} == set()
        assert "sealward.example.org" in names.names


def test_reads_continue_without_one_of_the_servers(pair: Pair) -> None:
    with pair.writing.connect("reader", **pair.arguments()) as reader:
        until_both_answer(reader)
        stopping = threading.Thread(target=pair.reading.stop)
        stopping.start()
        while stopping.is_alive():
            assert sum(counted(reader).values()) == CALLS
        stopping.join()
        assert counted(reader) == {2: CALLS}


# Connections that reach their maximum age.

THREADS = 8
CONNECTIONS_MIN = 4
CALLS_MAX = 200_000


def test_no_call_fails_when_connections_reach_their_maximum_age(program: Path, tmp_path: Path, report: list[str]) -> None:
    settings = {"limits.connection_age_max_seconds": 1, "limits.reveals_per_minute_per_identity": 1_000_000}
    with DevServer(program, tmp_path / "dev", settings=settings) as server, CountingProxy(server.port) as proxy:
        mailbox = create(server, "Sales")
        endpoint = f"https://127.0.0.1:{proxy.port}"
        # Not even retries by the layer are needed.
        with server.connect("admin", endpoint=endpoint, retry=sealward.RetryPolicy.never()) as client:

            def load(_: int) -> int:
                calls = 0
                while proxy.connections < CONNECTIONS_MIN and calls < CALLS_MAX:
                    client.mailboxes.get_mailbox(mail_v1.GetMailboxRequest(name=mailbox.name))
                    assert client.reveal_attributes(mailbox.name, ["password"], purpose="load")["password"].expose_text() == "Sales"
                    client.mailboxes.update_mailbox(mail_v1.UpdateMailboxRequest(mailbox=mailbox_named(mailbox.name)))
                    calls += 3
                return calls

            with ThreadPoolExecutor(THREADS) as threads:
                calls = sum(threads.map(load, range(THREADS)))
            assert proxy.connections >= CONNECTIONS_MIN
        report.append(f"connection age: {calls} calls of {THREADS} threads over {proxy.connections} connections, none failed")


def test_no_call_of_asyncio_fails_when_connections_reach_their_maximum_age(program: Path, tmp_path: Path, report: list[str]) -> None:
    settings = {"limits.connection_age_max_seconds": 1, "limits.reveals_per_minute_per_identity": 1_000_000}
    with DevServer(program, tmp_path / "dev", settings=settings) as server, CountingProxy(server.port) as proxy:
        mailbox = create(server, "Sales")

        async def run() -> int:
            endpoint = f"https://127.0.0.1:{proxy.port}"
            async with server.connect_aio("admin", endpoint=endpoint, retry=sealward.RetryPolicy.never()) as client:

                async def load() -> int:
                    calls = 0
                    while proxy.connections < CONNECTIONS_MIN and calls < CALLS_MAX:
                        await client.mailboxes.get_mailbox(mail_v1.GetMailboxRequest(name=mailbox.name))
                        await client.reveal_attributes(mailbox.name, ["password"], purpose="load")
                        await client.access.who_am_i(v1.WhoAmIRequest())
                        calls += 3
                    return calls

                return sum(await asyncio.gather(*(load() for _ in range(THREADS))))

        calls = asyncio.run(run())
        assert proxy.connections >= CONNECTIONS_MIN
        report.append(f"connection age: {calls} calls of {THREADS} tasks over {proxy.connections} connections, none failed")


def mailbox_named(name: str) -> mail_v1.Mailbox:
    return mail_v1.Mailbox(name=name, display_name="Sales", password="Sales")  # noqa: S106
