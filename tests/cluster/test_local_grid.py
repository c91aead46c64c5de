"""What `make grid` promises: one command, a grid with the sample, stop and start, nothing left."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.local_grid import LocalGrid, local_grid

pytestmark = pytest.mark.timeout(300)
PORT_BASE = 9100
COUNTS = {"customers": 100_000, "accounts": 100_000, "transactions": 20_000}
PACKAGE = (
    b"CREATE PACKAGE people AS FUNCTION known RETURN NUMBER; END;",
    b"CREATE PACKAGE BODY people AS FUNCTION known RETURN NUMBER IS n NUMBER; "
    b"BEGIN SELECT COUNT(*) INTO n FROM customers; RETURN n; END; END;",
)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    folder = Path(tempfile.mkdtemp(prefix="tg-"))  # pytest's own folders have too long paths
    try:
        with local_grid(folder, port_base=PORT_BASE) as grid:
            yield grid
        assert not folder.exists()  # destroyed, and nothing of anybody else was in it
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def counts(grid: LocalGrid, index: int) -> dict[str, object]:
    with grid.connect(index) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0]
            for table in COUNTS
        }


def known(grid: LocalGrid, index: int) -> object:
    """What the package says through a data instance."""
    with grid.connect(index) as connection:
        return connection.execute(b"CALL people.known()").fetchall()[0][0]


def eventually(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until it holds."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, "it did not happen in time"
        time.sleep(0.1)  # other processes cannot be awaited, only asked
    return time.monotonic() - began_s


def test_every_data_instance_shows_the_whole_sample(grid: LocalGrid) -> None:
    assert [counts(grid, index) for index in range(4)] == [COUNTS] * 4


def test_the_service_file_is_private_and_works_with_psql(grid: LocalGrid) -> None:
    for name in ("env.sh", "pg_service.conf", "pgpass", "grid.json"):
        assert stat.S_IMODE((grid.plan.folder / name).stat().st_mode) == 0o600
    if shutil.which("psql") is None:
        pytest.skip("no psql on this machine")
    script = f". {grid.plan.folder}/env.sh && psql service=database1 -Atc 'select 1 from dual'"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


def test_a_second_up_finds_the_grid_and_other_settings_are_refused(grid: LocalGrid) -> None:
    began_s = time.monotonic()
    assert "The grid is up" in grid.make("up")
    assert time.monotonic() - began_s < 15
    refused = grid.tried("up", K="1")
    assert refused.returncode == 1
    assert "K=2 (not 1)" in refused.stderr


def test_a_second_grid_on_the_same_ports_is_refused_by_their_names(grid: LocalGrid) -> None:
    refused = grid.tried("up", GRID_DIR=f"{grid.plan.folder}-2")
    assert refused.returncode == 1
    assert f"127.0.1.13:{grid.plan.cs_port} (csPort of host3) is taken" in refused.stderr
    assert not Path(f"{grid.plan.folder}-2").exists()


def test_the_database_stays_writable_when_an_instance_is_killed(grid: LocalGrid) -> None:
    insert = b"INSERT INTO customers VALUES (%s, 'Nobody', 'Nowhere', NULL, NULL, NULL, SYSDATE)"
    keys = iter(range(200_001, 300_000))

    def written() -> bool:
        try:
            with grid.connect(1) as connection:
                for _ in range(8):  # both replica sets
                    connection.execute(insert, (next(keys),))
        except psycopg.OperationalError:
            return False
        return True

    assert written()
    grid.kill(0, for_good=True)
    pause_s = eventually(written, within_s=10)
    assert pause_s < 5, f"{pause_s:.1f} s"
    assert grid.words() == "created,loaded-functional,open"
    assert "   1 down" in grid.admin("dbStatus", "database1", "-element")
    grid.start(0)
    eventually(lambda: grid.words() == "created,loaded-complete,open", within_s=20)
    there = [counts(grid, index)["customers"] for index in range(4)]
    assert there[0] > COUNTS["customers"]
    assert there == there[:1] * 4
    with grid.connect(0) as connection:
        connection.execute(b"DELETE FROM customers WHERE cust_id > 200000")
    assert counts(grid, 3) == COUNTS


def test_stop_and_start_keep_the_data(grid: LocalGrid) -> None:
    with grid.connect(0) as connection:
        for statement in PACKAGE:
            connection.execute(statement)
    assert [known(grid, index) for index in range(4)] == [COUNTS["customers"]] * 4
    grid.make("stop")
    assert "does not run" in grid.tried("status").stdout
    with pytest.raises(psycopg.OperationalError):
        grid.connect(0)
    assert "The grid is up" in grid.make("start")
    assert grid.words() == "created,loaded-complete,open"
    assert counts(grid, 2) == COUNTS
    assert [known(grid, index) for index in range(4)] == [COUNTS["customers"]] * 4


def test_all_data_instances_killed_at_once_come_back_with_all_rows(grid: LocalGrid) -> None:
    for index in range(4):
        grid.kill(index, for_good=True)
    grid.make("start")
    eventually(lambda: grid.words() == "created,loaded-complete,open", within_s=30)
    assert [counts(grid, index) for index in range(4)] == [COUNTS] * 4
    assert known(grid, 3) == COUNTS["customers"]


def test_a_host_added_like_another_belongs_to_the_grid(grid: LocalGrid) -> None:
    addresses = ("-internalAddress", "127.0.0.17", "-externalAddress", "127.0.1.17")
    grid.admin("hostCreate", *addresses, "-dataSpaceGroup", "1", "-like", "host3", "-cascade")
    grid.admin("modelApply")
    assert "host7/instance1              runs" in grid.tried("status").stdout
    gone = ("-internalAddress", "127.0.0.18", "-externalAddress", "127.0.1.18")
    grid.admin("hostCreate", "host8", *gone, "-dataSpaceGroup", "1", "-like", "host3", "-cascade")
    grid.admin("modelApply")
    for deleted in (False, True):
        if deleted:
            grid.admin("hostDelete", "host8", "-cascade")
            grid.admin("modelApply")
        grid.make("start")
        for name in ("pg_service.conf", "pgpass"):
            text = (grid.plan.folder / name).read_text()
            assert "127.0.1.17" in text
            assert ("127.0.1.18" in text) is not deleted


def test_no_process_of_the_grid_is_left_after_stop(grid: LocalGrid) -> None:
    grid.make("stop")
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(grid.plan.folder) in command and int(process.name) != os.getpid():
            left.append(command)
    assert left == []
