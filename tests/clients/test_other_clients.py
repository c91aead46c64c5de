"""asyncpg, psql and pgbench against a grid."""

from __future__ import annotations

import io
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tests.clients.conftest import Rows
from tests.support.real_grid import RealGrid


async def test_asyncpg(grid: RealGrid, client: psycopg.Connection[Rows]) -> None:
    words = grid.words(grid.addresses()[2])
    pool = await asyncpg.create_pool(
        host=words["host"], port=words["port"], user=words["user"], password=words["password"],
        database=words["dbname"], min_size=1, max_size=3,
    )  # fmt: skip
    async with pool.acquire() as one:
        await one.executemany("INSERT INTO t VALUES ($1, $2)", [(n, f"n{n}") for n in range(200)])
        async with one.transaction():
            seen = [row["id"] async for row in one.cursor("SELECT id FROM t ORDER BY id")]
        assert seen == list(range(200))
        await one.copy_records_to_table("t", records=[(Decimal(n), "r") for n in range(200, 900)])
        out = io.BytesIO()
        status = await one.copy_from_query("SELECT id FROM t WHERE id >= $1", 890, output=out)
        assert (status, len(out.getvalue().split())) == ("COPY 10", 10)
        with pytest.raises(TimeoutError):
            await one.fetchval("SELECT count(*) FROM t a, t b, t c, t d", timeout=0.3)
        assert await one.fetchval("SELECT count(*) FROM t") == 900
        await one.execute("BEGIN")
        await one.execute("DELETE FROM t")
    async with pool.acquire() as again:  # the pool's reset rolled it back
        assert await again.fetchval("SELECT count(*) FROM t") == 900
    await pool.close()


def _run(grid: RealGrid, host: int, *words: str) -> str:
    environment = {
        **os.environ, "PGSERVICEFILE": str(grid.plan.folder / "pg_service.conf"),
        "PGPASSFILE": str(grid.plan.folder / "pgpass"), "PGHOST": grid.address(host),
        "PGPORT": str(grid.plan.cs_port), "PGUSER": grid.login.user, "PGDATABASE": "database1",
    }  # fmt: skip
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_psql(grid: RealGrid, client: psycopg.Connection[Rows], tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(
        "\\timing\n" + "".join(f"\\d{kind}\n" for kind in ("t", "u", "i", "s", "n", "f", "f+", "v"))
        + "\\l\n\\d accounts\nSELECT 1 AS one, name FROM t \\gdesc\nSELECT * FROM nosuch;\n"
        f"\\copy account_status TO '{tmp_path}/status'\n"
        "BEGIN; INSERT INTO t VALUES (1, 'x'); COMMIT; SELECT count(*) FROM t;\n"
    )  # fmt: skip
    out = _run(grid, grid.hosts[0], "psql", "-X", "service=database1", "-f", str(script))
    assert out.count("ERROR") == 1
    for wanted in (
        "LINE 1: SELECT * FROM nosuch", "fk_acct_type", "character varying(20)", "COPY 5",
        "txn_seq",
    ):  # fmt: skip
        assert wanted in out
    assert client.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_pgbench(grid: RealGrid) -> None:
    first = grid.hosts[0]
    _run(grid, first, "pgbench", "-i", "-I", "dtgvpf", "-q")
    for host, protocol in zip(grid.hosts, ("simple", "extended", "prepared", "prepared")):  # noqa: B905
        for script in ("tpcb-like", "simple-update", "select-only"):
            words = ("-n", "-M", protocol, "-b", script, "-c", "2", "-t", "15")
            out = _run(grid, host, "pgbench", *words)
            assert "actually processed: 30/30" in out, out
            assert "failed transactions: 0 " in out, out
    _run(grid, first, "pgbench", "-i", "-I", "d")
