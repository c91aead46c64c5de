"""Scans, snapshots and scratch databases."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from data.storage.element import Element
from data.storage.scratch import Scratch
from data.storage.settings import StorageSettings
from data.storage.sqlite import ReadSnapshot
from protocol.errors import CancelledError, GridError, OutOfTempSizeError
from protocol.sqltypes import BIGINT, NUMBER, VARCHAR
from tests.support.elements import commit_entry, customer, new_element, write

ALL = 'SELECT ID FROM "TERRY.CUSTOMERS" ORDER BY ID'
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"


@pytest.fixture
async def element(tmp_path: Path) -> AsyncIterator[Element]:
    element = new_element(
        tmp_path / "element", settings=StorageSettings(scan_threads=2, scan_connections=2)
    )
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(1000)])
    yield element
    element.close(clean=False)


async def test_a_scan_sees_one_state_to_its_end(element: Element) -> None:
    position = element.tail
    scan = await element.scan(ALL)
    found = await scan.fetch(10)
    element.begin()
    element.append(commit_entry(element, element.run('DELETE FROM "TERRY.CUSTOMERS"').changes))
    element.commit()
    while rows := await scan.fetch(300):
        found += rows
    assert found == [(n,) for n in range(1000)]
    assert scan.position == position
    assert await scan.fetch(1) == []
    assert element.read(ALL) == []


async def test_a_scan_closed_before_its_end_is_no_empty_one(element: Element) -> None:
    scan = await element.scan(ALL)
    assert await scan.fetch(1)
    await scan.close()
    with pytest.raises(CancelledError):
        await scan.fetch(1)


async def test_a_short_read_is_given_up_when_it_is_long(element: Element) -> None:
    assert element.read_short(ENDLESS) is None
    one = 'SELECT ID FROM "TERRY.CUSTOMERS" WHERE ID = 7'
    assert element.read_short(one) == [(7,)]
    write(element, "TERRY.CUSTOMERS", [customer(5000)])
    assert element.read('SELECT COUNT(*) FROM "TERRY.CUSTOMERS"') == [(1001,)]
    large = ENDLESS.replace("FROM n)", "FROM n WHERE i < 300000)")
    assert element.read(large) == [(300_000,)]  # who does not say that it is short gets the answer


async def test_a_short_read_is_not_given_up_for_those_before_it(element: Element) -> None:
    """SQLite counts the steps of all runs of a text together."""
    one = 'SELECT ID FROM "TERRY.CUSTOMERS" WHERE ID = 7'
    assert all(element.read_short(one) == [(7,)] for _ in range(10_000))


async def test_a_scan_gives_few_rows_at_a_time_when_they_are_wide(element: Element) -> None:
    wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
    scan = await element.scan(wide + "SELECT i, printf('%.*c', 100000, 'x') FROM n")
    sizes = []
    while not scan.ended:
        sizes.append(len(await scan.fetch(500)))
    assert sum(sizes) == 200
    assert max(sizes) <= 16


async def test_several_reads_of_a_snapshot_see_the_same(element: Element) -> None:
    snapshot = await element.snapshot()
    count = 'SELECT COUNT(*) FROM "TERRY.CUSTOMERS"'
    write(element, "TERRY.CUSTOMERS", [customer(5000)])
    assert snapshot.read(count) == [(1000,)]
    scan = snapshot.scan(count)
    assert await scan.fetch(5) == [(1000,)]
    await scan.close()
    assert snapshot.position.lsn == element.tail.lsn - 1
    await snapshot.close()
    assert element.read(count) == [(1001,)]


async def test_scans_beyond_the_pool_wait_for_their_turn(element: Element) -> None:
    first, second = await element.scan(ALL), await element.scan(ALL)
    third = asyncio.ensure_future(element.scan(ALL))
    fourth = asyncio.ensure_future(element.scan(ALL))
    await asyncio.sleep(0)
    third.cancel()
    await first.close()
    scan = await fourth
    assert len(await scan.fetch(2000)) == 1000
    await second.close()
    assert third.cancelled() or third.cancelling()


async def test_a_running_scan_can_be_interrupted(element: Element) -> None:
    scan = await element.scan(ENDLESS)
    fetch = asyncio.ensure_future(scan.fetch(1))
    await asyncio.sleep(0.05)  # that a query runs is no event
    scan.interrupt()
    with pytest.raises(CancelledError):
        await fetch
    again = await element.scan(ALL)
    assert await again.fetch(1) == [(0,)]
    await again.close()


async def test_cancelling_the_task_that_fetches_frees_the_connection(element: Element) -> None:
    for _ in range(5):  # more often than there are connections
        scan = await element.scan(ENDLESS)
        fetch = asyncio.ensure_future(scan.fetch(1))
        await asyncio.sleep(0.01)  # that a query runs is no event
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        await scan.close()


@pytest.mark.parametrize("where", ["scan", "snapshot", "scratch"])
async def test_who_is_cancelled_twice_leaves_no_work_behind(element: Element, where: str) -> None:
    """Cancelled and then closed, as statements are: the connection is free, and given back."""
    began, go_on = threading.Event(), threading.Event()

    def block() -> int:
        began.set()
        return int(go_on.wait(20))

    sql = "SELECT block() /* tg_regexp: not inline */"
    scratch = Scratch(None, 1)
    snapshot = await element.snapshot()
    connection = scratch._connection if where == "scratch" else snapshot.connection
    connection.create_scalar_function("block", block, 0)
    merged = await scratch.scan(sql)
    if where == "scratch":
        running = asyncio.ensure_future(merged.fetch(1))
    elif where == "scan":
        running = asyncio.ensure_future(snapshot.scan(sql, owned=True).fetch(1))
    else:
        running = asyncio.ensure_future(_read_and_close(snapshot, sql))
    await asyncio.to_thread(began.wait)
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not running.done(), "the thread is at work yet"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await merged.close()
    if where == "scratch":
        assert scratch.query("SELECT 1") == [(1,)]
        await snapshot.close()
    assert len(element._pool._free) == len(element._pool._opened)
    await scratch.close()


async def _read_and_close(snapshot: ReadSnapshot, sql: str) -> None:
    try:
        await snapshot.on_thread(lambda: snapshot.connection.execute(sql).fetchall())
    finally:
        await snapshot.close()


async def test_a_held_state_whose_read_was_cancelled_can_be_read_again(element: Element) -> None:
    """The turn of a read lasts until its thread is done, and its error is nobody's loss."""
    loop, began = asyncio.get_running_loop(), asyncio.Event()
    missed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: missed.append(context))
    go_on = threading.Event()

    def block() -> int:
        loop.call_soon_threadsafe(began.set)
        return int(go_on.wait(20))

    held = await element.hold()
    held.connection.create_scalar_function("block", block, 0)
    scan = held.scan(f"SELECT block() UNION ALL SELECT ({ENDLESS})")
    running = asyncio.ensure_future(scan.fetch(2))
    await began.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert held.is_busy, "the thread is at work yet"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await scan.close()
    assert held.read(ALL)[:1] == [(0,)]
    await held.close()
    del held, scan, running
    gc.collect()
    assert missed == []


