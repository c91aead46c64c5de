"""ttBulkCp against a grid: in, out, rows that are wrong, several connections."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.memory_grid import DATABASE, PASSWORD, USER, running_grid

ROOT = Path(__file__).resolve().parents[3]
TABLE = (
    "CREATE TABLE goods (id NUMBER(10) PRIMARY KEY, name VARCHAR2(20), price NUMBER(8,2), "
    "made DATE, code VARBINARY(8))"
)


class Bulk:
    """The command, in a process of its own, and a client that looks."""

    def __init__(self, folder: Path, client: asyncpg.Connection) -> None:
        self.folder, self.client = folder, client

    async def run(self, *words: str, typed: str = "") -> tuple[int | None, str, str]:
        """Exit code, output, errors."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.clients.bulk_copy", *words,
            cwd=ROOT, env={**os.environ, "PGSERVICEFILE": str(self.folder / "service.conf")},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate(typed.encode())
        return process.returncode, output.decode(), errors.decode()

    async def copy_in(
        self, *options: str, file: Path | None = None, typed: str = ""
    ) -> tuple[int | None, str, str]:
        """`ttBulkCp -i` into the table."""
        where = ("-connStr", f"DSN={DATABASE};UID={USER};PWD={PASSWORD}", "goods")
        return await self.run("-i", *options, *where, *([str(file)] if file else []), typed=typed)


@pytest.fixture
async def bulk(tmp_path: Path) -> AsyncIterator[Bulk]:
    async with running_grid(tmp_path, k=1, sets=2) as grid:
        client = await grid.connect(1)
        await client.execute(TABLE)
        (tmp_path / "service.conf").write_text(
            f"[{DATABASE}]\nhost=127.0.0.1\nport={grid.nodes[0].settings.cs_port}\n"
            f"dbname={DATABASE}\nuser={USER}\npassword={PASSWORD}\n"
        )
        yield Bulk(tmp_path, client)
        await client.close()


async def test_out_and_in_again(bulk: Bulk) -> None:
    client = bulk.client
    rows = [(n, f'"{n}"\\\t,\n', f"{n}.25", None, bytes([n % 256])) for n in range(3000)]
    rows.append((9999, None, None, None, None))
    await client.executemany("INSERT INTO goods VALUES ($1, $2, $3::text, $4, $5)", rows)
    await client.execute("UPDATE goods SET made = DATE '2024-02-29' WHERE id < 100")
    before = await client.fetch("SELECT * FROM goods ORDER BY id")
    file = bulk.folder / "goods.dmp"
    code, output, errors = await bulk.run("-o", "-s", "|", DATABASE, "goods", str(file))
    assert (code, output) == (0, ""), errors
    assert errors.splitlines() == [f"{file}:", "    3001/3001 rows copied"]
    assert file.read_text().startswith("##ttBulkCp:VSEP=|:QUOTES=1\n")

    await client.execute("DELETE FROM goods")
    code, output, errors = await bulk.copy_in("-json", "-xp", "500", "-numThreads", "3", file=file)
    assert code == 0, errors
    (told,) = json.loads(output)["files"]
    assert (told["rows"], told["copied"], told["rejected"]) == (3001, 3001, 0)
    assert await client.fetch("SELECT * FROM goods ORDER BY id") == before


async def test_rows_that_are_wrong_go_to_the_error_file(bulk: Bulk) -> None:
    lines = [f"{n},name {n},1.5,2024-01-01 00:00:00,00" for n in range(1, 201)]
    lines[20] = "21,x,too dear,NULL,NULL"
    lines[30] = "31,only two"
    lines[40] = lines[39]  # the key again
    lines.insert(0, "# made by hand")
    file, errors = bulk.folder / "goods.dmp", bulk.folder / "errors"
    file.write_text("\n".join(lines) + "\n")
    code, output, _ = await bulk.copy_in("-e", str(errors), "-xp", "64", file=file)
    assert (code, output) == (1, f"{file}:\n    197/200 rows copied\n")
    rejected = errors.read_text().splitlines()
    assert rejected[1::2] == [lines[31], lines[21], lines[41]]  # what cannot be read comes first
    assert rejected[0] == f"# {file}:32: 2 values for 5 columns"
    assert rejected[2].startswith(f"# {file}:22: SQLSTATE 22P02: ")
    assert rejected[4].startswith(f"# {file}:42: 907: ")
    assert await bulk.client.fetchval("SELECT count(*) FROM goods") == 197

    corrected = errors.read_text().replace("21,x,too dear", "21,x,2.5").replace("40,", "41,", 1)
    errors.write_text(corrected.replace("31,only two", "31,three,2.5,NULL,NULL"))
    code, output, _ = await bulk.copy_in(file=errors)  # it is a file of rows itself
    assert (code, output) == (0, f"{errors}:\n    3/3 rows copied\n")


async def test_limits(bulk: Bulk) -> None:
    typed = "".join(f"{n},n,1,NULL,NULL\n" for n in range(1, 101))
    code, output, errors = await bulk.copy_in("-F", "11", "-L", "20", "-xp", "4", typed=typed)
    assert code == 0, errors
    assert output == "standard input:\n    10/100 rows copied\n"
    assert await bulk.client.fetchval("SELECT min(id) || '-' || max(id) FROM goods") == "11-20"

    code, output, errors = await bulk.copy_in("-m", "3", "-xp", "8", typed=typed)
    assert code == 1 and "3 rows were rejected (-m): 10 are copied" in errors, errors
    code, output, errors = await bulk.copy_in("-xp", "rollback", typed=typed)
    assert code == 1 and "907" in errors, errors
    assert await bulk.client.fetchval("SELECT count(*) FROM goods") == 20

    code, output, errors = await bulk.run("-i", DATABASE, "nosuch")
    assert code == 1 and "2206: Table TERRY.NOSUCH not found" in errors
    assert (await bulk.run("-i", "-s", "ab", DATABASE, "goods"))[0] == 2
