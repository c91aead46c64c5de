"""Envelopes: only declared messages are decoded; one bad message does not spoil its frame."""

from __future__ import annotations

import sys
import types

import msgspec
import pytest

from protocol.errors import GridError, LockTimeoutError, PeerProtocolError
from protocol.messages import registry
from protocol.rpc import envelope
from protocol.rpc.envelope import Codec, Failure, Reply, Request, Tell, Undecodable


@registry.message
class Poke(msgspec.Struct, frozen=True, array_like=True, tag="test.poke"):
    """A message of this test."""

    number: int
    text: str = ""


class Stranger(msgspec.Struct, frozen=True, array_like=True, tag="test.stranger"):
    """Never declared."""

    number: int


def batch(*items: object) -> bytes:
    return msgspec.msgpack.encode(list(items))


def test_round_trip_of_a_batch() -> None:
    failure = Failure(3, LockTimeoutError("waited 10 s", hint="retry").to_wire())
    items = [Request(1, 500, Poke(7, "x")), Reply(2, Poke(8)), failure, Tell(Poke(9))]
    assert Codec().decode_batch(batch(*items)) == items


def test_failure_carries_the_error() -> None:
    error = envelope.failure_of(Failure(3, LockTimeoutError("waited", hint="retry").to_wire()))
    assert isinstance(error, LockTimeoutError)
    assert (error.message, error.hint, error.retriable) == ("waited", "retry", True)


def test_unknown_error_code_becomes_internal() -> None:
    error = envelope.failure_of(Failure(1, ("FROM_THE_FUTURE", "m", "", "", 0)))
    assert (error.code, error.message) == ("INTERNAL", "m")


def test_undeclared_message_spoils_only_itself() -> None:
    body = batch(Request(1, 9, Stranger(1)), Request(2, 9, Poke(2)), Tell(Stranger(3)))
    codec = Codec()
    with pytest.raises(msgspec.MsgspecError):
        codec.decode_batch(body)
    first, second, third = codec.decode_one_by_one(body)
    assert isinstance(first, Undecodable)
    assert (first.kind, first.id) == (0, 1)
    assert "test.stranger" in first.error.message
    assert second == Request(2, 9, Poke(2))
    assert (third.kind, third.id) == (4, 0)


def test_wrong_field_type_spoils_only_itself() -> None:
    [item] = Codec().decode_one_by_one(batch([1, 5, ["test.poke", "not a number"]]))
    assert (item.kind, item.id) == (1, 5)


def test_later_fields_of_a_newer_version_are_ignored() -> None:
    body = batch([0, 5, 100, ["test.poke", 1, "x", "new field"]])
    assert Codec().decode_batch(body) == [Request(5, 100, Poke(1, "x"))]


def test_message_declared_after_the_codec_was_made_is_found() -> None:
    codec = Codec()

    @registry.message
    class Late(msgspec.Struct, frozen=True, array_like=True, tag="test.late"):
        number: int

    body = batch(Tell(Late(1)))
    assert codec.decode_one_by_one(body) == [Tell(Late(1))]
    assert codec.decode_batch(body) == [Tell(Late(1))]


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x00", batch(5), batch([9, 1]), batch([0, "x", 1, ["test.poke", 1]])]
)
def test_what_is_no_envelope_ends_the_connection(body: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        Codec().decode_one_by_one(body)


def test_a_tag_has_one_owner() -> None:
    class Copycat(msgspec.Struct, frozen=True, array_like=True, tag="test.poke"):
        number: int

    with pytest.raises(TypeError, match=r"test\.poke"):
        registry.declare(Copycat)
    registry.declare(Poke)  # again is harmless


def test_only_positional_frozen_tagged_messages_can_be_declared() -> None:
    class Loose(msgspec.Struct, tag="test.loose"):
        number: int

    with pytest.raises(TypeError, match="array_like"):
        registry.declare(Loose)
    with pytest.raises(TypeError):
        registry.declare(int)  # type: ignore[arg-type]


def test_a_module_declares_its_messages_with_one_line() -> None:
    module = types.ModuleType("made_up_messages")
    source = """
import msgspec
class Part(msgspec.Struct, frozen=True, array_like=True):
    number: int
class Whole(msgspec.Struct, frozen=True, array_like=True, tag="test.whole"):
    parts: tuple[Part, ...]
"""
    sys.modules[module.__name__] = module
    try:
        exec(source, module.__dict__)
        registry.declare_module(module.__name__)
        item = Tell(module.Whole((module.Part(1),)))
        assert Codec().decode_batch(batch(item)) == [item]
    finally:
        del sys.modules[module.__name__]
    assert module.Part not in registry.declared()


def test_every_error_code_survives_the_wire() -> None:
    for code, kind in GridError.by_code.items():
        error = GridError.from_wire(kind("m", detail="d", hint="h", position=3).to_wire())
        assert (type(error), error.code, error.position) == (kind, code, 3)
