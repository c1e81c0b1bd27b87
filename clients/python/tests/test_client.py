"""Both clients against the real server."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from typing import Any

import grpc
import pytest
from dev_server import DevServer
from failing_server import FailingServer, Pause
from google.protobuf import field_mask_pb2
from network import CountingProxy

import sealward
import sealward.aio
from sealward import mail_v1, v1

ORGANIZATION = "organizations/default"


def create(**values: Any) -> mail_v1.CreateMailboxRequest:
    return mail_v1.CreateMailboxRequest(parent=ORGANIZATION, mailbox=mail_v1.Mailbox(**values))


def test_password_is_written_read_as_null_and_revealed(server: DevServer) -> None:
    with server.connect("writer") as writer, server.connect("connector") as connector:
        mailbox = writer.mailboxes.create_mailbox(create(display_name="Sales", password="tr0ub4dor&3"))  # noqa: S106
        assert not mailbox.HasField("password")
        assert mailbox.is_password_set
        values = connector.reveal_attributes(mailbox.name, ["password"], purpose="a test")
        assert values["password"].expose_text() == "tr0ub4dor&3"
        assert values["password"].is_text
        writer.mailboxes.delete_mailbox(mail_v1.DeleteMailboxRequest(name=mailbox.name))
        with pytest.raises(sealward.SealwardError) as missing:
            writer.mailboxes.get_mailbox(mail_v1.GetMailboxRequest(name=mailbox.name))
        assert missing.value.reason == v1.ERROR_REASON_NOT_FOUND


def test_password_is_written_read_as_null_and_revealed_with_asyncio(server: DevServer) -> None:
    async def run() -> None:
        async with server.connect_aio("writer") as writer, server.connect_aio("connector") as connector:
            mailbox = await writer.mailboxes.create_mailbox(create(display_name="Sales", password="tr0ub4dor&3"))  # noqa: S106
            assert not mailbox.HasField("password")
            values = await connector.reveal_attributes(mailbox.name, ["password"], purpose="a test")
            assert values["password"].expose_text() == "tr0ub4dor&3"
            await writer.mailboxes.delete_mailbox(mail_v1.DeleteMailboxRequest(name=mailbox.name))
            with pytest.raises(sealward.SealwardError) as missing:
                await writer.mailboxes.get_mailbox(mail_v1.GetMailboxRequest(name=mailbox.name))
            assert missing.value.reason_name == "NOT_FOUND"

    asyncio.run(run())


def test_error_has_the_details_of_the_server(server: DevServer) -> None:
    with server.connect("writer") as writer:
        with pytest.raises(sealward.SealwardError) as failed:
            writer.mailboxes.create_mailbox(create(display_name="x" * 201, username="y" * 201))
        error = failed.value
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.reason == v1.ERROR_REASON_FIELD_INVALID
        assert error.mail_reason == mail_v1.ERROR_REASON_UNSPECIFIED
        assert {violation.field for violation in error.field_violations} == {"mailbox.display_name", "mailbox.username"}
        assert {violation.reason for violation in error.field_violations} == {"TOO_LONG"}
        assert error.call_id
        assert uuid.UUID(error.call_id)
        assert error.origin is sealward.Origin.SERVER
        assert str(error).startswith("FIELD_INVALID: ")
        assert repr(pickle.loads(pickle.dumps(error))) == repr(error)  # noqa: S301
        with pytest.raises(sealward.SealwardError) as failed:
            writer.reveal_attributes(f"{ORGANIZATION}/mailboxes/{uuid.uuid4()}", ["password"], purpose="a test")
        assert failed.value.metadata["privilege"] == "prvRevealAttributes"


def test_reason_of_mail_is_decoded(server: DevServer) -> None:
    with server.connect("writer") as writer, server.connect("connector") as connector:
        mailbox = writer.mailboxes.create_mailbox(create(display_name="Sales"))
        request = mail_v1.ResolveMailboxConnectionRequest(name=mailbox.name, purpose="a test")
        with pytest.raises(sealward.SealwardError) as failed:
            connector.mailbox_connections.resolve_mailbox_connection(request)
        assert failed.value.mail_reason == mail_v1.ERROR_REASON_MAILBOX_WITHOUT_PROFILE
        assert failed.value.reason == v1.ERROR_REASON_UNSPECIFIED
        assert failed.value.reason_name == "MAILBOX_WITHOUT_PROFILE"


def test_pages_are_followed(server: DevServer) -> None:
    marker = f"page-{uuid.uuid4()}"
    with server.connect("writer") as writer:
        for number in range(5):
            writer.mailboxes.create_mailbox(create(display_name=f"{marker} {number}"))
        request = mail_v1.ListMailboxesRequest(parent=ORGANIZATION, filter=f'display_name = "{marker}*"', order_by="display_name", page_size=2)
        names = [mailbox.display_name for mailbox in writer.mailboxes.list_all_mailboxes(request)]
        assert names == [f"{marker} {number}" for number in range(5)]
        assert request.page_token == ""

        async def names_with_asyncio() -> list[str]:
            async with server.connect_aio("reader") as reader:
                return [mailbox.display_name async for mailbox in reader.mailboxes.list_all_mailboxes(request)]

        assert asyncio.run(names_with_asyncio()) == names


def test_idempotency_key_is_added_to_writes_and_kept(server: DevServer) -> None:
    key = sealward.new_request_id()
    with server.connect("writer") as writer:
        request = create(display_name="Sales")
        first = writer.mailboxes.create_mailbox(request)
        # The caller's message isn't changed, so a second call isn't a repetition.
        assert request.request_id == ""
        assert writer.mailboxes.create_mailbox(request).name != first.name
        request.request_id = key
        assert writer.mailboxes.create_mailbox(request).name == writer.mailboxes.create_mailbox(request).name
        update = mail_v1.UpdateMailboxRequest(
            mailbox=mail_v1.Mailbox(name=first.name, display_name="Support"),
            update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
        )
        assert writer.mailboxes.update_mailbox(update).display_name == "Support"


def test_key_is_changed_and_followed(server: DevServer) -> None:
    done = (v1.Reencryption.STATE_DONE, v1.Reencryption.STATE_DONE_WITH_UNREADABLE_CELLS)
    with server.connect("admin") as admin:
        key = sealward.generate_key_text()
        change = admin.change_key(ORGANIZATION, key)
        assert [progress.state for progress in change][-1] in done
        request = v1.RetrieveDataEncryptionKeyRequest(organization=ORGANIZATION)
        answer = admin.data_encryption.retrieve_data_encryption_key(request)
        assert answer.encryption_key == key.expose_text()
        assert answer.fingerprint == change.fingerprint
        # A repetition changes nothing, and there is nothing to wait for.
        assert admin.change_key(ORGANIZATION, key).key_version == change.key_version
        assert [progress.state for progress in admin.watch_reencryption(ORGANIZATION)][-1] in done
        with pytest.raises(sealward.SealwardError) as active:
            admin.restore_key(ORGANIZATION, key)
        assert active.value.reason == v1.ERROR_REASON_KEY_ALREADY_ACTIVE

    async def run() -> None:
        async with server.connect_aio("admin") as admin:
            change = await admin.change_key(ORGANIZATION, sealward.generate_key_text())
            states = [progress.state async for progress in change]
            assert states[-1] in done
            assert [progress.state async for progress in admin.watch_reencryption(ORGANIZATION)][-1] in done
            with pytest.raises(sealward.SealwardError) as active:
                await admin.restore_key(ORGANIZATION, "a key of the past, number 1")
            assert active.value.reason == v1.ERROR_REASON_KEY_ALREADY_ACTIVE

    asyncio.run(run())


def test_generated_keys_meet_the_rule_and_differ() -> None:
    keys = {sealward.generate_key_text().expose_text() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert [len(group) for group in key.split("-")] == [5] * 7
        assert any(character.isdigit() for character in key)
        assert any(character.isalpha() for character in key)


def test_refusal_of_an_import_arrives_while_the_client_still_sends(server: DevServer) -> None:
    """Requests around the size that the server still reads of a refused request. With asyncio, gRPC replaces the server's error in some calls."""
    sizes = [0, 1, 60, 64, 68, 256]

    def chunks(size: int) -> list[v1.ImportOrganizationRequest]:
        return [v1.ImportOrganizationRequest(organization_id="contoso")] + [v1.ImportOrganizationRequest(chunk=bytes(4096))] * (size // 4)

    async def run() -> None:
        async with server.connect_aio("reader") as reader:
            for size in sizes * 20:
                with pytest.raises(sealward.SealwardError) as refused:
                    await reader.organizations.import_organization(chunks(size))
                assert refused.value.reason == v1.ERROR_REASON_PRIVILEGE_MISSING, size
                assert not refused.value.may_have_taken_effect

    asyncio.run(run())
    with server.connect("reader") as reader:
        for size in sizes * 5:
            with pytest.raises(sealward.SealwardError) as refused:
                reader.organizations.import_organization(chunks(size))
            assert refused.value.reason == v1.ERROR_REASON_PRIVILEGE_MISSING, size


def test_organization_is_exported_and_imported(server: DevServer) -> None:
    organization = f"org-{uuid.uuid4().hex[:8]}"
    with server.connect("admin") as admin:
        admin.organizations.create_organization(v1.CreateOrganizationRequest(organization_id=organization))
        name = f"organizations/{organization}"
        export = admin.organizations.export_organization(v1.ExportOrganizationRequest(name=name))
        chunks = [part.chunk for part in export]
        admin.organizations.delete_organization(v1.DeleteOrganizationRequest(name=name, confirm_name=name))
        parts = [v1.ImportOrganizationRequest(chunk=chunk) for chunk in chunks]

        async def imported() -> str:
            async with server.connect_aio("admin") as admin:
                return (await admin.organizations.import_organization(parts)).name

        assert asyncio.run(imported()) == name


def test_every_rpc_has_a_method_in_both_clients() -> None:
    from google.protobuf import descriptor_pool

    from sealward import _methods

    pool = descriptor_pool.Default()
    files = {method.request.DESCRIPTOR.file.name for method in _methods.ALL}
    rpcs = {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in pool.FindFileByName(file).services_by_name.values()
        for method in service.methods
    }
    assert {method.path for method in _methods.ALL} == rpcs
    assert len(rpcs) > 40


def test_plaintext_is_refused_by_the_server_for_data(program: Any, tmp_path: Any) -> None:
    with DevServer(program, tmp_path / "dev", plaintext=True) as server:
        with pytest.raises(sealward.SetupError, match="has no TLS"):
            sealward.connect(server.plaintext_endpoint)
        with sealward.connect(server.plaintext_endpoint, plaintext=True) as client:
            with pytest.raises(sealward.SealwardError) as refused:
                client.access.who_am_i(v1.WhoAmIRequest())
            assert refused.value.reason == v1.ERROR_REASON_HTTPS_REQUIRED


def test_certificates_are_verified(server: DevServer) -> None:
    never = sealward.RetryPolicy.never()
    with server.connect("reader", domain_name="elsewhere.example.org", retry=never) as client:
        with pytest.raises(sealward.SealwardError) as failed:
            client.access.who_am_i(v1.WhoAmIRequest())
        assert failed.value.origin is sealward.Origin.TLS_REFUSED
    # The system's CAs don't know the development CA.
    arguments = server.identity("reader") | {"ca": None, "retry": never}
    with sealward.connect(server.endpoint, **arguments) as client:
        with pytest.raises(sealward.SealwardError) as failed:
            client.access.who_am_i(v1.WhoAmIRequest())
        assert failed.value.origin is sealward.Origin.TLS_REFUSED


def test_certificate_of_another_ca_is_refused(server: DevServer, program: Any, tmp_path: Any) -> None:
    with DevServer(program, tmp_path / "dev") as other:
        foreign = other.identity("reader") | {"ca": server.folder / "tls/ca.pem", "retry": sealward.RetryPolicy.never()}
    with sealward.connect(server.endpoint, **foreign) as client, pytest.raises(sealward.SealwardError) as failed:
        client.access.who_am_i(v1.WhoAmIRequest())
    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    # With TLS 1.3, the client has finished its handshake when the server refuses the certificate.
    assert failed.value.origin is sealward.Origin.TLS_REFUSED
    assert str(failed.value).startswith("TLS handshake failed")


def test_broken_connection_is_reported(program: Any, tmp_path: Any) -> None:
    # The re-encryption pauses after its first cell, so that a stream is open when its connection breaks.
    settings = {"limits.reencryption_batch_cells": 1, "limits.reencryption_pause_ms": 60_000}
    request = v1.WatchReencryptionRequest(organization=ORGANIZATION)
    with DevServer(program, tmp_path / "dev", settings=settings) as server:
        with server.connect("admin") as admin:
            admin.mailboxes.create_mailbox(create(display_name="Sales", password="Sales"))  # noqa: S106
            admin.change_key(ORGANIZATION, sealward.generate_key_text())
        with CountingProxy(server.port) as proxy:
            broken = server.connect("admin", endpoint=f"https://127.0.0.1:{proxy.port}")
            stream = broken.data_encryption.watch_reencryption(request)
            assert next(stream).state == v1.Reencryption.STATE_RUNNING
        with broken, pytest.raises(sealward.SealwardError) as failed:
            list(stream)
        assert failed.value.origin is sealward.Origin.BROKEN
        assert str(failed.value).startswith("connection lost before the response")
        # Nothing is left open that the server would wait for.
        with server.connect("admin") as admin, admin.data_encryption.watch_reencryption(request) as stream:
            assert next(stream).state == v1.Reencryption.STATE_RUNNING


def test_unreachable_server_is_reported(server: DevServer) -> None:
    with server.connect("reader", endpoint="https://127.0.0.1:1", retry=sealward.RetryPolicy.never()) as client:
        with pytest.raises(sealward.SealwardError) as failed:
            client.access.who_am_i(v1.WhoAmIRequest())
        assert failed.value.origin is sealward.Origin.NOT_CONNECTED
        assert str(failed.value).startswith("can't connect to the server")


def test_timeout_of_a_call_is_an_error(server: DevServer) -> None:
    with FailingServer([Pause()]) as silent, sealward.connect(silent.endpoint, plaintext=True) as client:
        with pytest.raises(sealward.SealwardError) as failed:
            client.access.who_am_i(v1.WhoAmIRequest(), timeout=0.02)
        assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert failed.value.reason == v1.ERROR_REASON_DEADLINE_EXCEEDED
    with server.connect("admin") as admin:
        with pytest.raises(sealward.SetupError, match="invalid timeout"):
            admin.access.who_am_i(v1.WhoAmIRequest(), timeout=0)


def test_cancelled_call_of_asyncio_is_cancelled(server: DevServer) -> None:
    async def run() -> None:
        async with server.connect_aio("reader") as reader:
            task = asyncio.ensure_future(reader.access.who_am_i(v1.WhoAmIRequest()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The client can still be used.
            assert (await reader.access.who_am_i(v1.WhoAmIRequest())).identity == "cn:reader"

    asyncio.run(run())


def test_environment_is_read_only_if_asked_for(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALWARD_DEV", str(server.folder))
    monkeypatch.setenv("SEALWARD_AS", "reader")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    with sealward.connect_from_environment() as reader:
        assert reader.access.who_am_i(v1.WhoAmIRequest()).identity == "cn:reader"
    with sealward.connect_from_environment(**server.identity("writer")) as writer:
        assert writer.access.who_am_i(v1.WhoAmIRequest()).identity == "cn:writer"
    with server.connect("auditor") as auditor:
        assert auditor.access.who_am_i(v1.WhoAmIRequest()).identity == "cn:auditor"
