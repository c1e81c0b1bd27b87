"""The client for asyncio. Its errors, policies and secrets are those of `sealward`."""

from sealward.aio._client import Client, KeyChangeProgress, connect, connect_from_environment
from sealward.aio._connection import ServerStream

__all__ = ["Client", "KeyChangeProgress", "ServerStream", "connect", "connect_from_environment"]
