"""What the lead's writer asks of others, and small things it answers and encodes with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from data.storage.entry import LogEntry
from data.txn.locks import Mode, Resource
from protocol.errors import GridError, WorkspaceLostError
from protocol.ids import TxnId

_ENCODER = msgspec.msgpack.Encoder()
_LOCKS = msgspec.msgpack.Decoder(list[tuple[Any, int]])


class Reply(Protocol):
    """Where an answer goes: an RPC request or a local caller."""

    def reply(self, message: Any) -> None: ...
    def fail(self, error: GridError) -> None: ...


class Replicator(Protocol):
    """The part of replication that the writer needs (data/replication/member.py)."""

    @property
    def term(self) -> int: ...
    def lead_ok(self) -> bool: ...
    def replicate(
        self,
        entries: list[LogEntry],
        on_done: Callable[[GridError | None], None],
        effect_bytes: int = 0,
        ahead: bool = False,
    ) -> None: ...
    def applied(self) -> None: ...
    def end_term(self) -> None: ...


class Nobody:
    """A reply that nobody waits for."""

    def reply(self, message: Any) -> None:
        """Ignored."""

    def fail(self, error: GridError) -> None:
        """Ignored."""


NOBODY = Nobody()


class Following:
    """The reply of a first step: the second follows, or the caller hears why not."""

    def __init__(self, then: Callable[[], None], reply: Reply) -> None:
        self._then = then
        self._reply = reply

    def reply(self, message: Any) -> None:
        """The first step is done."""
        self._then()

    def fail(self, error: GridError) -> None:
        """It is not."""
        self._reply.fail(error)


def workspace_lost(txn: TxnId) -> WorkspaceLostError:
    """The error for a transaction whose workspace is gone."""
    return WorkspaceLostError(
        "the transaction's changes are gone with the lead of their replica set",
        detail=f"Transaction {'.'.join(map(str, txn))}.",
        hint="Roll back and run the transaction again.",
    )


def encode_locks(held: list[tuple[Resource, Mode]]) -> bytes:
    """For a PREPARE."""
    return _ENCODER.encode([(resource, int(mode)) for resource, mode in held])


def decode_locks(data: bytes) -> list[tuple[Resource, Mode]]:
    """The locks of a PREPARE."""
    if not data:
        return []
    return [(_hashable(resource), Mode(mode)) for resource, mode in _LOCKS.decode(data)]


def _hashable(value: Any) -> Any:
    return tuple(_hashable(v) for v in value) if isinstance(value, list) else value
