"""Epochs of a whole database: who makes them, what they hold, when they are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from data.database import Database
from data.storage.entry import EntryKind
from data.txn.ports import Reply
from protocol.ids import TxnId
from protocol.messages.admin import INTENT_CREATED
from protocol.messages.epochs import LogEpoch
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid
from tests.support.power import set_intent

ACCOUNTS = 40


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Two replica sets of two; epochs come often."""
    async with running_grid(
        tmp_path, attributes=(("PermSize", "64"), ("EpochInterval", "0.02"))
    ) as made:
        yield made
        await set_intent(made, INTENT_CREATED)  # nobody hands over: that would take its time


def databases(grid: MemoryGrid) -> list[Database]:
    return [n.instance.database(DATABASE) for n in grid.nodes if n.instance is not None]


def leads(grid: MemoryGrid) -> dict[int, Database]:
    return {d.writer.rs: d for d in databases(grid) if d.writer.leading}


async def epoch_done(grid: MemoryGrid, number: int) -> None:
    """Until every instance knows that an epoch with such a number is done."""
    for database in databases(grid):
        done = asyncio.Event()
        clock = database.epochs.clock
        clock.watchers.append(lambda now, done=done: done.set() if now >= number else None)  # type: ignore[misc]
        if clock.done < number:
            async with asyncio.timeout(10):
                await done.wait()


