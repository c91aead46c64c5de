"""Large UPDATEs and DELETEs with subqueries in slices (decision 0112)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from data.exec.writes import Writer
from data.txn.sliced import SlicedRun, SlicedStatements
from protocol.errors import RowChangedError
from tests.support.memory_grid import MemoryGrid, running_grid

ROWS, SLICE = 120, 10


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    """Two replica sets; every statement that is not by key is a large one."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    monkeypatch.setattr("data.txn.sliced.SLICE", SLICE)
    async with running_grid(tmp_path, k=1, sets=2, session_timeout_s=5.0) as made:
        client = await made.connect()
        for text in (
            "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, a NUMBER(9), n NUMBER(9))",
            "CREATE TABLE k (id NUMBER(9) NOT NULL PRIMARY KEY, v NUMBER(9)) DUPLICATE",
        ):
            await client.execute(text)
        for n in range(ROWS):
            await client.execute("INSERT INTO t VALUES ($1, $2, 0)", n, n % 20)
        for n in range(15):
            await client.execute("INSERT INTO k VALUES ($1, $2)", n, n * 10)
        await client.close()
        yield made


class Slices:
    """Counts slices; holds the first set that has done one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hold: bool = False) -> None:
        self.count = 0
        self.held: list[tuple[SlicedStatements, SlicedRun]] = []
        self.came = asyncio.Event()
        self._hold = hold
        self._go_on = SlicedStatements._next_slice
        monkeypatch.setattr(SlicedStatements, "_next_slice", lambda *args: self._next(*args))

    def _next(self, writer: SlicedStatements, run: SlicedRun) -> None:
        self.count += 1
        if self._hold and run.at == 1:
            self.held.append((writer, run))
            self.came.set()
        else:
            self._go_on(writer, run)

    def let_go(self) -> None:
        self._hold = False
        for writer, run in self.held:
            self._go_on(writer, run)


async def rows(client: Any) -> list[tuple[int, int, int]]:
    return [tuple(r) for r in await client.fetch("SELECT id, a, n FROM t ORDER BY id")]


@pytest.mark.parametrize("condition", [
    "a IN (SELECT id FROM k) AND id <> $1 + 3",
    "a NOT IN (SELECT id FROM k WHERE v > 50) AND id > $1 + 2",
    "EXISTS (SELECT 1 FROM k WHERE k.id = t.a AND k.v > t.id + $1)",
    "id < (SELECT MAX(v) FROM k) - $1",
    "EXISTS (SELECT 1 FROM t o WHERE o.id = t.id AND o.a > $1)",
])  # fmt: skip
@pytest.mark.parametrize("verb", [
    "UPDATE t SET n = n + 1",
    "UPDATE t SET n = (SELECT v + t.id FROM k WHERE k.id = t.a), a = a + 1",
    "UPDATE t SET n = COALESCE((SELECT MIN(v) FROM k WHERE v > t.a), -1) + a",
    "DELETE FROM t",
])  # fmt: skip
async def test_as_in_one_piece(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch, verb: str, condition: str
) -> None:
    client = await grid.connect()
    sql = f"{verb} WHERE {condition} AND id <> $2"
    slices = Slices(monkeypatch)
    await client.execute("BEGIN")
    tag = await client.execute(sql, 4, 9)
    found = await rows(client)
    assert slices.count > 4
    await client.execute("ROLLBACK")
    assert len(await rows(client)) == ROWS
    monkeypatch.setattr(SlicedStatements, "_may_slice", lambda *args: False)
    await client.execute("BEGIN")
    assert await client.execute(sql, 4, 9) == tag
    assert await rows(client) == found
    await client.execute("ROLLBACK")
    await client.close()


async def test_what_is_committed_between_slices(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows get what the subqueries said when they were found; those changed since: what is now."""
    client, other = await grid.connect(), await grid.connect(1)
    slices = Slices(monkeypatch, hold=True)
    sql = "UPDATE t SET n = (SELECT v FROM k WHERE k.id = t.a) WHERE a IN (SELECT id FROM k)"
    running = asyncio.create_task(client.execute(sql))
    async with asyncio.timeout(20):
        while len(slices.held) < 2:
            slices.came.clear()
            await slices.came.wait()
    locked = {n for _, run in slices.held for n in _changed(run)}
    free = [n for n in range(ROWS) if n % 20 < 15 and n not in locked]
    gone, moved, same = free[:3]
    await other.execute("UPDATE t SET a = 17 WHERE id = $1", gone)
    await other.execute("UPDATE t SET a = 3 WHERE id = $1", moved)
    await other.execute("UPDATE t SET n = 77 WHERE id = $1", same)
    await other.execute("UPDATE k SET v = v + 1000")
    await other.execute("UPDATE t SET n = 5 WHERE id = 19")  # never a row of the statement
    slices.let_go()
    assert await running == f"UPDATE {ROWS * 15 // 20 - 1}"
    found = {id_: (a, n) for id_, a, n in await rows(other)}
    assert found.pop(gone) == (17, 0)
    assert found.pop(moved) == (3, 1030)
    assert found.pop(19) == (19, 5)
    for id_, (a, n) in found.items():
        assert (a, n) == (id_ % 20, id_ % 20 * 10 if id_ % 20 < 15 else 0)
    await client.close()
    await other.close()


