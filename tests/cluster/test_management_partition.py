"""Two management hosts and the network between them: cut for one link only, then for one host.

Real processes in network namespaces. Nobody who was deposed changes anything: neither the model,
nor a database's map or state; and what was acknowledged is there in the end, on both.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.netns import hosts
from deploy.netns.grid import HOME, Grid
from deploy.netns.plan import INTERNAL, Lab, address_of
from protocol.errors import OperationError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(hosts.missing()), reason=f"missing: {', '.join(hosts.missing())}"),
]
WAIT_S = 120
HEALTHY = "Both active and standby management instances are up. No action required."


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """host1 and host2 manage, host3 holds an open database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TENGRID_TEST_RUN", raising=False)  # the fixture ends all processes itself
        found = Grid(Lab(folder=tmp_path_factory.mktemp("pair") / "lab", hosts=(1, 2, 3)))
        try:
            found.build_software()
            found.start_hosts()
            found.start_membership()
            found.create(k=1)
            found.add_standby()
            found.add_data_hosts({3: 1})
            found.apply()
            found.make_database()
            yield found
        finally:
            hosts.stop_all(found.lab)
            hosts.remove(found.lab)


def link(grid: Grid, *, up: bool) -> None:
    """Between the two of them; both reach everybody else."""
    for here, there in (("host1", "host2"), ("host2", "host1")):
        way = ("blackhole", f"{address_of(there, INTERNAL)}/32")
        hosts.run(grid.lab, here, "ip", "route", "del" if up else "add", *way)


def examine(grid: Grid, at: str) -> dict[str, Any]:
    words = [f"{HOME}/bin/ttenv", f"{HOME}/bin/ttGridAdmin", "mgmtExamine", "-o", "json"]
    command = hosts.command(grid.lab, at, words)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def role(grid: Grid, host: str) -> str:
    """As it says itself."""
    rows = examine(grid, host)["instances"]
    return str(next(row["role"] for row in rows if row["host"] == host))


def until(is_true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)  # processes in another namespace: asked, not awaited


def healthy(grid: Grid) -> bool:
    return all(examine(grid, host)["msgs"] == [HEALTHY] for host in ("host1", "host2"))


def test_a_cut_link_between_the_two_promotes_nobody(grid: Grid) -> None:
    until(lambda: healthy(grid), "a pair")
    link(grid, up=False)
    grid.admin("hostModify", "host3", "-comment", "alone", at="host1")  # acknowledged by one
    assert role(grid, "host1") == "Active"
    with pytest.raises(OperationError, match="the membership servers hear of it"):
        grid.admin("mgmtActiveSwitch", at="host2")
    with pytest.raises(OperationError, match="not the active"):
        grid.admin("hostModify", "host3", "-comment", "other", at="host2")
    assert role(grid, "host2") == "Standby"
    link(grid, up=True)
    until(lambda: healthy(grid), "a pair again")
    grid.admin("mgmtActiveSwitch", at="host2")
    assert "alone" in grid.admin("hostList", at="host2")  # it came over
    until(lambda: healthy(grid), "a pair, the other way round")
    grid.admin("mgmtActiveSwitch", at="host1")
    until(lambda: healthy(grid), "as it was")


def test_a_cut_off_active_changes_nothing_and_follows_when_it_is_back(grid: Grid) -> None:
    until(lambda: healthy(grid), "a pair")
    hosts.set_link(grid.lab, "host1", INTERNAL, up=False)
    until(lambda: role(grid, "host2") == "Active", "promotion")
    grid.admin("dbClose", "database1", "-wait", str(WAIT_S), at="host2")
    for words in (
        ("hostModify", "host3", "-comment", "by the deposed"),
        ("dbOpen", "database1"),
        ("dbDistribute", "database1", "-reset"),
    ):
        with pytest.raises(OperationError):
            grid.admin(*words, at="host1")
    hosts.set_link(grid.lab, "host1", INTERNAL, up=True)
    until(lambda: healthy(grid), "a pair again")
    assert role(grid, "host1") == "Standby"
    status = json.loads(grid.admin("dbStatus", "database1", "-o", "json", at="host2"))
    assert "closed" in json.dumps(status)
    assert "by the deposed" not in grid.admin("hostList", at="host2")
    with pytest.raises(OperationError, match="not the active"):
        grid.admin("dbOpen", "database1", at="host1")
    grid.admin("dbOpen", "database1", "-wait", str(WAIT_S), at="host2")
