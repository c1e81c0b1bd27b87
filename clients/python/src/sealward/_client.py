"""The blocking client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import grpc

from sealward import _setup, v1
from sealward._connection import Connection, ServerStream
from sealward._errors import SealwardError
from sealward._keys import RESUME_PAUSE, Watch, change_request
from sealward._retry import RetryPolicy
from sealward._secret import Secret, hidden
from sealward._services import Services
from sealward._setup import Pem
from sealward._token import TokenSource


def connect(
    endpoint: str,
    *,
    ca: Pem | None = None,
    certificate: Pem | None = None,
    key: Pem | Secret | None = None,
    token: str | Secret | TokenSource | None = None,
    token_file: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
    timeout: float = _setup.TIMEOUT_DEFAULT,
    retry: RetryPolicy | None = None,
    message_size_max: int = _setup.MESSAGE_SIZE_MAX_DEFAULT,
) -> Client:
    """Creates a client of the server at `endpoint`, such as `https://127.0.0.1:7443`. It connects with its first call, and reconnects if the
    connection breaks.

    Certificates are always verified. No environment variable is read; see `connect_from_environment`.

    Args:
        endpoint: A URL `https://HOST:PORT`, or a target of gRPC with the scheme `dns:`, `ipv4:` or `ipv6:`, such as `dns:///HOST:PORT`. Calls
            are distributed to all addresses of the host.
        ca: The CA certificates that verify the server: the path of a PEM file, or PEM as bytes. Default: the system's CAs.
        certificate: The client certificate, with intermediate certificates: the path of a PEM file, or PEM as bytes.
        key: The private key of the client certificate, like `certificate`.
        token: A bearer token (JWT) that is sent with each call, or a function that returns one.
        token_file: The file of a bearer token. It is read for each attempt, so that the token can be replaced before it expires.
        server_name: The expected name in the server's certificate. Default: the endpoint's host.
        plaintext: Whether to connect without TLS, to an endpoint `http://…`. For tests and diagnostics: the server answers data calls with
            HTTPS_REQUIRED, and the network can read everything that is sent.
        timeout: The time limit of a call with its retries, in seconds, which is also sent to the server as the deadline. Default: 30.
        retry: The retries of calls that are safe to repeat.
        message_size_max: The maximum size of a sent or received message, in bytes. Default: 4 MiB, the server's default.

    Raises:
        SetupError: An argument or a file is invalid. Doesn't check whether the server is reachable.
    """
    # From here on, no frame has the secrets as plain values, which tools for tracebacks would print.
    token, checked_key = hidden(token, str), _setup.hidden_key(key)
    del key
    return Client(
        Connection(
            _setup.settings(
                endpoint,
                ca=ca,
                certificate=certificate,
                key=checked_key,
                token=token,
                token_file=token_file,
                server_name=server_name,
                plaintext=plaintext,
                timeout=timeout,
                retry=retry,
                message_size_max=message_size_max,
            )
        )
    )


def connect_from_environment(environment: Mapping[str, str] | None = None, **arguments: Any) -> Client:
    """Creates a client by the variables of the command line: SEALWARD_ENDPOINT, SEALWARD_CA, SEALWARD_CERT, SEALWARD_KEY and
    SEALWARD_TOKEN_FILE; SEALWARD_DEV and SEALWARD_AS for a development server.

    Args:
        environment: The variables. Default: those of the process.
        arguments: Arguments of `connect`, which take precedence.

    Raises:
        SetupError: A variable, an argument or a file is invalid.
    """
    variables = _setup.environment_arguments(os.environ if environment is None else environment)
    return connect(**(variables | arguments))


class Client(Services):
    """A client of one server, created by `connect`. Safe for use by several threads, but not by a forked process.

    A context manager: leaving the context closes the connections.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    def reveal(self, name: str, attributes: Iterable[str], *, purpose: str, timeout: float | None = None) -> dict[str, Secret]:
        """Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records
        the call and its purpose.

        Raises:
            SealwardError: With the reasons of RevealAttributes in the contract. Never repeated: each call adds an audit record.
        """
        request = v1.RevealAttributesRequest(name=name, attributes=attributes, purpose=purpose)
        return secrets_of(self.secret_access.reveal_attributes(request, timeout=timeout))

    def change_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> KeyChange:
        """Changes the encryption key of an organization. Store the key before this call: `generate_key` generates one. The server re-encrypts
        all values in the background; iterate over the result to follow it.

        Never repeated. If it isn't known whether the key was set, for example after OUTCOME_UNKNOWN or a timeout, call this method again with
        the same key: a change to the current key changes nothing, and SET_KEY_ALREADY_RUNNING means that the re-encryption still runs.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        response = self.data_encryption.set_data_encryption_key(change_request(organization, key), timeout=timeout)
        return KeyChange(self, organization, response)

    @property
    def server_version(self) -> str | None:
        """The version that the server sent with its last answer. None before the first answer, and for a server that doesn't send it."""
        return self._connection.server_version

    @property
    def channel(self) -> grpc.Channel:
        """gRPC's channel, for other generated clients. Timeouts, retries, tokens and typed errors of this client don't apply to it."""
        return self._connection.channel

    def close(self) -> None:
        """Ends all calls and closes the connections."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sealward.Client of {self._connection.settings.target}>"


class KeyChange:
    """A key change that the server has accepted. Iterate over it to follow the re-encryption, with at least one message per second, until it
    has ended. The re-encryption continues if the iteration stops.

    A stream that breaks is opened again: a restart of the server takes seconds.
    """

    def __init__(self, client: Client, organization: str, response: v1.SetDataEncryptionKeyResponse) -> None:
        self._client = client
        self._organization = organization
        #: The public id of the new key. Store it with the key.
        self.fingerprint = response.fingerprint
        #: The version of the data key that encrypts new values.
        self.key_version = response.key_version

    def __iter__(self) -> Iterator[v1.Reencryption]:
        watch = Watch()
        while not watch.has_ended:
            try:
                with self._open() as stream:
                    for progress in stream:
                        watch.received(progress)
                        yield progress
                return
            except SealwardError as error:
                if not watch.may_resume(error):
                    raise
            time.sleep(RESUME_PAUSE)

    def _open(self) -> ServerStream[v1.Reencryption]:
        request = v1.WatchReencryptionRequest(organization=self._organization)
        return self._client.data_encryption.watch_reencryption(request)

    def __repr__(self) -> str:
        return f"<sealward.KeyChange of {self._organization} to {self.fingerprint}>"


def secrets_of(response: v1.RevealAttributesResponse) -> dict[str, Secret]:
    """The values of an answer, in the type that doesn't print."""
    return {attribute: Secret(value.text if value.HasField("text") else value.data) for attribute, value in response.values.items()}
