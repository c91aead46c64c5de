"""The active management instance dies while buckets move: the standby takes over and goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from mgmt.cli import daemon_control
from tests.support.command_database import (
    LIKE_HOST3,
    WAIT_S,
    command_grid,
    connect,
    replica_sets,
    states,
    until_opened,
)
from tests.support.commands import CommandGrid

pytestmark = pytest.mark.timeout(240)
ROWS = 8000
SLOW = "1500"  # rows per second: some seconds for the half that moves
OPERATION = ("dbDistribute", "database1", "-add", "host5", "-add", "host6", "-apply")


class Writer(threading.Thread):
    """Counts rows up, one by one, until it is stopped."""

    def __init__(self, grid: CommandGrid) -> None:
        super().__init__()
        self.grid = grid
        self.counts = dict.fromkeys(range(ROWS), 0)
        self.errors: list[psycopg.Error] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        with connect(self.grid) as client:
            number = 0
            while not self.stopping.is_set():
                number = (number + 7) % ROWS
                try:
                    client.execute("UPDATE terry.t SET b = b + 1 WHERE a = %s", (number,))
                    self.counts[number] += 1
                except psycopg.Error as error:
                    self.errors.append(error)
                    return

    def stop(self) -> None:
        self.stopping.set()
        self.join(30)


def until(is_true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)  # processes of others cannot be awaited, only asked


def moved(grid: CommandGrid) -> tuple[int, int]:
    """Buckets that have moved, of how many."""
    with connect(grid) as client:
        row = client.execute("SELECT * FROM sys.v$distribution_progress").fetchone()
    assert row is not None
    return int(str(row[2])), int(str(row[1]))


def test_the_standby_goes_on_with_a_move() -> None:
    with command_grid({4: 2}, standby=True) as grid:
        second = grid.folder / "host2" / "instance1"
        with connect(grid) as client:
            client.execute("CREATE USER terry IDENTIFIED BY 'tiger'")
            client.execute("CREATE TABLE terry.t (a NUMBER(9) PRIMARY KEY, b NUMBER(9))")
            with client.cursor() as cursor, cursor.copy("COPY terry.t FROM STDIN") as copy:
                for number in range(ROWS):
                    copy.write_row((number, 0))
        for number, group in ((5, 1), (6, 2)):
            grid.add_host(number, group, *LIKE_HOST3)
        grid.admin("modelApply")
        until_opened(grid, "host5", "host6")
        writer = Writer(grid)
        writer.start()
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(grid.run, "ttGridAdmin", *OPERATION, "-throttle", SLOW)
            until(lambda: moved(grid)[0] > 200, "buckets move")
            for file in (daemon_control.SUPERVISOR_PID_FILE, daemon_control.PID_FILE):
                os.kill(daemon_control.read_pid(grid.home, file), signal.SIGKILL)
            done, total = moved(grid)
            assert done < total, "the move ended before management was killed"
            assert answer.result().code != 0
            assert "goes on" in answer.result().errors

        grid.home = second  # every command from here on is asked of the former standby
        until(lambda: grid.run("ttGridAdmin", "operationList").code == 0, "a new active")
        until(lambda: "running" not in grid.admin("operationList")[-1], "the end of the move")
        listed = [line for line in grid.admin("operationList") if "dbDistribute" in line]
        assert "done" in listed[-1], listed
        writer.stop()
        assert writer.errors == []
        assert replica_sets(grid) == [["host3", "host4"], ["host5", "host6"]]
        assert set(states(grid).values()) == {"opened"}
        with connect(grid, 6) as client:
            rows = client.execute("SELECT a, b, replicaSetId# FROM terry.t").fetchall()
        assert {int(str(a)): int(str(b)) for a, b, _ in rows} == writer.counts
        assert len(rows) == ROWS
        assert 0.4 < sum(place == 2 for _, _, place in rows) / ROWS < 0.6

        first = grid.folder / "host1" / "instance1"
        assert grid.run("ttDaemonAdmin", "-start", home=first).code == 0
        until(lambda: "Both active and standby" in grid.admin("mgmtExamine")[0], "a pair again")
