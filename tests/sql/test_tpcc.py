"""A small TPC-C: its consistency conditions hold after a run, also when an instance dies in it."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.sql.target import Words
from tests.sql.tpcc import conditions, load
from tests.sql.tpcc.driver import Load
from tests.support.real_grid import RealGrid

WAREHOUSES, TERMINALS, EACH = 2, 4, 15
SLOW_S, KILLED_AFTER_S = 30.0, 8.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "SERIALIZABLE"])
def test_the_conditions_hold_after_a_run(words: list[Words], isolation: str) -> None:
    with psycopg.connect(**words[0]) as connection:
        load.create(connection)
        try:
            load.fill(connection, WAREHOUSES)
            assert conditions.broken(connection) == {}
            at_first = load.DISTRICTS * load.DELIVERED * WAREHOUSES
            assert conditions.delivered(connection) == at_first
            run = Load(words, WAREHOUSES, TERMINALS, isolation=isolation)
            run.run(each=EACH)
            assert sum(run.done.values()) == TERMINALS * EACH
            assert run.done["new order"] > 0
            assert conditions.broken(connection) == {}
        finally:
            load.drop(connection)


def test_a_broken_condition_is_seen(words: list[Words]) -> None:
    with psycopg.connect(**words[0]) as connection:
        load.create(connection)
        try:
            load.fill(connection, 1)
            connection.execute("UPDATE warehouse SET w_ytd = w_ytd + 1")
            connection.execute("DELETE FROM new_order WHERE no_d_id = 3 AND no_o_id = 25")
            line = "ol_d_id = 4 AND ol_o_id = 2 AND ol_number = 1"
            connection.execute(f"DELETE FROM order_line WHERE {line}".encode())
            connection.execute("UPDATE customer SET c_balance = 5 WHERE c_d_id = 1 AND c_id = 1")
            found = [name.partition(":")[0] for name in conditions.broken(connection)]
        finally:
            load.drop(connection)
    assert found == ["1", "3", "4", "5", "6", "8", "10", "12"]


@pytest.fixture
def grid() -> Iterator[RealGrid]:
    """Of real processes."""
    folder = Path(tempfile.mkdtemp(prefix="tgt"))
    real = RealGrid.make(folder / "g")
    yield real
    real.destroy()
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_instance_dies_in_a_run(grid: RealGrid) -> None:
    words = [grid.words(address) for address in grid.addresses()]
    with psycopg.connect(**words[0]) as connection:
        load.create(connection)
        load.fill(connection, WAREHOUSES)
        run = Load(words, WAREHOUSES, TERMINALS)
        killer = threading.Timer(KILLED_AFTER_S, grid.kill_daemon, [grid.hosts[-1]])
        killer.start()
        run.run(seconds=SLOW_S)
        killer.join()
        print(f"\n{dict(run.done)}, begun again: {dict(run.again)}")
        assert run.done["new order"] > 0
        assert conditions.broken(connection) == {}