async def make_bank(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE bank (id NUMBER(10) PRIMARY KEY, money NUMBER(10))")
    rows = ",".join(f"({n}, 100)" for n in range(ACCOUNTS))
    await client.execute(f"INSERT INTO bank VALUES {rows}")
    await client.close()


async def transfers(grid: MemoryGrid, at: int, stop: asyncio.Event) -> int:
    """Moves between rows of both replica sets until told to stop."""
    client = await grid.connect(at)
    done = 0
    while not stop.is_set():
        source, target = (done * 7 + at) % ACCOUNTS, (done * 11 + at + 1) % ACCOUNTS
        if source == target:
            target = (target + 1) % ACCOUNTS
        first, second = sorted((source, target))
        async with client.transaction():
            for account, amount in ((first, 1), (second, -1)):
                text = f"UPDATE bank SET money = money + {amount} WHERE id = {account}"
                await client.execute(text)
        done += 1
    await client.close()
    return done


def history(database: Database) -> list[tuple[int, str, TxnId | None]]:
    """(epoch before it, kind, transaction) of every entry of a log that is one of two sets."""
    epoch, found = 0, []
    numbers = {position.lsn: number for number, position in database.element.epochs()}
    for entry in database.element.entries(0, 1 << 30):
        epoch = numbers.get(entry.lsn, epoch)
        found.append((epoch, EntryKind(entry.kind).name, entry.txn))
    return found


def slow_requests(grid: MemoryGrid) -> None:
    """The request to log an epoch comes late, now at one lead, now at the other."""
    loop = asyncio.get_running_loop()
    for database in databases(grid):
        keeper, rs = database.epochs, database.writer.rs
        at_once = keeper.log_epoch

        def later(message: LogEpoch, reply: Reply, rs: int = rs, at_once: Any = at_once) -> None:
            if message.number % 2 == rs % 2:
                loop.call_later(0.03, at_once, message, reply)
            else:
                at_once(message, reply)

        keeper.log_epoch = later  # type: ignore[method-assign]


async def test_an_epoch_is_a_consistent_cut(grid: MemoryGrid) -> None:
    """What is decided before an epoch in one log is prepared before it in all others."""
    await make_bank(grid)
    slow_requests(grid)
    stop = asyncio.Event()
    clients = [asyncio.create_task(transfers(grid, at, stop)) for at in range(4)]
    begin = max(d.epochs.clock.done for d in databases(grid))
    await epoch_done(grid, begin + 12)
    stop.set()
    assert min(await asyncio.gather(*clients)) > 5
    logs = {rs: history(database) for rs, database in leads(grid).items()}
    assert set(logs) == {1, 2}
    when = {
        rs: {(kind, txn): epoch for epoch, kind, txn in log if txn is not None}
        for rs, log in logs.items()
    }
    both = 0
    for anchor, other in ((1, 2), (2, 1)):
        for (kind, txn), prepared in when[other].items():
            if kind != "PREPARE" or ("PREPARE", txn) in when[anchor]:
                continue  # DDL is prepared everywhere
            decided = when[anchor].get(("COMMIT", txn))
            if decided is None:
                continue
            both += 1
            assert prepared <= decided, "the anchor decided before a PREPARE"
            heard = when[other].get(("COMMIT", txn), 1 << 62)
            assert decided <= heard, "decided elsewhere before"
    assert both > 20
    numbers = [{n for n, _ in d.element.epochs()} for d in leads(grid).values()]
    assert len(numbers[0] & numbers[1]) >= 10


async def test_an_idle_database_writes_none(grid: MemoryGrid) -> None:
    await make_bank(grid)
    before = max(d.epochs.clock.seen for d in databases(grid))
    await epoch_done(grid, before + 1)
    tails = None
    async with asyncio.timeout(10):
        while tails != (tails := [d.element.tail for d in leads(grid).values()]):
            await asyncio.sleep(0.3)  # fifteen intervals without anything; decisions are forgotten


async def test_its_maker_may_die(grid: MemoryGrid) -> None:
    """The next lead of the lowest replica set goes on, with larger numbers."""
    await make_bank(grid)
    maker = leads(grid)[1]
    node = next(n for n in grid.nodes if n.spec.element == maker.spec.element)
    before = max(d.epochs.clock.seen for d in databases(grid))
    await grid.stop_node(node)
    client = await grid.connect(1 if node is grid.nodes[0] else 0)
    await client.execute("UPDATE bank SET money = money + 1")
    await client.close()
    await epoch_done(grid, before + 1)


async def test_a_commit_can_ask_for_an_epoch(tmp_path: Path) -> None:
    """It is answered when every log has an epoch behind it, flushed on every copy."""
    async with running_grid(
        tmp_path, attributes=(("PermSize", "64"), ("EpochInterval", "0"))
    ) as grid:
        await make_bank(grid)

        async def committed(*texts: str) -> bool:
            """True if an epoch was made of it."""
            seen = max(d.epochs.clock.done for d in databases(grid))
            for text in texts:
                await client.execute(text)
            behind = [
                d.element.committed_tail.lsn == d.element.newest_epoch()[1] for d in databases(grid)
            ]
            made = max(d.epochs.clock.done for d in databases(grid)) > seen
            assert not made or all(behind)
            return made

        client = await grid.connect(3)
        update = "UPDATE bank SET money = money + 1 WHERE id = 1"
        everywhere = "UPDATE bank SET money = money + 1"
        assert not await committed(update)
        assert await committed("CALL ttEpochCreate()", update)
        assert not await committed(update)  # it was for the next commit only
        assert await committed("BEGIN", everywhere, "CALL ttEpochCreate()", "COMMIT")
        await client.execute("SET CreateEpochAtCommit = 1")
        assert await committed(update)
        assert await committed(everywhere)
        assert await committed("BEGIN", everywhere, "COMMIT")
        await client.execute("SET CreateEpochAtCommit = 0")
        assert not await committed(everywhere)
        await client.close()


async def test_an_epoch_is_made_while_leads_are_handed_over(tmp_path: Path) -> None:
    """Who asks for one waits for the next leads: no replica set is down."""
    async with running_grid(
        tmp_path, attributes=(("PermSize", "64"), ("EpochInterval", "0"))
    ) as grid:
        await make_bank(grid)
        done = 0
        for _ in range(4):
            lead = leads(grid)[2].member
            giving = asyncio.create_task(lead._hand_over())
            while not giving.done():
                done, before = await databases(grid)[0].epochs.create(), done
                assert done > before
            await giving
        assert done
        await set_intent(grid, INTENT_CREATED)  # nobody hands over: that would take its time
