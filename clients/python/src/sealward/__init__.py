"""The Python client of Sealward, a service for records with encrypted fields.

`connect` creates a blocking client; `sealward.aio.connect` creates one for asyncio. The messages of the contract are in `sealward.v1` (the
platform) and `sealward.mail_v1` (the mail application). They print without the fields that the contract marks as secret.
"""

from sealward import mail_v1, v1
from sealward._call import new_request_id
from sealward._client import Client, KeyChangeProgress, connect, connect_from_environment
from sealward._connection import ServerStream
from sealward._errors import FieldViolation, Origin, SealwardError, SetupError
from sealward._items import item_error
from sealward._keys import generate_key_text
from sealward._retry import RetryPolicy
from sealward._secret import Secret
from sealward._setup import IdentityFileWarning
from sealward._token import AsyncTokenSource, TokenSource
from sealward._version import VERSION as __version__

__all__ = [
    "AsyncTokenSource",
    "Client",
    "FieldViolation",
    "IdentityFileWarning",
    "KeyChangeProgress",
    "Origin",
    "RetryPolicy",
    "SealwardError",
    "Secret",
    "ServerStream",
    "SetupError",
    "TokenSource",
    "__version__",
    "connect",
    "connect_from_environment",
    "generate_key_text",
    "item_error",
    "mail_v1",
    "new_request_id",
    "v1",
]
