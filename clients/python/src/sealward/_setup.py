"""The configuration of a client: endpoint, TLS, credentials, timeouts and limits.

Everything is checked before a connection is attempted: an unreadable file or an invalid certificate is a `SetupError`. Certificates are always
verified.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import stat
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import grpc

from sealward import _version
from sealward._errors import SetupError
from sealward._retry import RetryPolicy
from sealward._secret import Secret
from sealward._token import FileToken, StaticToken

#: PEM as bytes, or the path of its file.
Pem: TypeAlias = bytes | str | os.PathLike[str]

#: Time limit of a call with its retries, in seconds; the server's default for a call.
TIMEOUT_DEFAULT = 30.0

#: Maximum size of a message in either direction, in bytes; the server's default.
MESSAGE_SIZE_MAX_DEFAULT = 4 * 1024 * 1024

#: Maximum time to connect, including the TLS handshake, in milliseconds.
_CONNECT_TIMEOUT_MS = 10_000

#: Pauses between attempts to connect, in milliseconds. gRPC's own maximum of two minutes is too long after a restart of the server.
_RECONNECT_FIRST_MS = 100
_RECONNECT_MAX_MS = 5_000

#: Interval of HTTP/2 pings, which detect dead connections of idle streams, and the time for their answer, in milliseconds.
_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000


class IdentityFileWarning(UserWarning):
    """Other users can read the file of a private key."""


@dataclass(frozen=True)
class Settings:
    """The checked configuration of a client."""

    target: str
    credentials: grpc.ChannelCredentials | None = field(repr=False)
    token: Any = field(repr=False)
    timeout: float
    retry: RetryPolicy
    options: tuple[tuple[str, Any], ...]


def settings(
    endpoint: str,
    *,
    ca: Pem | None,
    certificate: Pem | None,
    key: str | os.PathLike[str] | Secret | _KeyAsText | None,
    bearer_token: str | Secret | None,
    bearer_token_file: str | os.PathLike[str] | None,
    token_source: Any,
    domain_name: str | None,
    plaintext: bool,
    timeout: float,
    retry: RetryPolicy | None,
    message_size_max: int,
) -> Settings:
    """Checks the arguments of `connect`."""
    target = target_of(endpoint, plaintext=plaintext)
    tokens = [token for token in (bearer_token, bearer_token_file, token_source) if token is not None]
    if len(tokens) > 1:
        raise SetupError("bearer_token, bearer_token_file and token_source can't be combined")
    if plaintext and tokens:
        raise SetupError("bearer tokens require TLS: use https://")
    if not timeout > 0:
        raise SetupError(f"invalid timeout {timeout!r}: use a number of seconds above 0")
    credentials = None if plaintext else _credentials(ca, certificate, key)
    token = token_source
    if bearer_token_file is not None:
        token = FileToken(bearer_token_file)
    elif isinstance(bearer_token, Secret):
        token = StaticToken(bearer_token)
    return Settings(
        target=target,
        credentials=credentials,
        token=token,
        timeout=float(timeout),
        retry=retry or RetryPolicy(),
        options=_options(domain_name, message_size_max),
    )


def _options(domain_name: str | None, message_size_max: int) -> tuple[tuple[str, Any], ...]:
    # Without a retry policy, gRPC repeats only calls that no server has seen. The layer does all other retries.
    service_config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config)),
        # A record in DNS can't change the configuration, and no environment variable names a proxy.
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),
        # Each client has its own connections: without this, clients with equal settings share them.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", message_size_max),
        ("grpc.max_receive_message_length", message_size_max),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.primary_user_agent", f"sealward-python/{_version.VERSION}"),
    ]
    if domain_name is not None:
        options += [("grpc.ssl_target_name_override", domain_name), ("grpc.default_authority", domain_name)]
    return tuple(options)


def target_of(endpoint: str, *, plaintext: bool) -> str:
    """gRPC's target for an endpoint. Every target has TLS, unless plaintext is enabled."""
    # A URL with a password isn't valid, but its error is printed.
    shown = re.sub(r"//.*@", "//…@", endpoint)
    invalid = SetupError(f"invalid endpoint {shown!r}: use a URL such as https://127.0.0.1:7443")
    if re.match(r"(dns:|ipv4:|ipv6:)[^\s]", endpoint):
        return endpoint
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        raise invalid from None
    has_more = url.path not in ("", "/") or url.query or url.fragment or url.username is not None
    if url.scheme not in ("https", "http") or not host or has_more or re.search(r"[\s\\]", endpoint):
        raise invalid
    if url.scheme == "http" and not plaintext:
        raise SetupError(f"endpoint {endpoint!r} has no TLS: use https://, or enable plaintext for diagnostics")
    if url.scheme == "https" and plaintext:
        raise SetupError(f"endpoint {endpoint!r} has TLS, but plaintext is enabled: use http://")
    port = port if port is not None else 443 if url.scheme == "https" else 80
    return f"ipv6:[{host}]:{port}" if ":" in host else f"dns:///{host}:{port}"


# TLS.


def _credentials(ca: Pem | None, certificate: Pem | None, key: str | os.PathLike[str] | Secret | _KeyAsText | None) -> grpc.ChannelCredentials:
    if isinstance(key, _KeyAsText):
        raise _pem_as_text("client key")
    roots = system_cas() if ca is None else _read(ca, "CA")
    _check_certificates(roots, "CA" if ca is None else _label(ca, "CA"))
    if (certificate is None) != (key is None):
        raise SetupError("certificate and key must be used together: the certificate and its private key")
    if certificate is None or key is None:
        return grpc.ssl_channel_credentials(roots)
    chain = _read(certificate, "client certificate")
    _check_certificates(chain, _label(certificate, "client certificate"))
    secret = _read_key(key)
    _check_key(secret, "client key" if isinstance(key, Secret) else _label(key, "client key"))
    if not isinstance(certificate, bytes) and not isinstance(key, Secret):
        _check_pair(certificate, key)
    return grpc.ssl_channel_credentials(roots, secret.expose_bytes(), chain)


