"""SELECT … FOR UPDATE in every kind of plan, over replica sets; foreign keys; table locks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from data.txn.manager import TransactionManager
from protocol.messages.sql import TakeKeys
from tests.support.memory_grid import MemoryGrid

Locked = asyncpg.exceptions.LockNotAvailableError


@pytest.fixture
async def clients(grid: MemoryGrid) -> AsyncIterator[list[asyncpg.Connection]]:
    """Three clients; jobs 0..29 over three replica sets, notes with text keys."""
    made = [await grid.connect(at) for at in range(3)]
    await made[0].execute(
        "CREATE TABLE jobs (id NUMBER(10) PRIMARY KEY, v NUMBER(10), state VARCHAR2(10))"
    )
    await made[0].execute("CREATE TABLE notes (name VARCHAR2(20) PRIMARY KEY, job NUMBER(10))")
    await made[0].executemany("INSERT INTO jobs VALUES ($1, $1, 'new')", [(n,) for n in range(30)])
    await made[0].executemany(
        "INSERT INTO notes VALUES ($1, $2)", [(f"00{n}", n) for n in range(30)]
    )
    yield made
    for client in made:
        await client.close()


async def _free(client: asyncpg.Connection, table: str = "jobs", key: str = "id") -> set[object]:
    """The keys that nobody has locked."""
    async with client.transaction():
        rows = await client.fetch(f"SELECT {key} FROM {table} FOR UPDATE SKIP LOCKED")
    return {row[0] for row in rows}


@pytest.mark.parametrize(
    ("query", "locked"),
    [
        ("SELECT id FROM jobs WHERE id = 3 FOR UPDATE", {3}),
        ("SELECT id FROM jobs WHERE v < 4 FOR UPDATE", {0, 1, 2, 3}),
        ("SELECT v FROM jobs WHERE v < 4 ORDER BY id DESC FOR UPDATE", {0, 1, 2, 3}),
        ("SELECT state FROM jobs ORDER BY v LIMIT 2 FOR UPDATE", {0, 1}),
        ("SELECT state FROM jobs ORDER BY v LIMIT 2 OFFSET 1 FOR UPDATE", {1, 2}),
        ("SELECT a.v FROM jobs a JOIN notes b ON a.id = b.job WHERE b.job IN (5, 6) "
         "FOR UPDATE OF a", {5, 6}),
        ("SELECT id FROM jobs WHERE v = (SELECT MAX(job) FROM notes) FOR UPDATE", {29}),
    ],
)  # fmt: skip
async def test_exactly_the_rows_it_gives_are_locked(
    clients: list[asyncpg.Connection], query: str, locked: set[int]
) -> None:
    one, other, _ = clients
    await one.execute("BEGIN")
    assert len(await one.fetch(query)) == len(locked)
    assert await _free(other) == set(range(30)) - locked
    assert len(await _free(other, "notes", "name")) == 30
    await one.execute("COMMIT")
    assert await _free(other) == set(range(30))


async def test_text_keys_are_locked_as_they_are(clients: list[asyncpg.Connection]) -> None:
    one, other, _ = clients
    await one.execute("BEGIN")
    await one.fetch(
        "SELECT n.name FROM notes n JOIN jobs j ON n.job = j.v WHERE j.v = 7 FOR UPDATE OF n"
    )
    assert await _free(other, "notes", "name") == {f"00{n}" for n in range(30)} - {"007"}
    assert len(await _free(other)) == 30
    await one.execute("ROLLBACK")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM jobs WHERE state = 'new' ORDER BY v LIMIT 1 FOR UPDATE",
        "SELECT a.id FROM jobs a JOIN notes b ON a.v = b.job WHERE a.state = 'new' "
        "ORDER BY a.v LIMIT 1 FOR UPDATE OF a",
    ],
)
async def test_after_a_wait_it_is_looked_again(
    clients: list[asyncpg.Connection], query: str
) -> None:
    one, other, _ = clients
    await one.execute("BEGIN")
    assert await one.fetchval(query) == 0
    waiting = asyncio.create_task(other.fetchval(query))
    await asyncio.sleep(0.1)  # time to queue up, which nobody hears of
    assert not waiting.done()
    await one.execute("UPDATE jobs SET state = 'done' WHERE id = 0")
    await one.execute("COMMIT")
    assert await waiting == 1  # row 0 does not qualify any more


async def test_nowait_and_wait_n(clients: list[asyncpg.Connection]) -> None:
    one, other, _ = clients
    await one.execute("BEGIN")
    await one.fetch("SELECT id FROM jobs WHERE id = 3 FOR UPDATE")
    for query in (
        "SELECT id FROM jobs WHERE id = 3 FOR UPDATE {}",
        "SELECT id FROM jobs ORDER BY v FOR UPDATE {}",
    ):
        for clause, at_least_s in (("NOWAIT", 0.0), ("WAIT 0", 0.0), ("WAIT 1", 0.9)):
            started = time.monotonic()
            with pytest.raises(Locked) as caught:
                await other.fetch(query.format(clause))
            assert "6003" in str(caught.value)
            assert at_least_s <= time.monotonic() - started < at_least_s + 0.8
    await one.execute("ROLLBACK")


async def test_more_rows_than_fit_into_an_answer(clients: list[asyncpg.Connection]) -> None:
    one, other, _ = clients
    await one.execute("CREATE TABLE wide (id NUMBER(10) PRIMARY KEY, v VARCHAR2(1000000))")
    for start in range(0, 90, 10):
        await one.execute(
            f"INSERT INTO wide SELECT id + {start}, RPAD('x', 1000000, 'x') FROM jobs WHERE id < 10"
        )
    await one.execute("BEGIN")
    rows = await one.fetch("SELECT id, v FROM wide FOR UPDATE")
    assert sorted(row[0] for row in rows) == list(range(90))
    assert await _free(other, "wide") == set()
    await one.execute("COMMIT")


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
async def test_others_write_while_very_many_rows_are_locked(
    clients: list[asyncpg.Connection], monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """Beyond LOCKED_ROWS_MAX they are not read and locked in one piece of the writer's work."""
    one, other, _ = clients
    await other.execute("CREATE TABLE counted (id NUMBER(10) PRIMARY KEY, v NUMBER(10))")
    await other.execute("INSERT INTO counted VALUES (1, 0)")
    monkeypatch.setattr("data.txn.steps.LOCKED_ROWS_MAX", 5)
    monkeypatch.setattr("data.exec.locking.KEYS_PER_STEP", 3)
    run, others = TransactionManager.run, 0

    async def between(manager: Any, txn: Any, rs: int, steps: Any, *rest: Any, **words: Any) -> Any:
        nonlocal others
        if isinstance(steps[0], TakeKeys):
            others += 1
            await other.execute("UPDATE counted SET v = v + 1")
        return await run(manager, txn, rs, steps, *rest, **words)

    await one.execute(f"BEGIN ISOLATION LEVEL {level}")
    monkeypatch.setattr(TransactionManager, "run", between)
    rows = await one.fetch("SELECT id FROM jobs WHERE v < 28 FOR UPDATE")
    monkeypatch.setattr(TransactionManager, "run", run)
    assert sorted(row[0] for row in rows) == list(range(28))
    assert others > 8
    assert await other.fetchval("SELECT v FROM counted") == others
    assert await _free(other) == {28, 29}
    rows = await other.fetch("SELECT id FROM jobs FOR UPDATE SKIP LOCKED LIMIT 1")
    assert [row[0] for row in rows] in ([28], [29])
    await one.execute("ROLLBACK")


