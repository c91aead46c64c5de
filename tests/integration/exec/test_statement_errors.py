"""tengrid.on_statement_error, SET LOCAL, time limits, savepoints: on a grid of two replica sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from tests.support.memory_grid import ADDRESS, PASSWORD, USER, MemoryGrid, running_grid

Connection = asyncpg.Connection


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Two replica sets and a table whose rows are in both."""
    async with running_grid(
        tmp_path,
        "CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n TT_INTEGER)",
        "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, 40)",
        k=1,
        sets=2,
    ) as grid:
        yield grid


async def _psycopg(grid: MemoryGrid, **options: Any) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        host=ADDRESS, port=grid.nodes[0].settings.cs_port, user=USER, password=PASSWORD,
        dbname="database1", **options,
    )  # fmt: skip


FAILURES: dict[str, tuple[str, str]] = {
    "constraint": ("INSERT INTO t VALUES (1, 0)", "23505"),
    "several rows": ("INSERT INTO t VALUES (91, 0), (92, 0), (93, 0), (94, 0), (1, 0)", "23505"),
    "syntax": ("SELEKT 1", "42601"),
    "no such table": ("SELECT * FROM nosuch", "42P01"),
    "while it runs": ("SELECT 1 / (n - n) FROM t", "22012"),
    "a key read": ("SELECT 1 / (n - n) FROM t WHERE id = 1", "22012"),
    "setting": ("SET lock_wait = 'soon'", "22023"),
    "savepoint": ("RELEASE SAVEPOINT nosuch", "3B001"),
    "update": ("UPDATE t SET n = 1 / (n - n)", "22012"),
}


@pytest.mark.timeout(60)
async def test_abort(grid: MemoryGrid) -> None:
    """PostgreSQL's way: status E, everything refused with 25P02, COMMIT answers ROLLBACK."""
    for text, sqlstate in FAILURES.values():
        await _abort(grid, text, sqlstate)


async def _abort(grid: MemoryGrid, text: str, sqlstate: str) -> None:
    async with await _psycopg(
        grid, autocommit=True, options="-c tengrid.on_statement_error=abort"
    ) as client:
        status = lambda: client.info.transaction_status.name  # noqa: E731
        await client.execute("BEGIN")
        await client.execute("INSERT INTO t VALUES (50, 1), (51, 1)")
        await client.execute("SAVEPOINT a")
        await client.execute("INSERT INTO t VALUES (52, 1)")
        for _ in range(2):
            with pytest.raises(psycopg.Error) as caught:
                await client.execute(text)
            assert caught.value.sqlstate == sqlstate
            assert status() == "INERROR"
            for refused in ("SELECT 1", "INSERT INTO t VALUES (60, 1)", "SAVEPOINT b", "BEGIN"):
                with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                    await client.execute(refused)
            assert status() == "INERROR"
            await client.execute("ROLLBACK TO SAVEPOINT a")
            assert status() == "INTRANS"
        count = "SELECT count(*) FROM t WHERE id >= 50"
        assert await (await client.execute(count)).fetchone() == (2,)
        with pytest.raises(psycopg.Error):
            await client.execute(text)
        assert (await client.execute("COMMIT")).statusmessage == "ROLLBACK"
        assert status() == "IDLE"
        assert await (await client.execute(count)).fetchone() == (0,)


@pytest.mark.timeout(60)
async def test_continue(grid: MemoryGrid) -> None:
    """TimesTen's way: a failed statement undoes itself, whole, and nothing else."""
    for text, sqlstate in FAILURES.values():
        await _continue(grid, text, sqlstate)


async def _continue(grid: MemoryGrid, text: str, sqlstate: str) -> None:
    async with await _psycopg(grid, autocommit=True) as client:
        await client.execute("SET tengrid.on_statement_error TO continue")
        await client.execute("BEGIN")
        await client.execute("INSERT INTO t VALUES (50, 1), (51, 1)")
        with pytest.raises(psycopg.Error) as caught:
            await client.execute(text)
        assert caught.value.sqlstate == sqlstate
        assert client.info.transaction_status.name == "INTRANS"
        await client.execute("INSERT INTO t VALUES (52, 1)")
        assert (await client.execute("COMMIT")).statusmessage == "COMMIT"
        rows = await (await client.execute("SELECT id FROM t ORDER BY id")).fetchall()
        assert [int(id_) for (id_,) in rows] == [1, 2, 3, 4, 50, 51, 52]
        await client.execute("DELETE FROM t WHERE id >= 50")


