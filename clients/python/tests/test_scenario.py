"""Runs the scenarios of clients/scenario against the real server, with both clients. The README there describes the format."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from conftest import ROOT
from dev_server import DevServer
from google.protobuf import json_format
from google.protobuf.message import Message

import sealward
import sealward.aio
from sealward import _methods
from sealward._errors import error_of
from sealward._method import Method

FOLDER = Path(os.environ.get("SEALWARD_SCENARIO", ROOT / "clients/scenario"))
FILES = sorted(FOLDER.glob("*.yaml"))

METHODS = {method.path: method for method in _methods.ALL}


def test_there_are_scenarios() -> None:
    assert FILES, f"{FOLDER} has no scenario"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path, kind: str, program: Path, tmp_path: Path, totals: Counter[str]) -> None:
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = scenario.get("server", {})
    settings, plaintext = wanted.get("settings"), wanted.get("plaintext", False)
    with DevServer(program, tmp_path / "dev", settings=settings, plaintext=plaintext) as server:
        driver = BlockingDriver(server) if kind == "blocking" else AsyncDriver(server)
        with driver:
            run = Run(path, driver)
            for step in scenario["steps"]:
                run.step(step)
    totals[f"{kind} files"] += 1
    totals[f"{kind} steps"] += len(scenario["steps"])


@pytest.fixture(scope="module")
def totals(report: list[str]) -> Iterator[Counter[str]]:
    """Counts what was run, for the summary. Both clients can run every step."""
    counted: Counter[str] = Counter()
    yield counted
    for kind in ("blocking", "asyncio"):
        report.append(f"scenario ({kind}): {counted[f'{kind} files']} files, {counted[f'{kind} steps']} steps ok, no step left out")


class Run:
    """A run of one file: its variables, and the comparison with what it expects."""

    def __init__(self, path: Path, driver: Driver) -> None:
        self.path = path
        self.driver = driver
        self.saved: dict[str, Any] = {}
        self.secrets: dict[str, str] = {}
        self.uuids: dict[str, str] = {}

    def step(self, step: dict[str, Any]) -> None:
        unknown = step.keys() - STEP_KEYS
        method = METHODS[f"/{step['call']}"]
        if unknown or len(step["expect"]) != 1:
            self.fail(step, f"unknown keys {sorted(unknown)}, or not exactly one expectation")
        try:
            outcome = self.driver.run(step, method, list(self.requests(step, method)), self.metadata(step))
        except json_format.ParseError as error:
            self.fail(step, f"the request isn't a message: {error}")
        ((kind, expected),) = self.filled(step["expect"]).items()
        if kind == "error":
            self.compare_error(step, expected, outcome)
            return
        if outcome.error is not None:
            self.fail(step, f"expected {kind} {expected}\nactual error {outcome.error!r} {dict(outcome.error.metadata)}")
        if kind == "stream":
            if len(outcome.messages) < expected.get("min", 0):
                self.fail(step, f"expected at least {expected['min']} messages\nactual {len(outcome.messages)}")
            if "last" in expected:
                self.compare(step, expected["last"], outcome.messages[-1])
        elif kind == "answer":
            self.compare(step, expected, outcome.messages[-1])
        else:
            self.fail(step, f"unknown expectation {kind}")
        self.save(step, outcome)

    def requests(self, step: dict[str, Any], method: Method[Any, Any]) -> Iterator[Message]:
        requests = step.get("requests", [step.get("request", {})])
        if isinstance(requests, dict):
            for item in self.filled(requests["for_each"]):
                yield json_format.ParseDict(self.filled(requests["request"], item), method.request())
            return
        for request in requests:
            yield json_format.ParseDict(self.filled(request), method.request())

    def metadata(self, step: dict[str, Any]) -> list[tuple[str, str]]:
        return [(name, str(value)) for name, value in self.filled(step.get("metadata", {})).items()]

    # Variables.

    def filled(self, value: Any, item: Any = None) -> Any:
        if isinstance(value, dict):
            return {key: self.filled(element, item) for key, element in value.items()}
        if isinstance(value, list):
            return [self.filled(element, item) for element in value]
        if not isinstance(value, str) or value == "$any":
            return value
        if whole := re.fullmatch(rf"\$({NAME})", value):
            return self.variable(whole[1], item)
        return re.sub(rf"\$\{{({NAME})\}}", lambda found: str(self.variable(found[1], item)), value)

    def variable(self, name: str, item: Any) -> Any:
        kind, _, rest = name.partition(".")
        if name == "item":
            return item
        if kind == "secret":
            return self.secrets.setdefault(rest, new_secret())
        if kind == "uuid":
            return self.uuids.setdefault(rest, str(uuid.uuid4()))
        if kind == "text":
            return "x" * int(rest)
        return self.saved[name]

    def save(self, step: dict[str, Any], outcome: Outcome) -> None:
        for name, path in step.get("save", {}).items():
            first, _, rest = path.partition(".")
            if "stream" not in step["expect"]:
                self.saved[name] = value_at(outcome.messages[-1], path)
            elif first == "last":
                self.saved[name] = value_at(outcome.messages[-1], rest)
            else:
                self.saved[name] = [value_at(message, rest) for message in outcome.messages]

    # Comparisons.

    def compare(self, step: dict[str, Any], expected: Any, message: Message) -> None:
        answer = json_format.MessageToDict(message, preserving_proto_field_name=True)
        problem = difference(expected, answer, "answer")
        if problem is not None:
            # The message prints without its secrets, unlike the answer.
            self.fail(step, f"{problem}\nexpected {json.dumps(expected)}\nactual {message}")

    def compare_error(self, step: dict[str, Any], expected: dict[str, Any], outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            self.fail(step, f"expected error {expected}\nactual {outcome.messages}")
            return
        actual = {
            "code": error.code.name,
            "reason": error.reason_name,
            "domain": "sealward.mail" if error.mail_reason else "sealward" if error.reason else None,
            "metadata": dict(error.metadata),
            "field_violations": [vars(violation) for violation in error.field_violations],
            "retry": error.retry_delay is not None,
        }
        problem = difference({"domain": "sealward"} | expected, actual, "error")
        if problem is None and not error.call_id:
            problem = "the error has no call id"
        if problem is not None:
            self.fail(step, f"{problem}\nexpected {json.dumps(expected)}\nactual {actual} {error}")

    def fail(self, step: dict[str, Any], problem: str) -> None:
        for name, secret in self.secrets.items():
            for form in (secret, json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()):
                problem = problem.replace(form, f"[secret {name}]")
        pytest.fail(f"{self.path.name}, step {step['name']!r}: {problem}", pytrace=False)


STEP_KEYS = {"name", "as", "call", "request", "requests", "raw", "metadata", "connection", "keep_open", "expect", "save"}
NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)?"


def difference(expected: Any, actual: Any, path: str) -> str | None:
    """The first difference from what is expected; None if there is none. No value of a field is in it."""
    if expected == "$any":
        return None if actual not in (None, "") else f"{path} is absent"
    if isinstance(expected, dict):
        if actual is not None and not isinstance(actual, dict):
            return f"{path} isn't an object"
        problems = (difference(value, (actual or {}).get(key), f"{path}.{key}") for key, value in expected.items())
        return next((problem for problem in problems if problem is not None), None)
    if isinstance(expected, list):
        found = actual or []
        if len(expected) != len(found):
            return f"{path} has {len(found)} elements, not {len(expected)}"
        pairs = enumerate(zip(expected, found, strict=True))
        problems = (difference(one, other, f"{path}.{index}") for index, (one, other) in pairs)
        return next((problem for problem in problems if problem is not None), None)
    if expected is None or (actual is None and not expected):
        return None if actual is None else f"{path} is present"
    if isinstance(expected, bool) or isinstance(actual, bool):
        same = expected is actual
    elif isinstance(expected, (int, float)):
        same = actual is not None and float(actual) == float(expected)
    else:
        same = expected == actual
    return None if same else f"{path} differs"


def value_at(message: Any, path: str) -> Any:
    """The value at a path, in the JSON mapping; the default value of a field without a value."""
    value = message
    for part in path.split("."):
        value = getattr(value, part) if isinstance(value, Message) else value[int(part) if part.isdigit() else part]
    if isinstance(value, Message):
        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def new_secret() -> str:
    """At least one letter, digit and symbol, in any case."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#%&()*+,-./:;<=>?@[]^_{|}~"
    return "a1!" + "".join(secrets.choice(alphabet) for _ in range(21))