@pytest.mark.parametrize("order", ["ORDER BY v", ""])
async def test_workers_share_a_queue_of_jobs(clients: list[asyncpg.Connection], order: str) -> None:
    """Each job is done once; a worker never finds nothing while there is something."""
    done: list[int] = []

    async def worker(client: asyncpg.Connection) -> None:
        while True:
            async with client.transaction():
                row = await client.fetchval(
                    f"SELECT id FROM jobs WHERE state = 'new' {order} LIMIT 1 "
                    "FOR UPDATE SKIP LOCKED"
                )
                if row is None:
                    return
                await client.execute("UPDATE jobs SET state = 'done' WHERE id = $1", row)
            done.append(row)

    await asyncio.gather(*(worker(client) for client in clients))
    assert sorted(done) == list(range(30))


async def test_skip_locked_gives_the_next_ones(clients: list[asyncpg.Connection]) -> None:
    one, other, third = clients
    query = "SELECT id FROM jobs ORDER BY v LIMIT 2 OFFSET {} FOR UPDATE SKIP LOCKED"
    await one.execute("BEGIN")
    assert [r[0] for r in await one.fetch(query.format(0))] == [0, 1]
    await other.execute("BEGIN")
    assert [r[0] for r in await other.fetch(query.format(1))] == [3, 4]
    await third.execute("BEGIN")
    assert [r[0] for r in await third.fetch(query.format(0))] == [5, 6]
    for client in clients:
        await client.execute("ROLLBACK")


