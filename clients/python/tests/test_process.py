"""The end of the interpreter, and forks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from dev_server import DevServer

#: The start of each program: functions that create a client.
START = """
    import asyncio, multiprocessing, os, queue, sys, threading
    import sealward, sealward.aio
    from sealward import mail_v1, v1
    folder, endpoint = sys.argv[1:]
    arguments = {"ca": f"{folder}/tls/ca.pem", "certificate": f"{folder}/tls/admin.pem", "key": f"{folder}/tls/admin.key"}
    def connect(module=sealward):
        return module.connect(endpoint, **arguments)
    def who_am_i():
        return connect().access.who_am_i(v1.WhoAmIRequest()).identity
"""

PROGRAMS = {
    "ends_with_an_open_client_and_stream": """
        client = connect()
        stream = client.data_encryption.watch_reencryption(v1.WatchReencryptionRequest(organization="organizations/default"))
        print(next(stream).state >= 0)
        stream = client.data_encryption.verify_cells(v1.VerifyCellsRequest(organization="organizations/default"))
        print(client.access.who_am_i(v1.WhoAmIRequest()).identity)
    """,
    "ends_with_an_open_client_of_asyncio": """
        async def main():
            client = connect(sealward.aio)
            stream = client.data_encryption.verify_cells(v1.VerifyCellsRequest(organization="organizations/default"))
            async for message in stream:
                break
            print((await client.access.who_am_i(v1.WhoAmIRequest())).identity)
        asyncio.run(main())
    """,
    "ends_with_an_open_client_of_asyncio_in_a_variable": """
        async def main():
            global client, stream
            client = connect(sealward.aio)
            stream = client.data_encryption.verify_cells(v1.VerifyCellsRequest(organization="organizations/default"))
            print(await anext(stream) is not None)
            print((await client.access.who_am_i(v1.WhoAmIRequest())).identity)
        asyncio.run(main())
    """,
    "ends_with_an_import_that_waits_for_requests": """
        def messages():
            yield mail_v1.ImportMailboxesRequest(parent="organizations/default", requests=[mail_v1.CreateMailboxRequest(mailbox={})])
            queue.SimpleQueue().get()
        client = connect()
        stream = client.mailboxes.import_mailboxes(messages())
        print(len(next(stream).results))
        print(client.access.who_am_i(v1.WhoAmIRequest()).identity)
    """,
    "ends_with_an_import_of_asyncio_that_waits_for_requests": """
        async def messages():
            yield mail_v1.ImportMailboxesRequest(parent="organizations/default", requests=[mail_v1.CreateMailboxRequest(mailbox={})])
            await asyncio.Event().wait()
        async def main():
            global client, stream
            client = connect(sealward.aio)
            stream = client.mailboxes.import_mailboxes(messages())
            print(len((await anext(stream)).results))
            print((await client.access.who_am_i(v1.WhoAmIRequest())).identity)
        asyncio.run(main())
    """,
    "an_import_ends_with_its_loop": """
        ended = threading.Event()
        def messages():
            message = mail_v1.ImportMailboxesRequest(parent="organizations/default")
            try:
                while True:
                    message.requests.extend([mail_v1.CreateMailboxRequest(mailbox={"display_name": "x" * 50})] * 10)
                    yield message
                    message = mail_v1.ImportMailboxesRequest()
            finally:
                ended.set()
        client = connect()
        for response in client.mailboxes.import_mailboxes(messages()):
            break
        assert ended.wait(20)
        print(client.access.who_am_i(v1.WhoAmIRequest()).identity)
    """,
    "an_import_of_asyncio_ends_with_its_loop": """
        async def messages(ended):
            try:
                yield mail_v1.ImportMailboxesRequest(parent="organizations/default", requests=[mail_v1.CreateMailboxRequest(mailbox={})])
                await asyncio.Event().wait()
            finally:
                ended.set()
        async def main():
            async with connect(sealward.aio) as client:
                ended = asyncio.Event()
                async for response in client.mailboxes.import_mailboxes(messages(ended)):
                    break
                await asyncio.wait_for(ended.wait(), 20)
                print((await client.access.who_am_i(v1.WhoAmIRequest())).identity)
        asyncio.run(main())
    """,
    "a_fork_before_the_first_client_is_supported": """
        process = os.fork()
        print(who_am_i(), flush=True)
        if process == 0:
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
    """,
    "a_client_of_the_parent_is_refused_in_a_forked_process": """
        client = connect()
        process = os.fork()
        if process == 0:
            try:
                client.access.who_am_i(v1.WhoAmIRequest())
            except RuntimeError as error:
                os._exit(0 if "before a fork" in str(error) else 1)
            os._exit(2)
        assert os.waitpid(process, 0)[1] == 0
        print(client.access.who_am_i(v1.WhoAmIRequest()).identity)
    """,
    "a_spawned_process_has_its_own_client": """
        if __name__ == "__main__":
            print(who_am_i(), flush=True)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(who_am_i))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_process(name: str, server: DevServer, tmp_path: object) -> None:
    path = f"{tmp_path}/program.py"
    with open(path, "w") as file:
        file.write(textwrap.dedent(START) + textwrap.dedent(PROGRAMS[name]))
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", path, server.folder, server.endpoint],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cn:admin" in ran.stdout
    # gRPC may warn about the fork itself.
    assert "Traceback" not in ran.stderr
    assert "Error" not in ran.stderr
