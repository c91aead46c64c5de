"""Large transactions on a whole grid of copies: all or nothing, and others live on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from data.exec.agreement import Agreement
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.held import HeldScan
from data.storage.sqlite import Scan
from data.txn.read_atomic import ReadPoint
from data.txn.sliced import SlicedRun, SlicedStatements
from tests.support.elements import contents
from tests.support.large import grid_for, run, terms
from tests.support.memory_grid import DATABASE, MemoryGrid

MIB_PER_MILLION_ROWS = 900  # of four elements, three clients and the tests in one process


def copies_are_equal(grid: MemoryGrid) -> None:
    found: dict[int, object] = {}
    for node in grid.nodes:
        assert node.instance is not None
        database = node.instance.database(DATABASE)
        rows = contents(database.element)["TERRY.BIG"]
        assert found.setdefault(database.member.rs, rows) == rows


@pytest.mark.timeout(240)
async def test_a_large_transaction_comes_and_goes(tmp_path: Path) -> None:
    rows = 40_000
    async with grid_for(tmp_path, rows, 2) as grid:
        figures = await run(grid, rows)
        assert not [f.error for f in figures if f.error]
        copies_are_equal(grid)


@pytest.mark.timeout(120)
async def test_a_lead_dies_while_a_large_transaction_is_committed(tmp_path: Path) -> None:
    rows = 20_000
    async with grid_for(tmp_path, rows, 1) as grid:
        lead = next(
            n for n in grid.nodes if n.instance and n.instance.database(DATABASE).writer.leading
        )
        other = next(n for n in grid.nodes if n is not lead)
        client = await grid.connect(grid.nodes.index(other))
        await client.execute("BEGIN")
        await client.copy_records_to_table("big", records=[(n, "x", n) for n in range(rows)])
        assert lead.instance is not None
        writer = lead.instance.database(DATABASE).writer
        committing = asyncio.ensure_future(client.execute("COMMIT"))
        while writer._slices is None and not writer._in_flight:
            await asyncio.sleep(0)
        await grid.stop_node(lead)
        committed = True
        try:
            await committing
        except asyncpg.PostgresError as error:
            committed = False
            assert error.sqlstate[:2] in ("40", "08"), error
            unknown = error.sqlstate == "08007"
        found = await client.fetchval("SELECT COUNT(*) FROM big")
        assert found == (rows if committed else 0) or (unknown and found in (0, rows))
        await client.execute("INSERT INTO big VALUES (-1, 'y', 0)")
        await grid.start_node(lead)
        await grid.ready(lead)
        await _until_equal(grid)
        await client.close()


async def _until_equal(grid: MemoryGrid) -> None:
    async with asyncio.timeout(30):
        while True:
            members = [n.instance.database(DATABASE).member for n in grid.nodes if n.instance]
            if all(len(m.status().in_sync) == 2 and m.status().lag == 0 for m in members):
                break
            await asyncio.sleep(0.01)  # stands for a change of the view
    copies_are_equal(grid)


async def test_a_long_update_at_two_replica_sets_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than its leads are asked to list their commits: nothing has to be repeated.

    One of them is slower: its answer comes long after the other's.
    """
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    monkeypatch.setattr("data.txn.sliced.SLICE", 100)
    monkeypatch.setattr("data.txn.sliced.DRIFT_MS", 100)  # of a second or two
    verdicts: list[set[Hashable]] = []
    missing, keep_keys = Agreement.missing, SlicedStatements._keep_keys

    async def seen(agreement: Agreement, point: ReadPoint) -> set[Hashable]:
        assert len(point.opened) == 2
        verdicts.append(await missing(agreement, point))
        return verdicts[-1]

    async def keep_slowly(lead: SlicedStatements, run: SlicedRun, scan: Scan | HeldScan) -> None:
        await asyncio.sleep(lead.rs / 2)  # stands for very many rows
        await keep_keys(lead, run, scan)

    monkeypatch.setattr(Agreement, "missing", seen)
    monkeypatch.setattr(SlicedStatements, "_keep_keys", keep_slowly)
    async with grid_for(tmp_path, 4000, 2) as grid:
        client = await grid.connect(0)
        await client.copy_records_to_table("big", records=[(n, "x", n) for n in range(4000)])
        await client.execute("SET lock_wait = 0")
        assert await client.execute("UPDATE big SET n = n + 1") == "UPDATE 4000"
        assert verdicts == [set()]
        assert await client.fetchval("SELECT SUM(n) FROM big") == 4000 * 4001 // 2
        await client.close()
        copies_are_equal(grid)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sets", [1, 2])
