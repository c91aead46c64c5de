"""Loads TPC-H into a grid through its external ports, asks the 22 queries, compares the answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import asyncpg

from data.sql.text import split
from tests.sql.tpch import generate, queries

COPY_ROWS = 5_000  # of one COPY, which is one transaction


@dataclass
class Result:
    """What became of one query."""

    name: str
    seconds: float = 0.0
    rows: int = 0
    problem: str = ""
    plan: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """single, co-located or general."""
        return next((w for w in ("single", "co-located", "general") if w in self.plan[0]), "?")


async def load(connection: asyncpg.Connection, scale: float) -> None:
    """Tables, rows, statistics."""
    text = (queries.HERE / "schema.sql").read_text()
    for statement in split(text):
        await connection.execute(statement)
    for table in generate.TABLES:
        rows = generate.copy_lines(table, scale)
        while lines := list(islice(rows, COPY_ROWS)):
            source = _chunks("".join(lines).encode())
            await connection.copy_to_table(table, source=source, format="text")


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def ask(
    connection: asyncpg.Connection,
    name: str,
    text: str,
    expected: list[str] | None,
    limit_s: float = 60.0,
) -> Result:
    """One query: how long, and whether the answer is right."""
    result = Result(name)
    result.plan = [row[0] for row in await connection.fetch(f"EXPLAIN {text}")]
    began = time.perf_counter()
    try:
        rows: list[Any] = await connection.fetch(text, timeout=limit_s)
    except asyncpg.PostgresError as error:
        result.problem = f"{error.sqlstate} {error}"
        return result
    except TimeoutError:
        result.problem = f"no answer in {limit_s:g} s"
        return result
    finally:
        result.seconds = time.perf_counter() - began
    result.rows = len(rows)
    if expected is not None:
        result.problem = queries.differences(queries.answer(rows), expected)
    return result
