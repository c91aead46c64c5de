"""The documented sessions T24 and T25 with real processes, in the form of K = 2.

The forms with eight hosts need more memory than a test may take; what is done is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command_database import (
    command_grid,
    connect,
    replica_sets,
    states,
    until_opened,
)
from tests.support.commands import CommandGrid

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
ROWS = 3000
PACKAGE = "CREATE PACKAGE terry.sums AS FUNCTION total RETURN NUMBER; END;"
PACKAGE_BODY = """CREATE PACKAGE BODY terry.sums AS
  FUNCTION total RETURN NUMBER IS n NUMBER; BEGIN SELECT SUM(a) INTO n FROM t; RETURN n; END;
END;"""


@pytest.fixture(scope="module")
def grid() -> Iterator[CommandGrid]:
    """Two replica sets of two, an open database with rows."""
    with command_grid({4: 2, 5: 1, 6: 2}) as grid:
        with connect(grid) as client:
            client.execute("CREATE USER terry IDENTIFIED BY 'tiger'")
            client.execute("CREATE TABLE terry.t (a NUMBER(9) PRIMARY KEY, b NUMBER(9))")
            with client.cursor() as cursor, cursor.copy("COPY terry.t FROM STDIN") as copy:
                for number in range(ROWS):
                    copy.write_row((number, number))
            client.execute(PACKAGE)
            client.execute(PACKAGE_BODY)
        yield grid


def sum_of_rows(grid: CommandGrid, host: int) -> tuple[object, ...] | None:
    with connect(grid, host) as client:
        return client.execute("SELECT COUNT(*), SUM(a) FROM terry.t").fetchone()


ALL = (ROWS, sum(range(ROWS)))


def totals_of_package(grid: CommandGrid, *hosts: int) -> list[object]:
    """What the function of the package gives through these data instances."""
    found: list[object] = []
    for host in hosts:
        with connect(grid, host) as client:
            found += client.execute("CALL terry.sums.total()").fetchone() or ()
    return found


def test_a_package_is_at_every_data_instance_and_after_a_restart(grid: CommandGrid) -> None:
    assert totals_of_package(grid, 3, 4, 5, 6) == [ALL[1]] * 4
    home = grid.folder / "host4" / "instance1"
    for action in ("-stop", "-start"):
        assert grid.run("ttDaemonAdmin", action, home=home).code == 0
    until_opened(grid, "host4")
    assert totals_of_package(grid, 4) == [ALL[1]]


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
    assert totals_of_package(grid, 3, 7, 8) == [ALL[1]] * 3  # also at the elements that came later


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
    assert totals_of_package(grid, 9) == [ALL[1]]