async def test_strengths_go_together_as_in_postgresql(clients: list[asyncpg.Connection]) -> None:
    strengths = ("KEY SHARE", "SHARE", "NO KEY UPDATE", "UPDATE")
    together = {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)}
    one, other, _ = clients
    for held, first in enumerate(strengths):
        await one.execute("BEGIN")
        await one.fetch(f"SELECT id FROM jobs WHERE id = 3 FOR {first}")
        for wanted, second in enumerate(strengths):
            query = f"SELECT id FROM jobs WHERE id = 3 FOR {second} NOWAIT"
            if (held, wanted) in together:
                assert await other.fetchval(query) == 3
            else:
                with pytest.raises(Locked):
                    await other.fetchval(query)
        await one.execute("ROLLBACK")


# -- foreign keys ----------------------------------------------------------------------------------
@pytest.mark.parametrize("placed", ["BY REFERENCE (fk)", "BY HASH (id)"])
async def test_children_come_while_their_parent_changes_beside_its_key(
    clients: list[asyncpg.Connection], placed: str
) -> None:
    one, other, _ = clients
    await one.execute(
        "CREATE TABLE tasks (id NUMBER(10) PRIMARY KEY, job NUMBER(10) NOT NULL, "
        f"CONSTRAINT fk FOREIGN KEY (job) REFERENCES jobs(id)) DISTRIBUTE {placed}"
    )
    for client in clients:
        await client.execute("SET lock_wait = 0.1")
    await one.execute("BEGIN")
    await one.execute("UPDATE jobs SET v = 100")
    for n in range(6):
        await other.execute("INSERT INTO tasks VALUES ($1, $2)", n, n)
    await one.execute("COMMIT")
    await other.execute("BEGIN")
    await other.execute("INSERT INTO tasks VALUES (10, 10)")
    await one.execute("UPDATE jobs SET v = 101")
    with pytest.raises(Locked):
        await one.execute("DELETE FROM jobs WHERE id = 10")
    await other.execute("COMMIT")
    with pytest.raises(asyncpg.exceptions.ForeignKeyViolationError):
        await one.execute("DELETE FROM jobs WHERE id = 10")
    await one.execute("BEGIN")
    await one.execute("DELETE FROM jobs WHERE id = 20")
    with pytest.raises(Locked):
        await other.execute("INSERT INTO tasks VALUES (20, 20)")
    await one.execute("ROLLBACK")
    await other.execute("INSERT INTO tasks VALUES (20, 20)")


async def test_a_unique_value_is_locked_wherever_its_rows_are(
    clients: list[asyncpg.Connection],
) -> None:
    one, other, third = clients
    await one.execute("CREATE TABLE u (id NUMBER(10) PRIMARY KEY, mail VARCHAR2(9) UNIQUE)")
    await one.execute("INSERT INTO u VALUES (1, 'a')")
    await one.execute("INSERT INTO u VALUES (2, NULL)")
    await one.execute("INSERT INTO u VALUES (3, NULL)")
    for client in clients:
        await client.execute("SET lock_wait = 0.1")
    await one.execute("BEGIN")
    await one.execute("UPDATE u SET mail = 'b' WHERE id = 1")
    for mail in ("a", "b"):  # the old value and the new one
        with pytest.raises(Locked):
            await other.execute("INSERT INTO u VALUES (9, $1)", mail)
    await other.execute("UPDATE u SET mail = 'c' WHERE id = 2")
    await third.execute("UPDATE u SET id = 4 WHERE id = 3")  # NULLs are in nobody's way
    await one.execute("COMMIT")
    await other.execute("INSERT INTO u VALUES (9, 'a')")


