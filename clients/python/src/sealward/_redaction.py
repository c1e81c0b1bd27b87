"""Prints messages without secrets.

The fields that the contract marks with `debug_redact` print as `[REDACTED]`, at any depth. protobuf's own printing ignores the mark, and
prints nested messages without asking their classes. So every class of the contract gets both methods that print: `repr`, `str`, `format`,
logging, tracebacks, `pprint` and the printing of containers use one of them.

Serialization isn't printing: `SerializeToString`, `json_format` and `text_format` keep the values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
    from google.protobuf.message import Message

#: What is printed instead of a secret, as by protobuf's runtimes that honour `debug_redact`.
REDACTED = "[REDACTED]"


def protect(file: FileDescriptor) -> None:
    """Replaces the printing of all message classes of a file. Called by each generated module, after it has defined its classes."""
    for message in file.message_types_by_name.values():
        _protect_class(message)


def _protect_class(descriptor: Descriptor) -> None:
    message_class: Any = GetMessageClass(descriptor)
    message_class.__repr__ = to_text
    message_class.__str__ = to_text
    for nested in descriptor.nested_types:
        _protect_class(nested)


def to_text(message: Message) -> str:
    """The fields of a message that are set, one a line, in the syntax of protobuf's text format. Unknown fields are left out."""
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    is_any = message.DESCRIPTOR.full_name == "google.protobuf.Any"
    for field, value in message.ListFields():
        name = f"[{field.full_name}]" if field.is_extension else field.name
        # The bytes of an Any can be any message, so no mark says whether they are secret.
        if is_redacted(field) or (is_any and field.name == "value"):
            yield f"{indent}{name}: {REDACTED}"
        elif (entry := _map_entry(field)) is not None:
            for key in sorted(value):
                yield f"{indent}{name} {{"
                yield from _field_lines(entry.fields_by_name["key"], "key", key, indent + "  ")
                yield from _field_lines(entry.fields_by_name["value"], "value", value[key], indent + "  ")
                yield f"{indent}}}"
        elif _is_repeated(field):
            for element in value:
                yield from _field_lines(field, name, element, indent)
        else:
            yield from _field_lines(field, name, value, indent)


def _field_lines(field: FieldDescriptor, name: str, value: Any, indent: str) -> Iterator[str]:
    if field.message_type is not None:
        yield f"{indent}{name} {{"
        yield from _lines(value, indent + "  ")
        yield f"{indent}}}"
    elif field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        yield f"{indent}{name}: {known.name if known else value}"
    elif isinstance(value, bool):
        yield f"{indent}{name}: {'true' if value else 'false'}"
    elif isinstance(value, str):
        yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}"
    else:
        yield f"{indent}{name}: {value!r}"


def is_redacted(field: FieldDescriptor) -> bool:
    """Whether the contract marks the field as secret."""
    known = _redacted.get(field.full_name)
    if known is None:
        known = _redacted[field.full_name] = bool(field.GetOptions().debug_redact)
    return known


#: The marks by full name of the field, because reading options is slow.
_redacted: dict[str, bool] = {}


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    """The type of the entries of a map."""
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def _is_repeated(field: Any) -> bool:
    # protobuf 7 deprecates `label`, and protobuf 5 doesn't have `is_repeated`.
    is_repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if is_repeated is None else is_repeated)
