"""Secrets don't print: every message, wrapper and error is printed in every way that a program, a log or a test may print it, and what comes
out is searched for the secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import io
import json
import logging
import os
import pickle
import pprint
import reprlib
import subprocess
import sys
import textwrap
import traceback
import unittest
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import pytest
from dev_server import DevServer
from failing_server import FailingServer, Pause
from google.protobuf import json_format, text_format
from google.protobuf.internal import api_implementation
from google.protobuf.message import Message
from messages import filled, marked_fields, message_types

import sealward
from sealward import mail_v1, v1

#: The secret. A function returns it, so that no frame of a test has it as a local variable.
_CANARY = f"canary-{uuid.uuid4()}"


def canary() -> str:
    return _CANARY


def found_in(text: str) -> bool:
    """Whether the canary, its bytes or its base64 is in a text."""
    # base64 of any alignment has one of these parts.
    parts = [json_format.base64.b64encode(b"x" * shift + _CANARY.encode())[4:-4].decode() for shift in range(3)]
    return any(form in text for form in (_CANARY, _CANARY.encode().hex(), *parts))


@dataclasses.dataclass
class Holder:
    """A program's own class with a message in it."""

    message: Any


class JsonFormatter(logging.Formatter):
    """A formatter for structured logs, as programs write it."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"message": record.getMessage(), **vars(record)}, default=str)


def logged(value: Any, formatter: logging.Formatter) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("canary")
    logger.addHandler(handler)
    logger.info("%s %r %s", value, value, [value], extra={"payload": value})
    try:
        raise RuntimeError(value)
    except RuntimeError:
        logger.exception("failed with %s", value, extra={"payload": value})
    return stream.getvalue()


def raised(value: Any) -> str:
    """A traceback with the local variables of its frames."""
    try:
        raise ValueError(value)
    except ValueError as error:
        return printed_error(error)


def warned(value: Any) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"careful with {value}", stacklevel=1)
    return str([str(one.message) for one in caught])


def compared(value: Any) -> str:
    """What unittest says about values that differ."""
    case = unittest.TestCase()
    case.maxDiff = None
    texts = []
    for check, other in [(case.assertIs, None), (case.assertIn, [])]:
        try:
            check(value, other)
        except AssertionError as error:
            texts.append(str(error))
    assert texts
    return "".join(texts)


def abbreviated(value: Any) -> str:
    short = reprlib.Repr()
    short.maxother = short.maxstring = 10**6
    return short.repr(value)


def printed(value: Any) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print(value, [value], {"key": value})
    return stream.getvalue()


PRINTERS: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": lambda value: f"{value} {value!s} {value!r} {'%s %r' % (value, value)} {'{}'.format(value)}",  # noqa: UP031, UP032
    "print": printed,
    "containers": lambda value: repr([value]) + repr((value,)) + repr({"key": value}) + str({1: [value]}),
    "copies": lambda value: repr(copy.copy(value)) + repr(copy.deepcopy(value)),
    "pprint": lambda value: pprint.pformat(value) + pprint.pformat([value, {"key": value}], width=20),
    "reprlib": abbreviated,
    "dataclass": lambda value: repr(Holder(value)) + pprint.pformat(Holder(value)) + repr(dataclasses.replace(Holder(value))),
    "json with default=str": lambda value: json.dumps({"value": value, "list": [value]}, default=str),
    "json with default=repr": lambda value: json.dumps(value, default=repr),
    "logging": lambda value: logged(value, logging.Formatter("%(message)s %(payload)s %(payload)r")),
    "structured logging": lambda value: logged(value, JsonFormatter()),
    "exception with local variables": raised,
    "warning": warned,
    "unittest": compared,
}


def printed_error(error: BaseException) -> str:
    """An error as tools print it: with its causes, and with the local variables of every frame."""
    text = repr(error) + str(error) + repr(error.args)
    text += "".join(traceback.format_exception(error))
    text += "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        text += repr(current) + str(current) + repr(vars(current))
        for frame in frames_of(current.__traceback__):
            text += repr(frame)
        pending += [current.__cause__, current.__context__]
    return text


def frames_of(tb: TracebackType | None) -> Iterator[dict[str, str]]:
    """The local variables of each frame, as error trackers send them. Those of the test runner aren't a program's."""
    while tb is not None:
        yield {name: representation(value) for name, value in tb.tb_frame.f_locals.items()}
        tb = tb.tb_next


def representation(value: Any) -> str:
    """As an error tracker prints it. An object of gRPC that isn't initialized yet can't be printed."""
    try:
        return repr(value)
    except AttributeError:
        return type(value).__name__


def parts(message: Message) -> Iterator[Any]:
    """The message, and every message and container in it, down to the values that are texts."""
    yield message
    for _, value in message.ListFields():
        if isinstance(value, Message):
            yield from parts(value)
        elif not isinstance(value, (str, bytes, int, float, bool)):
            yield value
            elements = value.values() if hasattr(value, "values") else value
            for element in elements:
                if isinstance(element, Message):
                    yield from parts(element)


def test_no_message_prints_a_secret(report: list[str]) -> None:
    types = list(message_types())
    with_secret = 0
    printings = 0
    for message_type in types:
        for choice in range(2):
            message = filled(message_type, canary(), choice)
            has_secret = found_in(text_format.MessageToString(message)) or found_in(repr(message.SerializeToString()))
            with_secret += has_secret
            for part in parts(message):
                for name, printer in PRINTERS.items():
                    if name == "copies" and not isinstance(part, Message):
                        continue
                    assert not found_in(printer(part)), f"{message_type.DESCRIPTOR.full_name}: {name}"
                    printings += 1
            # Something is printed at all, and says that it isn't everything.
            assert not has_secret or "[REDACTED]" in repr(message), message_type.DESCRIPTOR.full_name
    assert with_secret > 20
    report.append(
        f"canary ({api_implementation.Type()}): {len(types)} message types, {with_secret} messages with a secret, "
        f"{len(marked_fields())} marked fields, {len(PRINTERS)} ways to print, {printings} printings searched, no secret found"
    )


def test_search_finds_what_is_printed() -> None:
    """Explicit serialization keeps the secret, and every printer passes on what it is given: otherwise the other tests prove nothing."""
    found: set[str] = set()
    for message_type in message_types():
        for choice in range(2):
            message = filled(message_type, canary(), choice)
            explicit = [
                repr(message.SerializeToString()),
                json_format.MessageToJson(message),
                text_format.MessageToString(message),
            ]
            assert len({found_in(text) for text in explicit}) == 1, message_type.DESCRIPTOR.full_name
            if found_in(explicit[0]):
                found.add(message_type.DESCRIPTOR.full_name)
                assert message_type.FromString(message.SerializeToString()) == message
    assert {"sealward.mail.v1.Mailbox", "sealward.v1.SecretValue", "sealward.mail.v1.ListMailboxesResponse"} <= found
    for field in marked_fields():
        assert field.rpartition(".")[0] in found, f"no message had a secret in {field}"

    class Careless:
        """Prints its secret."""

        def __repr__(self) -> str:
            return f"Careless({canary()})"

    for name, printer in PRINTERS.items():
        assert found_in(printer(Careless())), name


def test_classes_made_elsewhere_print_no_secret() -> None:
    """A copy, a message from bytes, from JSON or from the pool of descriptors has the same class."""
    mailbox = mail_v1.Mailbox(password=canary())
    again = [
        mail_v1.Mailbox.FromString(mailbox.SerializeToString()),
        json_format.Parse(json_format.MessageToJson(mailbox), mail_v1.Mailbox()),
        pickle.loads(pickle.dumps(mailbox)),  # noqa: S301
        type(mailbox)(password=canary()),
        mail_v1.CreateMailboxRequest(mailbox={"password": canary()}).mailbox,
    ]
    merged = mail_v1.Mailbox()
    merged.MergeFrom(mailbox)
    for message in [*again, merged]:
        assert message.password == canary()
        assert not found_in(repr(message))
        assert str(message) == "password: [REDACTED]\n"


def test_pytest_prints_no_secret(tmp_path: Path) -> None:
    """pytest's explanations of failed assertions, with local variables."""
    (tmp_path / "test_failing.py").write_text(
        textwrap.dedent(
            """
            import os
            from sealward import Secret, mail_v1, v1

            def test_equal():
                mailbox = mail_v1.Mailbox(display_name="one", password=os.environ["CANARY"])
                other = mail_v1.Mailbox(display_name="two", password=os.environ["CANARY"])
                assert mailbox == other

            def test_lists():
                page = mail_v1.ListMailboxesResponse(mailboxes=[mail_v1.Mailbox(password=os.environ["CANARY"])])
                mailboxes = page.mailboxes
                assert mailboxes == [mail_v1.Mailbox()]

            def test_maps():
                answer = v1.RevealAttributesResponse(values={"password": v1.SecretValue(text=os.environ["CANARY"])})
                values = answer.values
                assert values == {} and not answer

            def test_secret():
                secret = Secret(os.environ["CANARY"])
                assert secret is None
            """
        )
    )
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-vv", "--showlocals", "-p", "no:cacheprovider", tmp_path],
        env=os.environ | {"CANARY": canary()},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    output = ran.stdout + ran.stderr
    assert "4 failed" in output, output
    assert "[REDACTED]" in output
    assert not found_in(output)


