"""The blocking client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import grpc

from sealward import _setup, v1
from sealward._connection import Connection
from sealward._errors import SealwardError
from sealward._keys import RESUME_PAUSE, Watch, key_request
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
    bearer_token: str | Secret | None = None,
    bearer_token_file: str | os.PathLike[str] | None = None,
    token_source: TokenSource | None = None,
    domain_name: str | None = None,
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
        bearer_token: A bearer token (JWT) that is sent with each call.
        bearer_token_file: The file of a bearer token. It is read for each attempt, so that the token can be replaced before it expires.
        token_source: A function that returns a bearer token.
        domain_name: The expected name in the server's certificate. Default: the endpoint's host.
        plaintext: Whether to connect without TLS, to an endpoint `http://…`. For tests and diagnostics: the server answers data calls with
            HTTPS_REQUIRED, and the network can read everything that is sent.
        timeout: The time limit of a call with its retries, in seconds, which is also sent to the server as the deadline. Default: 30.
        retry: The retries of calls that are safe to repeat.
        message_size_max: The maximum size of a sent or received message, in bytes. Default: 4 MiB, the server's default.

    Raises:
        SetupError: An argument or a file is invalid. Doesn't check whether the server is reachable.
    """
    # From here on, no frame has the secrets as plain values, which tools for tracebacks would print.
    bearer_token, checked_key = hidden(bearer_token, str), _setup.hidden_key(key)
    del key
    return Client(
        Connection(
            _setup.settings(
                endpoint,
                ca=ca,
                certificate=certificate,
                key=checked_key,
                bearer_token=bearer_token,
                bearer_token_file=bearer_token_file,
                token_source=token_source,
                domain_name=domain_name,
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

    def reveal_attributes(self, name: str, attributes: Iterable[str], *, purpose: str, timeout: float | None = None) -> dict[str, Secret]:
        """Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records
        the call and its purpose.

        Raises:
            SealwardError: With the reasons of RevealAttributes in the contract. Never repeated: each call adds an audit record.
        """
        request = v1.RevealAttributesRequest(name=name, attributes=attributes, purpose=purpose)
        return secrets_of(self.secret_access.reveal_attributes(request, timeout=timeout))

    def change_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> KeyChangeProgress:
        """Changes the encryption key of an organization. Store the key before this call: `generate_key_text` generates one. The server re-encrypts
        all values in the background; iterate over the result to follow it.

        Never repeated. If it isn't known whether the key was set, for example after OUTCOME_UNKNOWN or a timeout, call this method again with
        the same key: a change to the current key changes nothing, and SET_KEY_ALREADY_RUNNING means that the re-encryption still runs.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        request = key_request(organization, key, change_encryption_key=True)
        response = self.data_encryption.set_data_encryption_key(request, timeout=timeout)
        return KeyChangeProgress(self, organization, response)

    def restore_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> v1.SetDataEncryptionKeyResponse:
        """Restores the encryption key of an inactive organization. Never repeated, because attempts count against a limit.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        request = key_request(organization, key, change_encryption_key=False)
        return self.data_encryption.set_data_encryption_key(request, timeout=timeout)

    def watch_reencryption(self, organization: str) -> Iterator[v1.Reencryption]:
        """Iterates over the progress of a re-encryption, with at least one message per second, until it has ended. If it waits for its key, the
        iteration ends after one message. A stream that breaks is opened again, once per second: at most 60 times without a message, and at
        most 5 times before the first one.

        Raises:
            SealwardError: With the reasons of WatchReencryption in the contract.
        """
        return follow(self, organization, Watch())

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


class KeyChangeProgress:
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
        # The server has just answered.
        return follow(self._client, self._organization, Watch(is_reachable=True))

    def __repr__(self) -> str:
        return f"<sealward.KeyChangeProgress of {self._organization} to {self.fingerprint}>"


def secrets_of(response: v1.RevealAttributesResponse) -> dict[str, Secret]:
    """The values of an answer, in the type that doesn't print."""
    return {attribute: Secret(value.text if value.HasField("text") else value.data) for attribute, value in response.values.items()}


def follow(client: Client, organization: str, watch: Watch) -> Iterator[v1.Reencryption]:
    """Iterates over the progress of a re-encryption, over streams that break."""
    request = v1.WatchReencryptionRequest(organization=organization)
    while not watch.has_ended:
        try:
            with client.data_encryption.watch_reencryption(request) as stream:
                for progress in stream:
                    watch.received(progress)
                    yield progress
            return
        except SealwardError as error:
            if not watch.may_resume(error):
                raise
        time.sleep(RESUME_PAUSE)
