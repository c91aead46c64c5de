"""What mgmtExamine recommends."""

from __future__ import annotations

import pytest

from mgmt.ha.advice import SSH, Advice, Seen, advise
from mgmt.ha.role import Role

HERE = Seen("host1.instance1", "/g/host1/instance1", "10.0.0.1", True, Role.ACTIVE, 10, True)
THERE = Seen("host2.instance1", "/g/host2/instance1", "10.0.0.2", False, Role.STANDBY, 10, True)


def short(advice: Advice) -> list[str]:
    """The commands, without the folders of homes."""
    return [c.replace("/instance1/bin/ttenv", "").replace("/g/", "") for c in advice.cmds]


REMOTE = f"{SSH} 10.0.0.2 host2"


@pytest.mark.parametrize(
    ("here", "there", "first", "commands"),
    [
        ({}, {}, "Both active and standby management instances are up. No action required.", []),
        ({}, {"in_sync": False}, "Both active and standby management instances are up.", []),
        (
            {},
            {"role": None},
            "Active management instance is up, but standby is down",
            [f"{REMOTE} ttDaemonAdmin -start -force", f"{REMOTE} ttGridAdmin mgmtStandbyStart"],
        ),
        (
            {},
            {"role": Role.STOPPED},
            "Active management instance is up, but standby is stopped",
            [f"{REMOTE} ttGridAdmin mgmtStandbyStart"],
        ),
        (
            {"role": Role.STANDBY},
            {"role": None},
            "Standby management instance is up, but active is down",
            ["host1 ttGridAdmin mgmtActiveSwitch"],
        ),
        (
            {"role": Role.STANDBY, "in_sync": False},
            {"role": None},
            "Standby management instance is up, but active is down",
            [f"{REMOTE} ttDaemonAdmin -start -force", f"{REMOTE} ttGridAdmin mgmtActiveStart"],
        ),
        (
            {"role": Role.STANDBY, "seq": 9},
            {"role": Role.STANDBY},
            "Both management instances are up, but none is active",
            [f"{REMOTE} ttGridAdmin mgmtActiveStart", "host1 ttGridAdmin mgmtStandbyStart"],
        ),
        (
            {"role": Role.STANDBY, "seq": 9},
            {"role": Role.STANDBY, "in_sync": False},  # a higher Seq may be what was given up
            "Both management instances are up, but none is active",
            ["host1 ttGridAdmin mgmtActiveStart", f"{REMOTE} ttGridAdmin mgmtStandbyStart"],
        ),
        (
            {"role": None},
            {"role": None},
            "Both management instances are down",
            ["host1 ttDaemonAdmin -start -force", f"{REMOTE} ttDaemonAdmin -start -force"],
        ),
        ({"role": Role.STARTING}, {}, "The management instance waits for the membership", []),
    ],
)
def test_what_is_said_and_recommended(
    here: dict[str, object], there: dict[str, object], first: str, commands: list[str]
) -> None:
    advice = advise(HERE._replace(**here), THERE._replace(**there))  # type: ignore[arg-type]
    assert advice.msgs[0].startswith(first)
    assert short(advice) == commands


def test_a_single_instance() -> None:
    assert advise(HERE, None).ok
    assert short(advise(HERE._replace(role=Role.STOPPED), None)) == [
        "host1 ttGridAdmin mgmtActiveStart"
    ]
    assert short(advise(HERE._replace(role=None), None)) == [
        "host1 ttDaemonAdmin -start -force",
        "host1 ttGridAdmin mgmtActiveStart",
    ]
