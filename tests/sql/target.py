"""A grid to ask: one that runs (`make grid`), or one made for the occasion in this process."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.support.memory_grid import ADDRESS, DATABASE, PASSWORD, USER, MemoryGrid

Words = dict[str, Any]  # what psycopg.connect takes
Connection = psycopg.Connection[tuple[Any, ...]]
GRANTS = (
    "CREATE MATERIALIZED VIEW, CREATE PUBLIC SYNONYM, DROP PUBLIC SYNONYM",
    "CREATE MATERIALIZED VIEW",
)  # the first that is known

OBJECTS = (
    ("VIEW", "SELECT view_name FROM user_views"),
    ("TABLE", "SELECT table_name FROM user_tables"),
    ("SEQUENCE", "SELECT sequence_name FROM user_sequences"),
    ("SYNONYM", "SELECT synonym_name FROM user_synonyms"),
)


@contextlib.contextmanager
def target(folder: Path | None = None, *, sets: int = 2, k: int = 1) -> Iterator[list[Words]]:
    """How to connect to each data instance; with `folder` those of the grid that lives there."""
    if folder is not None:
        yield running(folder)
        return
    with tempfile.TemporaryDirectory(prefix="tgs") as made:
        grid = MemoryGrid(Path(made), k=k, sets=sets)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="grid", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(_start(grid), loop).result(60)
            yield [_words(ADDRESS, n.settings.cs_port, USER, PASSWORD) for n in grid.nodes]
        finally:
            asyncio.run_coroutine_threadsafe(grid.stop(), loop).result(60)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _start(grid: MemoryGrid) -> None:
    await grid.start()
    admin = await grid.connect_admin()
    for grants in GRANTS:
        with contextlib.suppress(Exception):
            await admin.execute(f"GRANT {grants} TO {USER}")
            break
    await admin.close()


def running(folder: Path) -> list[Words]:
    """Of the instances that a local grid's pgpass names."""
    found = []
    for line in (folder / "pgpass").read_text(encoding="utf-8").splitlines():
        host, port, database, user, password = line.split(":")
        if database == DATABASE and host[0].isdigit():
            found.append(_words(host, int(port), user, password))
    return found


def _words(host: str, port: int, user: str, password: str) -> Words:
    return {
        "host": host, "port": port, "user": user, "password": password, "dbname": DATABASE,
        "autocommit": True, "connect_timeout": 5, "prepare_threshold": None,
    }  # fmt: skip


def objects(connection: Connection) -> set[tuple[str, str]]:
    """(kind, name) of all that the user owns and that can be dropped by itself."""
    found = set()
    for kind, query in OBJECTS:
        found |= {(kind, name) for (name,) in connection.execute(query.encode()).fetchall()}
    return found


def drop(connection: Connection, names: set[tuple[str, str]]) -> None:
    """Drop objects, views before the tables they show, children before parents."""
    order = [kind for kind, _ in OBJECTS]
    left = sorted(names, key=lambda item: (order.index(item[0]), item[1]))
    for _ in range(len(left) ** 2):
        if not left:
            return
        kind, name = left.pop(0)
        end = " CASCADE" if kind == "TABLE" else ""
        try:
            connection.execute(f'DROP {kind} IF EXISTS "{name}"{end}'.encode())
        except psycopg.errors.DependentObjectsStillExist:
            left.append((kind, name))  # after what refers to it
    assert not left, left
