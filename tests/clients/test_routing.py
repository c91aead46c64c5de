"""The routing client on a real grid: each key goes to its lead, after a kill to the new lead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from deploy.clients.routing import AsyncpgRoutes, PsycopgRoutes
from tests.clients.programs import ROOT, blocks
from tests.support.real_grid import RealGrid

KEYS = range(900, 940)
ELEMENT = "SELECT elementid# FROM dual"
WHERE = "SELECT elementid# FROM dual WHERE ELEMENTIDCOMPUTE({}) = elementid#"


def _conninfo(grid: RealGrid) -> str:
    words = grid.words(",".join(grid.addresses()))
    del words["autocommit"]
    return make_conninfo(**words)


def _dsn(grid: RealGrid) -> str:
    login, port = grid.login, grid.plan.cs_port
    hosts = ",".join(f"{address}:{port}" for address in grid.addresses())
    return f"postgresql://{login.user}:{login.password}@{hosts}/{login.database}"


@pytest.mark.timeout(120)
async def test_each_key_goes_to_its_lead_and_to_the_new_one_after_a_kill(grid: RealGrid) -> None:
    async with grid.observer() as observer:
        await observer.settled()
        leads = {observer.lead(rs) for rs in observer.replica_sets}
        sync = PsycopgRoutes(_conninfo(grid), table="customers")
        routes = await AsyncpgRoutes.open(_dsn(grid), table="customers")
        before: Counter[int] = Counter()
        for key in KEYS:
            with sync.connection(key) as connection:
                (found,) = connection.execute(WHERE.format(key).encode()).fetchall()
            async with routes.connection(key) as other:
                assert await other.fetchval(WHERE.format(key)) == found[0]
            before[found[0]] += 1
        assert len(before) == len(leads)

        victim = observer.lead(1)
        grid.kill_instance(victim)
        try:
            await observer.new_lead(1, victim)
            errors = 0
            for key in KEYS:
                errors += _sync_work(sync, key)
                errors += await _async_work(routes, key)
            assert errors <= 2  # of connections that were open to the instance that is gone
            for key in KEYS:  # the first work after an error reads the map
                with sync.connection(key) as connection:
                    assert connection.execute(WHERE.format(key).encode()).fetchall()
                async with routes.connection(key) as other:
                    assert await other.fetchval(WHERE.format(key)) is not None
        finally:
            sync.close()
            await routes.close()
            grid.start_daemon(victim)
            await observer.settled()


def test_the_program_of_the_page(grid: RealGrid) -> None:
    ((_, program),) = blocks("Routing: the instance nearest to a key")
    folder = grid.plan.folder
    words = {"PGSERVICEFILE": folder / "pg_service.conf", "PGPASSFILE": folder / "pgpass"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=50, capture_output=True, text=True,
        env={**os.environ, **{name: str(file) for name, file in words.items()}}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place, element = done.stdout.splitlines()
    assert place.startswith(f"Place(element={element}, host='127.0.1.")


def _sync_work(routes: PsycopgRoutes, key: int) -> int:
    try:
        with routes.connection(key) as connection:
            connection.execute(ELEMENT)
    except psycopg.OperationalError:
        return 1
    return 0


async def _async_work(routes: AsyncpgRoutes, key: int) -> int:
    try:
        async with routes.connection(key) as connection:
            await connection.fetchval(ELEMENT)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return 1
    return 0
