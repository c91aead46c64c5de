"""The role of a management instance, and who may become active."""

from __future__ import annotations

from typing import Any

import pytest

from membership.port import MgmtRegister, MgmtState
from mgmt.ha import role as rules
from mgmt.ha.role import Facts, Role, next_role

MINE = MgmtState("host1.instance1", "now", 3)
BEFORE = MgmtState("host1.instance1", "before", 2)
OTHER = MgmtState("host2.instance1", "other", 4)
HERE, THERE = "host1.instance1#a", "host2.instance1#b"
PAIR = MgmtRegister(3, HERE, (HERE, THERE))
ALONE = MgmtRegister(3, THERE, (THERE,), alone_seq=9)  # the other one went on without us
STOPPED = MgmtRegister(3, HERE, (HERE, THERE), stopped=True)

KNOWN = Facts(
    name="host1.instance1",
    incarnation="now",
    copy=HERE,
    connected=True,
    lease=True,
    has_grid=True,
    standby_stopped=False,
    automatic=True,
    active=None,
    register=PAIR,
)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"active": MINE}, (Role.ACTIVE, False)),
        ({"active": MINE, "lease": False}, (Role.STARTING, False)),
        ({"active": MINE, "connected": False}, (Role.ACTIVE, False)),  # the lease decides
        ({}, (Role.STARTING, True)),
        ({"register": MgmtRegister()}, (Role.STARTING, True)),  # of an earlier release
        ({"active": BEFORE}, (Role.STARTING, False)),
        ({"active": OTHER}, (Role.STANDBY, False)),
        ({"connected": False}, (Role.STARTING, False)),
        ({"register": ALONE}, (Role.STANDBY, False)),  # never silently over a newer one
        ({"register": STOPPED}, (Role.STOPPED, False)),
        ({"register": STOPPED, "copy": THERE}, (Role.STANDBY, False)),
        ({"standby_stopped": True}, (Role.STOPPED, False)),
        ({"standby_stopped": True, "active": OTHER}, (Role.STOPPED, False)),
        ({"has_grid": False}, (Role.STANDBY, False)),  # a new standby without a first copy
        ({"automatic": False}, (Role.STARTING, True)),  # it was the active before
        ({"automatic": False, "copy": THERE}, (Role.STANDBY, False)),
    ],
)
def test_the_role_follows_from_what_is_known(
    known: dict[str, Any], expected: tuple[Role, bool]
) -> None:
    assert next_role(KNOWN._replace(**known)) == expected


def test_by_itself_only_an_instance_in_sync_and_only_if_nobody_is_active() -> None:
    claim = rules.claim_by_itself(HERE)
    assert claim(None, PAIR) == MgmtRegister(3, HERE, (HERE, THERE))
    assert claim(None, MgmtRegister()) == MgmtRegister(0, HERE, (HERE,))
    assert claim(OTHER, PAIR) is None
    assert claim(None, ALONE) is None
    assert claim(None, STOPPED) is None


def test_a_command_lifts_the_mark_but_does_not_lose_changes() -> None:
    claim = rules.claim_by_command(THERE)
    assert claim(None, STOPPED) == MgmtRegister(3, THERE, (HERE, THERE))
    assert rules.claim_by_command(HERE)(None, ALONE) is None
    assert claim(MINE, PAIR) is None


def test_force_asks_nobody() -> None:
    for active in (None, OTHER):
        forced = rules.claim_by_force(HERE, 5)(active, ALONE)
        assert forced == MgmtRegister(3, HERE, (HERE,), alone_seq=5)


def test_going_alone_keeps_where_it_began() -> None:
    assert rules.only(HERE, 7)(PAIR) == MgmtRegister(3, HERE, (HERE,), alone_seq=7)
    already = MgmtRegister(3, HERE, (HERE,), alone_seq=7)
    assert rules.only(HERE, 9)(already) == already
    assert rules.both((HERE, THERE))(already).in_sync == (HERE, THERE)
