"""DDL on filled tables: the event loop lives, at the lead and at its copies."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import asyncpg
import pytest

from data.catalog.objects import Column, Distribution, Index, Table
from data.storage.element import Element
from protocol.errors import GridError
from protocol.ids import TxnId
from protocol.sqltypes import StorageRow
from tests.support.elements import contents
from tests.support.large import grid_for
from tests.support.lead import NUMBER10, Lead, insert, txn
from tests.support.memory_grid import DATABASE, MemoryGrid

ROWS = 3000


@pytest.fixture(autouse=True)
def every_element_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)


def elements(grid: MemoryGrid) -> list[Element]:
    return [n.instance.database(DATABASE).element for n in grid.nodes if n.instance]


def indexes(element: Element) -> list[StorageRow]:
    return element.read("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sets", [1, 2])
async def test_ddl_runs_on_the_writers_thread(
    tmp_path: Path, sets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    apply_ddl = Element.apply_ddl

    def noted(element: Element, ddl: bytes, lsn: int) -> None:
        threads.append(threading.current_thread().name)
        apply_ddl(element, ddl, lsn)

    async with grid_for(tmp_path, ROWS, sets) as grid:
        client = await grid.connect(0)
        records = [(n, f"name {n}", n) for n in range(ROWS)]
        await client.copy_records_to_table("big", records=records)
        monkeypatch.setattr(Element, "apply_ddl", noted)
        before = [indexes(element) for element in elements(grid)]
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute("CREATE UNIQUE INDEX dup ON small(n)")
        assert [indexes(element) for element in elements(grid)] == before
        await client.execute("CREATE INDEX by_a ON big(a)")
        await client.execute("CREATE UNIQUE INDEX by_n ON big(n, id)")
        await client.execute("ALTER TABLE big ADD z NUMBER(5) DEFAULT 5")
        assert await client.fetchval("SELECT COUNT(*) FROM big WHERE z = 5") == ROWS
        assert await client.fetchval("SELECT id FROM big WHERE a = 'name 77'") == 77
        await client.execute("DROP INDEX by_a")
        await client.execute("INSERT INTO big VALUES (-1, 'x', 0, 1)")
        await client.close()
        made = elements(grid)
        assert all(len(indexes(e)) == len(before[0]) + 1 for e in made), "on lead and copies"
        assert len(threads) >= 4 * len(made)
        assert not [name for name in threads if not name.startswith("writer")]
        async with asyncio.timeout(30):
            while any(element.open_parts for element in made):
                await asyncio.sleep(0.01)  # stands for the decision's way to the copies
        found: dict[int, object] = {}
        for node in grid.nodes:
            assert node.instance is not None
            database = node.instance.database(DATABASE)
            rows = contents(database.element)["TERRY.BIG"]
            assert found.setdefault(database.member.rs, rows) == rows


async def test_a_term_that_ends_while_ddl_runs_leaves_nothing(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    apply_ddl = Element.apply_ddl

    def held_up(element: Element, ddl: bytes, lsn: int) -> None:
        began.set()
        assert go_on.wait(20)
        apply_ddl(element, ddl, lsn)

    await lead.run(txn(1), 1, insert((1, 1)), commit=True)
    monkeypatch.setattr(Element, "apply_ddl", held_up)
    version = lead.element.schema_version
    key = Index(2001, "PK_O", ("ID",), unique=True, primary=True, constraint=True)
    column = Column("ID", NUMBER10, nullable=False)
    other = Table(
        2000, "U", "O", (column,), Distribution.HASH, distribution_key=("ID",), indexes=(key,)
    )
    defining = asyncio.ensure_future(lead.define(other))
    assert await asyncio.to_thread(began.wait, 20)
    assert lead.element.busy
    assert lead.rows() == [(1, 1)], "reads go on"
    go_on.set()
    lead.writer.lost_lead()
    with pytest.raises(GridError):
        await defining
    assert not lead.element.in_batch
    assert lead.element.schema_version == version
    lead.writer.became_lead(2)
    while lead.element.open_parts or not lead.writer.leading:
        await asyncio.sleep(0)
    assert lead.element.outcome(TxnId(1, "ddl", version + 1)) == "aborted"
    await lead.run(txn(2), 1, insert((2, 2)), commit=True)
