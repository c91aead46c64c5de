"""Active and standby management: T03, T08, T29 to T34 with real commands, daemons and ZooKeeper.

In the order an administrator meets them. Differences on purpose: promotion by itself is the
default, an old active that comes back follows by itself, and both follow without a command after
both were down.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from membership.zookeeper import ZooKeeperMembership
from mgmt.cli import daemon_control
from protocol import instance_file
from protocol.errors import AuthenticationError
from protocol.logins import Login, Logins
from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess

pytestmark = pytest.mark.timeout(300)

HEALTHY = "Both active and standby management instances are up. No action required."
POLL_S = 0.1


class Pair:
    """A grid with two management instances."""

    def __init__(self, grid: CommandGrid) -> None:
        self.grid = grid
        self.homes = [grid.folder / f"host{n}" / "instance1" for n in (1, 2)]

    def examine(self, at: int) -> dict[str, Any]:
        """mgmtExamine -o json on that host."""
        answer = self.grid.run("ttGridAdmin", "mgmtExamine", "-o", "json", home=self.homes[at])
        reply: dict[str, Any] = json.loads(answer.output)
        return reply

    def roles(self, at: int = 0) -> list[tuple[str, str, str]]:
        """Of both, as that one sees them: host, role, message."""
        rows = self.examine(at)["instances"]
        return [(row["host"], row["role"], row["message"]) for row in rows]

    def until(self, is_true: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        """Until it is so."""
        deadline_s = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < deadline_s, f"{what}: {self.examine(0)} {self.examine(1)}"
            time.sleep(POLL_S)  # other processes cannot be awaited, only asked

    def until_healthy(self, at: int = 0) -> None:
        """Until mgmtExamine has nothing to say."""
        self.until(lambda: self.examine(at)["msgs"] == [HEALTHY], "healthy")

    def signal(self, at: int, number: signal.Signals, *, supervisor: bool = True) -> None:
        """To the daemon, its supervisor first."""
        files = [daemon_control.SUPERVISOR_PID_FILE] if supervisor else []
        for file in (*files, daemon_control.PID_FILE):
            pid = daemon_control.read_pid(self.homes[at], file)
            if pid:
                os.kill(pid, number)

    def repair(self, at: int) -> list[str]:
        """T34: run what is recommended and examine again, until nothing is recommended."""
        ran: list[str] = []
        for _ in range(6):
            reply = self.examine(at)
            if not reply["cmds"] and reply["msgs"] == [HEALTHY]:
                return ran
            for command in reply["cmds"]:
                answer = self.grid.shell(command)
                assert answer.code == 0, f"{command}: {answer.errors}{answer.output}"
                ran.append(command.rpartition("/bin/ttenv ")[2])
            time.sleep(POLL_S)  # other processes cannot be awaited, only asked
        raise AssertionError(f"not repaired by {ran}: {self.examine(at)}")

    def seqs(self, at: int = 0) -> list[int]:
        """Of both."""
        return [row["seq"] for row in self.examine(at)["instances"]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    zookeeper = ZooKeeperProcess(folder / "zookeeper")
    zookeeper.start()
    try:
        asyncio.run(zookeeper.ready())
        grid = CommandGrid(folder, zookeeper.hosts)
        try:
            yield Pair(grid)
        finally:
            grid.stop_all()
        assert grid.running() == []
    finally:
        zookeeper.kill()


def test_t03_t08_a_standby_by_copying_the_host(pair: Pair) -> None:
    grid = pair.grid
    assert grid.create_instance().code == 0
    grid.create_grid(2)
    addresses = ("-internalAddress", "127.0.0.12", "-externalAddress", "127.0.1.12")
    assert grid.admin("hostCreate", *addresses, "-like", "host1", "-cascade") == [
        "Host host2 created in Model",
        "Installation installation1 created in Model",
        "Instance instance1 created in Model",
    ]
    titles = [line.partition("...")[0] for line in grid.admin("modelApply")]
    assert titles[-4:] == [
        "Starting new management instance",
        "Configuring standby management instance",
        "Starting new data instances",
        "ttGridAdmin modelApply complete",
    ]
    third = grid.refused("hostCreate", "host3", "-address", "127.0.0.13", "-like", "host1",
                         "-cascade")  # fmt: skip
    assert "cannot add a third" in third


def test_t29_healthy_pair(pair: Pair) -> None:
    lines = pair.grid.admin("mgmtExamine")
    assert lines[:2] == [HEALTHY, ""]
    assert lines[2].split() == [
        *("Host", "Instance", "Reachable", "RepRole(Self)", "Role(Self)"),
        *("Seq", "RepAgent", "RepActive"),
    ]
    seq = lines[4].split()[5]
    assert lines[4].split() == ["host1", "instance1", "Yes", "Active", "Active", seq, "Up", "Yes"]
    assert lines[5].split() == ["host2", "instance1", "Yes", "Standby", "Standby", seq, "Up", "No"]
    assert pair.grid.admin("mgmtStatus")[0].split()[-1] == "Message"
    assert pair.grid.admin("mgmtExamine", home=pair.homes[1]) == lines  # seen from the standby


def test_the_standby_says_where_the_active_is(pair: Pair) -> None:
    refusal = pair.grid.refused("hostModify", "host1", "-comment", "x", home=pair.homes[1])
    assert "not the active one" in refusal
    assert "host1.instance1 at 127.0.0.11" in refusal
    assert "active management instance" in pair.grid.refused("mgmtStandbyStop")


def test_a_running_operation_goes_on_under_the_next_active(pair: Pair) -> None:
    grid, second = pair.grid, pair.homes[1]
    grid.add_first_data_host()
    new = grid.folder / "host3" / "instance1"
    with subprocess.Popen(
        [str(pair.homes[0] / "bin" / "ttGridAdmin"), "modelApply"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as applying:
        pair.until(lambda: (new / "conf").exists(), "the new instance is being made")
        pair.signal(0, signal.SIGKILL)
        assert applying.wait(60) != 0  # its management instance is gone

    def operation() -> str:
        answer = grid.run("ttGridAdmin", "operationList", "-o", "json", home=second)
        if answer.code:
            return "nobody is active yet"
        return str(json.loads(answer.output)["operations"][-1]["state"])

    pair.until(lambda: operation() == "done", "the operation goes on", 60)
    assert daemon_control.read_pid(new, daemon_control.PID_FILE)
    assert "host3" in "".join(grid.admin("instanceList", "-current", home=second))
    assert grid.admin("mgmtStandbyStart") == ["Standby management instance started"]
    assert grid.admin("mgmtActiveSwitch") == ["This is now the active management instance"]
    pair.until_healthy()


def test_t30_promotion_by_command(pair: Pair) -> None:
    grid, standby = pair.grid, pair.homes[1]
    grid.admin("gridModify", "-mgmtFailover", "manual")
    grid.admin("hostModify", "host1", "-comment", "before")
    pair.signal(0, signal.SIGKILL)
    down = "Standby management instance is up, but active is down"
    pair.until(lambda: pair.examine(1)["msgs"] == [down, "Promote the standby to active"], "down")
    lines = grid.run("ttGridAdmin", "mgmtExamine", home=standby).lines
    assert lines[:2] == [down, "Promote the standby to active"]
    assert lines[5].split() == [
        *("host1", "instance1", "No", "Unknown", "Unknown", "Down", "No"),
        *("Management", "database", "is", "not", "available"),
    ]
    assert lines[-2:] == [
        "Recommended commands:",
        f"{standby}/bin/ttenv ttGridAdmin mgmtActiveSwitch",
    ]
    answer = grid.shell(lines[-1])
    assert answer.lines == ["This is now the active management instance"], answer.errors
    assert "before" in "".join(grid.admin("hostList", home=standby))


def test_t31_the_old_active_comes_back_as_the_standby(pair: Pair) -> None:
    grid = pair.grid
    grid.admin("hostModify", "host1", "-comment", "alone", home=pair.homes[1])
    reply = pair.examine(0)  # its daemon is down: the other one is asked
    assert reply["msgs"] == ["Active management instance is up, but standby is down",
                             "Start the standby"]  # fmt: skip
    assert grid.admin("mgmtStandbyStart") == ["Standby management instance started"]
    pair.until_healthy()
    assert [role for _, role, _ in pair.roles()] == ["Standby", "Active"]
    first, second = pair.seqs()
    assert first == second


def test_t32_planned_switch_and_stops(pair: Pair) -> None:
    grid, second = pair.grid, pair.homes[1]
    grid.admin("gridModify", "-mgmtFailover", "automatic", home=second)
    assert grid.admin("mgmtActiveSwitch") == ["This is now the active management instance"]
    pair.until_healthy()
    assert [role for _, role, _ in pair.roles()] == ["Active", "Standby"]
    assert "is the active" in grid.refused("mgmtActiveStart", home=second)
    assert grid.admin("mgmtStandbyStop", home=second) == ["Standby management instance stopped"]
    grid.admin("hostModify", "host1", "-comment", "without the standby")
    assert pair.repair(0) == ["ttGridAdmin mgmtStandbyStart"]
    assert grid.admin("mgmtActiveStop") == ["Active management instance stopped"]
    assert pair.roles(1)[1][1] == "Standby"  # an orderly stop promotes nobody
    assert grid.admin("mgmtActiveStart") == ["This management instance is now the active"]
    pair.until_healthy()


def test_a_killed_active_is_followed_by_the_standby_at_once(pair: Pair) -> None:
    grid = pair.grid
    grid.admin("hostModify", "host1", "-comment", "acknowledged")
    pair.signal(0, signal.SIGKILL, supervisor=False)  # the supervisor starts it again
    pair.until(lambda: pair.roles(1)[1][1] == "Active", "promotion")
    pair.until_healthy(1)
    assert [role for _, role, _ in pair.roles(1)] == ["Standby", "Active"]
    assert "acknowledged" in "".join(grid.admin("hostList", home=pair.homes[1]))


def test_a_paused_active_wakes_up_as_the_standby(pair: Pair) -> None:
    grid, paused = pair.grid, pair.homes[1]
    pair.signal(1, signal.SIGSTOP, supervisor=False)
    pair.until(lambda: pair.roles(0)[0][1] == "Active", "promotion")
    grid.admin("hostModify", "host1", "-comment", "newer")
    pair.signal(1, signal.SIGCONT, supervisor=False)
    refusal = grid.refused("hostModify", "host1", "-comment", "older", home=paused)
    assert "not active" in refusal or "not the active" in refusal or "no session" in refusal
    pair.until_healthy(1)
    assert [role for _, role, _ in pair.roles(1)] == ["Active", "Standby"]
    assert "newer" in "".join(grid.admin("hostList"))


def test_another_login_of_the_membership_servers_begun_by_one_active_and_ended_by_the_next(
    pair: Pair,
) -> None:
    """gridModify -membershipUser: no session ends, and what stopped in the middle goes on."""
    grid, data = pair.grid, pair.grid.folder / "host3" / "instance1"
    before = asyncio.run(_registered(pair.homes[0]))
    former = instance_file.load(data).membership_logins()().current
    modify = "gridModify -membershipUser boss"
    obstacle = data / "conf" / "membership.login.new"  # what a file becomes, before it is one
    obstacle.mkdir()
    answer = grid.shell(f"echo s3cret | {pair.homes[0]}/bin/ttenv ttGridAdmin {modify}")
    assert answer.code == 1
    assert "host3.instance1: cannot write" in answer.errors
    obstacle.rmdir()
    assert grid.admin("mgmtActiveSwitch", home=pair.homes[1])
    pair.until_healthy(1)
    other = grid.shell(f"echo other | {pair.homes[1]}/bin/ttenv ttGridAdmin {modify}")
    assert "has not ended yet" in other.errors
    answer = grid.shell(f"echo s3cret | {pair.homes[1]}/bin/ttenv ttGridAdmin {modify}")
    assert answer.code == 0, answer.errors
    assert answer.lines[-1] == "The membership servers know this grid as user boss now"
    now = instance_file.load(data).membership_logins()()
    assert now == Logins(Login("boss", "s3cret"))
    assert asyncio.run(_registered(pair.homes[0])) == before  # nobody was restarted
    with pytest.raises(AuthenticationError):
        asyncio.run(_registered(pair.homes[0], former))
    assert "s3cret" not in "".join(f.read_text() for f in grid.folder.glob("host*/*/diag/*.log"))
    assert grid.admin("mgmtActiveSwitch") == ["This is now the active management instance"]
    pair.until_healthy()


async def _registered(home: Path, login: Login | None = None) -> dict[str, str]:
    """Who is registered in the membership servers, and in which life."""
    settings = instance_file.load(home)
    files = settings.membership_logins()
    session = ZooKeeperMembership(
        ",".join(settings.membership.servers),
        settings.grid,
        files if login is None else login.password,
        None,
        user="" if login is None else login.user,
    )
    await session.start()
    try:
        return {name: info.incarnation for name, info in session.view().instances.items()}
    finally:
        await session.stop()


def test_t33_t34_both_down_and_scripted_repair(pair: Pair) -> None:
    pair.signal(1, signal.SIGKILL)
    pair.grid.admin("hostModify", "host1", "-comment", "only here")
    pair.signal(0, signal.SIGKILL)
    reply = pair.examine(1)
    assert reply["msgs"][0] == "Both management instances are down"
    assert len(reply["cmds"]) == 2
    # the one that lacks a change never takes over by itself, nor by a plain command
    answer = pair.grid.shell(f"{pair.homes[1]}/bin/ttenv ttDaemonAdmin -start")
    assert answer.code == 0, answer.errors
    pair.until(lambda: pair.roles(1)[1] == ("host2", "Standby", "Not in sync"), "standby", 40)
    for command in ("mgmtActiveSwitch", "mgmtActiveStart"):
        refusal = pair.grid.refused(command, home=pair.homes[1])
        assert "lacks changes that host1.instance1 made alone" in refusal
    assert pair.repair(1) == ["ttDaemonAdmin -start -force", "ttGridAdmin mgmtActiveStart"]
    assert [role for _, role, _ in pair.roles(1)] == ["Active", "Standby"]
    assert "only here" in "".join(pair.grid.admin("hostList"))
    for at in (0, 1):
        pair.signal(at, signal.SIGKILL)
    assert pair.repair(0)[:2] == ["ttDaemonAdmin -start -force"] * 2


@pytest.mark.slow
def test_force_gives_up_what_the_lost_one_had_alone(pair: Pair) -> None:
    grid, second = pair.grid, pair.homes[1]
    active = 0 if pair.roles()[0][1] == "Active" else 1
    assert active == 0
    pair.signal(1, signal.SIGKILL)
    grid.admin("hostModify", "host1", "-comment", "given up")
    pair.signal(0, signal.SIGKILL)
    assert grid.run("ttDaemonAdmin", "-start", home=second).code == 0
    lines = grid.admin("mgmtActiveSwitch", "-force", home=second)
    assert lines[0].startswith("Given up: what host1.instance1 changed alone after Seq ")
    assert lines[1] == "This is now the active management instance"
    assert "given up" not in "".join(grid.admin("hostList", home=second))
    assert grid.admin("mgmtStandbyStart") == ["Standby management instance started"]
    assert "given up" not in "".join(grid.admin("hostList", home=second))
    pair.until_healthy()
    assert list((pair.homes[0] / "grid").glob("management-seq*-term*.db"))  # kept for people


@pytest.mark.slow
def test_a_lost_standby_is_replaced_by_a_new_one(pair: Pair) -> None:
    grid, active = pair.grid, pair.homes[1]
    grid.admin("hostDelete", "host1", "-cascade", home=active)
    grid.admin("modelApply", home=active)
    assert not (pair.homes[0] / "conf").exists()
    addresses = ("-internalAddress", "127.0.0.11", "-externalAddress", "127.0.1.11")
    grid.admin("hostCreate", *addresses, "-like", "host2", "-cascade", home=active)
    assert grid.admin("modelApply", home=active)[-1] == "ttGridAdmin modelApply complete"
    assert pair.examine(1)["msgs"] == [HEALTHY]