# The two clients.


class Outcome:
    """What a call returned."""

    def __init__(self, messages: list[Message], error: sealward.SealwardError | None = None) -> None:
        self.messages = messages
        self.error = error


class Driver:
    """Runs the call of a step with a client for each identity, which stay connected until the end of the file."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self.clients: dict[str, list[Any]] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def arguments(self, user: str) -> dict[str, Any]:
        if user == "plaintext":
            return {"endpoint": self.server.plaintext_endpoint, "plaintext": True}
        return {"endpoint": self.server.endpoint} | self.server.identity(None if user == "nobody" else user)

    def client(self, step: dict[str, Any]) -> Any:
        known = self.clients.setdefault(step["as"], [])
        if step.get("connection") == "new":
            # It is kept open, but not used again.
            known.append(self.connect(self.arguments(step["as"])))
            return known[-1]
        if not known:
            known.append(self.connect(self.arguments(step["as"])))
        return known[0]

    def connect(self, arguments: dict[str, Any]) -> Any:
        raise NotImplementedError

    def run(self, step: dict[str, Any], method: Method[Any, Any], requests: list[Message], metadata: list[tuple[str, str]]) -> Outcome:
        raise NotImplementedError


def typed_method(client: Any, method: Method[Any, Any]) -> Any:
    """The client's method for an rpc."""
    service, _, name = method.path.rpartition("/")
    class_name = service.rpartition(".")[2]
    (found,) = [value for value in vars(client).values() if type(value).__name__ == class_name]
    return getattr(found, re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower())


