"""Frames: any cutting of the stream gives the same bodies; lengths are bounded."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PeerProtocolError
from protocol.rpc.frame import FrameReader, batch_header, frame


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 300), max_size=20))
def test_any_cutting_gives_the_same_bodies(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, bodies))
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reader = FrameReader()
    got: list[bytes] = []
    for start, stop in pairwise(edges):
        got += [bytes(view) for view in reader.receive(stream[start:stop])]
    assert got == bodies
    assert reader.rest() == b""


def test_too_long_frame_is_refused_before_it_is_collected() -> None:
    reader = FrameReader(bytes_max=100)
    with pytest.raises(PeerProtocolError, match="101 bytes, limit 100"):
        reader.receive((101).to_bytes(4, "big"))


def test_garbage_reads_as_an_impossible_length() -> None:
    with pytest.raises(PeerProtocolError):
        FrameReader().receive(b"GET / HTTP/1.1\r\n\r\n")


def test_rest_hands_over_the_incomplete_frame() -> None:
    reader = FrameReader()
    whole = frame(b"abc")
    assert [bytes(b) for b in reader.receive(whole + whole[:5])] == [b"abc"]
    assert reader.rest() == whole[:5]
    assert reader.rest() == b""


def test_batch_header_makes_an_array_of_the_items() -> None:
    items = [msgspec.msgpack.encode(item) for item in (1, "two", [3])]
    bodies = FrameReader().receive(batch_header(sum(map(len, items)), 3) + b"".join(items))
    assert [msgspec.msgpack.decode(body) for body in bodies] == [[1, "two", [3]]]
