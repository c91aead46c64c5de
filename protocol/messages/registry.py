"""Which message types this process decodes: only those that some module declared.

A message is a `msgspec.Struct` with `frozen=True, array_like=True, tag="conversation.name"`.
Its module declares it, at import, with `declare(Ping, Pong)`, the decorator `@message` or
`declare_module(__name__)` as its last line;
`RpcNode.handle` declares what it handles.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T", bound=type[msgspec.Struct])
_declared: dict[str, type[msgspec.Struct]] = {}


def declare(*message_types: type[msgspec.Struct]) -> None:
    """Let the internal network carry these types. Twice is harmless; TypeError for a bad type."""
    for message_type in message_types:
        _check(message_type)
        tag = tag_of(message_type)
        holder = _declared.setdefault(tag, message_type)
        if holder is not message_type:
            raise TypeError(f"tag {tag!r} belongs to {holder.__module__}.{holder.__qualname__}")


def message(message_type: _T) -> _T:
    """Declare one type as a class decorator."""
    declare(message_type)
    return message_type


def declare_module(module_name: str) -> None:
    """Declare every positional, frozen, tagged struct a module defines: `declare_module(__name__)`.

    As the last line of the module; structs without a string tag (parts of messages) are passed by.
    """
    for value in list(vars(sys.modules[module_name]).values()):
        if not (isinstance(value, type) and issubclass(value, msgspec.Struct)):
            continue
        config = value.__struct_config__
        if value.__module__ == module_name and config.array_like and isinstance(config.tag, str):
            declare(value)


def tag_of(message_type: type[msgspec.Struct]) -> str:
    """The name of a message on the wire, e.g. `txn.prepare`."""
    return str(message_type.__struct_config__.tag)


def declared() -> tuple[type[msgspec.Struct], ...]:
    """All declared types, by tag."""
    return tuple(_declared[tag] for tag in sorted(_declared))


def declared_count() -> int:
    """Grows with each declaration; tells a codec that it is out of date."""
    return len(_declared)


def _check(message_type: Any) -> None:
    if not (isinstance(message_type, type) and issubclass(message_type, msgspec.Struct)):
        raise TypeError(f"not a message type: {message_type!r}")
    config = message_type.__struct_config__
    if not (config.array_like and config.frozen and isinstance(config.tag, str)):
        raise TypeError(
            f"{message_type.__qualname__} needs frozen=True, array_like=True and a string tag"
        )
