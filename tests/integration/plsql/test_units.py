"""Stored procedures, functions and packages: made through one data instance, called through all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEC = """CREATE OR REPLACE PACKAGE counter AS
  step CONSTANT NUMBER := 2;
  total NUMBER := 10;
  too_much EXCEPTION;
  TYPE numbers IS TABLE OF NUMBER INDEX BY PLS_INTEGER;
  CURSOR big(least NUMBER) IS SELECT id FROM t WHERE id >= least ORDER BY id;
  PROCEDURE up(by_how_much NUMBER DEFAULT step);
  FUNCTION now RETURN NUMBER;
  FUNCTION sum_of(given numbers) RETURN NUMBER;
END counter;"""
BODY = """CREATE OR REPLACE PACKAGE BODY counter AS
  hidden NUMBER;
  PROCEDURE check_it IS BEGIN IF total > 100 THEN RAISE too_much; END IF; END;
  PROCEDURE up(by_how_much NUMBER DEFAULT step) IS
  BEGIN total := total + by_how_much; check_it; END;
  FUNCTION now RETURN NUMBER IS BEGIN RETURN total + hidden; END;
  FUNCTION sum_of(given numbers) RETURN NUMBER IS s NUMBER := 0; BEGIN
    FOR i IN 1..given.COUNT LOOP s := s + given(i); END LOOP; RETURN s; END;
BEGIN
  hidden := 1000;
END;"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path_factory.mktemp("units")) as made:
        admin = await made.connect_admin()
        await admin.execute("CREATE USER pat IDENTIFIED BY 'pat'")
        await admin.execute("GRANT CREATE SESSION TO pat")
        await admin.close()
        client = await made.connect()
        await client.execute(
            "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30))"
        )
        await client.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
        await client.close()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def clients(grid: MemoryGrid) -> AsyncIterator[list[asyncpg.Connection]]:
    """One at each data instance."""
    made = [await grid.connect(at) for at in range(4)]
    yield made
    for client in made:
        await client.close()


async def printed(client: asyncpg.Connection, block: str) -> list[str]:
    """What a block puts out, warnings too."""
    lines: list[str] = []

    def listen(_: object, message: Any) -> None:
        lines.append(message.message)

    client.add_log_listener(listen)
    try:
        await client.execute(block)
        await asyncio.sleep(0)
    finally:
        client.remove_log_listener(listen)
    return lines


async def test_a_procedure_is_called_everywhere(clients: list[asyncpg.Connection]) -> None:
    await clients[0].execute(
        "CREATE OR REPLACE PROCEDURE add_row(k NUMBER, label VARCHAR2 := 'new', n OUT NUMBER) IS "
        "BEGIN INSERT INTO t VALUES (k, label); SELECT COUNT(*) INTO n FROM t; END;"
    )
    for at, client in enumerate(clients):
        block = f"DECLARE n NUMBER; BEGIN add_row({10 + at}, n => n); dbms_output.put_line(n); END;"
        assert await printed(client, block) == [str(3 + at)]
    await clients[0].execute("DELETE FROM t WHERE id >= 10")


async def test_call(clients: list[asyncpg.Connection]) -> None:
    await clients[1].execute(
        "CREATE OR REPLACE PROCEDURE say(what VARCHAR2) AS BEGIN dbms_output.put_line(what); END;"
    )
    assert await printed(clients[2], "CALL say('hello')") == ["hello"]
    with pytest.raises(asyncpg.PostgresError) as failed:
        await clients[2].execute("CALL nobody()")
    assert failed.value.sqlstate == "42704"


async def test_functions_call_one_another(clients: list[asyncpg.Connection]) -> None:
    lines = await printed(
        clients[0],
        "CREATE OR REPLACE FUNCTION is_odd(n NUMBER) RETURN BOOLEAN IS BEGIN "
        "RETURN n > 0 AND is_even(n - 1); END;",
    )
    assert lines == [
        "the function was created with compilation errors: identifier 'IS_EVEN' must be declared"
    ]
    assert (
        await printed(
            clients[0],
            "CREATE OR REPLACE FUNCTION is_even(n NUMBER) RETURN BOOLEAN IS BEGIN "
            "RETURN n = 0 OR is_odd(n - 1); END;",
        )
        == []
    )
    block = "BEGIN IF is_even(6) AND NOT is_odd(6) THEN dbms_output.put_line('even'); END IF; END;"
    assert await printed(clients[3], block) == ["even"]


