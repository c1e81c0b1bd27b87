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
from sealward._keys import RESUME_PAUSE, Watch, key_request
from sealward._retry import RetryPolicy
from sealward._secret import Secret, hidden
from sealward._setup import Pem
from sealward._token import AsyncTokenSource
from sealward.aio._connection import Connection
from sealward.aio._services import Services


def connect(
    endpoint: str,
    *,
    ca: Pem | None = None,
    certificate: Pem | None = None,
    key: Pem | Secret | None = None,
    bearer_token: str | Secret | None = None,
    bearer_token_file: str | os.PathLike[str] | None = None,
    token_source: AsyncTokenSource | None = None,
    domain_name: str | None = None,
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

    async def reveal_attributes(self, name: str, attributes: Iterable[str], *, purpose: str, timeout: float | None = None) -> dict[str, Secret]:
        """Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records
        the call and its purpose.

        Raises:
            SealwardError: With the reasons of RevealAttributes in the contract. Never repeated: each call adds an audit record.
        """
        request = v1.RevealAttributesRequest(name=name, attributes=attributes, purpose=purpose)
        return secrets_of(await self.secret_access.reveal_attributes(request, timeout=timeout))

    async def change_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> KeyChangeProgress:
        """Changes the encryption key of an organization. Store the key before this call: `generate_key_text` generates one. The server re-encrypts
        all values in the background; iterate over the result to follow it.

        Never repeated. If it isn't known whether the key was set, for example after OUTCOME_UNKNOWN or a timeout, call this method again with
        the same key: a change to the current key changes nothing, and SET_KEY_ALREADY_RUNNING means that the re-encryption still runs.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        request = key_request(organization, key, change_encryption_key=True)
        response = await self.data_encryption.set_data_encryption_key(request, timeout=timeout)
        return KeyChangeProgress(self, organization, response)

    async def restore_key(self, organization: str, key: Secret | str, *, timeout: float | None = None) -> v1.SetDataEncryptionKeyResponse:
        """Restores the encryption key of an inactive organization. Never repeated, because attempts count against a limit.

        Raises:
            SealwardError: With the reasons of SetDataEncryptionKey in the contract.
        """
        key = hidden(key, str)
        request = key_request(organization, key, change_encryption_key=False)
        return await self.data_encryption.set_data_encryption_key(request, timeout=timeout)

    def watch_reencryption(self, organization: str) -> AsyncIterator[v1.Reencryption]:
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

    def __aiter__(self) -> AsyncIterator[v1.Reencryption]:
        # The server has just answered.
        return follow(self._client, self._organization, Watch(is_reachable=True))

    def __repr__(self) -> str:
        return f"<sealward.aio.KeyChangeProgress of {self._organization} to {self.fingerprint}>"


async def follow(client: Client, organization: str, watch: Watch) -> AsyncIterator[v1.Reencryption]:
    """Iterates over the progress of a re-encryption, over streams that break."""
    request = v1.WatchReencryptionRequest(organization=organization)
    while not watch.has_ended:
        try:
            async with client.data_encryption.watch_reencryption(request) as stream:
                async for progress in stream:
                    watch.received(progress)
                    yield progress
            return
        except SealwardError as error:
            if not watch.may_resume(error):
                raise
        await asyncio.sleep(RESUME_PAUSE)
