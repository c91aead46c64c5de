"""The documented sessions T24 and T25 with real processes, in the form of K = 2.

The forms with eight hosts need more memory than a test may take; what is done is the same.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
ROWS = 3000
WAIT_S = 60


@pytest.fixture(scope="module")
def grid() -> Iterator[CommandGrid]:
    """Two replica sets of two, an open database with rows."""
    folder = Path(tempfile.mkdtemp(prefix="tg-"))  # pytest's own folders have too long paths
    zookeeper = ZooKeeperProcess(folder / "zookeeper")
    zookeeper.start()
    grid = CommandGrid(folder, zookeeper.hosts)
    try:
        asyncio.run(zookeeper.ready())
        assert grid.create_instance().code == 0
        grid.create_grid(2)
        grid.add_first_data_host()
        for number, group in ((4, 2), (5, 1), (6, 2)):
            grid.add_host(number, group, "-like", "host3", "-cascade")
        file = folder / "database1.dbdef"
        file.write_text(
            f"DataStore={folder}/!!INSTANCE_NAME!!/databases/database1\n"
            "DatabaseCharacterSet=AL32UTF8\nPermSize=128\n"
        )
        grid.admin("dbdefCreate", str(file))
        grid.admin("modelApply")
        grid.admin("dbCreate", "database1", "-wait", str(WAIT_S))
        grid.admin("dbDistribute", "database1", "-add", "all", "-apply")
        grid.admin("dbOpen", "database1", "-wait", str(WAIT_S))
        with connect(grid, 3) as client:
            client.execute("CREATE USER terry IDENTIFIED BY 'tiger'")
            client.execute("CREATE TABLE terry.t (a NUMBER(9) PRIMARY KEY, b NUMBER(9))")
            with client.cursor() as cursor, cursor.copy("COPY terry.t FROM STDIN") as copy:
                for number in range(ROWS):
                    copy.write_row((number, number))
        yield grid
    finally:
        grid.stop_all()
        assert grid.running() == []
        zookeeper.kill()
        shutil.rmtree(folder, ignore_errors=True)


def connect(grid: CommandGrid, host: int) -> psycopg.Connection[tuple[object, ...]]:
    """The administrator's local connection at a host."""
    home = grid.folder / f"host{host}" / "instance1"
    return psycopg.connect(
        host=str(home / "info"), port=grid.cs_port, dbname="database1", autocommit=True
    )


def sum_of_rows(grid: CommandGrid, host: int) -> tuple[object, ...] | None:
    with connect(grid, host) as client:
        return client.execute("SELECT COUNT(*), SUM(a) FROM terry.t").fetchone()


def states(grid: CommandGrid) -> dict[str, str]:
    """dbStatus -element: host -> state."""
    lines = grid.admin("dbStatus", "database1", "-element")
    return {line.split()[0]: line.split()[3] for line in lines if line.startswith("host")}


def until_opened(grid: CommandGrid, *hosts: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not all(states(grid).get(host) == "opened" for host in hosts):
        assert time.monotonic() < deadline_s, states(grid)
        time.sleep(0.5)  # as a script of an administrator polls


def replica_sets(grid: CommandGrid) -> list[list[str]]:
    """dbStatus -replicaSet: the hosts of each set."""
    found: list[list[str]] = []
    for line in grid.admin("dbStatus", "database1", "-replicaSet"):
        words = line.split()
        host = next((w for w in words if w.startswith("host")), "")
        if host and len(words) > 5 and words.index(host) == 3:
            found.append([host])
        elif host:
            found[-1].append(host)
    return found


ALL = (ROWS, sum(range(ROWS)))


def test_t24_add_a_replica_set(grid: CommandGrid) -> None:
    for number, group in ((7, 1), (8, 2)):
        grid.add_host(number, group, "-like", "host3", "-cascade")
    grid.admin("modelApply")
    until_opened(grid, "host7", "host8")
    assert replica_sets(grid) == [["host3", "host4"], ["host5", "host6"]]
    assert grid.admin("dbDistribute", "database1", "-add", "host7") == [
        "Element host7.instance1 is added"
    ]
    assert "group 1: 1, group 2: 0" in grid.refused("dbDistribute", "database1", "-apply")
    grid.admin("dbDistribute", "database1", "-add", "host8")
    lines = grid.admin("dbDistribute", "database1", "-apply")
    assert lines[-1] == "Distribution map updated"
    assert replica_sets(grid)[2] == ["host7", "host8"]
    for host in (3, 6, 8):
        assert sum_of_rows(grid, host) == ALL


def test_t25_replace_one_host(grid: CommandGrid) -> None:
    grid.add_host(9, 1, "-like", "host5", "-cascade")
    grid.admin("modelApply")
    until_opened(grid, "host9")
    words = ("-remove", "host6.instance1", "-replaceWith", "host9.instance1", "-apply")
    error = grid.refused("dbDistribute", "database1", *words)
    assert "group 1 and cannot replace host6.instance1 of group 2" in error
    words = ("-remove", "host5.instance1", "-replaceWith", "host9.instance1", "-apply")
    lines = grid.admin("dbDistribute", "database1", *words)
    assert lines[-1] == "Distribution map updated"
    assert sorted(replica_sets(grid)[1]) == ["host6", "host9"]
    assert grid.admin("hostDelete", "host5", "-cascade") == [
        "Instance instance1 on Host host5 deleted from Model",
        "Installation installation1 on Host host5 deleted from Model",
        "Host host5 deleted from Model",
    ]
    grid.admin("modelApply")
    assert "host5" not in states(grid)
    assert not (grid.folder / "host5" / "instance1").exists()
    assert sum_of_rows(grid, 9) == ALL
