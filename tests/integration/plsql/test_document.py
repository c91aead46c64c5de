"""docs/plsql.md: what stands in it as code is run."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.memory_grid import MemoryGrid, running_grid

PAGE = Path(__file__).resolve().parents[3] / "docs" / "plsql.md"
CODE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[str]:
    """The code of the page in one language."""
    return [textwrap.dedent(m[3]) for m in CODE.finditer(PAGE.read_text()) if m[2] == language]


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path) as made:
        client = await made.connect()
        for text in (
            "CREATE TABLE customers (cust_id NUMBER(10) PRIMARY KEY, name VARCHAR2(30), "
            "first_name VARCHAR2(30), last_name VARCHAR2(30), credit NUMBER(10,2) DEFAULT 0)",
            "INSERT INTO customers VALUES (1, 'Riley', 'Tessa', 'Riley', 100)",
            "CREATE PROCEDURE p(a NUMBER, b OUT NUMBER) IS BEGIN b := a * 2; END;",
        ):
            await client.execute(text)
        await client.close()
        yield made


async def test_sql_of_the_page(grid: MemoryGrid) -> None:
    client = await grid.connect()
    told: list[str] = []
    client.add_log_listener(lambda _, message: told.append(str(message.message)))
    block, procedure = snippets("sql")
    await client.execute(block)
    made, call = procedure.rsplit("CALL", 1)
    await client.execute(made)
    await client.execute(f"CALL {call.strip().rstrip(';')}")
    assert await client.fetchval("SELECT credit FROM customers WHERE cust_id = 1") == 110
    assert told == ["1 Riley"]
    await client.close()


PROGRAM = """
import asyncio
import asyncpg
import psycopg

with psycopg.connect("service=database1") as connection:
    cursor = connection.cursor()
    print({psycopg})


async def main():
    connection = await asyncpg.connect("postgresql://?service=database1")
    print(tuple({asyncpg}))
    await connection.close()


asyncio.run(main())
{cursors}
print(rows)
"""


async def test_calls_of_the_page(grid: MemoryGrid, tmp_path: Path) -> None:
    calls, cursors = snippets("python")
    by_psycopg, by_asyncpg = (line.split("  #")[0] for line in calls.splitlines())
    program, services = tmp_path / "program.py", tmp_path / "pg_service.conf"
    program.write_text(PROGRAM.format(psycopg=by_psycopg, asyncpg=by_asyncpg, cursors=cursors))
    port = grid.nodes[0].settings.cs_port
    services.write_text(
        f"[database1]\nhost=127.0.0.1\nport={port}\ndbname=database1\nuser=terry\npassword=tiger\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        env={**os.environ, "PGSERVICEFILE": str(services)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert output.decode().splitlines() == ["(Decimal('10'),)", "(Decimal('10'),)", ROWS]


ROWS = "[(Decimal('1'), 'Tessa')]"
