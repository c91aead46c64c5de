"""A session that is ended while its commit is on its way: what its client is told is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from data.session import ending
from protocol.messages.txn import CommitSingle
from tests.support.memory_grid import ADDRESS, DATABASE, PASSWORD, USER, MemoryGrid, running_grid

LATE_S = 0.2


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    monkeypatch.setattr(ending, "OUTCOME_WAIT_S", LATE_S)
    async with running_grid(
        tmp_path, "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY)", k=1, sets=1
    ) as made:
        yield made


class Held:
    """Answers of the lead to whatever commits, held back until `let_go`."""

    def __init__(self, grid: MemoryGrid, patch: pytest.MonkeyPatch) -> None:
        assert grid.nodes[0].instance is not None
        space = grid.nodes[0].instance.database(DATABASE).space
        self.came = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []
        send = space.router.send

        def send_later(rs: int, message: Any, heard: Callable[..., None], timeout_s: float) -> None:
            def later(reply: Any, error: Any) -> None:
                self._waiting.append(partial(heard, reply, error))
                self.came.set()

            commits = isinstance(message, CommitSingle) or getattr(message, "commit", False)
            send(rs, message, later if commits else heard, timeout_s)

        patch.setattr(space.router, "send", send_later)

    def let_go(self) -> None:
        for heard in self._waiting:
            heard()


async def connected(grid: MemoryGrid) -> psycopg.AsyncConnection:
    """A client that tells what it was told last, before the connection was closed."""
    return await psycopg.AsyncConnection.connect(
        host=ADDRESS,
        port=grid.nodes[0].settings.cs_port,
        user=USER,
        password=PASSWORD,
        dbname=DATABASE,
        autocommit=True,
    )


WAYS = pytest.mark.parametrize(
    ("before", "last"),
    [
        (["BEGIN", "INSERT INTO t VALUES (1)"], "COMMIT"),
        ([], "INSERT INTO t VALUES (1)"),  # the fast path
        ([], "INSERT INTO t SELECT 1 FROM dual"),
    ],
)


async def committing(
    grid: MemoryGrid, patch: pytest.MonkeyPatch, before: list[str], last: str
) -> tuple[asyncio.Task[Any], Held]:
    """A client whose commit is on its way."""
    client = await connected(grid)
    for statement in before:
        await client.execute(statement.encode())
    held = Held(grid, patch)
    running = asyncio.create_task(client.execute(last.encode()))
    await held.came.wait()
    return running, held


@WAYS
async def test_its_commit_is_waited_for(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch, before: list[str], last: str
) -> None:
    running, held = await committing(grid, monkeypatch, before, last)
    assert grid.nodes[0].instance is not None
    stopping = asyncio.create_task(grid.nodes[0].instance.frontend.drain(0.0))
    await asyncio.sleep(0)
    held.let_go()
    await running  # hears of its success, then of the stop
    await stopping


@WAYS
async def test_it_is_not_known_in_time(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch, before: list[str], last: str
) -> None:
    running, held = await committing(grid, monkeypatch, before, last)
    assert grid.nodes[0].instance is not None
    await grid.nodes[0].instance.frontend.drain(0.0)
    with pytest.raises(psycopg.OperationalError) as caught:
        await running
    assert caught.value.sqlstate == "08007"
    held.let_go()


async def test_a_statement_of_an_open_transaction_is_not_done(grid: MemoryGrid) -> None:
    holder, client = await connected(grid), await connected(grid)
    await client.execute("INSERT INTO t VALUES (1)")
    await holder.execute("BEGIN")
    await holder.execute("DELETE FROM t")
    await client.execute("BEGIN")
    waiting = asyncio.create_task(client.execute("DELETE FROM t"))
    await asyncio.sleep(LATE_S)  # it waits for the lock
    assert grid.nodes[0].instance is not None
    await grid.nodes[0].instance.frontend.drain(0.0)
    with pytest.raises(psycopg.OperationalError) as caught:
        await waiting
    assert caught.value.sqlstate == "57P01"
