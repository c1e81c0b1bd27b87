"""The package as it is installed: its modules, its types, and what it needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pool

import sealward
import sealward._generated
from sealward import _methods, mail_v1, v1


def test_generated_modules_are_inside_the_package() -> None:
    for module in pkgutil.walk_packages(sealward._generated.__path__, "sealward._generated."):
        importlib.import_module(module.name)
    program = "import sys; before = set(sys.modules); import sealward; print(*sorted(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    # What the package brings along, apart from the standard library: nothing at the top level that another package could have.
    found = {name.partition(".")[0] for name in ran.stdout.split()} - sys.stdlib_module_names
    assert {name for name in found if not name.startswith("_")} <= {"sealward", "google", "grpc", "typing_extensions", "cython_runtime"}
    for method in _methods.ALL:
        assert method.request.__module__.startswith("sealward._generated.")
        module = sys.modules[method.request.__module__]
        assert getattr(module, method.request.__name__) is method.request


def test_types_and_facts_are_installed(root: Path) -> None:
    package = Path(sealward.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_generated/mail/v1/mailbox_pb2.pyi").is_file()
    assert (package / "service_config.json").read_text() == (root / "clients/service_config.json").read_text()
    assert json.loads((package / "service_config.json").read_text())["methodConfig"]


def test_requirements_are_ranges_without_tools() -> None:
    needed = importlib.metadata.requires("sealward") or []
    names = {re.split(r"[<>=!~ ]", one)[0] for one in needed}
    assert names == {"grpcio", "protobuf", "googleapis-common-protos"}
    for one in needed:
        assert ">=" in one
        assert "<" in one
        assert "==" not in one
    assert importlib.metadata.version("sealward") == sealward.__version__


def test_public_modules_have_everything_of_the_contract() -> None:
    for module, package in ((v1, "sealward.v1"), (mail_v1, "sealward.mail.v1")):
        pool = descriptor_pool.Default()
        files = {method.request.DESCRIPTOR.file for method in _methods.ALL if method.request.DESCRIPTOR.file.package == package}
        for file in files:
            assert pool.FindFileByName(file.name) is not None
            assert set(file.message_types_by_name) | set(file.enum_types_by_name) <= set(module.__all__)
