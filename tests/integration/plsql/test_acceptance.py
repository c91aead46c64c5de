"""PL/SQL by the topics of the TimesTen PL/SQL Developer's Guide: each construct and its result.

The cases are files in acceptance/: `-- name: …`, a block or statement, a line with `/`, then what
it gives: `--> a line of output`, `--= a row`, `--! SQLSTATE text of the error`. Each case begins
with the rows 1, 2, 3 in t. `python -m tests.integration.plsql.test_acceptance FILE` shows what a
file's cases give now, to compare by eye.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid

FILES = Path(__file__).with_name("acceptance")
SETUP = (
    "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30), v NUMBER)",
    "CREATE SEQUENCE sq",
)


@dataclass
class Case:
    """One case; `expected`: its lines."""

    name: str
    texts: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


def cases_of(text: str) -> list[Case]:
    """The cases of a file."""
    found: list[Case] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("-- name: "):
            found.append(Case(line.removeprefix("-- name: ")))
        elif line == "/":
            found[-1].texts.append("\n".join(lines))
            lines = []
        elif line.startswith(("--> ", "--= ", "--! ")) or line == "-->":
            found[-1].expected.append(line)
        elif found and (lines or line.strip()):
            lines.append(line)
    return found


async def outcome(client: asyncpg.Connection, case: Case) -> list[str]:
    """What a case gives."""
    lines: list[str] = []

    def listen(_: object, message: Any) -> None:
        lines.extend(f"--> {line}".rstrip() for line in message.message.split("\n"))

    client.add_log_listener(listen)
    try:
        for text in case.texts:
            try:
                rows = await client.fetch(text)
                lines.extend(f"--= {shown(row)}" for row in rows)
            except asyncpg.PostgresError as error:
                lines.append(f"--! {error.sqlstate} {str(error).splitlines()[0]}")
            await asyncio.sleep(0)  # listeners are called soon after
    finally:
        client.remove_log_listener(listen)
    return lines


def shown(row: Any) -> str:
    """A row of a result."""
    return " ".join(f"{name}={value}" for name, value in row.items())


ALL = {
    f"{path.stem}: {case.name}": case
    for path in sorted(FILES.glob("*.plsql"))
    for case in cases_of(path.read_text())
}


async def prepared_grid(directory: Path) -> MemoryGrid:
    """A grid with the table of the cases."""
    made = MemoryGrid(directory)
    await made.start()
    client = await made.connect()
    for statement in SETUP:
        await client.execute(statement)
    await client.close()
    return made


async def fill(client: asyncpg.Connection) -> None:
    """The rows each case begins with."""
    await client.execute("DELETE FROM t")
    for number in (1, 2, 3):
        await client.execute("INSERT INTO t VALUES ($1, $2, 0)", number, f"n{number}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    made = await prepared_grid(tmp_path_factory.mktemp("acceptance"))
    yield made
    await made.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ALL)
async def test_construct(grid: MemoryGrid, name: str) -> None:
    client = await grid.connect()
    try:
        await fill(client)
        assert await outcome(client, ALL[name]) == ALL[name].expected
    finally:
        await client.close()


def test_the_files_are_read() -> None:
    assert len(ALL) > 50
    assert all(case.texts and case.expected for case in ALL.values())


async def show(text: str) -> None:
    """Print a file's text with what its cases give now."""
    with tempfile.TemporaryDirectory() as directory:
        made = await prepared_grid(Path(directory))
        for case in cases_of(text):
            client = await made.connect()
            await fill(client)
            print(f"-- name: {case.name}")
            for text in case.texts:
                print(re.sub(r"\n+$", "", text), "/", sep="\n")
            print(*await outcome(client, case), "", sep="\n")
            await client.close()
        await made.stop()


if __name__ == "__main__":
    asyncio.run(show(Path(sys.argv[1]).read_text()))
