"""A grid made with commands, with an open database: what several tests and loads begin with."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess

DATABASE = "database1"
WAIT_S = 60
WAIT = ("-wait", str(WAIT_S))
LIKE_HOST3 = ("-like", "host3", "-cascade")


@contextmanager
def command_grid(
    groups: dict[int, int], *, perm_mb: int = 128, database: bool = True, standby: bool = False
) -> Iterator[CommandGrid]:
    """host3 in data space group 1 and these (host number -> group), K=2, an open database1.

    `standby`: a second management instance on host2.
    """
    folder = Path(tempfile.mkdtemp(prefix="tg-"))  # pytest's own folders have too long paths
    zookeeper = ZooKeeperProcess(folder / "zookeeper")
    zookeeper.start()
    grid = CommandGrid(folder, zookeeper.hosts)
    try:
        asyncio.run(zookeeper.ready())
        assert grid.create_instance().code == 0
        grid.create_grid(2)
        if standby:
            addresses = ("-internalAddress", "127.0.0.12", "-externalAddress", "127.0.1.12")
            grid.admin("hostCreate", *addresses, "-like", "host1", "-cascade")
        grid.add_first_data_host()
        for number, group in groups.items():
            grid.add_host(number, group, *LIKE_HOST3)
        if database:
            open_database(grid, perm_mb)
        yield grid
    finally:
        grid.stop_all()
        left = grid.running()
        zookeeper.kill()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []


def open_database(grid: CommandGrid, perm_mb: int = 128) -> None:
    """dbdefCreate ... dbOpen of database1."""
    file = grid.folder / f"{DATABASE}.dbdef"
    file.write_text(
        f"DataStore={grid.folder}/!!INSTANCE_NAME!!/databases/{DATABASE}\n"
        f"DatabaseCharacterSet=AL32UTF8\nPermSize={perm_mb}\n"
    )
    grid.admin("dbdefCreate", str(file))
    grid.admin("modelApply")
    grid.admin("dbCreate", DATABASE, *WAIT)
    grid.admin("dbDistribute", DATABASE, "-add", "all", "-apply")
    grid.admin("dbOpen", DATABASE, *WAIT)


def socket_folder(grid: CommandGrid, host: int) -> str:
    """Where a data instance's local socket is."""
    return str(grid.folder / f"host{host}" / "instance1" / "info")


def connect(grid: CommandGrid, host: int = 3) -> psycopg.Connection[tuple[object, ...]]:
    """The administrator's local connection at a host."""
    return psycopg.connect(
        host=socket_folder(grid, host), port=grid.cs_port, dbname=DATABASE, autocommit=True
    )


def states(grid: CommandGrid) -> dict[str, str]:
    """dbStatus -element: host -> state."""
    lines = grid.admin("dbStatus", DATABASE, "-element")
    return {line.split()[0]: line.split()[3] for line in lines if line.startswith("host")}


def until_opened(grid: CommandGrid, *hosts: str) -> None:
    """Poll as a script of an administrator does."""
    deadline_s = time.monotonic() + WAIT_S
    while not all(states(grid).get(host) == "opened" for host in hosts):
        assert time.monotonic() < deadline_s, states(grid)
        time.sleep(0.5)  # a process of others cannot be awaited, only asked


def replica_sets(grid: CommandGrid) -> list[list[str]]:
    """dbStatus -replicaSet: the hosts of each set, by its number."""
    found: list[list[str]] = []
    for line in grid.admin("dbStatus", DATABASE, "-replicaSet"):
        words = line.split()
        host = next((w for w in words if w.startswith("host")), "")
        if host and len(words) > 5 and words.index(host) == 3:
            found.append([host])
        elif host:
            found[-1].append(host)
    return found
