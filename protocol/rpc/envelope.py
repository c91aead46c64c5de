"""Request, reply, failure, cancel and tell around a message; their codec. No I/O.

Positional msgpack: `[kind, id, …, [tag, field, …]]`. One frame holds an array of envelopes,
decoded in one go. Only declared message types are decoded (protocol/messages/registry.py).
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, Union

import msgspec

from protocol.errors import GridError, Names, PeerProtocolError
from protocol.messages import registry

M = TypeVar("M")
ErrorWire = tuple[str, str, str, str, int]  # GridError.to_wire


class Request(msgspec.Struct, Generic[M], frozen=True, array_like=True, tag=0, gc=False):
    """Please do this and answer within `timeout_ms` (time left when sent, never an instant)."""

    id: int
    timeout_ms: int
    message: M
    trace: str = ""  # of protocol/trace_id.py; older releases neither send nor mind it


class Reply(msgspec.Struct, Generic[M], frozen=True, array_like=True, tag=1, gc=False):
    """The answer to request `id`."""

    id: int
    message: M


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Request `id` ended with this error."""

    id: int
    error: ErrorWire
    names: Names | None = None  # older releases neither send nor mind it


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Nobody waits for request `id` any more: stop when you can. It is still answered."""

    id: int


class Tell(msgspec.Struct, Generic[M], frozen=True, array_like=True, tag=4, gc=False):
    """A message without an answer."""

    message: M


class Keep(msgspec.Struct, frozen=True, array_like=True, tag="rpc.keep"):
    """Declared always, so that the union of message types is never empty; it is never sent."""


class Spare(msgspec.Struct, frozen=True, array_like=True, tag="rpc.spare"):
    """As Keep: a union needs two members to carry tags."""


registry.declare(Keep, Spare)
encode = msgspec.msgpack.Encoder().encode


class Undecodable(msgspec.Struct, frozen=True):
    """An envelope that could be understood but for its message."""

    kind: int  # tag of Request, Reply or Tell
    id: int
    error: PeerProtocolError


_REQUEST_TAG, _REPLY_TAG, _TELL_TAG = 0, 1, 4
_raw_list = msgspec.msgpack.Decoder(list[msgspec.Raw])
_anything = msgspec.msgpack.Decoder()


class Codec:
    """Decodes envelopes with the message types declared so far; picks later ones up by itself."""

    def __init__(self) -> None:
        self._known = 0
        self._refresh()

    def _refresh(self) -> None:
        self._known = registry.declared_count()
        # Built at run time from what is declared, so the checker cannot see through it.
        messages: Any = Union[registry.declared()]  # noqa: UP007
        item: Any = Union[Request[messages], Reply[messages], Failure, Cancel, Tell[messages]]  # noqa: UP007
        self._item_decoder = msgspec.msgpack.Decoder(item)
        self.decode_batch = msgspec.msgpack.Decoder(list[item]).decode

    def decode_one_by_one(self, body: bytes | memoryview) -> list[Any]:
        """The slow way for a batch that `decode_batch` refused: bad messages become Undecodable.

        Raises PeerProtocolError when not even the envelopes can be read.
        """
        if self._known != registry.declared_count():
            self._refresh()
        try:
            return [self._decode_item(raw) for raw in _raw_list.decode(body)]
        except msgspec.MsgspecError as error:
            raise PeerProtocolError(f"undecodable frame: {error}") from error

    def _decode_item(self, raw: msgspec.Raw) -> Any:
        try:
            return self._item_decoder.decode(raw)
        except msgspec.ValidationError as error:
            plain = _anything.decode(raw)
            match plain:
                case [0 as kind, int(request_id), _, [str(tag), *_], *_] | [
                    1 as kind,
                    int(request_id),
                    [str(tag), *_],
                ]:
                    reason = PeerProtocolError(f"message {tag[:80]!r} not understood: {error}")
                    return Undecodable(kind, request_id, reason)
                case [4, [str(tag), *_]]:
                    reason = PeerProtocolError(f"message {tag[:80]!r} not understood: {error}")
                    return Undecodable(_TELL_TAG, 0, reason)
            raise PeerProtocolError(f"undecodable envelope: {error}") from error


def failure_of(error: Failure) -> GridError:
    """The error that a Failure carries."""
    return GridError.from_wire(error.error).about(error.names)


def failure(request_id: int, error: GridError) -> Failure:
    """The Failure that carries an error."""
    return Failure(request_id, error.to_wire(), error.names)
