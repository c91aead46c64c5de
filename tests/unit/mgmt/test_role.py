"""The role of a management instance."""

from __future__ import annotations

import pytest

from membership.port import MgmtState
from mgmt.ha.role import Role, next_role

MINE = MgmtState("host1.instance1", "now", 3)
BEFORE = MgmtState("host1.instance1", "before", 2)
OTHER = MgmtState("host2.instance1", "other", 4)


@pytest.mark.parametrize(
    ("connected", "stopped", "active", "expected"),
    [
        (True, False, MINE, (Role.ACTIVE, False)),
        (True, False, None, (Role.STARTING, True)),
        (True, False, BEFORE, (Role.STARTING, False)),
        (True, False, OTHER, (Role.STANDBY, False)),
        (False, False, MINE, (Role.STARTING, False)),
        (True, True, None, (Role.STOPPED, False)),
        (False, True, None, (Role.STOPPED, False)),
    ],
)
def test_the_role_follows_from_what_is_known(
    connected: bool, stopped: bool, active: MgmtState | None, expected: tuple[Role, bool]
) -> None:
    found = next_role(
        connected=connected,
        stopped=stopped,
        active=active,
        name="host1.instance1",
        incarnation="now",
    )
    assert found == expected
