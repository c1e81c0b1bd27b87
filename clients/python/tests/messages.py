"""Messages of every type of the contract, with a text in every field that the contract marks as secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sealward import mail_v1, v1
from sealward._redaction import is_redacted

#: How deep messages are nested: the deepest secret of the contract is in a value of a map in a response.
DEPTH_MAX = 5


def message_types() -> Iterator[type[Message]]:
    """Every message class of the contract, nested ones included."""
    for module in (v1, mail_v1):
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, Message):
                yield from with_nested(value.DESCRIPTOR)


def with_nested(descriptor: Descriptor) -> Iterator[type[Message]]:
    yield GetMessageClass(descriptor)
    for nested in descriptor.nested_types:
        yield from with_nested(nested)


def filled(message_type: type[Message], secret: str, choice: int = 0, depth: int = 0) -> Message:
    """A message with all fields. `choice` selects the field of each oneof."""
    message = message_type()
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[choice % len(oneof.fields)].number != field.number:
            continue
        if field.message_type is not None and depth == DEPTH_MAX:
            continue
        fill(message, field, secret, choice, depth)
    return message


def fill(message: Any, field: FieldDescriptor, secret: str, choice: int, depth: int) -> None:
    entry = field.message_type
    value = getattr(message, field.name)
    if entry is not None and entry.GetOptions().map_entry:
        element = entry.fields_by_name["value"]
        key: Any = "password" if entry.fields_by_name["key"].type == FieldDescriptor.TYPE_STRING else 1
        if element.message_type is None:
            value[key] = scalar(element, secret)
        else:
            value[key].CopyFrom(filled(GetMessageClass(element.message_type), secret, choice, depth + 1))
    elif is_repeated(field):
        for _ in range(2):
            if entry is None:
                value.append(scalar(field, secret))
            else:
                value.add().CopyFrom(filled(GetMessageClass(entry), secret, choice, depth + 1))
    elif entry is None:
        setattr(message, field.name, scalar(field, secret))
    else:
        value.CopyFrom(filled(GetMessageClass(entry), secret, choice, depth + 1))
        value.SetInParent()


def scalar(field: FieldDescriptor, secret: str) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.containing_type.full_name == "google.protobuf.Any":
        # Printers unpack the message that it names, so it names none.
        return b"" if field.type == FieldDescriptor.TYPE_BYTES else ""
    text = secret if is_redacted(field) else "harmless"
    if field.type == FieldDescriptor.TYPE_STRING:
        return text
    if field.type == FieldDescriptor.TYPE_BYTES:
        return text.encode()
    return True if field.type == FieldDescriptor.TYPE_BOOL else 1


def is_repeated(field: Any) -> bool:
    known = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if known is None else known)


def marked_fields() -> set[str]:
    """The full names of the fields that the contract marks as secret."""
    return {field.full_name for kind in message_types() for field in kind.DESCRIPTOR.fields if is_redacted(field)}
