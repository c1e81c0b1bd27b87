"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any

import grpc.aio

from sealward import _setup, v1
from sealward._client import secrets_of
from sealward._errors import SealwardError
from sealward._keys import RESUME_PAUSE, Watch, change_request
from sealward._retry import RetryPolicy
from sealward._secret import Secret, hidden
from sealward._setup import Pem
from sealward._token import AsyncTokenSource
from sealward.aio._connection import Connection, ServerStream
from sealward.aio._services import Services


def connect(
    endpoint: str,
    *,
    ca: Pem | None = None,
    certificate: Pem | None = None,
    key: Pem | Secret | None = None,
    token: str | Secret | AsyncTokenSource | None = None,
    token_file: str | os.PathLike[str] | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
    timeout: float = _setup.TIMEOUT_DEFAULT,
    retry: RetryPolicy | None = None,
    message_size_max: int = _setup.MESSAGE_SIZE_MAX_DEFAULT,
) -> Client:
    """Creates a client for asyncio. Must be called within the event loop. The arguments are those of `sealward.connect`; `token` can also be a
    coroutine function.

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
    """Creates a client for asyncio by the variables of the command line; see `sealward.connect_from_environment`.

    Raises:
        SetupError: A variable, an argument or a file is invalid.
    """
    variables = _setup.environment_arguments(os.environ if environment is None else environment)
    return connect(**(variables | arguments))


class Client(Services):
    """A client of one server, created by `connect`. For use in the event loop in which it was created.

    An asynchronous context manager: leaving the context closes the connections.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    async def reveal(self, name: str, attributes: Iterable[str], *, purpose: str, timeout: float | None = None) -> dict[str, Secret]:
        """Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records
        the call and its purpose.

        Raises:
            SealwardError: With the reasons of RevealAttributes in the contract. Never repeated: each call adds an audit record.
        """
        request = v1.RevealAttributesRequest(name=name, attributes=attributes, purpose=purpose)
        return secrets_of(await self.secret_access.reveal_attributes(request, timeout=timeout))

    async def change_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> KeyChange:
        """Changes the encryption key of an organization. Store the key before this call: `generate_key` generates one. The server re-encrypts
        all values in the background; iterate over the result to follow it.

        Never repeated. If it isn't known whether the key was set, for example after OUTCOME_UNKNOWN or a timeout, call this method again with
        the same key: a change to the current key changes nothing, and SET_KEY_ALREADY_RUNNING means that the re-encryption still runs.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        response = await self.data_encryption.set_data_encryption_key(change_request(organization, key), timeout=timeout)
        return KeyChange(self, organization, response)

    @property
    def server_version(self) -> str | None:
        """The version that the server sent with its last answer. None before the first answer, and for a server that doesn't send it."""
        return self._connection.server_version

    @property
    def channel(self) -> grpc.aio.Channel:
        """gRPC's channel, for other generated clients. Timeouts, retries, tokens and typed errors of this client don't apply to it."""
        return self._connection.channel

    async def close(self) -> None:
        """Ends all calls and closes the connections."""
        await self._connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<sealward.aio.Client of {self._connection.settings.target}>"


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

    async def __aiter__(self) -> AsyncIterator[v1.Reencryption]:
        watch = Watch()
        while not watch.has_ended:
            try:
                async with self._open() as stream:
                    async for progress in stream:
                        watch.received(progress)
                        yield progress
                return
            except SealwardError as error:
                if not watch.may_resume(error):
                    raise
            await asyncio.sleep(RESUME_PAUSE)

    def _open(self) -> ServerStream[v1.Reencryption]:
        request = v1.WatchReencryptionRequest(organization=self._organization)
        return self._client.data_encryption.watch_reencryption(request)

    def __repr__(self) -> str:
        return f"<sealward.aio.KeyChange of {self._organization} to {self.fingerprint}>"