@pytest.mark.timeout(60)
async def test_where_the_setting_comes_from(grid: MemoryGrid) -> None:
    name = "tengrid.on_statement_error"
    async with await _psycopg(grid, autocommit=True, options=f"-c {name}=abort") as client:
        show = lambda: client.execute(f"SHOW {name}")  # noqa: E731
        assert await (await show()).fetchone() == ("abort",)
        await client.execute(f"SET {name} = continue")
        assert await (await show()).fetchone() == ("continue",)
        await client.execute(f"RESET {name}")
        assert await (await show()).fetchone() == ("abort",)
        await client.execute("BEGIN")
        await client.execute(f"SET LOCAL {name} = continue")
        with pytest.raises(psycopg.Error):
            await client.execute("SELECT * FROM nosuch")
        assert await (await show()).fetchone() == ("continue",)
        await client.execute("COMMIT")
        assert await (await show()).fetchone() == ("abort",)
        await client.execute(f"SELECT set_config('{name}', 'continue', false)")
        assert await (await show()).fetchone() == ("continue",)
        await client.execute("DISCARD ALL")
        assert await (await show()).fetchone() == ("abort",)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            await client.execute(f"SET {name} = perhaps")
    with pytest.raises(psycopg.OperationalError, match="invalid value for parameter"):
        await _psycopg(grid, options=f"-c {name}=perhaps")


@pytest.mark.timeout(60)
async def test_what_drivers_do_about_errors(grid: MemoryGrid) -> None:
    """Nested transaction blocks of psycopg and asyncpg are savepoints: alike in both modes."""
    for mode in ("abort", "continue"):
        await _nested_blocks(grid, mode)