def is_server_stream(method: Method[Any, Any]) -> bool:
    return method_descriptor(method).server_streaming


def method_descriptor(method: Method[Any, Any]) -> Any:
    service, _, name = method.path.removeprefix("/").partition("/")
    pool = method.request.DESCRIPTOR.file.pool
    return pool.FindServiceByName(service).methods_by_name[name]


class BlockingDriver(Driver):
    """With `sealward.Client`."""

    def connect(self, arguments: dict[str, Any]) -> sealward.Client:
        return self.stack.enter_context(sealward.connect(**arguments))

    def run(self, step: dict[str, Any], method: Method[Any, Any], requests: list[Message], metadata: list[tuple[str, str]]) -> Outcome:
        client = self.client(step)
        messages: list[Message] = []
        try:
            if "raw" in step or metadata:
                # The layer sends only messages, and headers of its own: such a step uses gRPC directly.
                data = base64.b64decode(step["raw"]) if "raw" in step else requests[0].SerializeToString()
                call = client.channel.unary_unary(method.path, response_deserializer=method.response.FromString)
                return Outcome([call(data, metadata=metadata, timeout=30)])
            function = typed_method(client, method)
            if method_descriptor(method).client_streaming:
                return Outcome([function(requests)])
            if not is_server_stream(method):
                answer = function(requests[0])
                return Outcome([method.response() if answer is None else answer])
            stream = function(requests[0])
            for message in stream:
                messages.append(message)
                if step.get("keep_open"):
                    self.stack.callback(stream.cancel)
                    break
        except grpc.RpcError as error:
            return Outcome(messages, error_of(error))
        except sealward.SealwardError as error:
            return Outcome(messages, error)
        return Outcome(messages)


class AsyncDriver(Driver):
    """With `sealward.aio.Client`."""

    def __init__(self, server: DevServer) -> None:
        super().__init__(server)
        self.runner = self.stack.enter_context(asyncio.Runner())

    def connect(self, arguments: dict[str, Any]) -> sealward.aio.Client:
        async def connect() -> sealward.aio.Client:
            return sealward.aio.connect(**arguments)

        client = self.runner.run(connect())
        self.stack.callback(lambda: self.runner.run(client.close()))
        return client

    def run(self, step: dict[str, Any], method: Method[Any, Any], requests: list[Message], metadata: list[tuple[str, str]]) -> Outcome:
        return self.runner.run(self.run_async(self.client(step), step, method, requests, metadata))

    async def run_async(
        self,
        client: sealward.aio.Client,
        step: dict[str, Any],
        method: Method[Any, Any],
        requests: list[Message],
        metadata: list[tuple[str, str]],
    ) -> Outcome:
        messages: list[Message] = []
        try:
            if "raw" in step or metadata:
                data = base64.b64decode(step["raw"]) if "raw" in step else requests[0].SerializeToString()
                call = client.channel.unary_unary(method.path, response_deserializer=method.response.FromString)
                return Outcome([await call(data, metadata=metadata, timeout=30)])
            function = typed_method(client, method)
            if method_descriptor(method).client_streaming:
                return Outcome([await function(requests)])
            if not is_server_stream(method):
                answer = await function(requests[0])
                return Outcome([method.response() if answer is None else answer])
            stream = function(requests[0])
            async for message in stream:
                messages.append(message)
                if step.get("keep_open"):
                    self.stack.callback(stream.cancel)
                    break
        except grpc.RpcError as error:
            return Outcome(messages, error_of(error))
        except sealward.SealwardError as error:
            return Outcome(messages, error)
        return Outcome(messages)


def test_secrets_are_masked_in_failures() -> None:
    run = Run(Path("file.yaml"), driver=None)  # type: ignore[arg-type]
    secret = run.filled("$secret.one")
    with pytest.raises(pytest.fail.Exception) as failed:
        run.fail({"name": "a step"}, f"expected {secret}, {json.dumps([secret])}")
    assert secret not in str(failed.value)
    assert "[secret one]" in str(failed.value)


def test_difference_is_found() -> None:
    for expected, actual in [
        ({"a": None}, {"a": "x"}),
        ({"a": "$any"}, {}),
        ({"a": "$any"}, {"a": ""}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": True}, {}),
        ({"a": True}, {"a": "true"}),
        ({"a": "x"}, {"a": "y"}),
        ({"a": {"b": 1}}, {"a": {"b": "2"}}),
    ]:
        assert difference(expected, actual, "answer") is not None, (expected, actual)
    for expected, actual in [
        ({}, {"a": 1}),
        ({"a": None, "b": False, "c": 0, "d": "", "e": [], "f": {}}, {}),
        ({"a": 5}, {"a": "5"}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}),
    ]:
        assert difference(expected, actual, "answer") is None, (expected, actual)