@pytest.mark.parametrize("large", [False, True])
async def test_a_row_changed_meanwhile_with_a_subquery_on_the_table_itself(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Others write while it runs. A row that has changed is not judged amid its own slices: it is
    done in one piece then, and what its slices did is gone (in the log or not)."""
    if large:
        for module in ("workspace", "parts", "sliced"):
            monkeypatch.setattr(f"data.txn.{module}.PART_CHANGES", 10, raising=False)
    client, other = await grid.connect(), await grid.connect(1)
    slices = Slices(monkeypatch, hold=True)
    sql = "DELETE FROM k2 WHERE (SELECT COUNT(*) FROM k2 o WHERE o.g = k2.g AND o.a = k2.a) > 1"
    await client.execute(
        "CREATE TABLE k2 (g NUMBER(9) NOT NULL, id NUMBER(9) NOT NULL, a NUMBER(9), n NUMBER(9),"
        " PRIMARY KEY (g, id)) DISTRIBUTE BY HASH (g)"
    )
    await client.execute("INSERT INTO k2 SELECT 1, id, a, 0 FROM t")
    await client.execute("BEGIN")
    running = asyncio.create_task(client.execute(sql))
    async with asyncio.timeout(20):
        await slices.came.wait()
    ((_, run),) = slices.held
    assert run.keys is not None
    last = msgspec.msgpack.decode(run.keys.piece(len(run.keys) - 1))  # g, id, and what was found
    ids = [int(row[1]) for row in last]
    kind = next(n for n in range(20) if n not in {id_ % 20 for id_ in ids})
    gets_through = "UPDATE k2 SET {} = $1 WHERE g = 1 AND id = $2"
    await other.execute(gets_through.format("a"), kind, ids[0])
    await other.execute(gets_through.format("n"), 7, ids[1])
    slices.let_go()
    assert await running == f"DELETE {ROWS}"
    assert isinstance(run.error, RowChangedError)
    assert run.at > 5
    await client.execute("COMMIT")
    assert await other.fetch("SELECT id, a, n FROM k2") == []
    for connection in (client, other):
        await connection.close()


def _changed(run: SlicedRun) -> set[int]:
    return {int(str((c.new or c.old or ())[0])) for c in run.workspace.changes}


@pytest.mark.parametrize("kind", ["DUPLICATE", "DISTRIBUTE BY HASH (id)"])
@pytest.mark.parametrize("returning", ["", " RETURNING id"])
async def test_with_effects_elsewhere_by_key(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch, kind: str, returning: str
) -> None:
    """Images of DUPLICATE tables, entries of global indexes: some rows at a time (0065)."""
    client = await grid.connect()
    await client.execute(
        f"CREATE TABLE e (id NUMBER(9) NOT NULL PRIMARY KEY, a NUMBER(9), n NUMBER(9)) {kind}"
    )
    if kind != "DUPLICATE":
        await client.execute("CREATE GLOBAL INDEX en ON e (n)")
    await client.execute("INSERT INTO e SELECT id, a, n FROM t")
    monkeypatch.setattr("data.exec.writes.ROWS_AT_ONCE", 10)
    by_key = 0
    run_by_key = Writer._run_by_key

    async def counted(*args: Any) -> Any:
        nonlocal by_key
        by_key += 1
        return await run_by_key(*args)

    monkeypatch.setattr(Writer, "_run_by_key", counted)
    await client.execute("BEGIN")
    await client.execute("UPDATE k SET v = v + 1 WHERE id = 3")  # its own changes count
    sql = "UPDATE e SET n = (SELECT v + e.id FROM k WHERE k.id = e.a) WHERE a IN (SELECT id FROM k)"
    found = await client.fetch(sql + returning)
    assert len(found) == (90 if returning else 0)
    assert by_key == 1
    await client.execute("COMMIT")
    expected = {n: n % 20 * 10 + n + (n % 20 == 3) if n % 20 < 15 else 0 for n in range(ROWS)}
    other = await grid.connect(1)
    assert {int(r["id"]): int(r["n"]) for r in await other.fetch("SELECT id, n FROM e")} == expected
    for id_, n in expected.items():
        ids = {int(r["id"]) for r in await other.fetch("SELECT id FROM e WHERE n = $1", n)}
        assert id_ in ids
    for connection in (client, other):
        await connection.close()


async def test_a_transaction_that_has_written_sees_that(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await grid.connect()
    slices = Slices(monkeypatch)
    await client.execute("BEGIN")
    await client.execute("DELETE FROM k WHERE id > 4")
    slices.count = 0
    assert await client.execute("DELETE FROM t WHERE a IN (SELECT id FROM k)") == "DELETE 30"
    assert slices.count == 0
    await client.execute("COMMIT")
    assert len(await rows(client)) == ROWS - 30
    await client.close()