async def _nested_blocks(grid: MemoryGrid, mode: str) -> None:
    setting = {"tengrid.on_statement_error": mode}
    one = await _psycopg(grid, autocommit=True, options=f"-c tengrid.on_statement_error={mode}")
    async with one:
        async with one.transaction():
            await one.execute("INSERT INTO t VALUES (50, 1)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                async with one.transaction():
                    await one.execute("INSERT INTO t VALUES (51, 1), (52, 1)")
                    await one.execute("INSERT INTO t VALUES (50, 1)")
            await one.execute("INSERT INTO t VALUES (53, 1)")
        rows = await (await one.execute("SELECT id FROM t WHERE id > 9 ORDER BY id")).fetchall()
        assert [int(n) for (n,) in rows] == [50, 53]
    two = await grid.connect(server_settings=setting)
    async with two.transaction():
        await two.execute("INSERT INTO t VALUES (60, 1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with two.transaction():
                await two.execute("INSERT INTO t VALUES (61, 1), (62, 1)")
                await two.execute("INSERT INTO t VALUES (60, 1)")
        await two.execute("INSERT INTO t VALUES (63, 1)")
    rows = await two.fetch("SELECT id FROM t WHERE id >= 60 ORDER BY id")
    assert [int(n) for (n,) in rows] == [60, 63]
    await two.execute("DELETE FROM t WHERE id >= 50")
    await two.close()


@pytest.mark.timeout(60)
async def test_statements_sent_together_are_one_unit(grid: MemoryGrid) -> None:
    """Also inside a transaction that goes on: asyncpg promises that executemany() is atomic."""
    insert = "INSERT INTO t VALUES ($1, 1)"
    for mode in ("abort", "continue"):
        client = await grid.connect(server_settings={"tengrid.on_statement_error": mode})
        await client.execute("BEGIN")
        await client.execute(insert, 69)
        await client.execute("SAVEPOINT a")
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.executemany(insert, [(70,), (71,), (1,), (72,)])
        await client.execute("ROLLBACK TO a")
        await client.executemany(insert, [(73,), (74,)])
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute("INSERT INTO t VALUES (75, 1); INSERT INTO t VALUES (1, 1)")
        await client.execute("COMMIT")
        assert await _ids(client) == ([69, 73, 74] if mode == "continue" else [])
        await client.execute("DELETE FROM t WHERE id > 9")
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute("INSERT INTO t VALUES (76, 1); BEGIN; INSERT INTO t VALUES (1, 1)")
        assert client.is_in_transaction()
        await client.execute("COMMIT")
        assert await _ids(client) == []
        await client.close()


@pytest.mark.timeout(60)
async def test_a_pipeline_of_psycopg(grid: MemoryGrid) -> None:
    for mode in ("abort", "continue"):
        client = await _psycopg(grid, options=f"-c tengrid.on_statement_error={mode}")
        await client.execute("INSERT INTO t VALUES (69, 1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await client.cursor().executemany(
                "INSERT INTO t VALUES (%s, 1)", [(70,), (71,), (1,), (72,)]
            )
        await client.commit()
        cursor = await client.execute("SELECT id FROM t WHERE id > 9")
        assert await cursor.fetchall() == ([(69,)] if mode == "continue" else [])
        await client.execute("DELETE FROM t WHERE id > 9")
        await client.commit()
        await client.close()


# -- savepoints ------------------------------------------------------------------------------------
async def _ids(client: Connection) -> list[int]:
    return [int(r["id"]) for r in await client.fetch("SELECT id FROM t WHERE id > 9 ORDER BY id")]


@pytest.mark.timeout(60)
async def test_savepoints(grid: MemoryGrid) -> None:
    """Nested, released, of the same name, gone back to twice; over one and over two sets."""
    client = await grid.connect()
    insert: Callable[[str], Any] = lambda rows: client.execute(f"INSERT INTO t VALUES {rows}")  # noqa: E731
    await client.execute("BEGIN")
    await client.execute("SAVEPOINT empty")
    await insert("(10, 1)")
    await client.execute("SAVEPOINT a")
    await insert("(11, 1), (12, 1), (13, 1), (14, 1)")
    await client.execute("SAVEPOINT b")
    await client.execute("UPDATE t SET n = -1")
    await client.execute("ROLLBACK TO b")
    assert await client.fetchval("SELECT sum(n) FROM t") == 105
    await client.execute("DELETE FROM t WHERE id > 9")
    await client.execute("ROLLBACK TO b")
    assert await _ids(client) == [10, 11, 12, 13, 14]
    await client.execute("SAVEPOINT a")  # hides the first one until it is released
    await insert("(15, 1)")
    await client.execute("ROLLBACK TO a")
    await insert("(16, 1)")
    await client.execute("RELEASE a")
    assert await _ids(client) == [10, 11, 12, 13, 14, 16]
    await client.execute("ROLLBACK TO a")
    assert await _ids(client) == [10]
    with pytest.raises(asyncpg.InvalidSavepointSpecificationError):
        await client.execute("ROLLBACK TO b")  # it went with the first a
    await client.execute("ROLLBACK TO empty")
    assert await _ids(client) == []
    await insert("(17, 1), (18, 1)")
    await client.execute("COMMIT")
    assert await _ids(client) == [17, 18]
    with pytest.raises(asyncpg.PostgresError) as caught:
        await client.execute("SAVEPOINT outside")
    assert caught.value.sqlstate == "25P01"
    await client.close()


@pytest.mark.timeout(60)
async def test_savepoints_and_locks_of_others(grid: MemoryGrid) -> None:
    """What was undone is not committed, also after failures within; others see whole states."""
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = n + 1 WHERE id = 1")
    await one.execute("SAVEPOINT a")
    await one.execute("UPDATE t SET n = n + 1 WHERE id IN (2, 3, 4)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await one.execute("INSERT INTO t VALUES (80, 1), (81, 1), (82, 1), (83, 1), (2, 1)")
    await one.execute("ROLLBACK TO a")
    await one.execute("INSERT INTO t VALUES (84, 1)")
    assert await two.fetchval("SELECT sum(n) FROM t") == 100
    await one.execute("COMMIT")
    assert await two.fetchval("SELECT sum(n) FROM t") == 102
    assert await _ids(two) == [84]
    await one.close()
    await two.close()


# -- time limits -----------------------------------------------------------------------------------
LONG = "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l"


@pytest.mark.timeout(60)
async def test_statement_timeout(grid: MemoryGrid) -> None:
    client = await grid.connect(server_settings={"statement_timeout": "100ms"})
    with pytest.raises(asyncpg.QueryCanceledError, match="due to statement timeout"):
        await client.fetch(LONG)
    assert await client.fetchval("SHOW statement_timeout") == "100ms"
    other = await grid.connect()
    await other.execute("BEGIN")
    await other.execute("UPDATE t SET n = 0 WHERE id = 1")
    with pytest.raises(asyncpg.QueryCanceledError, match="due to statement timeout"):
        await client.execute("UPDATE t SET n = 1 WHERE id = 1")  # waits for a lock
    await other.execute("ROLLBACK")
    await client.execute("SET statement_timeout = 0")
    assert await client.execute("UPDATE t SET n = 1 WHERE id = 1") == "UPDATE 1"
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await client.execute("SET statement_timeout = 'long'")
    await client.close()
    await other.close()


@pytest.mark.timeout(60)
async def test_statement_timeout_while_data_comes(grid: MemoryGrid) -> None:
    async with await _psycopg(grid, autocommit=True) as client:
        await client.execute("SET statement_timeout = '200ms'")
        cursor = client.cursor()
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
            async with cursor.copy("COPY t (id, n) FROM STDIN") as copy:
                await copy.write_row((70, 1))
                await asyncio.sleep(0.5)  # its time runs while no data comes
                await copy.write_row((71, 1))
        async with cursor.copy("COPY t (id, n) FROM STDIN") as copy:
            await copy.write_row((72, 1))
        found = await client.execute("SELECT id FROM t WHERE id >= 70")
        assert await found.fetchall() == [(72,)]
        await asyncio.sleep(0.3)  # the time of what has ended does not run on
        assert await (await client.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.timeout(60)
async def test_lock_timeout(grid: MemoryGrid) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 0 WHERE id = 1")
    await two.execute("SET lock_timeout = '50ms'")
    with pytest.raises(asyncpg.LockNotAvailableError, match="TT6003"):
        await two.execute("UPDATE t SET n = 1 WHERE id = 1")
    await one.execute("COMMIT")
    await one.close()
    await two.close()


@pytest.mark.timeout(60)
async def test_idle_clients_are_cut_off(grid: MemoryGrid) -> None:
    """And what they held is free at once."""
    idle = await _psycopg(grid, options="-c idle_in_transaction_session_timeout=100")
    await idle.execute("UPDATE t SET n = 0 WHERE id IN (1, 2, 3)")
    waiting = await grid.connect()
    await waiting.execute("UPDATE t SET n = 5 WHERE id IN (1, 2, 3)", timeout=5)
    assert await waiting.fetchval("SELECT sum(n) FROM t") == 55
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        await idle.execute("SELECT 1")
    assert idle.closed

    await waiting.execute("SET idle_session_timeout = '100ms'")
    cut = asyncio.Event()
    waiting.add_termination_listener(lambda _connection: cut.set())
    async with asyncio.timeout(5):
        await cut.wait()


FAMILY = (
    "CREATE TABLE owners (id TT_INTEGER PRIMARY KEY, mail VARCHAR2(20) NOT NULL, "
    "CONSTRAINT one_mail UNIQUE (mail), CONSTRAINT short CHECK (mail <> 'x'))",
    "CREATE TABLE pets (id TT_INTEGER PRIMARY KEY, owner_id TT_INTEGER, spare TT_INTEGER, "
    "CONSTRAINT whose FOREIGN KEY (owner_id) REFERENCES owners (id))",
    'CREATE TABLE "Kept" (id TT_INTEGER PRIMARY KEY, owner_id TT_INTEGER NOT NULL, CONSTRAINT by '
    "FOREIGN KEY (owner_id) REFERENCES owners (id)) DISTRIBUTE BY REFERENCE (by)",
    "INSERT INTO owners VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
    "INSERT INTO pets VALUES (1, 1, 0), (2, 2, 0), (3, 3, NULL), (4, 4, NULL)",
)
BROKEN = [
    ("INSERT INTO owners VALUES (9, 'a')", "23505", ("owners", None, "one_mail")),
    ("UPDATE owners SET mail = 'b' WHERE id = 1", "23505", ("owners", None, "one_mail")),
    ("INSERT INTO owners VALUES (8, 'x')", "23514", ("owners", None, "short")),
    ("INSERT INTO owners VALUES (7, NULL)", "23502", ("owners", "mail", None)),
    ("INSERT INTO owners VALUES (NULL, 'y')", "23502", ("owners", "id", None)),
    ("INSERT INTO pets VALUES (9, 99, 0)", "23503", ("pets", None, "whose")),
    ("INSERT INTO pets SELECT id + 10, 98, 0 FROM pets", "23503", ("pets", None, "whose")),
    ("DELETE FROM owners WHERE id = 2", "23503", ("pets", None, "whose")),
    ("BEGIN INSERT INTO pets VALUES (9, 99, 0); END;", "23503", ("pets", None, "whose")),
    ("CREATE UNIQUE INDEX once ON pets (spare)", "23505", ("pets", None, "once")),
    ("ALTER TABLE pets ADD CONSTRAINT few CHECK (id < 3)", "23514", ("pets", None, "few")),
    ("ALTER TABLE pets ALTER COLUMN spare SET NOT NULL", "23502", ("pets", "spare", None)),
    ("ALTER TABLE pets ADD more TT_INTEGER NOT NULL", "23502", ("pets", "more", None)),
    ('INSERT INTO "Kept" VALUES (1, 99)', "23503", ("Kept", None, "by")),
]


@pytest.mark.timeout(60)
async def test_errors_name_table_column_and_constraint(grid: MemoryGrid) -> None:
    """In fields of their own, as PostgreSQL, also when the row is at another instance."""
    async with await _psycopg(grid, autocommit=True) as client:
        for text in FAMILY:
            await client.execute(text)
        for text, sqlstate, names in BROKEN:
            with pytest.raises(psycopg.Error) as caught:
                await client.execute(text)
            diag = caught.value.diag
            assert (diag.sqlstate, diag.schema_name) == (sqlstate, USER.lower()), text
            assert (diag.table_name, diag.column_name, diag.constraint_name) == names, text