async def test_on_conflict_forgives_only_the_key_it_names(
    clients: list[asyncpg.Connection],
) -> None:
    one = clients[0]
    Unique = asyncpg.exceptions.UniqueViolationError
    for name, kind in (("l", "DISTRIBUTE BY HASH (g)"), ("w", "")):  # element's keys, global index
        await one.execute(
            f"CREATE TABLE {name} (g NUMBER(10) NOT NULL, id NUMBER(10) NOT NULL, "
            f"mail VARCHAR2(9) NOT NULL, PRIMARY KEY (g, id), UNIQUE (g, mail)) {kind}"
        )
        await one.execute(f"INSERT INTO {name} VALUES (1, 1, 'a')")
        insert = f"INSERT INTO {name} VALUES "
        for row, target in (
            ("(1, 2, 'a')", "(g, mail)"),
            ("(1, 1, 'a')", "(g, mail)"),
            ("(1, 1, 'b')", "(g, id)"),
            ("(1, 1, 'b')", ""),
        ):
            text = f"{insert} {row} ON CONFLICT {target} DO NOTHING"
            assert await one.execute(text) == "INSERT 0 0"
        with pytest.raises(Unique):
            await one.execute(insert + "(1, 1, 'b') ON CONFLICT (g, mail) DO NOTHING")
        with pytest.raises(Unique):
            await one.execute(
                insert + "(1, 5, 'e'), (1, 2, 'a'), (2, 2, 'b') ON CONFLICT (g, id) DO NOTHING"
            )
        rows = insert + "(1, 5, 'e'), (1, 6, 'a'), (2, 2, 'b') ON CONFLICT (g, mail) DO NOTHING"
        assert await one.execute(rows) == "INSERT 0 2"
        assert await one.fetchval(f"SELECT COUNT(*) FROM {name}") == 3


# -- table locks -----------------------------------------------------------------------------------
async def test_the_hint_locks_the_table_and_no_rows(
    grid: MemoryGrid, clients: list[asyncpg.Connection]
) -> None:
    one, other, _ = clients
    await other.execute("SET lock_wait = 0.1")
    await one.execute("BEGIN")
    await one.execute("DELETE /*+ TT_TblLock(1) TT_RowLock(0) */ FROM jobs WHERE v < 25")
    held = [
        len(writer.locks.held_by(t.txn))
        for node in grid.nodes
        if node.instance is not None
        for writer in [node.instance.database("database1").writer]
        for t in writer.transactions()
    ]
    assert held == [1, 1, 1]
    with pytest.raises(Locked):
        await other.execute("UPDATE jobs SET v = 0 WHERE id = 29")
    assert await other.fetchval("SELECT COUNT(*) FROM jobs") == 30
    await one.execute("COMMIT")
    await other.execute("UPDATE jobs SET v = 0 WHERE id = 29")
    assert await other.fetchval("SELECT COUNT(*) FROM jobs") == 5


async def test_lock_table_modes_and_ttlockwait(clients: list[asyncpg.Connection]) -> None:
    one, other, third = clients
    await other.execute("CALL ttLockWait(0.1)")
    assert await other.fetchval("SHOW lock_wait") == "0.1"
    with pytest.raises(asyncpg.exceptions.FeatureNotSupportedError):
        await other.execute("CALL ttLockLevel('DS')")
    for wrong in ("(-1)", "('x')", "()", "", "(1000001)"):
        with pytest.raises(asyncpg.exceptions.InvalidParameterValueError, match="ttLockWait wants"):
            await other.execute(f"CALL ttLockWait{wrong}")
    await one.execute("BEGIN")
    await one.execute("LOCK TABLE jobs IN SHARE MODE")
    await third.execute("BEGIN")
    await third.execute("LOCK TABLE jobs IN SHARE MODE NOWAIT")
    await third.execute("COMMIT")
    with pytest.raises(Locked):
        await other.execute("UPDATE jobs SET v = 0 WHERE id = 3")
    await third.execute("BEGIN")
    with pytest.raises(Locked):
        await third.execute("LOCK TABLE jobs IN EXCLUSIVE MODE NOWAIT")
    await third.execute("ROLLBACK")
    assert await third.fetchval("SELECT COUNT(*) FROM jobs") == 30
    await one.execute("COMMIT")


async def test_ddl_waits_for_open_transactions_and_later_writers_for_ddl(
    clients: list[asyncpg.Connection],
) -> None:
    one, other, third = clients
    await one.execute("BEGIN")
    await one.execute("UPDATE jobs SET v = 7 WHERE id = 3")
    ddl = asyncio.create_task(other.execute("ALTER TABLE jobs ADD COLUMN more NUMBER(10)"))
    await asyncio.sleep(0.1)  # time to queue up, which nobody hears of
    late = asyncio.create_task(third.execute("UPDATE jobs SET v = 8 WHERE id = 4"))
    await asyncio.sleep(0.1)  # time to queue up, which nobody hears of
    assert not ddl.done()
    await one.execute("UPDATE jobs SET v = 9 WHERE id = 5")
    await one.execute("COMMIT")
    await ddl
    assert await late == "UPDATE 1"
    assert await third.fetchval("SELECT more FROM jobs WHERE id = 4") is None
