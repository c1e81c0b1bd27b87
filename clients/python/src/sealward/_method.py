"""What is known of a method, and when a call of it is safe to repeat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Generic, TypeVar

from google.protobuf.message import Message

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True)
class Method(Generic[RequestT, ResponseT]):
    """An rpc of the contract."""

    #: The path of its calls: `/sealward.v1.AccessService/WhoAmI`.
    path: str
    #: The class of its requests.
    request: type[RequestT]
    #: The class of its responses.
    response: type[ResponseT]

    @property
    def is_read(self) -> bool:
        """Whether a call changes nothing, and so can be repeated."""
        return self.path in READS

    @property
    def has_request_id(self) -> bool:
        """Whether a request has an idempotency key."""
        return "request_id" in self.request.DESCRIPTOR.fields_by_name


def _read_service_config() -> dict[str, dict[str, object]]:
    """The retry policies by path."""
    text = resources.files("sealward").joinpath("service_config.json").read_text(encoding="utf-8")
    return {
        f"/{name['service']}/{name['method']}": entry["retryPolicy"]
        for entry in json.loads(text)["methodConfig"]
        for name in entry["name"]
        if "retryPolicy" in entry
    }


#: The paths of the methods that change nothing.
READS = _read_service_config().keys()
