"""Queries and changes of every form give the same on one, two and three replica sets."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from data.sql.text import split
from tests.integration.sql.statements import GIVES, SAME, SETUP, WITHOUT
from tests.integration.sql.test_reference import sorted_rows
from tests.support.memory_grid import MemoryGrid


@pytest.fixture(scope="module")
def reference() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    script = SETUP
    for ours, theirs in WITHOUT.items():
        script = script.replace(ours, theirs)
    connection.executescript(script)
    return connection


async def result_of(client: asyncpg.Connection, text: str) -> Any:
    """Rows, or the SQLSTATE."""
    try:
        return [tuple(row) for row in await client.fetch(text)]
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate}: {error}"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sets", [1, 2, 3])
async def test_any_number_of_replica_sets_gives_the_same(
    tmp_path: Path, reference: sqlite3.Connection, sets: int
) -> None:
    grid = MemoryGrid(tmp_path, k=1, sets=sets)
    await grid.start()
    client = await grid.connect(0)
    wrong: list[str] = []
    try:
        for text in split(SETUP):
            await client.execute(text)
        for case in SAME:
            ours, theirs = case if isinstance(case, tuple) else (case, case)
            found = await result_of(client, ours)
            wanted = sorted_rows(reference.execute(theirs).fetchall())
            if isinstance(found, str) or sorted_rows(found) != wanted:
                wrong.append(f"{ours}\n  {found}\n  reference: {wanted}")
        for text, expected in GIVES:
            if isinstance(expected, list):
                found = await result_of(client, text)
                good = not isinstance(found, str) and sorted_rows(found) == sorted_rows(expected)
            else:
                try:
                    found = await client.execute(text)
                except asyncpg.PostgresError as error:
                    found = f"{error.sqlstate}: {error}"
                good = found.startswith(expected)
            if not good:
                wrong.append(f"{text}\n  {found}\n  expected: {expected}")
    finally:
        await client.close()
        await grid.stop()
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)
