"""Large transactions on tables with keys elsewhere: the same as SQLite does, whatever is cut up."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from data.exec.writes import Writer
from data.txn.lead import LeadWriter
from data.txn.workspace import Workspace
from tests.support.memory_grid import running_grid

NUMBER = "NUMBER(10)"
TABLES = (
    (f"p (id {NUMBER} NOT NULL PRIMARY KEY, n {NUMBER})", "DISTRIBUTE BY HASH (id)"),
    (
        f"near (id {NUMBER} NOT NULL PRIMARY KEY, n {NUMBER}, pid {NUMBER} NOT NULL,"
        " CONSTRAINT f FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE)",
        "DISTRIBUTE BY REFERENCE (f)",
    ),
    (
        f"far (id {NUMBER} NOT NULL PRIMARY KEY, n {NUMBER}, pid {NUMBER},"
        " CONSTRAINT g FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE)",
        "DISTRIBUTE BY HASH (id)",
    ),
    (f"every (id {NUMBER} NOT NULL PRIMARY KEY, n {NUMBER})", "DUPLICATE"),
    (
        f"keyed (id {NUMBER} NOT NULL PRIMARY KEY, n {NUMBER}, u {NUMBER},"
        f" pid {NUMBER}, CONSTRAINT h FOREIGN KEY (pid) REFERENCES p (id))",
        "DISTRIBUTE BY HASH (id)",
    ),
)
NAMES = ("p", "near", "far", "every", "keyed")


@pytest_asyncio.fixture
async def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """On a grid where a dozen rows are many."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    monkeypatch.setattr("data.txn.sliced.SLICE", 5)
    monkeypatch.setattr("data.exec.writes.ROWS_AT_ONCE", 12)
    monkeypatch.setattr("data.exec.by_key.KEYS_PER_STEP", 5)
    for module in ("parts", "lead", "sliced"):
        monkeypatch.setattr(f"data.txn.{module}.PART_CHANGES", 8)
    monkeypatch.setattr("data.storage.changes.PIECE", 4)
    async with running_grid(tmp_path, k=1, sets=2, session_timeout_s=5.0) as grid:
        connection = await grid.connect(0)
        for table, place in TABLES:
            await connection.execute(f"CREATE TABLE {table} {place}")
        await connection.execute("CREATE GLOBAL UNIQUE INDEX one_u ON keyed (u)")
        await connection.execute("CREATE GLOBAL INDEX by_n ON keyed (n)")
        try:
            yield connection
        finally:
            await connection.close()


def reference() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("PRAGMA foreign_keys = ON")
    for table, _ in TABLES:
        made.execute(f"CREATE TABLE {table}".replace(NUMBER, "INTEGER"))
    made.execute("CREATE UNIQUE INDEX one_u ON keyed (u)")
    return made


def statement(dice: random.Random) -> str:
    """One that can fail for one reason only."""
    table = dice.choice(NAMES)
    low = dice.randrange(60)
    where = dice.choice(
        [f"id BETWEEN {low} AND {low + dice.choice((1, 8, 40))}", f"n % 3 = {low % 3}", "n >= 0"]
    )
    kind = dice.choice(["insert", "insert", "update", "update", "delete", "returning", "one"])
    if kind == "insert":
        ids = dice.sample(range(60), dice.choice((1, 4, 25)))
        if dice.random() < 0.6:  # mostly such as are free
            ids = [i + dice.randrange(1000) * 60 for i in ids]
        rows = {
            "near": lambda i: f"({i}, {i % 7}, {dice.randrange(30)})",
            "far": lambda i: f"({i}, {i % 7}, {dice.choice((dice.randrange(30), 'NULL'))})",
            "keyed": lambda i: f"({i}, {i % 7}, {i * 2}, NULL)",
        }.get(table, lambda i: f"({i}, {i % 7})")
        return f"INSERT INTO {table} VALUES {', '.join(map(rows, ids))}"
    if kind == "one" and table == "keyed":
        return f"UPDATE keyed SET u = {dice.randrange(200)} WHERE id = {low}"
    if kind == "one" and table in ("near", "far"):
        return f"DELETE FROM p WHERE id = {low % 30}"
    if kind == "delete" and (table != "p" or dice.random() < 0.3):
        return f"DELETE FROM {table} WHERE {where}"
    if table == "keyed" and dice.random() < 0.3:
        return f"UPDATE keyed SET pid = {dice.randrange(40)} WHERE {where}"
    tail = " RETURNING id, n" if kind == "returning" else ""
    return f"UPDATE {table} SET n = n + {dice.randrange(5)} WHERE {where}{tail}"


async def outcome(client: asyncpg.Connection, sql: str) -> object:
    try:
        if "RETURNING" in sql:
            return sorted(tuple(map(int, row)) for row in await client.fetch(sql))
        return int((await client.execute(sql)).split()[-1])
    except asyncpg.IntegrityConstraintViolationError:
        return "violation"


