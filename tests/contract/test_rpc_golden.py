"""Bytes of the internal wire, version 1. A change here needs a new wire version."""

from __future__ import annotations

import msgspec
import pytest

from protocol.errors import Names
from protocol.messages import registry
from protocol.rpc import envelope, handshake
from protocol.rpc.frame import batch_header, frame


@registry.message
class Golden(msgspec.Struct, frozen=True, array_like=True, tag="test.golden"):
    """A message of this test."""

    number: int
    data: bytes


GOLDEN = [
    (
        envelope.Request(7, 1500, Golden(1, b"\xff")),
        "95 00 07 cd05dc 93 ab746573742e676f6c64656e 01 c401ff a0",
    ),
    (
        envelope.Request(7, 1500, Golden(1, b"\xff"), "3.1.9"),
        "95 00 07 cd05dc 93 ab746573742e676f6c64656e 01 c401ff a5332e312e39",
    ),
    (envelope.Reply(7, Golden(1, b"")), "93 01 07 93 ab746573742e676f6c64656e 01 c400"),
    (
        envelope.Failure(8, ("LOCK_TIMEOUT", "m", "", "h", 2)),
        "94 02 08 95 ac4c4f434b5f54494d454f5554 a16d a0 a168 02 c0",
    ),
    (
        envelope.Failure(8, ("UNIQUE", "m", "", "", 0), Names("s", "t", "", "n")),
        "94 02 08 95 a6554e49515545 a16d a0 a0 00 94 a173 a174 a0 a16e",
    ),
    (envelope.Cancel(9), "92 03 09"),
    (envelope.Tell(Golden(1, b"")), "92 04 93 ab746573742e676f6c64656e 01 c400"),
    (
        handshake.Hello("TENGRID", "g", "a", "data", "i", "b", 1, 2, b"n"),
        "9a a568656c6c6f a754454e47524944 a167 a161 a464617461 a169 a162 01 02 c4016e",
    ),
    (handshake.Challenge(b"c", b"p"), "93 a96368616c6c656e6765 c40163 c40170"),
    (handshake.ChallengeCore("b", "data", "i", 1, b"n"), "95 a162 a464617461 a169 01 c4016e"),
    (handshake.Proof(b"p"), "92 a570726f6f66 c40170"),
    (handshake.Welcome(), "91 a777656c636f6d65"),
    (handshake.Refused(("X", "m", "", "", 0)), "92 a772656675736564 95 a158 a16d a0 a0 00"),
]


@pytest.mark.parametrize(("message", "golden"), GOLDEN, ids=lambda v: type(v).__name__)
def test_bytes_on_the_wire_do_not_change(message: object, golden: str) -> None:
    assert msgspec.msgpack.encode(message) == bytes.fromhex(golden)


def test_a_request_of_a_release_without_trace_ids_is_understood() -> None:
    body = bytes.fromhex("91 94 00 07 cd05dc 93 ab746573742e676f6c64656e 01 c401ff")
    assert envelope.Codec().decode_batch(body) == [envelope.Request(7, 1500, Golden(1, b"\xff"))]


def test_a_failure_of_a_release_without_names_is_understood() -> None:
    body = bytes.fromhex("91 93 02 08 95 a6554e49515545 a16d a0 a0 00")
    (failure,) = envelope.Codec().decode_batch(body)
    assert envelope.failure_of(failure).names is None


def test_frame_headers_do_not_change() -> None:
    assert frame(b"abc") == bytes.fromhex("00000003 616263")
    assert batch_header(10, 2) == bytes.fromhex("0000000f dd 00000002")
