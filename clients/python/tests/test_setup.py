"""The configuration of a client, without a server."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer

import sealward
from sealward import _setup
from sealward._setup import environment_arguments, target_of
from sealward._token import _problem_of


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("https://127.0.0.1:7443", "dns:///127.0.0.1:7443"),
        ("https://sealward.example.org", "dns:///sealward.example.org:443"),
        ("https://[::1]:7443/", "ipv6:[::1]:7443"),
        ("dns:///sealward.example.org:7443", "dns:///sealward.example.org:7443"),
        ("ipv4:127.0.0.1:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
    ],
)
def test_endpoint_becomes_a_target(endpoint: str, target: str) -> None:
    assert target_of(endpoint, plaintext=False) == target


@pytest.mark.parametrize(
    "endpoint",
    ["", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://", "https://host:0x1", "https://host/path",
     "https://user@host", "https://host?query", "unix:/tmp/socket", "https://ho st", "dns:"],
)  # fmt: skip
def test_endpoint_without_scheme_or_host_is_refused(endpoint: str) -> None:
    with pytest.raises(sealward.SetupError, match="invalid endpoint"):
        target_of(endpoint, plaintext=False)


def test_password_in_an_endpoint_is_not_printed() -> None:
    with pytest.raises(sealward.SetupError, match="invalid endpoint") as invalid:
        target_of("https://user:canary@host", plaintext=False)
    assert "canary" not in str(invalid.value)


def test_plaintext_needs_an_explicit_choice() -> None:
    with pytest.raises(sealward.SetupError, match="has no TLS"):
        sealward.connect("http://127.0.0.1:7080")
    with pytest.raises(sealward.SetupError, match="plaintext is enabled"):
        sealward.connect("https://127.0.0.1:7443", plaintext=True)
    with pytest.raises(sealward.SetupError, match="bearer tokens require TLS"):
        sealward.connect("http://127.0.0.1:7080", plaintext=True, bearer_token="token")  # noqa: S106
    with pytest.raises(sealward.SetupError, match="bearer tokens require TLS"):
        sealward.connect("dns:///127.0.0.1:7080", plaintext=True, bearer_token_file="token")  # noqa: S106


def test_files_are_checked(server: DevServer, tmp_path: Path) -> None:
    tls = server.folder / "tls"
    good = server.identity("reader")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("text")
    garbage.chmod(0o600)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca": "/nowhere/ca.pem"}, "can't read the CA file /nowhere/ca.pem: No such file"),
        ({"ca": garbage}, "no certificate in PEM"),
        ({"ca": b"text"}, "can't use the CA: the file has no certificate in PEM"),
        ({"ca": broken}, f"can't use the CA file {broken}"),
        ({"certificate": garbage}, "no certificate in PEM"),
        ({"key": garbage}, "no private key in PEM"),
        ({"key": "/nowhere/key"}, "can't read the client key file /nowhere/key"),
        ({"key": tls / "writer.key"}, "isn't the key of"),
        ({"key": None}, "must be used together"),
        ({"certificate": None}, "must be used together"),
        ({"key": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"}, "is encrypted"),
        ({"bearer_token": sealward.Secret("a"), "bearer_token_file": "b"}, "can't be combined"),
        ({"timeout": 0}, "invalid timeout"),
    ]
    for changed, problem in cases:
        with pytest.raises(sealward.SetupError, match=problem):
            sealward.connect(server.endpoint, **(good | changed))
    # PEM as text isn't the name of a file, and isn't printed.
    canary = "canary of a key"
    for name, what in (("ca", "CA"), ("certificate", "client certificate"), ("key", "client key")):
        for text in (f"-----BEGIN PRIVATE KEY-----\n{canary}\n", Path(f"-----BEGIN PRIVATE KEY-----\n{canary}\n")):
            with pytest.raises(sealward.SetupError, match=f"the {what} is PEM as text: pass PEM as bytes") as invalid:
                sealward.connect(server.endpoint, **(good | {name: text}))
            assert canary not in str(invalid.value)
    # Bytes are as good as files.
    files = {name: Path(path).read_bytes() for name, path in good.items()}
    sealward.connect(server.endpoint, **files).close()


def test_key_that_others_can_read_gives_one_warning(server: DevServer, tmp_path: Path) -> None:
    key = tmp_path / "reader.key"
    key.write_bytes((server.folder / "tls/reader.key").read_bytes())
    key.chmod(0o640)
    arguments = server.identity("reader") | {"key": key}
    with pytest.warns(sealward.IdentityFileWarning, match=f"run chmod 600 {key}") as caught:
        sealward.connect(server.endpoint, **arguments).close()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sealward.connect(server.endpoint, **arguments).close()
        sealward.connect(server.endpoint, **server.identity("reader")).close()


def test_system_has_cas_without_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert b"BEGIN CERTIFICATE" in _setup.system_cas()


def test_environment_variables_are_those_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "endpoint").write_text("https://127.0.0.1:4711\n")
    assert environment_arguments({}) == {"endpoint": "https://127.0.0.1:7443"}
    assert environment_arguments({"SEALWARD_ENDPOINT": "https://a:1", "SEALWARD_CA": "ca", "SEALWARD_TOKEN_FILE": ""}) == {
        "endpoint": "https://a:1",
        "ca": "ca",
    }
    development = environment_arguments({"SEALWARD_DEV": str(tmp_path), "SEALWARD_AS": "reader", "SEALWARD_CERT": "other"})
    assert development == {
        "endpoint": "https://127.0.0.1:4711",
        "ca": tmp_path / "tls/ca.pem",
        "certificate": tmp_path / "tls/reader.pem",
        "key": tmp_path / "tls/reader.key",
    }
    with pytest.raises(sealward.SetupError, match="must be set together"):
        environment_arguments({"SEALWARD_AS": "reader"})


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"Bearer canary", 'begins with "Bearer "'),
        (b"bearer canary", 'begins with "Bearer "'),
        (b"\xef\xbb\xbfcanary", "byte order mark"),
        (b"\xff\xfec\0", "UTF-16"),
        (b"canary\xff", "isn't valid UTF-8"),
        (b'{"access_token": "canary"}', "JSON"),
        (b"canary canary", "more than one word"),
        ("can\u00e4ry".encode(), "invalid character"),
        (b"can\x1bary", "invalid character"),
    ],
)
def test_fault_of_a_token_is_named_without_the_token(token: bytes, problem: str) -> None:
    found = _problem_of(sealward.Secret(token))
    assert found is not None
    assert problem in found
    assert "canary" not in found


def test_token_is_read_without_surrounding_blanks() -> None:
    assert _problem_of(sealward.Secret(b" a.b-c_d~e+f/g=\r\n")) is None


def test_error_names_the_token_file(server: DevServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer canary")
    with sealward.connect(server.endpoint, ca=server.folder / "tls/ca.pem", bearer_token_file=token) as client:
        with pytest.raises(sealward.SetupError, match='begins with "Bearer "') as invalid:
            client.access.who_am_i(sealward.v1.WhoAmIRequest())
        assert str(token) in str(invalid.value)
        token.unlink()
        with pytest.raises(sealward.SetupError, match=f"can't read the token file {token}: No such file"):
            client.access.who_am_i(sealward.v1.WhoAmIRequest())


@pytest.mark.parametrize("path", ["eyJhbGciOiJFUzI1NiJ9.e30.Y2FuYXJ5", "canary/eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "canary"])
def test_token_that_is_given_as_a_path_is_not_printed(path: str) -> None:
    with sealward.connect("https://127.0.0.1:1", bearer_token_file=path) as client:
        with pytest.raises(sealward.SetupError, match="can't read the token file: No such file") as invalid:
            client.access.who_am_i(sealward.v1.WhoAmIRequest())
        assert path not in str(invalid.value)
        assert invalid.value.__cause__ is None
