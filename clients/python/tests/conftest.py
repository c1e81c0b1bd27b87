"""What the tests share: programs and folders, servers, and numbers for the summary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_server import DevServer

#: The repository.
ROOT = Path(__file__).resolve().parents[3]

#: Lines for the end of the run: what was covered, in numbers.
summary: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in summary:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def program() -> Path:
    path = Path(os.environ.get("SEALWARD_SERVER", ROOT / "target/debug/sealward-server")).resolve()
    assert path.is_file(), f"{path} doesn't exist: build it, or set SEALWARD_SERVER"
    return path


@pytest.fixture(scope="session")
def server(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A development server for tests that need no setting of their own."""
    with DevServer(program, tmp_path_factory.mktemp("server") / "dev") as running:
        yield running


@pytest.fixture(scope="session")
def report() -> list[str]:
    return summary
