"""Options of COPY, from the statement to the bytes."""

from __future__ import annotations

import io
from pathlib import Path

import asyncpg
import pytest

from tests.support.memory_grid import running_grid

TABLE = "CREATE TABLE goods (id NUMBER(10) PRIMARY KEY, a VARCHAR2(20), b VARCHAR2(20))"


async def _in(client: asyncpg.Connection, options: str, data: str) -> str:
    source = io.BytesIO(data.encode())
    return await client._copy_in(f"COPY goods (id, a, b) FROM STDIN {options}", source, 20)


async def _out(client: asyncpg.Connection, options: str, what: str) -> bytes:
    found: list[bytes] = []

    async def take(data: bytes) -> None:
        found.append(data)

    await client._copy_out(f"COPY {what} TO STDOUT {options}", take, 20)
    return b"".join(found)


async def test_options_do_what_they_say(tmp_path: Path) -> None:
    async with running_grid(tmp_path, TABLE, k=1, sets=2) as grid:
        client = await grid.connect()
        for header in ("id,b,a", "id,a", "id,a,b,c", "ID,a,b"):
            with pytest.raises(asyncpg.BadCopyFileFormatError, match="header line"):
                await _in(client, "(FORMAT csv, HEADER match)", f"{header}\n1,x,y\n")
        with pytest.raises(asyncpg.BadCopyFileFormatError, match="header line"):
            await _in(client, "(HEADER match)", "id\tb\ta\n1\tx\ty\n")
        with pytest.raises(asyncpg.BadCopyFileFormatError, match="header line"):
            await client._copy_in(
                "COPY goods FROM STDIN (FORMAT csv, HEADER match)", io.BytesIO(b"id,\xff,b\n"), 20
            )
        assert await client.fetchval("SELECT COUNT(*) FROM goods") == 0
        data = '"id",a,b\n1,x,""\n2,,N\n'
        assert await _in(client, "(FORMAT csv, HEADER match, NULL 'N')", data) == "COPY 2"
        rows = "SELECT id, a, b FROM goods ORDER BY id"
        assert [tuple(row) for row in await client.fetch(rows)] == [(1, "x", None), (2, None, None)]
        assert await _in(client, "CSV FORCE NULL b FORCE NOT NULL a", '3,y,""\n') == "COPY 1"
        assert await _in(client, "(DELIMITER E'\\x7c', HEADER false)", "4|p|q\n") == "COPY 1"
        picked = "(SELECT id, b FROM goods WHERE id > 2 ORDER BY id)"
        assert await _out(client, "(FORMAT csv, FORCE_QUOTE (b))", picked) == b'3,\n4,"q"\n'
        assert await _out(client, "CSV HEADER FORCE QUOTE *", picked) == b'id,b\n"3",\n"4","q"\n'
        assert (await _out(client, "WITH BINARY", "goods")).startswith(b"PGCOPY\n")
        await client.close()