def expected(made: sqlite3.Connection, sql: str) -> object:
    try:
        cursor = made.execute(sql)
        return sorted(cursor.fetchall()) if "RETURNING" in sql else cursor.rowcount
    except sqlite3.IntegrityError:
        return "violation"


def content(rows: Any) -> list[tuple[Any, ...]]:
    return sorted(tuple(None if v is None else int(v) for v in row) for row in rows)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
async def test_the_same_as_sqlite(
    client: asyncpg.Connection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(self: Any, *args: Any) -> Any:
            ways[name] += 1
            return method(self, *args)

        monkeypatch.setattr(owner, name, counted)

    count(Writer, "_run_by_key")
    count(LeadWriter, "_run_sliced")
    count(LeadWriter, "_all_in")
    dice = random.Random(seed)
    made = reference()
    parents = f"INSERT INTO p VALUES {', '.join(f'({n}, {n})' for n in range(30))}"
    assert await outcome(client, parents) == expected(made, parents)
    for _ in range(25):
        for start in ("BEGIN", "SAVEPOINT s"):
            await client.execute(start)
            made.execute(start)
        for _ in range(dice.randint(1, 8)):
            sql = statement(dice)
            assert await outcome(client, sql) == expected(made, sql), sql
            if dice.random() < 0.15:
                mark = dice.choice(["ROLLBACK TO SAVEPOINT s", "SAVEPOINT s"])
                await client.execute(mark)
                made.execute(mark)
        end = "COMMIT" if dice.random() < 0.8 else "ROLLBACK"
        await client.execute(end)
        made.execute(end)
        for name in NAMES:
            found = content(await client.fetch(f"SELECT * FROM {name}"))
            assert found == content(made.execute(f"SELECT * FROM {name}")), name
    for column in ("u", "n"):  # what the global indexes say
        found = content(
            await client.fetch(f"SELECT id FROM keyed WHERE {column} IN (1, 2, 4, 6, 8)")
        )
        sql = f"SELECT id FROM keyed WHERE {column} IN (1, 2, 4, 6, 8)"
        assert found == content(made.execute(sql))
    assert ways["_run_by_key"] > 5
    assert ways["_run_sliced"] == 0, "these tables have rows elsewhere"
    assert ways["_all_in"] > 0
    made.close()


async def test_new_rows_do_not_need_those_before(
    client: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the transaction is: else its time grew with the square of its rows."""
    await client.execute(f"INSERT INTO p VALUES {', '.join(f'({n}, {n})' for n in range(30))}")
    brought: list[int] = []
    all_in = LeadWriter._all_in

    def counted(writer: LeadWriter, workspace: Workspace, *args: Any) -> None:
        brought.append(workspace.rows)
        all_in(writer, workspace, *args)

    monkeypatch.setattr(LeadWriter, "_all_in", counted)
    await client.execute("BEGIN")
    for first in range(0, 200, 20):
        some = range(first, first + 20)
        for rows in (
            f"near VALUES {', '.join(f'({n}, 0, {n % 30})' for n in some)}",
            f"far VALUES {', '.join(f'({n}, 0, {n % 30})' for n in some)}",
            f"every VALUES {', '.join(f'({n}, 0)' for n in some)}",
            f"keyed VALUES {', '.join(f'({n}, {n}, {n}, {n % 30})' for n in some)}",
        ):
            assert await client.execute(f"INSERT INTO {rows}") == "INSERT 0 20"
    assert not brought
    await client.execute("COMMIT")
    await client.execute("BEGIN")
    for table in ("near", "far", "every", "keyed"):
        assert await client.execute(f"UPDATE {table} SET n = n + 1") == "UPDATE 200"
        await client.execute("SAVEPOINT s")
        assert not brought, table
        await client.execute("ROLLBACK")
        await client.execute("BEGIN")
    assert await client.execute("DELETE FROM keyed") == "DELETE 200"
    assert not brought
    await client.execute("COMMIT")
    assert await client.fetchval("SELECT COUNT(*) FROM keyed") == 0


async def test_few_rows_that_are_wide_are_many(
    client: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their images would not fit into one message."""
    monkeypatch.setattr("data.exec.writes.ROWS_AT_ONCE", 10_000)
    await client.execute(
        f"CREATE TABLE wide (id {NUMBER} PRIMARY KEY, t VARCHAR2(60000)) DUPLICATE"
    )
    insert = "INSERT INTO wide VALUES ($1, $2)"
    await client.executemany(insert, [(n, "x" * 50_000) for n in range(250)])
    assert await client.execute("UPDATE wide SET t = t || 'y'") == "UPDATE 250"
    rows = await client.fetch("UPDATE wide SET t = t || 'z' RETURNING LENGTH(t)")
    assert [int(row[0]) for row in rows] == [50_002] * 250
    assert await client.execute("DELETE FROM wide") == "DELETE 250"