async def test_a_connection_that_cannot_roll_back_is_not_used_again(element: Element) -> None:
    snapshot = await element.snapshot()
    cursor = snapshot.connection.cursor()
    cursor.execute("SELECT * FROM _log a, _log b")
    cursor.fetchone()
    snapshot.connection.interrupt()  # with a cursor open it lasts: ROLLBACK is interrupted too
    await snapshot.close()
    again = await element.snapshot()
    assert again.connection is not snapshot.connection
    assert again.read("SELECT 1") == [(1,)]
    await again.close()


async def test_errors_of_a_query_come_out_as_ours(element: Element) -> None:
    with pytest.raises(GridError):
        element.read("SELECT * FROM nothing")
    scan = await element.scan("SELECT * FROM nothing")
    with pytest.raises(GridError):
        await scan.fetch(1)
    await scan.close()


async def test_long_writes_leave_the_event_loop_free(element: Element) -> None:
    element.begin()
    write_task = asyncio.ensure_future(
        element.run_long(
            'UPDATE "TERRY.CUSTOMERS" SET CREDIT = (SELECT COUNT(*) FROM "TERRY.CUSTOMERS" a)'
        )
    )
    assert element.read('SELECT MIN(CREDIT) FROM "TERRY.CUSTOMERS"') == [(0,)]
    assert element.entry_at(element.tail.lsn) is not None
    done = await write_task
    assert done.rowcount == len(done.changes) == 1000
    endless = asyncio.ensure_future(
        element.run_long(f'UPDATE "TERRY.CUSTOMERS" SET CREDIT = ({ENDLESS}) WHERE ID = 1')
    )
    await asyncio.sleep(0.05)  # that a query runs is no event
    element.interrupt_writer()
    with pytest.raises(CancelledError):
        await endless
    assert element.read_in_batch('SELECT DISTINCT CREDIT FROM "TERRY.CUSTOMERS"') == [(1000,)]
    element.commit()


async def test_a_scratch_is_bounded(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, 1, 2)
    scratch.create_table("g", [("V", VARCHAR)])
    with pytest.raises(OutOfTempSizeError, match="TempSize"):
        await scratch.insert("g", [("x" * 1000,)] * 3000)
    await scratch.close()
    again = Scratch(tmp_path, 1, 4)
    again.create_table("g", [("V", VARCHAR)])
    await again.insert("g", [("x" * 1000,)] * 3000)
    assert again.query("SELECT COUNT(*) FROM g") == [(3000,)]
    await again.close()


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_scratch_merges_rows_exactly(tmp_path: Path, in_memory: bool) -> None:
    for _ in range(2):  # the second one is a used one
        scratch = Scratch(None if in_memory else tmp_path, 1)
        scratch.create_table("g1", (("K", BIGINT), ("PRICE", NUMBER), ("T", VARCHAR)), (("K",),))
        await asyncio.gather(
            scratch.insert("g1", [(n, "0.1", "a") for n in range(10)]),
            scratch.insert("g1", [(n, "10", "b") for n in range(600)]),
        )
        scan = await scratch.scan(
            "SELECT COUNT(*), MAX(PRICE), MIN(PRICE) FROM g1 WHERE K < ?1", (10,)
        )
        assert await scan.fetch(2) == [(20, "10", "0.1")]
        await scan.close()
        scan = await scratch.scan("SELECT K FROM g1 ORDER BY T DESC, K")
        assert await scan.fetch(2) == [(0,), (1,)]
        await scan.close()
        await scratch.close()
    assert os.listdir(tmp_path) == [], "its file has no name"


async def test_a_long_query_in_a_scratch_leaves_the_event_loop_free() -> None:
    scratch = Scratch(None, 1)
    scan = await scratch.scan(ENDLESS)
    fetch = asyncio.ensure_future(scan.fetch(1))
    await asyncio.sleep(0.02)  # that a query runs is no event
    assert not fetch.done()
    scan.interrupt()
    with pytest.raises(CancelledError):
        await fetch
    await scan.close()
    assert scratch.query("SELECT 1") == [(1,)]
    await scratch.close()