def test_wrappers_print_no_secret(server: DevServer) -> None:
    key = (server.folder / "tls/writer.key").read_bytes()
    assert key.startswith(b"-----BEGIN")
    client = server.connect("writer", bearer_token=canary(), key=sealward.Secret(key))
    values: list[Any] = [
        sealward.Secret(canary()),
        sealward.Secret(canary().encode()),
        client,
        client.mailboxes,
        client._connection,
        client._connection.settings,
        vars(client._connection.settings),
    ]
    for value in values:
        for name, printer in PRINTERS.items():
            if name in ("copies", "dataclass") and not isinstance(value, sealward.Secret):
                continue
            text = printer(value)
            assert not found_in(text), name
            assert key.splitlines()[1].decode() not in text, name
    client.close()
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(sealward.Secret(canary()))


def request_with_secret() -> mail_v1.CreateMailboxRequest:
    mailbox = mail_v1.Mailbox(display_name="x" * 300, password=canary())
    return mail_v1.CreateMailboxRequest(parent="organizations/default", mailbox=mailbox)


def failures_of(server: DevServer) -> Iterator[tuple[str, BaseException]]:
    """Failed calls of the blocking client, whose requests and tokens have the canary."""
    request = request_with_secret()
    with server.connect("writer") as client:
        with pytest.raises(sealward.SealwardError) as refused:
            client.mailboxes.create_mailbox(request)
        assert refused.value.field_violations
        yield "refused by the server", refused.value
        with pytest.raises(sealward.SealwardError) as refused:
            client.data_encryption.set_data_encryption_key(
                v1.SetDataEncryptionKeyRequest(organization="organizations/default", encryption_key=canary())
            )
        yield "key refused", refused.value
        with pytest.raises(sealward.SealwardError) as refused:
            client.change_key("organizations/default", sealward.Secret(canary()))
        yield "key change refused", refused.value
        with pytest.raises(ValueError, match="isn't valid Unicode") as wrong_text:
            client.change_key("organizations/default", sealward.Secret(f"{canary()}\ud800"))
        yield "key in another encoding", wrong_text.value
        with pytest.raises(TypeError) as wrong:
            client.mailboxes.create_mailbox(request.mailbox)  # type: ignore[arg-type]
        yield "wrong type", wrong.value
        with pytest.raises(sealward.SealwardError) as refused:
            client.organizations.import_organization([request])  # type: ignore[list-item]
        yield "client stream", refused.value
        with pytest.raises(sealward.SealwardError) as refused:
            list(client.mailboxes.import_mailboxes([request]))  # type: ignore[list-item]
        yield "stream in both directions", refused.value
    with pytest.raises(ValueError, match="closed") as closed:
        client.mailboxes.create_mailbox(request)
    yield "closed client", closed.value
    with server.connect(None, bearer_token=sealward.Secret(canary())) as client:
        with pytest.raises(sealward.SealwardError) as refused:
            client.mailboxes.create_mailbox(request)
        yield "token refused", refused.value
        with pytest.raises(sealward.SealwardError) as refused:
            list(client.data_encryption.verify_cells(v1.VerifyCellsRequest(organization="organizations/default")))
        yield "token refused for a stream", refused.value
    with server.connect("writer", endpoint="https://127.0.0.1:1", retry=sealward.RetryPolicy.never()) as client:
        with pytest.raises(sealward.SealwardError) as unreachable:
            client.mailboxes.create_mailbox(request)
        yield "no connection", unreachable.value
    with server.connect("writer", domain_name="elsewhere.example.org") as client:
        with pytest.raises(sealward.SealwardError) as untrusted:
            client.mailboxes.create_mailbox(request)
        yield "wrong name", untrusted.value
    with FailingServer([Pause()]) as silent, sealward.connect(silent.endpoint, plaintext=True, timeout=0.02) as client:
        with pytest.raises(sealward.SealwardError) as late:
            client.mailboxes.create_mailbox(request)
        yield "timeout", late.value
    for token in (f"Bearer {canary()}", f"{canary()} {canary()}", f"{canary()}\u00e4", f"{canary()}\ud800"):
        with pytest.raises(sealward.SetupError) as setup:
            server.connect("writer", bearer_token=token)
        yield "invalid token", without_callers_locals(setup.value)
    with server.connect("writer", token_source=lambda refresh: f"Bearer {canary()}") as client:
        with pytest.raises(sealward.SetupError) as setup:
            client.mailboxes.create_mailbox(request)
        yield "invalid token of a source", without_callers_locals(setup.value)
    with pytest.raises(sealward.SetupError) as setup:
        server.connect("writer", key=canary().encode())
    yield "invalid key", without_callers_locals(setup.value)
    with pytest.raises(sealward.SetupError) as setup:
        server.connect("writer", key=f"-----BEGIN PRIVATE KEY-----\n{canary()}\n")
    yield "key as text", without_callers_locals(setup.value)