async def test_a_package(clients: list[asyncpg.Connection]) -> None:
    assert await printed(clients[0], SPEC) == []
    with pytest.raises(asyncpg.PostgresError, match="does not exist"):
        await clients[1].execute("BEGIN counter.up; END;")
    assert await printed(clients[0], BODY) == []
    block = (
        "DECLARE n counter.numbers; BEGIN counter.up; counter.up(5); n(1) := 4; n(2) := 5; "
        "dbms_output.put_line(counter.now || ' ' || counter.total || ' ' || counter.sum_of(n)); "
        "FOR r IN counter.big(2) LOOP dbms_output.put_line(r.id); END LOOP; END;"
    )
    assert await printed(clients[1], block) == ["1017 17 9", "2"]
    assert await printed(clients[1], block) == ["1024 24 9", "2"]  # the session keeps its variables
    assert await printed(clients[2], block) == ["1017 17 9", "2"]  # each session its own
    caught = (
        "BEGIN counter.up(500); EXCEPTION WHEN counter.too_much THEN dbms_output.put_line('!');"
    )
    assert await printed(clients[1], f"{caught} END;") == ["!"]
    await clients[0].execute("CREATE TABLE other (a NUMBER)")
    value = "BEGIN dbms_output.put_line(counter.total); END;"
    assert await printed(clients[2], value) == ["17"]  # other objects do not matter
    await clients[0].execute(BODY.replace("1000", "2000"))
    assert await printed(clients[2], value) == ["10"]  # a new body begins anew
    await clients[0].execute("DROP PACKAGE BODY counter")
    with pytest.raises(asyncpg.PostgresError, match="does not exist"):
        await clients[2].execute("BEGIN counter.up; END;")


async def test_it_follows_its_tables(clients: list[asyncpg.Connection]) -> None:
    await clients[0].execute("CREATE TABLE wide (a NUMBER, b VARCHAR2(5))")
    await clients[0].execute("INSERT INTO wide VALUES (1, 'x')")
    await clients[0].execute(
        "CREATE OR REPLACE PROCEDURE show_it IS r wide%ROWTYPE; BEGIN SELECT * INTO r FROM wide; "
        "dbms_output.put_line(r.b); END;"
    )
    assert await printed(clients[1], "CALL show_it") == ["x"]
    await clients[0].execute("ALTER TABLE wide ADD (c NUMBER)")
    assert await printed(clients[1], "CALL show_it") == ["x"]
    await clients[0].execute("DROP TABLE wide")
    with pytest.raises(asyncpg.PostgresError):
        await clients[1].execute("CALL show_it")


async def test_definer_and_execute(grid: MemoryGrid, clients: list[asyncpg.Connection]) -> None:
    await clients[0].execute(
        "CREATE OR REPLACE FUNCTION rows_of_t RETURN NUMBER IS n NUMBER; BEGIN "
        "SELECT COUNT(*) INTO n FROM t; RETURN n; END;"
    )
    node = grid.nodes[1]
    pat = await asyncpg.connect(
        host="127.0.0.1",
        port=node.settings.cs_port,
        user="pat",
        password="pat",
        database="database1",
    )
    block = "BEGIN dbms_output.put_line(terry.rows_of_t); END;"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pat.execute(block)
    await clients[0].execute("GRANT EXECUTE ON rows_of_t TO pat")
    for owner, client in (("user", clients[0]), ("all", pat)):
        granted = await client.fetch(
            f"SELECT grantee, owner, privilege FROM {owner}_tab_privs"
            " WHERE table_name = 'ROWS_OF_T'"
        )
        assert [tuple(row) for row in granted] == [("PAT", "TERRY", "EXECUTE")]
    assert await printed(pat, block) == ["2"]  # pat may not read t, terry's function may
    for taken in ("terry.t%ROWTYPE", "terry.t.id%TYPE"):
        with pytest.raises(asyncpg.UndefinedObjectError):
            await pat.execute(f"DECLARE r {taken}; BEGIN NULL; END;")
    await clients[0].execute("GRANT INSERT ON t TO pat")
    await pat.execute("DECLARE r terry.t%ROWTYPE; n terry.t.id%TYPE; BEGIN NULL; END;")
    await clients[0].execute("REVOKE INSERT ON t FROM pat")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pat.execute("BEGIN FOR r IN (SELECT id FROM terry.t) LOOP NULL; END LOOP; END;")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pat.execute("CREATE PROCEDURE mine IS BEGIN NULL; END;")
    found = await pat.fetch("SELECT name, type FROM all_source WHERE owner = 'TERRY'")
    assert [tuple(row) for row in found] == [("ROWS_OF_T", "FUNCTION")]
    await pat.close()


async def test_drop_and_names(clients: list[asyncpg.Connection]) -> None:
    await clients[0].execute("CREATE PROCEDURE short_lived IS BEGIN NULL; END;")
    for statement, sqlstate in (
        ("CREATE PROCEDURE short_lived IS BEGIN NULL; END;", "42P07"),
        ("CREATE TABLE short_lived (a NUMBER)", "42P07"),
        ("CREATE OR REPLACE FUNCTION t RETURN NUMBER IS BEGIN RETURN 1; END;", "42P07"),
        ("ALTER PROCEDURE short_lived COMPILE", "0A000"),
        ("DROP FUNCTION short_lived", "42704"),
    ):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await clients[1].execute(statement)
        assert failed.value.sqlstate == sqlstate, statement
    asked = "SELECT object_type, status FROM user_objects WHERE object_name = 'SHORT_LIVED'"
    assert [tuple(row) for row in await clients[3].fetch(asked)] == [("PROCEDURE", "VALID")]
    await clients[2].execute("DROP PROCEDURE short_lived")
    await clients[2].execute("DROP PROCEDURE IF EXISTS short_lived")
    with pytest.raises(asyncpg.PostgresError):
        await clients[3].execute("CALL short_lived()")
