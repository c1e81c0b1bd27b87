"""A real development server in a folder of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import sealward
import sealward.aio


class DevServer:
    """`sealward-server dev`, ready when the constructor returns. A context manager: leaving the context ends the server."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        *,
        listen: str = "127.0.0.1:0",
        settings: dict[str, Any] | None = None,
        plaintext: bool = False,
    ) -> None:
        self.program = program
        self.folder = folder
        self.listen = listen
        self._plaintext: str | None = None
        changed = dict(settings or {})
        if plaintext:
            changed["listen.plaintext_address"] = "127.0.0.1:0"
        if changed and not (folder / "sealward.toml").exists():
            # The first start writes the configuration.
            self._start()
            self.stop()
        for name, value in changed.items():
            self._change(name.partition(".")[2], value)
        self._start()

    @property
    def endpoint(self) -> str:
        return (self.folder / "endpoint").read_text().strip()

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def plaintext_endpoint(self) -> str:
        assert self._plaintext is not None, "the server has no plaintext listener"
        return f"http://{self._plaintext}"

    def identity(self, name: str | None) -> dict[str, Any]:
        """The arguments of `connect` for one of the server's users; without a name, only the CA."""
        tls = self.folder / "tls"
        arguments = {"ca": tls / "ca.pem"}
        if name is not None:
            arguments |= {"certificate": tls / f"{name}.pem", "key": tls / f"{name}.key"}
        return arguments

    def connect(self, name: str | None, **arguments: Any) -> sealward.Client:
        return sealward.connect(**({"endpoint": self.endpoint} | self.identity(name) | arguments))

    def connect_aio(self, name: str | None, **arguments: Any) -> sealward.aio.Client:
        return sealward.aio.connect(**({"endpoint": self.endpoint} | self.identity(name) | arguments))

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=60) == 0, self.log()
        self._reader.join()

    def log(self) -> str:
        return self.folder.with_suffix(".log").read_text()

    def __enter__(self) -> DevServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()

    def _start(self) -> None:
        with self.folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self.program, "dev", "--data-dir", self.folder, "--listen", self.listen],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.match(r"  without TLS +(\S+),", line):
                self._plaintext = found[1]
            if line.startswith("Press Ctrl-C"):
                break
        else:
            raise AssertionError(f"the server ended: {self.log()}")
        # The rest is read, so that the server never waits for it.
        self._reader = threading.Thread(target=self._read_rest, args=[self._process.stdout], daemon=True)
        self._reader.start()

    @staticmethod
    def _read_rest(output: Any) -> None:
        with output:
            for _ in output:
                pass

    def _change(self, name: str, value: Any) -> None:
        path = self.folder / "sealward.toml"
        text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
        text = text or (f'"{value}"' if isinstance(value, str) else str(value))
        changed, count = re.subn(rf"(?m)^(# )?{re.escape(name)} = .*$", f"{name} = {text}", path.read_text())
        assert count == 1, f"{name} is in the configuration {count} times"
        path.write_text(changed)
