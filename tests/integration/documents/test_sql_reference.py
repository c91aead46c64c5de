"""docs/sql-reference.md says what works: its examples are run, and refused as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from tests.support.memory_grid import MemoryGrid
from tests.support.steps import DOCS

PAGE = "sql-reference.md"
BLOCK = re.compile(r"^```sql\n(.*?)^```", re.M | re.S)
EXAMPLE = re.compile(r"(.*?);(?: *-- (gives|refused): ([^\n]*))?$", re.M | re.S)


class Example(NamedTuple):
    line: int
    sql: str
    kind: str  # gives, refused or ""
    expected: str


def examples() -> Iterator[Example]:
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        at = 0
        while block[1][at:].strip():
            match = EXAMPLE.match(block[1], at)
            assert match, block[1][at:]
            line = text[: block.start(1) + match.start()].count("\n") + 2
            yield Example(line, match[1].strip(), match[2] or "", match[3] or "")
            at = match.end()


async def outcome(client: asyncpg.Connection, example: Example) -> str:
    """What the example gave, in the words of the page."""
    try:
        if example.kind != "gives":
            await client.execute(example.sql)
            return ""
        rows = await client.fetch(example.sql)
    except asyncpg.PostgresError as error:
        return f"refused: {error.sqlstate}"
    return f"gives: {', '.join(map(str, rows[0]))}" if rows else "no rows"


async def test_examples(tmp_path: Path) -> None:
    grid = MemoryGrid(tmp_path, session_timeout_s=5.0)
    await grid.start()
    wrong, count = [], 0
    try:
        client = await grid.connect(0, statement_cache_size=0)
        for example in examples():
            count += 1
            expected = f"{example.kind}: {example.expected}" if example.kind else ""
            found = await outcome(client, example)
            if found != expected:
                wrong.append(f"{PAGE}:{example.line}: {example.sql}\n    {found}, not {expected}")
        await client.close()
    finally:
        await grid.stop()
    assert not wrong, "\n".join(["", *wrong])
    assert count > 100