async def test_a_million_rows_in_one_transaction(tmp_path: Path, sets: int) -> None:
    async with grid_for(tmp_path, 1_000_000, sets) as grid:
        led = terms(grid)
        figures = await run(grid, 1_000_000)
        assert not [f.error for f in figures if f.error]
        assert terms(grid) == led
        before, after = figures[0].rss_mib, max(f.rss_mib for f in figures)
        assert after - before < MIB_PER_MILLION_ROWS


async def test_writes_of_one_row_stay_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with grid_for(tmp_path, 10, 1) as grid:
        client = await grid.connect(0)
        await client.execute(
            "CREATE TABLE pairs (a INT, b INT, c VARCHAR2(10), PRIMARY KEY (a, b))"
        )
        rows = [(n, n + 1, "x") for n in range(30_000)]
        await client.copy_records_to_table("pairs", records=rows)
        monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
        on_thread: list[object] = []
        start_long = Element.start_long

        def seen(element: Element, work: Callable[[], object]) -> asyncio.Future[object]:
            if work != element.drop_bucket_indexes:  # housekeeping of the moves of buckets
                on_thread.append(work)
            return start_long(element, work)

        monkeypatch.setattr(Element, "start_long", seen)
        for text in (
            "UPDATE pairs SET c = $3 WHERE a = $1 AND b = $2",
            "UPDATE pairs SET c = c || $3 WHERE b = $2 AND a = $1",
            "DELETE FROM pairs WHERE a = $1 AND b = $2 AND c <> $3",
        ):
            assert await client.execute(text, 7, 8, "y") in ("UPDATE 1", "DELETE 1")
        assert not on_thread
        assert await client.execute("UPDATE pairs SET c = 'z' WHERE a > 10") == "UPDATE 29989"
        assert on_thread
        await client.close()


async def test_others_write_while_a_large_update_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two replica sets, with a condition."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    rows = 20_000
    async with grid_for(tmp_path, 10, 2) as grid:
        client, other = await grid.connect(0), await grid.connect(1)
        await client.copy_records_to_table("big", records=[(n, "x", n) for n in range(rows)])
        slices = 0
        run_by_key = Element.run_by_key

        def seen(element: Element, *args: Any) -> list[RowChange]:
            nonlocal slices
            slices += 1
            return run_by_key(element, *args)

        monkeypatch.setattr(Element, "run_by_key", seen)
        await client.execute("BEGIN")
        large = asyncio.ensure_future(client.execute("UPDATE big SET n = -n WHERE n >= $1", 100))
        while not slices:
            await asyncio.sleep(0)
        written = 0
        while not large.done():
            await other.execute("UPDATE big SET n = n - 1000 WHERE id = $1", written % 100)
            written += 1
        assert await large == f"UPDATE {rows - 100}"
        assert slices >= rows // 2000
        assert written > slices / 2, "as often as it let others in, at least"
        await client.execute("COMMIT")
        found = await other.fetchrow("SELECT COUNT(*), SUM(n) FROM big WHERE id >= 100")
        assert tuple(found) == (rows - 100, -sum(range(100, rows)))
        moved = await other.fetchval("SELECT SUM(n) FROM big WHERE id < 100")
        assert moved == sum(range(100)) - 1000 * written
        copies_are_equal(grid)
        await client.close()
        await other.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("explicit", [False, True])
async def test_a_term_ends_in_the_middle_of_a_large_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explicit: bool
) -> None:
    """Autocommit: it is run again, and done once. In a transaction: that can only roll back."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    rows = 12_000
    async with grid_for(tmp_path, 10, 1) as grid:
        lead = next(
            n for n in grid.nodes if n.instance and n.instance.database(DATABASE).writer.leading
        )
        client = await grid.connect(1 - grid.nodes.index(lead))
        await client.copy_records_to_table("big", records=[(n, "x", n) for n in range(rows)])
        if explicit:
            await client.execute("BEGIN")
            await client.execute("INSERT INTO small VALUES (99, 0)")
        assert lead.instance is not None
        database = lead.instance.database(DATABASE)
        element, term = database.element, database.writer.term
        update = asyncio.ensure_future(client.execute("UPDATE big SET n = n + 1 WHERE n >= 0"))
        while not element.open_parts:
            await asyncio.sleep(0)
        assert not update.done()
        database.writer._flush_failed(RuntimeError("a fault of this test"))
        if explicit:
            with pytest.raises(asyncpg.PostgresError) as caught:
                await update
            assert (caught.value.sqlstate or "")[:2] == "40"
            await client.execute("ROLLBACK")
        else:
            assert await update == f"UPDATE {rows}"
        total = rows * (rows - 1) // 2 + (0 if explicit else rows)
        assert await client.fetchval("SELECT SUM(n) FROM big") == total
        assert await client.fetchval("SELECT COUNT(*) FROM small") == 10
        await _until_equal(grid)
        assert max(terms(grid)) > term
        await client.close()