def without_callers_locals(error: BaseException) -> BaseException:
    """Without the frames of the caller, whose plain texts are its own affair."""
    tb = error.__traceback__
    while tb is not None and not tb.tb_frame.f_globals["__name__"].startswith("sealward."):
        tb = tb.tb_next
    assert tb is not None
    return error.with_traceback(tb)


def test_errors_print_no_secret(server: DevServer, report: list[str]) -> None:
    names = []
    for name, error in failures_of(server):
        assert not found_in(printed_error(error)), name
        names.append(name)
    report.append(f"canary: errors searched with causes and local variables: {', '.join(names)}")


def test_errors_of_asyncio_print_no_secret(server: DevServer) -> None:
    async def failures() -> list[BaseException]:
        failed: list[BaseException] = []
        request = request_with_secret()
        for arguments in (
            {},
            {"timeout": 0.001},
            {"bearer_token": sealward.Secret(canary()), "certificate": None, "key": None},
            {"endpoint": "https://127.0.0.1:1", "retry": sealward.RetryPolicy.never()},
            {"token_source": lambda refresh: f"Bearer {canary()}"},
        ):
            async with server.connect_aio("writer", **arguments) as client:
                for call in (
                    client.mailboxes.create_mailbox(request),
                    client.organizations.import_organization([request]),  # type: ignore[list-item]
                ):
                    with pytest.raises((sealward.SealwardError, sealward.SetupError)) as refused:
                        await call
                    failed.append(refused.value)
                with pytest.raises((sealward.SealwardError, sealward.SetupError)) as refused:
                    await anext(client.mailboxes.import_mailboxes([request]))  # type: ignore[list-item]
                failed.append(refused.value)
            with pytest.raises(Exception) as closed:  # noqa: PT011
                await client.mailboxes.create_mailbox(request)
            failed.append(closed.value)
        return failed

    failed = asyncio.run(failures())
    assert len(failed) == 20
    for error in failed:
        assert not found_in(printed_error(error))