class _KeyAsText:
    """Instead of a private key that was passed as text. Doesn't have the text."""


def hidden_key(key: Pem | Secret | None) -> str | os.PathLike[str] | Secret | _KeyAsText | None:
    """The argument `key`, so that no error and no frame has the content of a key."""
    if isinstance(key, bytes):
        return Secret(key)
    if key is not None and not isinstance(key, Secret) and _is_pem_as_text(key):
        return _KeyAsText()
    return key


def _is_pem_as_text(pem: str | os.PathLike[str]) -> bool:
    return "-----BEGIN" in os.fspath(pem)


def _pem_as_text(what: str) -> SetupError:
    return SetupError(f"the {what} is PEM as text: pass PEM as bytes, or the path of its file")


def _label(pem: Pem, what: str) -> str:
    return what if isinstance(pem, bytes) else f"{what} file {os.fspath(pem)}"


def _read(pem: Pem, what: str) -> bytes:
    if isinstance(pem, bytes):
        return pem
    if _is_pem_as_text(pem):
        raise _pem_as_text(what)
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise SetupError(f"can't read the {_label(pem, what)}: {error.strerror}") from None


def _read_key(key: str | os.PathLike[str] | Secret) -> Secret:
    if isinstance(key, Secret):
        return key
    try:
        with open(key, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = Secret(file.read())
    except OSError as error:
        raise SetupError(f"can't read the {_label(key, 'client key')}: {error.strerror}") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        _warn_once(os.path.abspath(os.fspath(key)))
    return secret


def _warn_once(path: str) -> None:
    if path not in _warned:
        _warned.add(path)
        text = f"group or others can access the private key {path}: run chmod 600 {path}"
        warnings.warn(text, IdentityFileWarning, stacklevel=_stack_level())


_warned: set[str] = set()


def _stack_level() -> int:
    """The first frame outside of this package."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level


def _check_certificates(pem: bytes, label: str) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise SetupError(f"can't use the {label}: the file has no certificate in PEM")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except ssl.SSLError as error:
        raise SetupError(f"can't use the {label}: {error.reason or 'invalid certificate'}") from None


def _check_key(key: Secret, label: str) -> None:
    labels = re.findall(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----", key.expose_bytes())
    if not labels:
        raise SetupError(f"can't use the {label}: the file has no private key in PEM")
    if b"ENCRYPTED PRIVATE KEY" in labels or b"Proc-Type: 4,ENCRYPTED" in key.expose_bytes():
        raise SetupError(f"can't use the {label}: the private key is encrypted: decrypt it first")


def _check_pair(certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError):
        text = f"can't use the client key file {os.fspath(key)}: it isn't the key of {os.fspath(certificate)}"
        raise SetupError(text) from None


def system_cas() -> bytes:
    """The CAs of the system. No environment variable is read."""
    if sys.platform == "win32":
        found = [data for data, encoding, _ in ssl.enum_certificates("ROOT") if encoding == "x509_asn"]
        return "".join(ssl.DER_cert_to_PEM_cert(data) for data in found).encode()
    for path in (ssl.get_default_verify_paths().openssl_cafile, *_SYSTEM_CA_FILES):
        try:
            return Path(path).read_bytes()
        except OSError:
            continue
    raise SetupError("no CA certificate is set to verify the server, and the system has none: set ca")


#: Where Debian, Fedora, OpenSUSE, Alpine and macOS keep their CAs.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


# Environment variables.


def environment_arguments(environment: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `connect` that the command line's variables set. An empty variable counts as unset."""

    def variable(name: str) -> str | None:
        return environment.get(name) or None

    arguments: dict[str, Any] = {
        "endpoint": variable("SEALWARD_ENDPOINT"),
        "ca": variable("SEALWARD_CA"),
        "certificate": variable("SEALWARD_CERT"),
        "key": variable("SEALWARD_KEY"),
        "bearer_token_file": variable("SEALWARD_TOKEN_FILE"),
    }
    development, role = variable("SEALWARD_DEV"), variable("SEALWARD_AS")
    if (development is None) != (role is None):
        raise SetupError("SEALWARD_DEV and SEALWARD_AS must be set together: the folder of `sealward-server dev`, and a role")
    if development is not None:
        arguments |= _development_arguments(Path(development), role, arguments["endpoint"])
    arguments["endpoint"] = arguments["endpoint"] or "https://127.0.0.1:7443"
    return {name: value for name, value in arguments.items() if value is not None}


def _development_arguments(folder: Path, role: str | None, endpoint: str | None) -> dict[str, Any]:
    """The files of a development server, which take precedence, and its endpoint."""
    if endpoint is None:
        try:
            endpoint = (folder / "endpoint").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            endpoint = None
        except OSError as error:
            raise SetupError(f"can't read {folder / 'endpoint'}: {error.strerror}") from None
    tls = folder / "tls"
    return {
        "endpoint": endpoint,
        "ca": tls / "ca.pem",
        "certificate": tls / f"{role}.pem",
        "key": tls / f"{role}.key",
    }
