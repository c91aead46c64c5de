"""Short forms of the attacks in hostile.py: limits hold, memory is bounded, nobody else suffers."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.clients import hostile
from tests.clients.hostile import LIMITS, Victim
from tests.support.real_grid import RealGrid

WORST_S = 2.0  # liveness on a busy machine; the report of hostile.py has milliseconds
MEMORY_MIB = 200.0


@pytest.fixture(scope="module")
def attacked(grid: RealGrid) -> RealGrid:
    """The grid with the victim's table."""
    hostile.prepare(grid)
    return grid


def _unharmed(grid: RealGrid, attack: Callable[[], object]) -> None:
    pid, before = grid.daemon_pid(grid.hosts[0]), hostile.memory_mib(grid)
    with Victim(grid).beside() as victim:
        attack()
    assert victim.errors == []
    assert len(victim.latencies) > 1
    assert victim.worst_s < WORST_S
    assert grid.daemon_pid(grid.hosts[0]) == pid
    assert hostile.memory_mib(grid) - before < MEMORY_MIB


@pytest.mark.timeout(120)
def test_bombs(attacked: RealGrid) -> None:
    outcomes: list[tuple[str, str]] = []
    _unharmed(attacked, lambda: outcomes.extend(hostile.bombs(attacked, 300)))
    assert [o for o in outcomes if o[1] not in LIMITS and "LIKE" not in o[0]] == []


@pytest.mark.timeout(60)
def test_wide_rows_come_whole(attacked: RealGrid) -> None:
    """Batches are cut by bytes; nothing is lost where they are cut."""
    with psycopg.connect(**attacked.words(attacked.addresses()[0])) as client:
        query = "SELECT a.id, rpad(a.name, 100000) FROM victim a, victim b WHERE b.id < 2"
        cursor = client.execute(query + " AND a.id < 100 ORDER BY a.id")
        rows = cursor.fetchall()
        assert [int(id_) for id_, _ in rows] == [n for n in range(100) for _ in range(2)]
        assert {len(text) for _, text in rows} == {100_000}
        rows = client.execute("SELECT id, rpad(name, 50000) FROM victim").fetchall()
        assert sorted(int(id_) for id_, _ in rows) == list(range(1000))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "attack",
    [
        lambda grid: hostile.slow_reader(grid, 1.0),
        lambda grid: hostile.slow_writers(grid, 20, 0.5),
        lambda grid: hostile.garbage(grid, 1, 60, internal=False),
        lambda grid: hostile.garbage(grid, 2, 60, internal=True),
        lambda grid: hostile.wrong_passwords(grid, 20),
        lambda grid: hostile.cancel_storm(grid, 100),
        lambda grid: hostile.idle_sockets(grid, 300),
    ],
    ids=["reader", "writers", "sql", "rpc", "passwords", "cancel", "idle"],
)
def test_attacks(attacked: RealGrid, attack: Callable[[RealGrid], object]) -> None:
    _unharmed(attacked, lambda: attack(attacked))
