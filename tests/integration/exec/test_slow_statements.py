"""QueryThreshold: slow statements in the log, types instead of values; the audit log of SQL."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from daemons.logs import set_up_logging
from protocol import trace_id
from tests.support.memory_grid import ADDRESS, DATABASE, USER, MemoryGrid, running_grid


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Logging as a daemon sets it up; afterwards it is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    set_up_logging(tmp_path, level="info")
    yield tmp_path
    set_up_logging(None)
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
async def grid(home: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(home / "grid", k=1, sets=1) as made:
        yield made


def lines(home: Path, file: str, event: str) -> list[dict[str, Any]]:
    """The events of that name in a file of diag."""
    text = (home / "diag" / file).read_text(encoding="utf-8")
    return [found for line in text.splitlines() if (found := json.loads(line))["event"] == event]


def set_threshold(grid: MemoryGrid, ns: int) -> None:
    instance = grid.nodes[0].instance
    assert instance is not None
    instance.database(DATABASE).space.meters.slow_ns = ns


async def test_a_slow_statement_is_logged_without_its_values(grid: MemoryGrid, home: Path) -> None:
    client = await grid.connect(server_settings={"application_name": "billing"})
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY, b VARCHAR2(20))")
    await client.execute("INSERT INTO c VALUES (1, 'before')")
    assert lines(home, "ttmesg.log", "statement.slow") == []
    set_threshold(grid, 1)
    await client.execute("INSERT INTO c VALUES ($1, $2)", 7, "secret one")
    await client.fetch("SELECT b FROM c WHERE b = 'secret two'")
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO c VALUES ($1, $2)", 7, "secret one")
    set_threshold(grid, 1 << 62)
    insert, select, again = lines(home, "ttmesg.log", "statement.slow")
    assert insert["statement"] == "INSERT INTO c VALUES ($1, $2)"
    assert insert["parameters"] == ["TT_INTEGER", "VARCHAR2"]
    assert (insert["plan"], insert["rows"], insert["error"]) == ("single", 1, "")
    assert (insert["user"], insert["application"]) == (USER.upper(), "billing")
    assert 0 < insert["seconds"] < 60
    assert select["plan"] == "co-located"
    assert int(select["trace"].rpartition(".")[2]) > int(insert["trace"].rpartition(".")[2])
    assert again["error"] == "UNIQUE"
    assert "secret" not in (home / "diag" / "ttmesg.log").read_text(encoding="utf-8")
    await client.close()


async def test_a_database_that_gets_full_says_so_once(home: Path) -> None:
    async with running_grid(home / "small", k=1, sets=1, attributes=(("PermSize", "1"),)) as grid:
        client = await grid.connect()
        await client.execute("CREATE TABLE c (a INT PRIMARY KEY, b VARCHAR2(4000))")
        with pytest.raises(asyncpg.PostgresError):  # 802
            for number in range(1000):
                await client.execute("INSERT INTO c VALUES ($1, $2)", number, "x" * 4000)
        instance = grid.nodes[0].instance
        assert instance is not None
        for _ in range(8):
            instance.database(DATABASE).measures.look()
        (warning,) = lines(home, "ttmesg.log", "database.perm_nearly_full")
        assert warning["percent"] >= 90
        await client.close()


async def test_ddl_and_failed_logins_are_audited(grid: MemoryGrid, home: Path) -> None:
    admin = await grid.connect_admin()
    await admin.execute("CREATE USER pat IDENTIFIED BY hush_hush")
    with pytest.raises(asyncpg.PostgresError):
        await admin.execute("CREATE USER pat IDENTIFIED BY hush_hush")
    await admin.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=ADDRESS,
            port=grid.nodes[0].settings.cs_port,
            user="pat",
            password="wrong",
            database=DATABASE,
        )
    done = [e for e in lines(home, "ttaudit.log", "audit.command") if "PAT" in e["command"].upper()]
    assert [e["result"] for e in done] == ["done", done[1]["result"]]
    assert done[1]["result"] not in ("done", "interrupted")
    assert done[0]["database"] == DATABASE
    (refused,) = lines(home, "ttaudit.log", "audit.refused")
    assert (refused["who"], refused["why"]) == ("pat", "wrong password")
    assert refused["address"].startswith(ADDRESS)
    for name in ("ttaudit.log", "ttmesg.log"):
        assert "hush_hush" not in (home / "diag" / name).read_text(encoding="utf-8")


async def test_a_trace_id_follows_a_statement_to_the_instance_that_works_for_it(
    home: Path,
) -> None:
    async with running_grid(
        home / "two", k=1, sets=2, attributes=(("QueryThreshold", "1"),)
    ) as grid:
        client = await grid.connect(0)
        await client.execute("CREATE TABLE c (a INT PRIMARY KEY)")
        await client.executemany("INSERT INTO c VALUES ($1)", [(n,) for n in range(8)])
        set_threshold(grid, 1)
        trace_id.Slow.seconds = 0.0
        await client.execute("UPDATE c SET a = a")
        trace_id.Slow.seconds = trace_id.NEVER_S
        (slow,) = [
            e for e in lines(home, "ttmesg.log", "statement.slow") if "UPDATE" in e["statement"]
        ]
        asked = [
            e for e in lines(home, "ttmesg.log", "request.slow") if e["trace"] == slow["trace"]
        ]
        assert asked, "what it asked the other instance for has the same id"
        assert {e["peer"] for e in asked} == {grid.nodes[0].name}
        await client.close()
