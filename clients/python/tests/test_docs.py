"""Runs the examples of the documents, and compares what they print."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_server import DevServer

import sealward
import sealward.aio
from sealward._services import MailboxService

#: A block of Python, with the expected output if a block of text follows.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)

#: The address of a development server, which the examples use.
ADDRESS = "127.0.0.1:7443"


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    for found in BLOCK.finditer(document.read_text(encoding="utf-8")):
        yield found[1], found[2] or ""


@pytest.mark.parametrize("name", ["docs/clients/python.md", "clients/python/README.md"])
def test_examples_print_what_the_document_says(name: str, root: Path, program: Path, tmp_path: Path, report: list[str]) -> None:
    """All blocks in one program, as a reader pastes them, with the port of the test's server."""
    found = list(blocks(root / name))
    assert found
    with DevServer(program, tmp_path / "sealward-dev") as server:
        text = "".join(f"{code}\nprint('---', flush=True)\n" for code, _ in found)
        (tmp_path / "example.py").write_text(text.replace(ADDRESS, f"127.0.0.1:{server.port}"))
        ran = subprocess.run(
            [sys.executable, "-W", "error", "example.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    printed = ran.stdout.split("---\n")[:-1]
    assert [output.strip() for output in printed] == [expected.strip() for _, expected in found]
    report.append(f"{name}: {len(found)} examples run")


def test_first_example_has_ten_lines(root: Path) -> None:
    for name in ("docs/clients/python.md", "clients/python/README.md"):
        code, _ = next(blocks(root / name))
        assert len([line for line in code.splitlines() if line]) == 10


def test_readme_names_what_the_package_and_the_rust_crate_have(root: Path) -> None:
    _, _, vocabulary = (root / "clients/README.md").read_text().partition("## Vocabulary")
    vocabulary, _, _ = vocabulary.partition("\n## ")
    rows = [cells for line in vocabulary.splitlines() if len(cells := line.split("|")) == 8]
    rust, python = ({name for cells in rows for name in re.findall("`([^`]+)`", cells[column])} for column in (2, 3))
    assert min(len(rust), len(python)) > 40

    types = (sealward.Client, sealward.SealwardError, sealward.Origin, sealward.Secret, sealward.RetryPolicy, MailboxService)
    names = {name for type_ in types for name in dir(type_)} | set(sealward.__all__)
    assert python - names - set(inspect.signature(sealward.connect).parameters) == set()
    # The client for asyncio has the same methods and arguments.
    assert {name for name in dir(sealward.Client) if name[0] != "_"} == {name for name in dir(sealward.aio.Client) if name[0] != "_"}
    assert inspect.signature(sealward.connect).parameters.keys() == inspect.signature(sealward.aio.connect).parameters.keys()

    sources = "".join(path.read_text() for path in (root / "client/src").rglob("*.rs"))
    declared = set(re.findall(r"pub (?:async )?fn (\w+)|pub (?:struct|enum) (\w+)|^    (?:pub )?(\w+)(?:,|: |\(| \{)", sources, re.MULTILINE))
    assert rust - {name for names in declared for name in names} == set()


def test_readme_names_the_oldest_versions(root: Path) -> None:
    readme = (root / "clients/python/README.md").read_text()
    project = (root / "clients/python/pyproject.toml").read_text()
    script = (root / "clients/python/test").read_text()
    for package in ("grpcio", "protobuf", "googleapis-common-protos"):
        (oldest,) = re.findall(rf'"{package}>=([\d.]+),', project)
        assert f"| {package} | {oldest} |" in readme
        assert re.search(rf"^OLDEST=.*\b{package}=={re.escape(oldest)}", script, re.MULTILINE)
    (python,) = re.findall(r'requires-python = ">=([\d.]+)"', project)
    assert f"| Python | {python} |" in readme
