"""gridUpgrade with real processes: management, then data instance after data instance, while
clients write."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from mgmt.cli import daemon_control
from tests.support.command_database import WAIT_S, command_grid, connect
from tests.support.commands import CommandGrid
from tests.support.release import make_release, next_release, release_of_process
from tests.support.zookeeper import ZooKeeperProcess

pytestmark = pytest.mark.timeout(120)
HOSTS = (3, 4)


@pytest.fixture(scope="module")
def grid() -> Iterator[CommandGrid]:
    """Two data instances with one replica set of two, an open database."""
    with command_grid({4: 2}) as grid:
        with connect(grid) as client:
            client.execute("CREATE USER terry IDENTIFIED BY 'tiger'")
            client.execute("CREATE TABLE terry.t (a NUMBER(9) PRIMARY KEY, b NUMBER(9))")
        yield grid


def pids(grid: CommandGrid) -> dict[int, int]:
    """Of the daemons on host1, host3 and host4."""
    homes = {n: grid.folder / f"host{n}" / "instance1" for n in (1, *HOSTS)}
    return {n: daemon_control.read_pid(home, daemon_control.PID_FILE) for n, home in homes.items()}


class Writer(threading.Thread):
    """Inserts number after number; goes to the other instance when it is sent away."""

    def __init__(self, grid: CommandGrid, first: int) -> None:
        super().__init__()
        self.grid = grid
        self.numbers = itertools.count(first)
        self.acknowledged: set[int] = set()
        self.sent_away = 0
        self.errors: list[Exception] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        for host in itertools.cycle(HOSTS):
            if self.stopping.is_set():
                return
            try:
                self._write(host)
            except psycopg.Error as error:
                self.sent_away += 1
                # 08: the connection; 57: shut down; 40: run the transaction again
                if (error.sqlstate or "08")[:2] not in ("08", "57", "40"):
                    self.errors.append(error)
                    return
                self.stopping.wait(0.05)  # a pace, nothing is awaited by it

    def _write(self, host: int) -> None:
        with connect(self.grid, host) as client:
            while not self.stopping.is_set():
                number = next(self.numbers)
                client.execute("INSERT INTO terry.t VALUES (%s, 1)", (number,))
                self.acknowledged.add(number)

    def stop(self) -> None:
        self.stopping.set()
        self.join(30)
        assert not self.is_alive()


def test_a_rolling_upgrade_while_clients_write(grid: CommandGrid) -> None:
    release, source = next_release(), make_release(grid.folder / "source")
    before = pids(grid)
    plan = grid.admin("gridUpgrade", "-createInstallations", "-source", str(source), "-dryrun")
    assert plan[0] == "Would be made:"
    assert len(plan) == 4
    grid.admin("gridUpgrade", "-createInstallations", "-source", str(source))
    data = ("gridUpgrade", "-type", "data", "-to", release, "-online")
    assert f"not of release {release} yet" in grid.refused(*data)

    # The only management instance restarts itself; its next life ends the operation.
    lines = grid.admin("gridUpgrade", "-type", "mgmt", "-to", release)
    assert lines[-1] == "On the active one: ttGridAdmin operationList"
    wait_until_done(grid)
    assert release_of_process(pids(grid)[1]) == release

    plan = grid.admin(*data, "-dryrun")
    assert plan[-2:] == [
        "  Restarting host3.instance1 (data space group 1)",
        "  Restarting host4.instance1 (data space group 2)",
    ]
    assert [pids(grid)[n] for n in HOSTS] == [before[n] for n in HOSTS]
    writers = [Writer(grid, 1_000_000 * n) for n in (1, 2)]
    for writer in writers:
        writer.start()
    lines = grid.admin(*data)
    for writer in writers:
        writer.stop()
    assert lines[-1] == f"2 instances run from {release}"
    after = pids(grid)
    assert [release_of_process(after[n]) for n in HOSTS] == [release, release]
    for writer in writers:
        assert writer.errors == []
        assert writer.sent_away >= 1
    acknowledged = set().union(*(writer.acknowledged for writer in writers))
    for host in HOSTS:
        with connect(grid, host) as client:
            found = {int(str(row[0])) for row in client.execute("SELECT a FROM terry.t")}
        assert acknowledged <= found
    assert grid.admin(*data) == [f"Nothing to do: all run from {release}"]
    assert pids(grid) == after


def test_it_goes_on_after_the_loss_of_management_and_does_nothing_twice(grid: CommandGrid) -> None:
    source, place = make_release(grid.folder / "other"), f"{grid.folder}/second/!!HOST_NAME!!"
    words = ("-source", str(source), "-name", "second", "-location", place)
    grid.admin("gridUpgrade", "-createInstallations", *words)
    before = pids(grid)
    command = ("gridUpgrade", "-type", "data", "-to", "second", "-online", "-force")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(grid.run, "ttGridAdmin", *command)
        until(lambda: pids(grid)[4] != before[4], "host4 is stopped")
        host3 = pids(grid)[3]
        os.kill(pids(grid)[1], signal.SIGKILL)  # its supervisor starts it again
        assert "The operation goes on when it is back" in answer.result().errors
    assert host3 not in (0, before[3])
    wait_until_done(grid)
    assert pids(grid)[3] == host3
    assert pids(grid)[4] not in (0, before[4])
    for host in HOSTS:
        link = (grid.folder / f"host{host}" / "instance1" / "install").readlink()
        assert link == grid.folder / "second" / f"host{host}" / f"tengrid-{next_release()}"
        with connect(grid, host) as client:
            assert client.execute("SELECT COUNT(*) FROM terry.t").fetchone()


def test_all_at_once_with_the_database_closed(grid: CommandGrid) -> None:
    source, place = make_release(grid.folder / "third"), f"{grid.folder}/3/!!HOST_NAME!!"
    words = ("-source", str(source), "-name", "third", "-location", place)
    grid.admin("gridUpgrade", "-createInstallations", *words)
    command = ("gridUpgrade", "-type", "data", "-to", "third", "-offline")
    assert "-offline stops all data instances at once" in grid.refused(*command)
    grid.admin("dbClose", "database1", "-wait", str(WAIT_S))
    before = pids(grid)
    assert grid.admin(*command)[-1] == "2 instances run from third"
    after = pids(grid)
    assert all(after[n] not in (0, before[n]) for n in HOSTS)
    grid.admin("dbOpen", "database1", "-wait", str(WAIT_S))
    with connect(grid, 3) as client:
        assert client.execute("SELECT COUNT(*) FROM terry.t").fetchone()


def test_nothing_is_restarted_while_a_copy_is_away(grid: CommandGrid) -> None:
    source, place = make_release(grid.folder / "fourth"), f"{grid.folder}/4/!!HOST_NAME!!"
    words = ("-source", str(source), "-name", "fourth", "-location", place)
    grid.admin("gridUpgrade", "-createInstallations", *words)
    away = grid.folder / "host4" / "instance1"
    assert grid.run("ttDaemonAdmin", "-stop", home=away).code == 0
    before = pids(grid)
    refusal = grid.refused("gridUpgrade", "-type", "data", "-to", "fourth", "-online", "-force")
    assert "replica set 1 of database1 lacks the copy of host4.instance1" in refusal
    assert pids(grid) == before
    assert grid.run("ttDaemonAdmin", "-start", home=away).code == 0


def until(is_true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.005)  # processes of others cannot be awaited, only looked at


def wait_until_done(grid: CommandGrid, home: Path | None = None) -> None:
    """Until no operation runs; commands fail while management is away."""
    for _ in range(200):
        answer = grid.run("ttGridAdmin", "operationList", home=home)
        if answer.code == 0 and "gridUpgrade" in answer.output and "running" not in answer.output:
            assert "failed" not in answer.output, answer.output
            return
        threading.Event().wait(0.1)  # other processes cannot be awaited, only asked
    raise AssertionError("the upgrade of management does not end")


def test_standby_first_then_the_former_active(tmp_path: Path) -> None:
    zookeeper = ZooKeeperProcess(tmp_path / "zookeeper")
    zookeeper.start()
    grid = CommandGrid(tmp_path, zookeeper.hosts)
    second = tmp_path / "host2" / "instance1"
    try:
        asyncio.run(zookeeper.ready())
        assert grid.create_instance().code == 0
        grid.create_grid(2)
        addresses = ("-internalAddress", "127.0.0.12", "-externalAddress", "127.0.1.12")
        grid.admin("hostCreate", *addresses, "-like", "host1", "-cascade")
        grid.admin("modelApply")
        release, source = next_release(), make_release(tmp_path / "source")
        grid.admin("gridUpgrade", "-createInstallations", "-source", str(source))
        upgrade = ("gridUpgrade", "-type", "mgmt", "-to", release)
        assert grid.admin(*upgrade, "-dryrun")[-3:] == [
            "  Restarting the standby host2.instance1",
            "  Making host2.instance1 the active one",
            "  Restarting the former active host1.instance1",
        ]
        lines = grid.admin(*upgrade)
        assert lines[-1] == "On the active one: ttGridAdmin operationList"
        wait_until_done(grid, second)
        for home in (grid.home, second):
            pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
            assert release_of_process(pid) == release
        lines = grid.admin("mgmtExamine", home=second)
        assert [line.split()[4] for line in lines[4:6]] == ["Standby", "Active"]
        assert grid.admin(*upgrade, home=second) == [f"Nothing to do: all run from {release}"]
    finally:
        grid.stop_all()
        zookeeper.kill()
    assert grid.running() == []
