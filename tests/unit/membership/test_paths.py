"""Znode layout and encodings: golden bytes, because other versions read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from membership import paths
from membership.paths import BadValueError, GridPaths
from membership.port import InstanceInfo, MgmtRegister, MgmtState, SetState
from protocol.ids import InstanceName

STATE = SetState(3, 2, "life", (1, 2), "writer", 7)
STATE_BYTES = (
    b'{"v":1,"term":3,"lead":2,"lead_incarnation":"life","in_sync":[1,2],'
    b'"writer":"writer","counter":7}'
)


def test_a_replica_sets_value_has_these_bytes() -> None:
    assert paths.encode(STATE) == STATE_BYTES
    assert paths.decode(SetState, STATE_BYTES) == STATE


def test_a_field_of_a_later_version_is_skipped() -> None:
    later = STATE_BYTES.replace(b'"v":1', b'"v":1,"shade":"blue"')
    assert paths.decode(SetState, later) == STATE


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'{"v":1}', STATE_BYTES.replace(b":3", b':"x"'), b"\xff",
     STATE_BYTES.replace(b'"v":1', b'"v":2')],
)  # fmt: skip
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadValueError):
        paths.decode(SetState, raw)


@given(
    some.builds(
        SetState,
        some.integers(0, 2**53),
        some.integers(0, 2**31),
        some.text(),
        some.lists(some.integers(1, 99)).map(tuple),
        some.text(),
        some.integers(0, 2**53),
    )
)
def test_every_set_state_survives(state: SetState) -> None:
    assert paths.decode(SetState, paths.encode(state)) == state


def test_instances_and_the_active_one_survive() -> None:
    one = InstanceInfo(InstanceName("h.i"), "data", "life", "127.0.0.11", 6624, "x", 6625, "0.1")
    assert paths.decode(InstanceInfo, paths.encode(one)) == one
    active = MgmtState("h.i", "life", 4)
    assert paths.decode(MgmtState, paths.encode(active)) == active
    register = MgmtRegister(4, "h.i#1", ("h.i#1", "g.i#2"), True, 17)
    assert paths.decode(MgmtRegister, paths.encode(register)) == register
    assert paths.decode(MgmtRegister, b'{"v":1,"term":12}') == MgmtRegister(12)


@given(some.integers(1, 2**53), some.binary())
def test_every_map_survives(version: int, value: bytes) -> None:
    assert paths.decode_map(paths.encode_map(version, value)) == (version, value)


@pytest.mark.parametrize("raw", [b"", b"1 1", b"1 0\nx", b"2 1\nx", b"a b\n", b"1\nx"])
def test_other_bytes_are_no_map(raw: bytes) -> None:
    with pytest.raises(BadValueError):
        paths.decode_map(raw)


def test_all_paths_of_a_grid_lie_below_it_and_parents_come_first() -> None:
    grid = GridPaths("g1")
    assert grid.replica_set("db", 2) == "/tengrid/g1/db/db/rs/2"
    assert grid.instance("h.i") == "/tengrid/g1/instances/h.i"
    seen = {paths.ROOT}
    for path in grid.skeleton():
        assert path.rpartition("/")[0] in seen
        seen.add(path)