def test_cause_is_the_error_of_grpc_and_prints_no_secret(server: DevServer) -> None:
    with server.connect("writer") as client, pytest.raises(sealward.SealwardError) as refused:
        client.mailboxes.create_mailbox(request_with_secret())
    cause = refused.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    # gRPC's frames have the serialized request and the headers.
    assert cause.__traceback__ is None
    assert not found_in(printed_error(cause))
    text = "".join(traceback.format_exception(refused.value))
    assert "The above exception was the direct cause" in text
    assert not found_in(text)


def test_frames_of_grpc_do_have_the_secret(server: DevServer) -> None:
    """The search would find the secret in the frames that are cut off."""
    with server.connect("writer") as client:
        method = "/sealward.mail.v1.MailboxService/CreateMailbox"
        call = client.channel.unary_unary(method, request_serializer=mail_v1.CreateMailboxRequest.SerializeToString)
        with pytest.raises(Exception) as failed:  # noqa: PT011
            call(request_with_secret(), metadata=(("x-canary", canary()),), timeout=30)
        assert found_in(printed_error(failed.value))
        assert not found_in(printed_error(sealward._errors.without_frames(failed.value)))


def test_pure_python_protobuf_prints_no_secret() -> None:
    """The same tests of messages with protobuf's implementation in Python, which prints in its own way."""
    if api_implementation.Type() == "python":
        return
    tests = ["test_no_message_prints_a_secret", "test_search_finds_what_is_printed", "test_classes_made_elsewhere_print_no_secret"]
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *(f"{__file__}::{test}" for test in tests)],
        env=os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout
    assert "canary (python)" in ran.stdout
